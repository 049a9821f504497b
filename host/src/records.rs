//! Records on their way into the mappers of a shard: a batch, and what is known of each record in it.
//!
//! Owns how a record is named when it is set aside: where it came from, and what it was. Made by the map stage, taken
//! by its chain.

use std::ops::Range;

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::DataType;

use crate::{
    error::{ErrorKind, Result, ResultExt},
    reject::Reject,
    source::SourceBatch,
};

/// A batch of a shard's records. They have numbers, from 0, in the order in which the first mapper is given them.
#[derive(Debug)]
pub struct Records {
    /// The number of their shard.
    pub shard: u32,
    /// The number of the first of them.
    pub first: u64,
    /// The records.
    pub batch: Batch,
}

/// Where a batch is from.
#[derive(Debug)]
pub enum Batch {
    /// The source.
    Source(Box<SourceBatch>),
    /// Records the splitter made.
    Splitter(RecordBatch),
}

impl Records {
    /// Returns the records as the mapper takes them.
    pub fn rows(&self) -> &RecordBatch {
        match &self.batch {
            Batch::Source(batch) => &batch.batch,
            Batch::Splitter(batch) => batch,
        }
    }

    /// Returns the number of a row's record.
    pub fn number(&self, row: usize) -> u64 {
        self.first + row as u64
    }

    /// Returns the row of the record of this number, which has to be one of them.
    pub fn row(&self, number: u64) -> usize {
        usize::try_from(number - self.first).expect("a row of a batch in memory")
    }

    /// Returns the numbers of all records.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.number(self.rows().num_rows())
    }

    /// Returns how many records were read for the batch, malformed ones included, and how many bytes.
    pub fn read(&self) -> (u64, u64) {
        match &self.batch {
            Batch::Source(batch) => (batch.records(), batch.bytes),
            Batch::Splitter(batch) => (batch.num_rows() as u64, batch.get_array_memory_size() as u64),
        }
    }

    /// Returns the records that are not in the batch because they are malformed.
    pub fn malformed(&self) -> &[Reject] {
        match &self.batch {
            Batch::Source(batch) => &batch.rejects,
            Batch::Splitter(_) => &[],
        }
    }

    /// Returns the row of the record that starts at byte `offset`, of this object if one is given.
    pub fn row_at(&self, object: Option<&str>, offset: u64) -> Option<usize> {
        let Batch::Source(batch) = &self.batch else { return None };
        let is_it = |row: &usize| {
            let origin = batch.origin(*row);
            origin.offset == offset && object.is_none_or(|object| object == origin.object)
        };
        (0..batch.batch.num_rows()).find(is_it)
    }

    /// Returns the reject of a row by `step`.
    ///
    /// # Errors
    /// When the record cannot be written as JSON.
    ///
    /// # Panics
    /// When the batch has no such row.
    pub fn reject(&self, row: usize, step: &str, reason: &str) -> Result<Reject> {
        let reject = self.locate(row, Reject::new(step, reason));
        Ok(match &self.batch {
            Batch::Source(batch) => reject.with_record(batch.origin(row).record),
            Batch::Splitter(batch) => reject.with_record(&record_of(&batch.slice(row, 1))?),
        })
    }

    /// Says in a reject where a row's record is from.
    ///
    /// # Panics
    /// When the batch has no such row.
    pub fn locate(&self, row: usize, reject: Reject) -> Reject {
        match &self.batch {
            Batch::Source(batch) => {
                let origin = batch.origin(row);
                reject.at(origin.object, origin.offset)
            }
            Batch::Splitter(_) => reject.of_shard(self.shard, self.number(row)),
        }
    }
}

/// Returns what a reject keeps of a row that does not come straight from the source: the value of its only column, or
/// a JSON object.
///
/// # Errors
/// When the row cannot be written as JSON.
pub fn record_of(row: &RecordBatch) -> Result<Vec<u8>> {
    let column = row.column(0);
    match column.data_type() {
        DataType::Binary if row.num_columns() == 1 && column.is_valid(0) => {
            Ok(column.as_binary::<i32>().value(0).to_vec())
        }
        DataType::Utf8 if row.num_columns() == 1 && column.is_valid(0) => {
            Ok(column.as_string::<i32>().value(0).as_bytes().to_vec())
        }
        _ => {
            let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
            let written = writer.write(row).and_then(|()| writer.finish());
            written.or_kind(ErrorKind::Internal, || "cannot write a rejected row as JSON")?;
            Ok(writer.into_inner().trim_ascii_end().to_vec())
        }
    }
}
