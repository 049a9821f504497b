//! The rows of a batch: records are collected with the places of their wanted fields, and become columns together.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Fields, SchemaRef};
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE},
};

use super::{cells::Cells, grammar::Cell, reader::Record};
use crate::{
    columns::Column,
    decoder::{COLUMN_BYTES, SourceBatch},
    origin::{Origin, Origins, PlacedRecords},
    plain,
};

/// The records of the next batch, so far.
pub(super) struct Rows {
    records: PlacedRecords,
    /// Number of wanted fields of each record, and these fields of all records.
    wanted: usize,
    cells: Vec<Cell>,
    /// What is wrong with records, by their numbers.
    faults: BTreeMap<usize, String>,
    /// Number of bytes read.
    pub(super) bytes: u64,
}

impl Rows {
    /// Returns no records yet, each of which will have `wanted` wanted fields.
    pub(super) fn new(wanted: usize) -> Self {
        Self { records: PlacedRecords::default(), wanted, cells: Vec::new(), faults: BTreeMap::new(), bytes: 0 }
    }

    /// Returns the number of bytes that the records count for.
    pub(super) fn size(&self) -> u64 {
        self.bytes.max(self.cells.len() as u64 * COLUMN_BYTES)
    }

    /// Adds a record. `pick` appends its wanted fields, or says what is wrong with it.
    pub(super) fn push(&mut self, record: &Record<'_>, pick: impl FnOnce(&mut Vec<Cell>) -> Result<(), String>) {
        let number = self.records.len();
        self.records.push(record.text, record.object, record.offset);
        if let Err(what) = pick(&mut self.cells) {
            self.cells.resize((number + 1) * self.wanted, Cell::MISSING);
            self.faults.insert(number, what);
        }
        self.bytes += record.bytes;
    }

    /// Returns the batch, unless nothing was read. Leaves no rows, but their room.
    pub(super) fn finish(&mut self, fields: &SchemaRef, cells: &Cells) -> Result<Option<SourceBatch>> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let columns = self.columns(fields.fields(), cells);
        let batch = RecordBatch::try_new(Arc::clone(fields), columns)
            .or_kind(ErrorKind::Internal, || "cannot make a batch of CSV records")?;
        let rows = (!self.faults.is_empty()).then(|| self.good().collect());
        self.cells.clear();
        let next = PlacedRecords::with_room_of(&self.records);
        let origins = std::mem::replace(&mut self.records, next).finish();
        let reject = |(record, what): (usize, String)| {
            let Origin { object, at, record } = origins.origin(record);
            Reject::new(SOURCE, &what).at(object, at).with_record(&record)
        };
        let rejects = std::mem::take(&mut self.faults).into_iter().map(reject).collect();
        let bytes = std::mem::take(&mut self.bytes);
        Ok(Some(SourceBatch::new(batch, rejects, bytes, Box::new(origins), rows)))
    }

    /// Returns the numbers of the records with which nothing is wrong.
    fn good(&self) -> impl Iterator<Item = usize> {
        (0..self.records.len()).filter(|record| self.faults.is_empty() || !self.faults.contains_key(record))
    }

    /// Returns the columns of the wanted fields, without the records that are wrong.
    fn columns(&mut self, fields: &Fields, cells: &Cells) -> Vec<ArrayRef> {
        let text = cells.as_text(self.records.text());
        loop {
            let mut faults = BTreeMap::new();
            let fields = fields.iter().enumerate();
            let columns = fields.map(|(index, field)| self.column(index, field, text, cells, &mut faults)).collect();
            // The values of a record that turns out to be wrong are in some columns already.
            if faults.is_empty() {
                return columns;
            }
            self.faults.extend(faults);
        }
    }

    /// Returns the column of a wanted field, without the records that are known to be wrong. Adds those that turn out
    /// to be wrong to `faults`. `text` is that of all records, if it can be taken as it is.
    fn column(
        &self,
        index: usize,
        field: &Field,
        text: Option<&str>,
        cells: &Cells,
        faults: &mut BTreeMap<usize, String>,
    ) -> ArrayRef {
        let mut column = Column::new(field, self.records.len()).expect("the fields were checked");
        let mut unescaped = String::new();
        for record in self.good() {
            let (cell, range) = (&self.cells[record * self.wanted + index], self.records.range(record));
            let as_it_is = text.and_then(|text| cells.as_it_is(cell, text.get(range.clone())?));
            if as_it_is.is_some_and(|text| plain::append(&mut column, field, text)) {
                continue;
            }
            unescaped.clear();
            match cells.value(field, cell, &self.records.text()[range], &mut unescaped) {
                Ok(value) => column.append(&value, &unescaped),
                Err(what) => _ = faults.entry(record).or_insert(what),
            }
        }
        column.finish()
    }
}
