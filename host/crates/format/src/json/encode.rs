//! Encoder of rows as JSON Lines.

use std::{io::Write, sync::Arc};

use arrow_array::{
    Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float16Type, Float32Type, Float64Type},
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_json::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimitedWriter, WriterBuilder,
    writer::{NullableEncoder, make_encoder},
};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    reject::shown,
    types::{is_json, parts},
};

use crate::{
    Encode, NonFinite,
    instants::{append_instant, is_instant},
};

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
        if self.non_finite == NonFinite::Refuse {
            check_finite(batch)?;
        }
        let factory = Factory { non_finite: self.non_finite };
        let builder = WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(factory));
        let mut writer: LineDelimitedWriter<_> = builder.build(buffer);
        let written = writer.write(batch).and_then(|()| writer.finish());
        written.or_kind(ErrorKind::Internal, || "cannot write rows as json")
    }
}

fn check_finite(batch: &RecordBatch) -> Result<()> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if non_finite(column).is_none() {
            continue;
        }
        let in_row = |row| non_finite(&column.slice(row, 1)).map(|value| (row, value));
        if let Some((row, value)) = (0..column.len()).find_map(in_row) {
            return Err(Error::input(format!(
                "field {} is {value} in row {row} of a batch, which JSON does not have (set `sink.non_finite` to \
                 `null` or `text`, or use `csv`)",
                shown(field.name())
            )));
        }
    }
    Ok(())
}

/// Returns a number in a column, or in what it is made of, that JSON does not have.
fn non_finite(column: &dyn Array) -> Option<f64> {
    match column.data_type() {
        DataType::Float64 => not_finite(column.as_primitive::<Float64Type>().iter()),
        DataType::Float32 => not_finite(column.as_primitive::<Float32Type>().iter()),
        DataType::Float16 => not_finite(column.as_primitive::<Float16Type>().iter()),
        DataType::List(_) => {
            let items = column.as_list::<i32>().iter();
            items.flatten().find_map(|items| non_finite(&items))
        }
        DataType::Map(..) => {
            let entries = column.as_map().iter();
            entries.flatten().find_map(|entries| non_finite(&entries))
        }
        DataType::Struct(_) => column.as_struct().columns().iter().find_map(|member| non_finite(member)),
        _ => None,
    }
}

fn not_finite<T: Into<f64>>(values: impl Iterator<Item = Option<T>>) -> Option<f64> {
    values.flatten().map(T::into).find(|value| !value.is_finite())
}

/// Makes encoders of what arrow-json writes otherwise: text that is JSON as it is, and numbers that JSON does not have
/// as text, if they are to be.
#[derive(Debug)]
struct Factory {
    non_finite: NonFinite,
}

impl EncoderFactory for Factory {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        column: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match column.data_type() {
            DataType::Utf8 if is_json(field) => Box::new(Documents(column.as_string())),
            // arrow-json hands the field of the list on to its items, which hides that they are JSON.
            DataType::List(item) if holds_json(item) => {
                let list = column.as_list::<i32>();
                let items = make_encoder(item, list.values(), options)?;
                Box::new(Parts { offsets: list.value_offsets(), keys: None, values: items })
            }
            DataType::Map(entries, _) if holds_json(entries) => {
                let map = column.as_map();
                let [key, value] = parts(entries.data_type()) else { return Ok(None) };
                let keys = make_encoder(key, map.keys(), options)?;
                let values = make_encoder(value, map.values(), options)?;
                Box::new(Parts { offsets: map.value_offsets(), keys: Some(keys), values })
            }
            data_type if is_instant(data_type) => Box::new(Instants(column)),
            data_type if data_type.is_floating() && self.non_finite == NonFinite::Text => {
                Box::new(Numbers(ArrayFormatter::try_new(column, &FormatOptions::default())?))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, column.nulls().cloned())))
    }
}

fn holds_json(field: &Field) -> bool {
    is_json(field) || parts(field.data_type()).iter().any(|part| holds_json(part))
}

/// The items of lists, or the entries of maps.
struct Parts<'a> {
    offsets: &'a [i32],
    /// Of maps.
    keys: Option<NullableEncoder<'a>>,
    values: NullableEncoder<'a>,
}

impl Encoder for Parts<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let at = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
        out.push(if self.keys.is_some() { b'{' } else { b'[' });
        for (number, part) in (at(self.offsets[row])..at(self.offsets[row + 1])).enumerate() {
            out.extend_from_slice(if number == 0 { b"" } else { b"," });
            if let Some(keys) = &mut self.keys {
                keys.encode(part, out);
                out.push(b':');
            }
            if self.values.is_null(part) {
                out.extend_from_slice(b"null");
            } else {
                self.values.encode(part, out);
            }
        }
        out.push(if self.keys.is_some() { b'}' } else { b']' });
    }
}

/// Texts that are JSON.
struct Documents<'a>(&'a StringArray);

impl Encoder for Documents<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // A line end in JSON is white space between values, and here it would end the record.
        out.extend(self.0.value(row).bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    }
}

/// Timestamps with a time zone.
struct Instants<'a>(&'a dyn Array);

impl Encoder for Instants<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        append_instant(self.0, row, out);
        out.push(b'"');
    }
}

/// Floating-point numbers, as Arrow writes them.
struct Numbers<'a>(ArrayFormatter<'a>);

impl Encoder for Numbers<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = self.0.value(row).to_string();
        // A buffer in memory takes any write.
        _ = match text.as_str() {
            "inf" => write!(out, "\"Infinity\""),
            "-inf" => write!(out, "\"-Infinity\""),
            "NaN" => write!(out, "\"NaN\""),
            number => write!(out, "{number}"),
        };
    }
}
