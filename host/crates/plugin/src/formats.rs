//! Types and schemas as they cross the boundary to the guest: format strings of Arrow's C data interface, and fields
//! in pre-order.
//!
//! Which types may cross is [`etl_core::model::types`]'; how their values cross is [`super::batch`]'s.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use etl_core::model::{
    error::{Error, Result},
    reject::shown,
    schema::{FIELDS_MAX, Schema},
    types::{DEPTH_MAX, EXTENSION, as_json, canonical, is_json, parts},
};

use super::bindings::etl::plugin::types as wit;

/// A schema as the guest gets it.
pub(super) struct Lowered<'a> {
    fields: Vec<LoweredField<'a>>,
    key_fields: u32,
}

struct LoweredField<'a> {
    field: &'a Field,
    format: String,
}

impl<'a> Lowered<'a> {
    /// Prepares a schema.
    pub(super) fn new(schema: &'a Schema) -> Self {
        let mut fields = Vec::new();
        schema.fields.fields().iter().for_each(|field| flatten(field, &mut fields));
        let key_fields = u32::try_from(schema.key_fields).expect("a schema of at most 1024 fields");
        Self { fields, key_fields }
    }

    /// Calls `f` with the schema in the type that the bindings take.
    pub(super) fn with<R>(&self, f: impl FnOnce(wit::SchemaParam<'_>) -> R) -> R {
        let fields: Vec<wit::FieldParam<'_>> = self.fields.iter().map(LoweredField::param).collect();
        f(wit::SchemaParam { fields: &fields, key_fields: self.key_fields })
    }
}

impl LoweredField<'_> {
    fn param(&self) -> wit::FieldParam<'_> {
        let Self { field, format } = self;
        let children = u32::try_from(parts(field.data_type()).len()).expect("a schema of at most 1024 fields");
        let metadata: &[_] = if is_json(field) { &[EXTENSION] } else { &[] };
        wit::FieldParam { name: field.name(), format, nullable: field.is_nullable(), children, metadata }
    }
}

fn flatten<'a>(field: &'a Field, flat: &mut Vec<LoweredField<'a>>) {
    flat.push(LoweredField { field, format: format_of(field.data_type()) });
    parts(field.data_type()).iter().for_each(|part| flatten(part, flat));
}

/// Returns the format string of a type that a batch can have.
fn format_of(data_type: &DataType) -> String {
    let fixed = match data_type {
        DataType::Boolean => "b",
        DataType::Int8 => "c",
        DataType::UInt8 => "C",
        DataType::Int16 => "s",
        DataType::UInt16 => "S",
        DataType::Int32 => "i",
        DataType::UInt32 => "I",
        DataType::Int64 => "l",
        DataType::UInt64 => "L",
        DataType::Float16 => "e",
        DataType::Float32 => "f",
        DataType::Float64 => "g",
        DataType::Date32 => "tdD",
        DataType::Utf8 => "u",
        DataType::Binary => "z",
        DataType::List(_) => "+l",
        DataType::Struct(_) => "+s",
        DataType::Map(..) => "+m",
        DataType::Decimal128(digits, scale) => return format!("d:{digits},{scale}"),
        DataType::FixedSizeBinary(bytes) => return format!("w:{bytes}"),
        DataType::Time32(unit) | DataType::Time64(unit) => return format!("tt{}", unit_letter(*unit)),
        DataType::Duration(unit) => return format!("tD{}", unit_letter(*unit)),
        DataType::Timestamp(unit, zone) => {
            return format!("ts{}:{}", unit_letter(*unit), zone.as_deref().unwrap_or_default());
        }
        other => unreachable!("a schema has no column of type {other}"),
    };
    fixed.to_owned()
}

fn unit_letter(unit: TimeUnit) -> char {
    match unit {
        TimeUnit::Second => 's',
        TimeUnit::Millisecond => 'm',
        TimeUnit::Microsecond => 'u',
        TimeUnit::Nanosecond => 'n',
    }
}

/// Takes over the schema that a guest's `open` returned, and checks it.
///
/// # Errors
/// Says what is wrong with the schema.
pub(super) fn lift_schema(schema: wit::SchemaResult) -> Result<Schema> {
    let wit::SchemaResult { fields: flat, key_fields } = schema;
    if flat.len() > FIELDS_MAX {
        return Err(Error::config(format!("a schema has 1 to {FIELDS_MAX} fields, this one has {}", flat.len())));
    }
    let (mut flat, mut fields) = (flat.into_iter(), Vec::new());
    while let Some(field) = flat.next() {
        fields.push(lift_field(field, &mut flat, DEPTH_MAX)?);
    }
    Schema::new(fields, key_fields as usize)
}

/// Takes a field and those it is made of, which follow it.
fn lift_field(
    field: wit::FieldResult,
    flat: &mut impl Iterator<Item = wit::FieldResult>,
    depth: usize,
) -> Result<Field> {
    let wit::FieldResult { name, format, nullable, children, metadata } = field;
    let wrong = |what: String| Error::config(format!("field {} {what}", shown(&name)));
    let deeper = depth.checked_sub(1).ok_or_else(|| wrong(format!("is nested deeper than {DEPTH_MAX} levels")))?;
    let mut parts = Vec::new();
    for _ in 0..children {
        let lacks = || wrong(format!("has {children} children, but the schema ends before the last one"));
        let part = flat.next().ok_or_else(lacks)?;
        parts.push(lift_field(part, flat, deeper)?);
    }
    let data_type =
        type_of(&format, parts).map_err(|what| wrong(format!("has the format {} {what}", shown(&format))))?;
    let is_json = metadata.iter().any(|(key, value)| (key.as_str(), value.as_str()) == EXTENSION);
    let field = Field::new(&name, data_type, nullable);
    let field = if is_json && *field.data_type() == DataType::Utf8 { as_json(field) } else { field };
    canonical(&field).ok_or_else(|| wrong(format!("has the format {}, which a column cannot have", shown(&format))))
}

/// Returns the type of a format string.
///
/// # Errors
/// Says what is wrong, as the end of a sentence that names the format.
fn type_of(format: &str, parts: Vec<Field>) -> std::result::Result<DataType, String> {
    let wanted = match format {
        "+l" | "+m" => 1..=1,
        "+s" => 1..=FIELDS_MAX,
        _ => 0..=0,
    };
    if !wanted.contains(&parts.len()) {
        return Err(format!("and {} children", parts.len()));
    }
    let unknown = || "that no column has (the table at `field` in `wit/types.wit` lists them)".to_owned();
    if let Some(nested) = nested_type(format, parts) {
        return nested.ok_or_else(|| "whose child is no struct of a key, which is never null, and a value".to_owned());
    }
    plain_type(format).ok_or_else(unknown)
}

/// Returns the nested type of a format, `Some(None)` if its parts do not fit, and `None` if the format is of no nested
/// type.
fn nested_type(format: &str, mut parts: Vec<Field>) -> Option<Option<DataType>> {
    match format {
        "+l" => Some(parts.pop().map(|item| DataType::List(Arc::new(item)))),
        "+s" => Some(Some(DataType::Struct(Fields::from(parts)))),
        "+m" => {
            let entries = parts.pop()?;
            let fits = match entries.data_type() {
                DataType::Struct(parts) => parts.len() == 2 && !parts[0].is_nullable() && !entries.is_nullable(),
                _ => false,
            };
            Some(fits.then(|| DataType::Map(Arc::new(entries), false)))
        }
        _ => None,
    }
}

fn plain_type(format: &str) -> Option<DataType> {
    Some(match format {
        "b" => DataType::Boolean,
        "c" => DataType::Int8,
        "C" => DataType::UInt8,
        "s" => DataType::Int16,
        "S" => DataType::UInt16,
        "i" => DataType::Int32,
        "I" => DataType::UInt32,
        "l" => DataType::Int64,
        "L" => DataType::UInt64,
        "e" => DataType::Float16,
        "f" => DataType::Float32,
        "g" => DataType::Float64,
        "u" => DataType::Utf8,
        "z" => DataType::Binary,
        "tdD" => DataType::Date32,
        "tts" => DataType::Time32(TimeUnit::Second),
        "ttm" => DataType::Time32(TimeUnit::Millisecond),
        "ttu" => DataType::Time64(TimeUnit::Microsecond),
        "ttn" => DataType::Time64(TimeUnit::Nanosecond),
        _ => return parametric_type(format),
    })
}

fn parametric_type(format: &str) -> Option<DataType> {
    let unit = |letter: &str| match letter {
        "s" => Some(TimeUnit::Second),
        "m" => Some(TimeUnit::Millisecond),
        "u" => Some(TimeUnit::Microsecond),
        "n" => Some(TimeUnit::Nanosecond),
        _ => None,
    };
    if let Some(letter) = format.strip_prefix("tD") {
        return Some(DataType::Duration(unit(letter)?));
    }
    match format.split_once(':')? {
        ("w", bytes) => Some(DataType::FixedSizeBinary(bytes.parse().ok()?)),
        ("d", digits) => {
            let (digits, scale) = digits.split_once(',')?;
            Some(DataType::Decimal128(digits.parse().ok()?, scale.parse().ok()?))
        }
        (time, zone) => {
            let zone = (!zone.is_empty()).then(|| Arc::from(zone));
            Some(DataType::Timestamp(unit(time.strip_prefix("ts")?)?, zone))
        }
    }
}

#[cfg(test)]
mod tests {
    use etl_core::model::types::parse;

    use super::*;

    fn schema(types: &[&str]) -> Schema {
        let field = |(index, written): (usize, &&str)| parse(&format!("f{index}"), written).expect("a type");
        Schema::new(types.iter().enumerate().map(field).collect(), 1).expect("a schema")
    }

    #[test]
    fn a_schema_comes_back_as_it_went_out() {
        let schema = schema(&[
            "boolean",
            "int8",
            "uint16",
            "int32",
            "uint64",
            "float16",
            "float32",
            "decimal(10,2)",
            "date",
            "time(ms)",
            "time(ns)",
            "timestamp(us)",
            "timestamp(s, Europe/Zurich)",
            "duration(ns)",
            "text",
            "json",
            "binary",
            "binary(16)",
            "list<list<json>>",
            "struct<a: list<int64>, b: struct<c: text>>",
            "map<text, list<int8>>",
        ]);
        let lowered = Lowered::new(&schema).with(|schema| returned(&schema));
        assert_eq!(lowered.fields[18].children, 1);
        assert_eq!(lowered.fields.iter().filter(|field| field.format == "+s").count(), 3);
        assert_eq!(lift_schema(lowered).expect("it is valid"), schema);
    }

    /// Returns a schema that the host hands out in the form in which a guest would hand it back.
    fn returned(schema: &wit::SchemaParam<'_>) -> wit::SchemaResult {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let field = |field: &wit::FieldParam<'_>| wit::FieldResult {
            name: field.name.to_owned(),
            format: field.format.to_owned(),
            nullable: field.nullable,
            children: field.children,
            metadata: field.metadata.iter().map(pair).collect(),
        };
        wit::SchemaResult { fields: schema.fields.iter().map(field).collect(), key_fields: schema.key_fields }
    }

    fn flat(fields: &[(&str, u32)]) -> wit::SchemaResult {
        let field = |(format, children): &(&str, u32)| wit::FieldResult {
            name: "f".to_owned(),
            format: (*format).to_owned(),
            nullable: true,
            children: *children,
            metadata: Vec::new(),
        };
        wit::SchemaResult { fields: fields.iter().map(field).collect(), key_fields: 0 }
    }

    #[test]
    fn a_wrong_schema_is_refused() {
        let deep: Vec<(&str, u32)> = std::iter::repeat_n(("+l", 1), 17).chain([("l", 0)]).collect();
        for (fields, why) in [
            (&[("q", 0)][..], "field `f` has the format `q` that no column has"),
            (&[("vu", 0)], "field `f` has the format `vu` that no column has"),
            (&[("d:39,0", 0)], "field `f` has the format `d:39,0`, which a column cannot have"),
            (&[("tsu:CET/Bern", 0)], "field `f` has the format `tsu:CET/Bern`, which a column cannot have"),
            (&[("w:0", 0)], "field `f` has the format `w:0`, which a column cannot have"),
            (&[("l", 1), ("l", 0)], "field `f` has the format `l` and 1 children"),
            (&[("+l", 0)], "field `f` has the format `+l` and 0 children"),
            (&[("+l", 1)], "field `f` has 1 children, but the schema ends before the last one"),
            (&[("+m", 1), ("l", 0)], "field `f` has the format `+m` whose child is no struct"),
            (&deep, "field `f` is nested deeper than 16 levels"),
        ] {
            let error = lift_schema(flat(fields)).expect_err(why).to_string();
            assert!(error.starts_with(why), "{error}");
        }
        let many = vec![("l", 0); FIELDS_MAX + 1];
        assert!(lift_schema(flat(&many)).is_err());
    }
}
