//! The fields of CSV, as a sample of it shows them.

use std::collections::HashMap;

use etl_core::model::{
    error::{Error, Result},
    schema::FIELDS_MAX,
};

use super::{
    cells::Cells,
    grammar::Cell,
    kinds::Kinds,
    reader::{Record, Records},
    text::Text,
};
use crate::{
    Pick, Reading, WantedField,
    decoder::ChunkIter,
    sample::{Extent, Inferred, InferredField, SampledObjects, example, too_many},
};

/// Returns the fields of the records of some objects.
pub(super) fn infer(objects: SampledObjects<'_>, reading: &Reading) -> Result<Inferred> {
    let mut sample = Sample::new(reading);
    for chunks in objects {
        sample.read(chunks, reading)?;
    }
    sample.found()
}

/// A column that was found.
struct Column {
    name: String,
    /// The position at which it was found, counted from 0.
    position: usize,
    /// Whether its name in the header does not tell it from the others.
    by_position: bool,
    kinds: Kinds,
    example: Option<String>,
    /// Number of objects, or without a header of records, that have it.
    of: u64,
}

/// The columns of the objects so far.
struct Sample {
    cells: Cells,
    has_header: bool,
    columns: Vec<Column>,
    /// The number of each column, by its name and by how many columns of that name are before it in a header.
    known: HashMap<(String, usize), usize>,
    extent: Extent,
    /// Number of objects with a header, or without one of records.
    all: u64,
}

impl Sample {
    fn new(reading: &Reading) -> Self {
        let cells = Cells::new(&reading.csv, reading.record_max);
        let (columns, known, extent) = (Vec::new(), HashMap::new(), Extent::default());
        Self { cells, has_header: reading.csv.header, columns, known, extent, all: 0 }
    }

    /// Reads the first records of an object.
    fn read(&mut self, chunks: ChunkIter<'_>, reading: &Reading) -> Result<()> {
        let mut records = Records::new(Text::new(chunks, reading.csv.encoding), self.cells.grammar);
        if records.next_slice()?.is_none() {
            return Ok(());
        }
        self.extent.next_object();
        let (mut found, mut layout) = (Vec::new(), None);
        while self.extent.goes_on() {
            let Some(record) = records.next(&mut found)? else { break };
            if self.has_header && layout.is_none() {
                layout = Some(self.header(&record, &found)?);
                continue;
            }
            self.extent.add(record.bytes);
            match &layout {
                _ if record.is_unclosed => {}
                // A record of another width is malformed.
                Some(layout) if layout.len() == found.len() => self.record(&record, &found, layout),
                Some(_) => {}
                None => {
                    let layout = self.positions(found.len())?;
                    self.record(&record, &found, &layout);
                }
            }
        }
        Ok(())
    }

    /// Returns the numbers of the columns that the header of an object names.
    fn header(&mut self, record: &Record<'_>, found: &[Cell]) -> Result<Vec<usize>> {
        let mut before: HashMap<String, usize> = HashMap::new();
        let mut layout = Vec::with_capacity(found.len());
        for (position, cell) in found.iter().enumerate() {
            let name = self.cells.text(cell, record.text).map_err(|what| {
                let object = record.object;
                Error::input(format!("the header of object `{object}` cannot be read: column {} {what}", position + 1))
            })?;
            let same = before.entry(name.clone()).and_modify(|same| *same += 1).or_default();
            layout.push(self.column(name, *same, position)?);
        }
        self.all += 1;
        layout.iter().for_each(|number| self.columns[*number].of += 1);
        Ok(layout)
    }

    /// Returns the number of the column of a name, `same` columns of which are before it in the header.
    fn column(&mut self, name: String, same: usize, position: usize) -> Result<usize> {
        if let Some(number) = self.known.get(&(name.clone(), same)) {
            return Ok(*number);
        }
        let number = self.columns.len();
        if number == FIELDS_MAX {
            return Err(too_many(position.max(number) + 1));
        }
        if same == 1
            && let Some(first) = self.known.get(&(name.clone(), 0))
        {
            self.columns[*first].by_position = true;
        }
        let by_position = same > 0 || name.is_empty();
        let own = match name.is_empty() {
            true => self.free_name(format!("f{}", position + 1), 0),
            false => self.free_name(name.clone(), same),
        };
        self.known.insert((name, same), number);
        self.columns.push(Column { name: own, position, by_position, kinds: Kinds::default(), example: None, of: 0 });
        Ok(number)
    }

    /// Returns a name that no column has yet: `name`, or with a number behind it.
    fn free_name(&self, name: String, same: usize) -> String {
        let is_free = |name: &String| !self.columns.iter().any(|column| column.name == *name);
        let numbered = (same.max(1) + 1..).map(|number| format!("{name}_{number}"));
        let first = (same == 0).then(|| name.clone());
        first.into_iter().chain(numbered).find(is_free).unwrap_or(name)
    }

    /// Returns the numbers of the columns of a record of objects without a header.
    fn positions(&mut self, width: usize) -> Result<Vec<usize>> {
        self.all += 1;
        for position in self.columns.len()..width {
            self.column(String::new(), position, position)?;
        }
        self.columns.iter_mut().take(width).for_each(|column| column.of += 1);
        Ok((0..width).collect())
    }

    fn record(&mut self, record: &Record<'_>, found: &[Cell], layout: &[usize]) {
        for (cell, number) in found.iter().zip(layout) {
            let Ok(Some(text)) = self.cells.not_null(cell, record.text) else { continue };
            let column = &mut self.columns[*number];
            column.kinds.add(&text);
            column.example.get_or_insert_with(|| example(&text));
        }
    }

    fn found(self) -> Result<Inferred> {
        let Self { columns, has_header, extent, all, .. } = self;
        let field = |column: Column| {
            let Column { name, position, by_position, kinds, example, of } = column;
            let field = kinds.field(&name);
            let by_name = has_header && !by_position;
            let pick = if by_name { Pick::Column(name) } else { Pick::Position(position + 1) };
            InferredField { wanted: WantedField { field, pick, optional: of < all }, example }
        };
        extent.found(columns.into_iter().map(field).collect())
    }
}
