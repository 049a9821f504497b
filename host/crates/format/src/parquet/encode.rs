//! Encoder of rows as Parquet. The same batches give the same bytes.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use etl_core::model::error::{Error, ErrorKind, Result};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, GzipLevel, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
};

use crate::{Encode, ParquetCompression, ParquetSink};

/// What the file says made it. It has no version, so that another version of the host writes the same bytes.
const CREATED_BY: &str = "etl-host";

/// Writes row groups, and a directory behind them.
pub(super) struct ParquetEncoder {
    sink: ParquetSink,
    writer: Option<Writer>,
}

struct Writer {
    writer: ArrowWriter<Vec<u8>>,
    fields: SchemaRef,
}

impl ParquetEncoder {
    pub(super) fn new(sink: ParquetSink) -> Self {
        Self { sink, writer: None }
    }

    fn properties(&self) -> WriterProperties {
        let compression = match self.sink.compression {
            ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::Gzip => Compression::GZIP(GzipLevel::default()),
            ParquetCompression::Lz4 => Compression::LZ4_RAW,
            ParquetCompression::None => Compression::UNCOMPRESSED,
        };
        let statistics = if self.sink.statistics { EnabledStatistics::Page } else { EnabledStatistics::None };
        WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(compression)
            .set_statistics_enabled(statistics)
            .set_dictionary_enabled(self.sink.dictionary)
            .set_max_row_group_row_count(Some(usize::try_from(self.sink.row_group_rows).unwrap_or(usize::MAX)))
            .build()
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        self.writer.as_mut().ok_or_else(|| Error::internal("rows of Parquet before its beginning"))
    }
}

impl Writer {
    /// Moves what was written to `buffer`.
    fn drain(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        self.writer.sync().map_err(|error| failed(error.into()))?;
        buffer.append(self.writer.inner_mut());
        Ok(())
    }
}

fn failed(error: ParquetError) -> Error {
    Error::new(ErrorKind::Internal, error).context("cannot write rows as `parquet`")
}

impl Encode for ParquetEncoder {
    fn begin(&mut self, fields: &SchemaRef, buffer: &mut Vec<u8>) -> Result<()> {
        let fields = Arc::new(Schema::new(fields.fields().iter().map(|field| stored(field)).collect::<Vec<_>>()));
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&fields), Some(self.properties())).map_err(failed)?;
        let writer = self.writer.insert(Writer { writer, fields });
        writer.drain(buffer)
    }

    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
        let ParquetSink { row_group_bytes, .. } = self.sink;
        let memory_bytes = self.sink.memory_bytes();
        let writer = self.writer()?;
        writer.writer.write(&as_stored(batch, &writer.fields)?).map_err(failed)?;
        let (encoded, memory) = (writer.writer.in_progress_size() as u64, writer.writer.memory_size() as u64);
        if encoded >= row_group_bytes || memory >= memory_bytes {
            writer.writer.flush().map_err(failed)?;
        }
        writer.drain(buffer)
    }

    fn end(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        let writer = self.writer()?;
        writer.writer.finish().map_err(failed)?;
        writer.drain(buffer)
    }

    fn held_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.writer.in_progress_size() as u64)
    }
}

/// Returns a field as it is stored: Parquet has no times in seconds, so they are milliseconds, which every reader knows
/// as times.
fn stored(field: &Field) -> Field {
    let part = |part: &Field| Arc::new(stored(part));
    let data_type = match field.data_type() {
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::List(item) => DataType::List(part(item)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(|member| stored(member)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(part(entries), *sorted),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// Returns rows as they are stored.
fn as_stored(batch: &RecordBatch, fields: &SchemaRef) -> Result<RecordBatch> {
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let made = cast_with_options(column, field.data_type(), &CastOptions { safe: false, ..CastOptions::default() });
        made.map_err(|error| {
            Error::input(format!(
                "field `{}` cannot be written in milliseconds, as `parquet` has it: {error}",
                field.name()
            ))
        })
    };
    let columns = batch.columns().iter().zip(fields.fields()).map(column).collect::<Result<_>>()?;
    RecordBatch::try_new(Arc::clone(fields), columns).map_err(|error| failed(ParquetError::from(error)))
}
