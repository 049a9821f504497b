//! Encoder of rows as JSON Lines.

use std::{io::Write, sync::Arc};

use arrow_array::{Array, Float64Array, RecordBatch, cast::AsArray, types::Float64Type};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_json::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimitedWriter, WriterBuilder, writer::NullableEncoder,
};
use arrow_schema::{ArrowError, DataType, FieldRef};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::shown,
};

use crate::{Encode, NonFinite};

/// Writes one object per row, with all fields in the schema's order.
pub(super) struct JsonEncoder {
    non_finite: NonFinite,
}

impl JsonEncoder {
    pub(super) fn new(non_finite: NonFinite) -> Self {
        Self { non_finite }
    }
}

impl Encode for JsonEncoder {
    fn rows(&mut self, batch: &RecordBatch, buffer: &mut Vec<u8>) -> Result<()> {
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        let builder = match self.non_finite {
            NonFinite::Refuse => {
                check_finite(batch)?;
                builder
            }
            NonFinite::Null => builder,
            NonFinite::Text => builder.with_encoder_factory(Arc::new(Texts)),
        };
        let mut writer: LineDelimitedWriter<_> = builder.build(buffer);
        let written = writer.write(batch).and_then(|()| writer.finish());
        written.or_kind(ErrorKind::Internal, || "cannot write rows as json")
    }
}

fn check_finite(batch: &RecordBatch) -> Result<()> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(values) = column.as_primitive_opt::<Float64Type>() else { continue };
        let found = values.iter().enumerate().find_map(|(row, value)| Some((row, value.filter(|v| !v.is_finite())?)));
        if let Some((row, value)) = found {
            return Err(Error::input(format!(
                "field {} is {value} in row {row} of a batch, which JSON does not have (set `sink.non_finite` to \
                 `null` or `text`, or use `csv`)",
                shown(field.name())
            )));
        }
    }
    Ok(())
}

/// Makes encoders of numbers that write those that JSON does not have as text.
#[derive(Debug)]
struct Texts;

impl EncoderFactory for Texts {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        column: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if *column.data_type() != DataType::Float64 {
            return Ok(None);
        }
        let text = ArrayFormatter::try_new(column, &FormatOptions::default())?;
        let numbers = Numbers { values: column.as_primitive(), text };
        Ok(Some(NullableEncoder::new(Box::new(numbers), column.nulls().cloned())))
    }
}

struct Numbers<'a> {
    values: &'a Float64Array,
    text: ArrayFormatter<'a>,
}

impl Encoder for Numbers<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // A buffer in memory takes any write.
        _ = match self.values.value(row) {
            f64::INFINITY => write!(out, "\"Infinity\""),
            f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
            value if value.is_nan() => write!(out, "\"NaN\""),
            _ => write!(out, "{}", self.text.value(row)),
        };
    }
}
