//! The rows of a batch: records are collected with the places of their wanted fields, and become columns together.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{Field, SchemaRef};
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE},
};

use super::{cells::Cells, grammar::Cell, reader::Record};
use crate::{
    columns::Column,
    decoder::SourceBatch,
    origin::{Origin, Origins},
};

/// The records of the next batch, so far.
#[derive(Default)]
pub(super) struct Rows {
    /// The records, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<i32>,
    offsets: Vec<u64>,
    /// The wanted fields of all records that have them, and where those of each record start.
    cells: Vec<Cell>,
    first_cells: Vec<usize>,
    /// Objects, each with the number of its first record.
    objects: Vec<(usize, Arc<str>)>,
    /// What is wrong with records, by their numbers.
    faults: BTreeMap<usize, String>,
    /// Number of bytes read.
    pub(super) bytes: u64,
}

impl Rows {
    /// Adds a record. `pick` picks its wanted fields, or says what is wrong with it.
    pub(super) fn push(&mut self, record: &Record<'_>, pick: impl FnOnce(&mut Vec<Cell>) -> Result<(), String>) {
        let number = self.ends.len();
        if self.objects.last().is_none_or(|(_, object)| !Arc::ptr_eq(object, record.object)) {
            self.objects.push((number, Arc::clone(record.object)));
        }
        self.text.extend_from_slice(record.text);
        self.ends.push(i32::try_from(self.text.len()).expect("a batch and a record have less than 2 GiB"));
        self.offsets.push(record.offset);
        self.first_cells.push(self.cells.len());
        if let Err(what) = pick(&mut self.cells) {
            self.faults.insert(number, what);
        }
        self.bytes += record.bytes;
    }

    /// Returns the batch, unless nothing was read.
    pub(super) fn finish(mut self, fields: &SchemaRef, cells: &Cells) -> Result<Option<SourceBatch>> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let columns = loop {
            let mut faults = BTreeMap::new();
            let fields = fields.fields().iter().enumerate();
            let columns: Vec<_> = fields.map(|(index, field)| self.column(index, field, cells, &mut faults)).collect();
            // The values of a record that turns out to be wrong are in some columns already.
            if faults.is_empty() {
                break columns;
            }
            self.faults.extend(faults);
        };
        let batch = RecordBatch::try_new(Arc::clone(fields), columns)
            .or_kind(ErrorKind::Internal, || "cannot make a batch of CSV records")?;
        let rows = (!self.faults.is_empty()).then(|| self.good().collect());
        let (faults, bytes, origins) = (std::mem::take(&mut self.faults), self.bytes, self.origins());
        let reject = |(record, what): (usize, String)| {
            let Origin { object, at, record } = origins.origin(record);
            Reject::new(SOURCE, &what).at(object, at).with_record(&record)
        };
        let rejects = faults.into_iter().map(reject).collect();
        Ok(Some(SourceBatch::new(batch, rejects, bytes, Box::new(origins), rows)))
    }

    /// Returns the numbers of the records with which nothing is wrong.
    fn good(&self) -> impl Iterator<Item = usize> {
        (0..self.ends.len()).filter(|record| self.faults.is_empty() || !self.faults.contains_key(record))
    }

    /// Returns the column of a wanted field, without the records that are known to be wrong. Adds those that turn out
    /// to be wrong to `faults`.
    fn column(&self, index: usize, field: &Field, cells: &Cells, faults: &mut BTreeMap<usize, String>) -> ArrayRef {
        let mut column = Column::new(field, self.ends.len()).expect("the fields were checked");
        let mut unescaped = String::new();
        for record in self.good() {
            let cell = &self.cells[self.first_cells[record] + index];
            unescaped.clear();
            match cells.value(field, cell, self.record(record), &mut unescaped) {
                Ok(value) => column.append(&value, &unescaped),
                Err(what) => _ = faults.entry(record).or_insert(what),
            }
        }
        column.finish()
    }

    fn record(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[number] as usize]
    }

    fn origins(self) -> CsvOrigins {
        let offsets = [0].into_iter().chain(self.ends).collect::<Vec<i32>>();
        let records = BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), self.text.into(), None);
        CsvOrigins { records, offsets: self.offsets, objects: self.objects }
    }
}

/// The records of a batch and their places.
struct CsvOrigins {
    records: BinaryArray,
    offsets: Vec<u64>,
    /// Objects, each with the number of its first record.
    objects: Vec<(usize, Arc<str>)>,
}

impl Origins for CsvOrigins {
    fn origin(&self, record: usize) -> Origin<'_> {
        let object = self.objects.partition_point(|(first, _)| *first <= record) - 1;
        Origin {
            object: &self.objects[object].1,
            at: self.offsets[record].into(),
            record: self.records.value(record).into(),
        }
    }
}
