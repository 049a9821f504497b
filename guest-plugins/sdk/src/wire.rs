//! The boundary: converts schemas, contexts and batches from and to the forms in which they cross it. Nobody else knows
//! these forms.

use std::ops::Range;

use crate::bindings::map::etl::plugin::types as wire;
use crate::column_values::Offsets;
use crate::{Context, DataType, Field, Schema, StepError, Unit};

/// The metadata of a column of JSON.
const JSON: [&str; 2] = ["ARROW:extension:name", "arrow.json"];

/// A column, or a part of a nested column, with its parts.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) length: usize,
    /// One bit for each value: whether it is not null.
    pub(crate) validity: Option<Vec<u8>>,
    /// The buffers of the type, of which no type has more. Those that it does not have are empty.
    pub(crate) buffers: [Vec<u8>; 2],
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// Returns where the parts of a list or map are, in the column's child.
    pub(crate) fn parts_of(&self, row: usize) -> Range<usize> {
        Offsets::new(&self.buffers[0]).range(row)
    }
}

/// Converts what a step is opened with.
pub(crate) fn read_context(context: wire::Context) -> Result<Context, StepError> {
    let wire::Context { run_id, task, attempt, combines, input, config } = context;
    Ok(Context { run_id, task, attempt, combines, input: read_schema(&input)?, config })
}

/// Converts a schema from the host.
pub(crate) fn read_schema(schema: &wire::Schema) -> Result<Schema, StepError> {
    let (mut fields, mut rest) = (Vec::new(), schema.fields.iter());
    while let Some(field) = rest.next() {
        fields.push(read_field(field, &mut rest)?);
    }
    Ok(Schema { fields, key_fields: schema.key_fields })
}

/// Converts a field, and takes its parts from `rest`.
fn read_field<'a>(field: &wire::Field, rest: &mut impl Iterator<Item = &'a wire::Field>) -> Result<Field, StepError> {
    let unknown = || StepError::Fatal(format!("column `{}` has the unknown format `{}`", field.name, field.format));
    let mut parts = Vec::new();
    for _ in 0..field.children {
        parts.push(read_field(rest.next().ok_or_else(unknown)?, rest)?);
    }
    let is_json = field.metadata.iter().any(|(key, value)| [key, value] == JSON);
    let data_type = match field.format.as_str() {
        "u" if is_json => DataType::Json,
        format => read_type(format, parts).ok_or_else(unknown)?,
    };
    Ok(Field { name: field.name.clone(), data_type, nullable: field.nullable })
}

fn read_type(format: &str, mut parts: Vec<Field>) -> Option<DataType> {
    Some(match format {
        "b" => DataType::Boolean,
        "c" => DataType::Int8,
        "s" => DataType::Int16,
        "i" => DataType::Int32,
        "l" => DataType::Int64,
        "C" => DataType::UInt8,
        "S" => DataType::UInt16,
        "I" => DataType::UInt32,
        "L" => DataType::UInt64,
        "e" => DataType::Float16,
        "f" => DataType::Float32,
        "g" => DataType::Float64,
        "u" => DataType::Text,
        "z" => DataType::Binary,
        "tdD" => DataType::Date,
        "+s" => DataType::Struct(parts),
        "+l" => DataType::List(Box::new(parts.pop()?)),
        "+m" => match parts.pop()?.data_type {
            DataType::Struct(entry) => {
                let [key, value] = entry.try_into().ok()?;
                DataType::Map(Box::new(key), Box::new(value))
            }
            _ => return None,
        },
        _ => return read_type_with_arguments(format),
    })
}

fn read_type_with_arguments(format: &str) -> Option<DataType> {
    if let Some(arguments) = format.strip_prefix("d:") {
        let (precision, scale) = arguments.split_once(',')?;
        return Some(DataType::Decimal { precision: precision.parse().ok()?, scale: scale.parse().ok()? });
    }
    if let Some(bytes) = format.strip_prefix("w:") {
        return Some(DataType::FixedBinary(bytes.parse().ok()?));
    }
    let (kind, rest) = (format.get(..2)?, format.get(3..)?);
    let unit = Unit::ALL.into_iter().find(|unit| format.get(2..3) == Some(letter(*unit)))?;
    match (kind, rest) {
        ("tt", "") => Some(DataType::Time(unit)),
        ("tD", "") => Some(DataType::Duration(unit)),
        ("ts", ":") => Some(DataType::Timestamp { unit, zone: None }),
        ("ts", zone) => Some(DataType::Timestamp { unit, zone: Some(zone.strip_prefix(':')?.to_owned()) }),
        _ => None,
    }
}

const fn letter(unit: Unit) -> &'static str {
    match unit {
        Unit::Second => "s",
        Unit::Milli => "m",
        Unit::Micro => "u",
        Unit::Nano => "n",
    }
}

/// Converts a schema for the host.
pub(crate) fn write_schema(schema: &Schema) -> wire::Schema {
    let mut fields = Vec::new();
    schema.fields.iter().for_each(|field| write_field(field, &mut fields));
    wire::Schema { fields, key_fields: schema.key_fields }
}

/// Appends a field and its parts.
fn write_field(field: &Field, fields: &mut Vec<wire::Field>) {
    let entry;
    let parts = match &field.data_type {
        DataType::List(item) => std::slice::from_ref(&**item),
        DataType::Struct(members) => members,
        DataType::Map(key, value) => {
            entry = [Field::new("entries", DataType::Struct(vec![(**key).clone(), (**value).clone()]))];
            &entry
        }
        _ => &[],
    };
    let metadata = match field.data_type {
        DataType::Json => vec![JSON.map(str::to_owned).into()],
        _ => Vec::new(),
    };
    let (name, format) = (field.name.clone(), write_type(&field.data_type));
    let children = u32::try_from(parts.len()).expect("a schema has fewer fields");
    fields.push(wire::Field { name, format, nullable: field.nullable, children, metadata });
    parts.iter().for_each(|part| write_field(part, fields));
}

fn write_type(data_type: &DataType) -> String {
    let plain = match data_type {
        DataType::Boolean => "b",
        DataType::Int8 => "c",
        DataType::Int16 => "s",
        DataType::Int32 => "i",
        DataType::Int64 => "l",
        DataType::UInt8 => "C",
        DataType::UInt16 => "S",
        DataType::UInt32 => "I",
        DataType::UInt64 => "L",
        DataType::Float16 => "e",
        DataType::Float32 => "f",
        DataType::Float64 => "g",
        DataType::Text | DataType::Json => "u",
        DataType::Binary => "z",
        DataType::Date => "tdD",
        DataType::List(_) => "+l",
        DataType::Struct(_) => "+s",
        DataType::Map(..) => "+m",
        DataType::Decimal { precision, scale } => return format!("d:{precision},{scale}"),
        DataType::FixedBinary(bytes) => return format!("w:{bytes}"),
        DataType::Time(unit) => return format!("tt{}", letter(*unit)),
        DataType::Duration(unit) => return format!("tD{}", letter(*unit)),
        DataType::Timestamp { unit, zone } => {
            return format!("ts{}:{}", letter(*unit), zone.as_deref().unwrap_or_default());
        }
    };
    plain.to_owned()
}

/// Converts a batch from the host, whose schema has these fields. No value is copied.
pub(crate) fn read_batch(batch: wire::Batch, fields: &[Field]) -> Vec<Node> {
    let mut rest = batch.columns.into_iter();
    fields.iter().map(|field| read_node(&field.data_type, &mut rest)).collect()
}

fn read_node(data_type: &DataType, rest: &mut impl Iterator<Item = wire::Column>) -> Node {
    let column = rest.next().expect("the host hands over a column for each field of the schema");
    let wire::Column { length, validity, buffers } = column;
    let buffers = two(buffers);
    let mut part = |field: &Field| read_node(&field.data_type, rest);
    let children = match data_type {
        DataType::List(item) => vec![part(item)],
        DataType::Struct(members) => members.iter().map(part).collect(),
        DataType::Map(key, value) => {
            let wire::Column { length, validity, buffers } =
                rest.next().expect("the host hands over the entries of a map");
            let children = [key, value].map(|field| read_node(&field.data_type, rest)).into();
            vec![Node { length: length as usize, validity, buffers: two(buffers), children }]
        }
        _ => Vec::new(),
    };
    Node { length: length as usize, validity, buffers, children }
}

fn two(buffers: Vec<Vec<u8>>) -> [Vec<u8>; 2] {
    let mut buffers = buffers.into_iter();
    [(); 2].map(|()| buffers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_crosses_the_boundary_and_back() {
        let zone = |zone: &str| Some(zone.to_owned());
        let parts = vec![Field::new("a", DataType::Json), Field::nullable("b", DataType::list(DataType::Date))];
        let mut types = vec![
            (DataType::Decimal { precision: 38, scale: 9 }, "d:38,9"),
            (DataType::FixedBinary(16), "w:16"),
            (DataType::Timestamp { unit: Unit::Second, zone: None }, "tss:"),
            (DataType::Timestamp { unit: Unit::Nano, zone: zone("Europe/Zurich") }, "tsn:Europe/Zurich"),
            (DataType::Time(Unit::Milli), "ttm"),
            (DataType::Duration(Unit::Micro), "tDu"),
            (DataType::Struct(parts), "+s"),
            (DataType::map(DataType::Text, DataType::list(DataType::UInt8)), "+m"),
        ];
        let plain = [DataType::Boolean, DataType::Int64, DataType::Float16, DataType::Text, DataType::Binary];
        types.extend(plain.into_iter().zip(["b", "l", "e", "u", "z"]));
        for (data_type, format) in types {
            let schema = Schema::new().key("k", DataType::Text).nullable_value("v", data_type);
            let written = write_schema(&schema);
            assert_eq!(written.fields[1].format, format);
            assert_eq!(read_schema(&written), Ok(schema));
        }
    }

    #[test]
    fn an_unknown_format_is_named() {
        for format in ["", "x", "vu", "tsx:", "d:1", "w:x", "+l", "+m", "é", "ttsx"] {
            let field = |format: &str| wire::Field {
                name: "c".to_owned(),
                format: format.to_owned(),
                nullable: false,
                children: 0,
                metadata: Vec::new(),
            };
            let error = read_schema(&wire::Schema { fields: vec![field(format)], key_fields: 0 });
            assert_eq!(error, Err(StepError::Fatal(format!("column `c` has the unknown format `{format}`"))));
        }
    }
}
