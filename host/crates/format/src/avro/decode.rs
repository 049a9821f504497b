//! Decoder of the blocks that start in the sections of a shard.
//!
//! Owns the size of batches. The same slices give the same batches, no matter how their bytes were fetched.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Fields as ArrowFields, Schema as ArrowSchema};
use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    position::Position,
};

use super::{
    blocks::Blocks,
    column::Record,
    cursor::{Broken, Cursor},
    header::{self, Header},
    selection::{members_of, selected},
};
use crate::{
    Chunk, ChunkIter, Decode, Fields, Section, Sizes, SourceBatch,
    rows::{Places, Rows},
};

/// The most records in a batch.
const RECORDS_MAX: usize = 8192;

/// Decodes the sections of a shard.
pub(super) struct AvroDecoder<'a> {
    chunks: ChunkIter<'a>,
    fields: Fields,
    sizes: Sizes,
    section: Option<Open>,
}

impl<'a> AvroDecoder<'a> {
    pub(super) fn new(chunks: ChunkIter<'a>, fields: Fields, sizes: Sizes) -> Self {
        Self { chunks, fields, sizes, section: None }
    }

    /// Opens the next section, if there is one.
    fn next_section(&mut self) -> Result<bool> {
        let section = match self.chunks.next().transpose()? {
            None => return Ok(false),
            Some(Chunk::Section(section)) => section,
            Some(_) => return Err(Error::internal("Avro is read by position, but the chunks are a stream")),
        };
        self.section = Open::new(&section, &self.fields)?;
        Ok(true)
    }
}

impl Decode for AvroDecoder<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        loop {
            if let Some(open) = &mut self.section {
                if let Some(rows) = open.next_rows(self.sizes)? {
                    return rows.convert(self.fields.schema()).map(Some);
                }
                self.section = None;
            }
            if !self.next_section()? {
                return Ok(None);
            }
        }
    }
}

/// A section that is being read.
struct Open {
    object: Arc<str>,
    header: Arc<Header>,
    blocks: Blocks,
    record: Record,
    /// For each field of the schema, which of the columns that are read it is made of, and that column's field in the
    /// file; `None` for one of nulls.
    columns: Vec<Option<(usize, Arc<Field>)>>,
    block: Option<Records>,
}

/// What is left of a block.
struct Records {
    at: u64,
    bytes: Bytes,
    /// Number of the next record, and of records.
    next: u64,
    end: u64,
}

impl Open {
    /// Opens a section; `None` if no block is in it: it need not fit the fields either, or each slice would have to.
    fn new(section: &Section, wanted: &Fields) -> Result<Option<Self>> {
        let header = header::open(section)?;
        let mut blocks = Blocks::new(section, Arc::clone(&header));
        let Some(first) = blocks.next()? else { return Ok(None) };
        let selected = selected(&section.object, &header.schema, wanted)?;
        let described: ArrowFields = selected.iter().flatten().cloned().collect();
        let record = Record::new(&header.schema, members_of(&section.object, &header.schema)?, &described);
        let mut number = 0..;
        let column = |field: Option<Arc<Field>>| {
            let field = field?;
            Some((number.next().and_then(|number| record.column_of(number)).unwrap_or_default(), field))
        };
        let columns = selected.into_iter().map(column).collect();
        let block = Some(Records { at: first.at, bytes: first.bytes, next: 0, end: first.records });
        Ok(Some(Self { object: Arc::clone(&section.object), header, blocks, record, columns, block }))
    }

    /// Returns the next rows as they are in the file.
    fn next_rows(&mut self, sizes: Sizes) -> Result<Option<Rows<'_>>> {
        let (mut rows, mut places, mut bytes) = (0, Vec::new(), 0);
        while rows < RECORDS_MAX && bytes < sizes.batch {
            let Some(block) = &mut self.block else {
                match self.blocks.next()? {
                    None => break,
                    Some(block) => {
                        self.block = Some(Records { at: block.at, bytes: block.bytes, next: 0, end: block.records });
                    }
                }
                continue;
            };
            places.push((rows, Position::InBlock(block.at, block.next)));
            let (mut cursor, first) = (Cursor::new(&block.bytes), block.next);
            while block.next < block.end && rows < RECORDS_MAX && bytes < sizes.batch {
                cursor.begin_record(sizes.record_max);
                let read = self.record.read(&self.header.schema, &mut cursor);
                read.map_err(|broken| refused(&self.object, block, broken, sizes))?;
                bytes += sizes.record_max - cursor.budget();
                block.next += 1;
                rows += 1;
            }
            let taken = block.bytes.len() - cursor.rest().len();
            block.bytes = block.bytes.slice(taken..);
            if block.next == first {
                places.pop();
            }
            if block.next == block.end {
                let (at, end, left) = (block.at, block.end, block.bytes.len());
                if left > 0 {
                    return Err(self.blocks.broken(at, format!("has {left} bytes behind its {end} records")));
                }
                self.block = None;
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let (fields, columns) = self.record.finish();
        let schema = Arc::new(ArrowSchema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)
            .or_kind(ErrorKind::Internal, || format!("cannot make a batch of records of object `{}`", self.object))?;
        Ok(Some(Rows { rows, object: &self.object, places: Places(places), columns: &self.columns }))
    }
}

/// Returns the error that the next record of a block cannot be read.
#[cold]
fn refused(object: &str, block: &Records, broken: Broken, sizes: Sizes) -> Error {
    let (at, next) = (block.at, block.next);
    match broken {
        Broken::TooLong => Error::input(format!(
            "record {next} of the block at byte {at} of object `{object}` takes more than the {} bytes that \
             `source.max_record` allows",
            sizes.record_max
        )),
        Broken::Damaged(why) => header::damaged(object, format!("record {next} of the block at byte {at}: {why}")),
    }
}
