//! The rows of a batch: records are collected with the places of their wanted fields, and become columns together.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, SchemaRef};
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    reject::{Reject, SOURCE},
};

use super::{cells::Cells, grammar::Cell, reader::Record};
use crate::{
    columns::Column,
    decoder::SourceBatch,
    origin::{Origin, Origins, PlacedRecords},
};

/// The records of the next batch, so far.
#[derive(Default)]
pub(super) struct Rows {
    records: PlacedRecords,
    /// The wanted fields of all records that have them, and where those of each record start.
    cells: Vec<Cell>,
    first_cells: Vec<usize>,
    /// What is wrong with records, by their numbers.
    faults: BTreeMap<usize, String>,
    /// Number of bytes read.
    pub(super) bytes: u64,
}

impl Rows {
    /// Adds a record. `pick` picks its wanted fields, or says what is wrong with it.
    pub(super) fn push(&mut self, record: &Record<'_>, pick: impl FnOnce(&mut Vec<Cell>) -> Result<(), String>) {
        let number = self.records.len();
        self.records.push(record.text, record.object, record.offset);
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
        let (faults, bytes, origins) = (std::mem::take(&mut self.faults), self.bytes, self.records.finish());
        let reject = |(record, what): (usize, String)| {
            let Origin { object, at, record } = origins.origin(record);
            Reject::new(SOURCE, &what).at(object, at).with_record(&record)
        };
        let rejects = faults.into_iter().map(reject).collect();
        Ok(Some(SourceBatch::new(batch, rejects, bytes, Box::new(origins), rows)))
    }

    /// Returns the numbers of the records with which nothing is wrong.
    fn good(&self) -> impl Iterator<Item = usize> {
        (0..self.records.len()).filter(|record| self.faults.is_empty() || !self.faults.contains_key(record))
    }

    /// Returns the column of a wanted field, without the records that are known to be wrong. Adds those that turn out
    /// to be wrong to `faults`.
    fn column(&self, index: usize, field: &Field, cells: &Cells, faults: &mut BTreeMap<usize, String>) -> ArrayRef {
        let mut column = Column::new(field, self.records.len()).expect("the fields were checked");
        let mut unescaped = String::new();
        for record in self.good() {
            let cell = &self.cells[self.first_cells[record] + index];
            unescaped.clear();
            match cells.value(field, cell, self.records.get(record), &mut unescaped) {
                Ok(value) => column.append(&value, &unescaped),
                Err(what) => _ = faults.entry(record).or_insert(what),
            }
        }
        column.finish()
    }
}
