//! The types that a column of a batch can have, and their names.
//!
//! Owns which of Arrow's types cross between formats, plugins and the shuffle, and how people write them:
//! `int64`, `decimal(10,2)`, `timestamp(us, UTC)`, `list<text>`, `struct<a: int64, b: json>`. Text that is JSON is text
//! with Arrow's extension name `arrow.json`.

use std::{collections::HashSet, fmt::Write, sync::Arc};

use arrow_array::timezone::Tz;
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};

/// The deepest nesting of a type: `list<list<int64>>` has depth 3.
pub const DEPTH_MAX: usize = 16;

/// Key of a field's metadata that holds the name of an extension type, and the name of text that is JSON.
pub const EXTENSION: (&str, &str) = ("ARROW:extension:name", "arrow.json");

/// The names of types, as messages list them.
pub const NAMES: &str = "boolean, int8 … int64, uint8 … uint64, float16 … float64, decimal(p,s), date, time(unit), \
                         timestamp(unit, zone), duration(unit), text, json, binary, binary(n), list<T>, \
                         struct<name: T, …>, map<K, V>";

/// Returns whether the values of a field are text that is JSON.
pub fn is_json(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8 && field.metadata().get(EXTENSION.0).is_some_and(|name| name == EXTENSION.1)
}

/// Returns a field of text that is JSON.
#[must_use]
pub fn as_json(field: Field) -> Field {
    field.with_metadata([(EXTENSION.0.to_owned(), EXTENSION.1.to_owned())])
}

/// Returns the field that a batch has for a field of Arrow's: views, dictionaries, large offsets and the like become
/// the plain type of the same values; names and nullability stay. `None` if no column of a batch can hold the values.
pub fn canonical(field: &Field) -> Option<Field> {
    canonical_at(field, DEPTH_MAX)
}

fn canonical_at(field: &Field, depth: usize) -> Option<Field> {
    let depth = depth.checked_sub(1)?;
    let part = |part: &Field, name: &str| canonical_at(part, depth).map(|part| Arc::new(part.with_name(name)));
    let data_type = match field.data_type() {
        plain if is_plain(plain) => plain.clone(),
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            DataType::Decimal128(*digits, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => {
            canonical_at(&Field::new("", (**values).clone(), true), depth)?.data_type().clone()
        }
        DataType::RunEndEncoded(_, values) => canonical_at(values, depth)?.data_type().clone(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(part(item, "item")?),
        DataType::Struct(members) if has_unique_names(members) => {
            let members = members.iter().map(|member| canonical_at(member, depth));
            DataType::Struct(members.collect::<Option<Fields>>()?)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(parts) = entries.data_type() else { return None };
            let [key, value] = &parts[..] else { return None };
            let key = Arc::new(part(key, "key")?.as_ref().clone().with_nullable(false));
            map_of(key, part(value, "value")?)
        }
        _ => return None,
    };
    let plain = Field::new(field.name(), data_type, field.is_nullable());
    Some(if is_json(field) { as_json(plain) } else { plain })
}

/// Returns whether a batch has the type as it is, and it is not nested.
fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(digits, scale) => {
            (1..=DECIMAL128_MAX_PRECISION).contains(digits) && *scale <= digits.cast_signed()
        }
        DataType::FixedSizeBinary(bytes) => *bytes > 0,
        DataType::Timestamp(_, Some(zone)) => is_zone(zone),
        DataType::Date32
        | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond)
        | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond)
        | DataType::Timestamp(_, None)
        | DataType::Duration(_)
        | DataType::Boolean
        | DataType::Utf8
        | DataType::Binary => true,
        other => {
            other.is_numeric()
                && !matches!(other, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..))
        }
    }
}

fn is_zone(zone: &str) -> bool {
    zone.parse::<Tz>().is_ok()
}

fn has_unique_names(members: &Fields) -> bool {
    let mut names = HashSet::new();
    !members.is_empty() && members.iter().all(|member| names.insert(member.name()))
}

fn map_of(key: Arc<Field>, value: Arc<Field>) -> DataType {
    let entries = DataType::Struct(Fields::from(vec![key, value]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// Returns the fields that a nested type is made of, in their order; none for other types.
pub fn parts(data_type: &DataType) -> &[Arc<Field>] {
    match data_type {
        DataType::List(item) => std::slice::from_ref(item),
        DataType::Map(entries, _) => std::slice::from_ref(entries),
        DataType::Struct(members) => members,
        _ => &[],
    }
}

/// Returns the number of fields that a field consists of, itself included.
pub fn nodes(field: &Field) -> usize {
    1 + parts(field.data_type()).iter().map(|part| nodes(part)).sum::<usize>()
}

/// Returns whether values of a type can be a key: all but maps, whose entries have no order, and what holds maps.
pub fn can_be_key(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Map(..)) && parts(data_type).iter().all(|part| can_be_key(part.data_type()))
}

/// Returns the name of the type of a field, as `pipeline.toml` and messages have it. A type that no batch has is written
/// as Arrow writes it.
pub fn type_name(field: &Field) -> String {
    let mut name = String::new();
    write_name(field, &mut name);
    name
}

fn write_name(field: &Field, out: &mut String) {
    // Writing to a `String` cannot fail.
    _ = match field.data_type() {
        _ if is_json(field) => write!(out, "json"),
        DataType::Utf8 => write!(out, "text"),
        DataType::FixedSizeBinary(bytes) => write!(out, "binary({bytes})"),
        DataType::Decimal128(digits, scale) => write!(out, "decimal({digits},{scale})"),
        DataType::Date32 => write!(out, "date"),
        DataType::Time32(unit) | DataType::Time64(unit) => write!(out, "time({})", unit_name(*unit)),
        DataType::Timestamp(unit, None) => write!(out, "timestamp({})", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => write!(out, "timestamp({}, {zone})", unit_name(*unit)),
        DataType::Duration(unit) => write!(out, "duration({})", unit_name(*unit)),
        DataType::List(item) => {
            out.push_str("list<");
            write_name(item, out);
            write!(out, ">")
        }
        DataType::Struct(members) => write_struct(members, out),
        DataType::Map(entries, _) => {
            out.push_str("map<");
            for (index, part) in parts(entries.data_type()).iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_name(part, out);
            }
            write!(out, ">")
        }
        DataType::Binary => write!(out, "binary"),
        plain if is_plain(plain) => write!(out, "{}", plain.to_string().to_ascii_lowercase()),
        other => write!(out, "{other}"),
    };
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn write_struct(members: &Fields, out: &mut String) -> std::fmt::Result {
    out.push_str("struct<");
    for (index, member) in members.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        match member.name() {
            word if is_word(word) => out.push_str(word),
            other => write!(out, "\"{}\"", other.replace('\\', "\\\\").replace('"', "\\\""))?,
        }
        out.push_str(": ");
        write_name(member, out);
    }
    write!(out, ">")
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// Returns a nullable field of the type that is written as `type_name` writes it; all of its parts are nullable, too.
///
/// # Errors
/// Says what is wrong, as the end of a sentence that begins with what was written.
pub fn parse(name: &str, written: &str) -> Result<Field, String> {
    let mut reader = Reader { rest: written };
    let field = reader.field(name, DEPTH_MAX)?;
    reader.end()?;
    Ok(field)
}

/// What is left of a written type.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn field(&mut self, name: &str, depth: usize) -> Result<Field, String> {
        let depth = depth.checked_sub(1).ok_or_else(|| format!("is nested deeper than {DEPTH_MAX} levels"))?;
        let word = self.word();
        let nullable = |data_type| Field::new(name, data_type, true);
        if let Some(plain) = plain_type(word) {
            return Ok(nullable(plain));
        }
        Ok(match word {
            "json" => as_json(nullable(DataType::Utf8)),
            "binary" => nullable(match self.arguments()?[..] {
                [] => DataType::Binary,
                [bytes] => DataType::FixedSizeBinary(number(bytes, 1, i32::MAX)?),
                _ => return Err("takes one number: `binary(16)`".to_owned()),
            }),
            "decimal" => nullable(self.decimal()?),
            "time" => nullable(match self.unit()? {
                (unit @ (TimeUnit::Second | TimeUnit::Millisecond), None) => DataType::Time32(unit),
                (unit, None) => DataType::Time64(unit),
                _ => return Err("takes a unit and no time zone: `time(us)`".to_owned()),
            }),
            "timestamp" => {
                let (unit, zone) = self.unit()?;
                nullable(DataType::Timestamp(unit, zone.map(Arc::from)))
            }
            "duration" => nullable(match self.unit()? {
                (unit, None) => DataType::Duration(unit),
                _ => return Err("takes a unit and no time zone: `duration(us)`".to_owned()),
            }),
            "list" => {
                self.expect("<", "list<T>")?;
                let item = self.field("item", depth)?;
                self.expect(">", "list<T>")?;
                nullable(DataType::List(Arc::new(item)))
            }
            "map" => {
                self.expect("<", "map<K, V>")?;
                let key = self.field("key", depth)?.with_nullable(false);
                self.expect(",", "map<K, V>")?;
                let value = self.field("value", depth)?;
                self.expect(">", "map<K, V>")?;
                nullable(map_of(Arc::new(key), Arc::new(value)))
            }
            "struct" => nullable(self.members(depth)?),
            _ => return Err(format!("is no type that a column can have (types: {NAMES})")),
        })
    }

    fn members(&mut self, depth: usize) -> Result<DataType, String> {
        self.expect("<", "struct<name: T, …>")?;
        let mut members = Vec::new();
        loop {
            let name = self.name()?;
            self.expect(":", "struct<name: T, …>")?;
            members.push(self.field(&name, depth)?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(">", "struct<name: T, …>")?;
        let members = Fields::from(members);
        if !has_unique_names(&members) {
            return Err("has two members of one name".to_owned());
        }
        Ok(DataType::Struct(members))
    }

    fn decimal(&mut self) -> Result<DataType, String> {
        let usage = || "takes its digits, and those behind the point: `decimal(10,2)`".to_owned();
        let [digits, scale] = self.arguments()?[..] else { return Err(usage()) };
        let digits = number(digits, 1, i32::from(DECIMAL128_MAX_PRECISION))?;
        let scale = number(scale, -i32::from(DECIMAL128_MAX_PRECISION), digits)?;
        match (u8::try_from(digits), i8::try_from(scale)) {
            (Ok(digits), Ok(scale)) => Ok(DataType::Decimal128(digits, scale)),
            _ => Err(usage()),
        }
    }

    /// Returns the unit of a time, which is `us` where none is written, and the time zone behind it.
    fn unit(&mut self) -> Result<(TimeUnit, Option<&'a str>), String> {
        let arguments = self.arguments()?;
        let unit = match arguments.first() {
            None | Some(&"us") => TimeUnit::Microsecond,
            Some(&"s") => TimeUnit::Second,
            Some(&"ms") => TimeUnit::Millisecond,
            Some(&"ns") => TimeUnit::Nanosecond,
            Some(other) => return Err(format!("has the unit `{other}` (units: s, ms, us, ns)")),
        };
        match arguments[..] {
            [] | [_] => Ok((unit, None)),
            [_, zone] if is_zone(zone) => Ok((unit, Some(zone))),
            [_, zone] => Err(format!("has the time zone `{zone}` (write `UTC`, `Europe/Zurich` or `+01:00`)")),
            _ => Err("takes a unit, and a timestamp also a time zone: `timestamp(us, UTC)`".to_owned()),
        }
    }

    /// Returns what stands between parentheses, if anything does.
    fn arguments(&mut self) -> Result<Vec<&'a str>, String> {
        if !self.take("(") {
            return Ok(Vec::new());
        }
        let (inner, rest) = self.rest.split_once(')').ok_or("lacks a `)`")?;
        self.rest = rest;
        Ok(inner.split(',').map(str::trim).collect())
    }

    fn name(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return Ok(self.word().to_owned());
        }
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(name);
                }
                '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => name.push(char),
            }
        }
        Err("lacks a closing `\"`".to_owned())
    }

    fn word(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        word
    }

    fn take(&mut self, sign: &str) -> bool {
        match self.rest.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str, usage: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("lacks a `{sign}` (write `{usage}`)")) }
    }

    fn end(&self) -> Result<(), String> {
        match self.rest.trim() {
            "" => Ok(()),
            rest => Err(format!("goes on with `{rest}` behind a type")),
        }
    }
}

fn plain_type(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float16" => DataType::Float16,
        "float32" => DataType::Float32,
        "float64" => DataType::Float64,
        "date" => DataType::Date32,
        "text" => DataType::Utf8,
        _ => return None,
    })
}

fn number(text: &str, least: i32, most: i32) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("has `{text}` where a number from {least} to {most} belongs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_as_it_is_written() {
        for name in [
            "boolean",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float16",
            "float32",
            "float64",
            "decimal(38,0)",
            "decimal(10,-2)",
            "date",
            "time(s)",
            "time(ms)",
            "time(us)",
            "time(ns)",
            "timestamp(s)",
            "timestamp(us, Europe/Zurich)",
            "timestamp(ns, +01:00)",
            "duration(ms)",
            "text",
            "json",
            "binary",
            "binary(16)",
            "list<list<decimal(4,2)>>",
            "struct<a: int64, \"b \\\"c\\\\\": list<json>>",
            "map<text, struct<x: float32>>",
        ] {
            let field = parse("f", name).expect(name);
            assert_eq!(type_name(&field), name);
            assert_eq!(canonical(&field).as_ref(), Some(&field), "{name} is what a batch has");
        }
        let spaced = parse("f", " list < struct<a:int64 ,b : text> > ").expect("spaces mean nothing");
        assert_eq!(type_name(&spaced), "list<struct<a: int64, b: text>>");
        assert_eq!(type_name(&parse("f", "timestamp").expect("has a default")), "timestamp(us)");
    }

    #[test]
    fn what_is_wrong_with_a_type_is_named() {
        for (written, why) in [
            ("string", "is no type that a column can have (types: boolean, int8 …"),
            ("decimal", "takes its digits, and those behind the point: `decimal(10,2)`"),
            ("decimal(39,2)", "has `39` where a number from 1 to 38 belongs"),
            ("decimal(4,5)", "has `5` where a number from -38 to 4 belongs"),
            ("timestamp(h)", "has the unit `h` (units: s, ms, us, ns)"),
            ("timestamp(s, CET/Bern)", "has the time zone `CET/Bern` (write `UTC`, `Europe/Zurich` or `+01:00`)"),
            ("time(us, UTC)", "takes a unit and no time zone: `time(us)`"),
            ("list<int64", "lacks a `>` (write `list<T>`)"),
            ("list", "lacks a `<` (write `list<T>`)"),
            ("struct<a: int64, a: text>", "has two members of one name"),
            ("struct<\"a: int64>", "lacks a closing `\"`"),
            ("int64 text", "goes on with `text` behind a type"),
            (&format!("{}int64{}", "list<".repeat(16), ">".repeat(16)), "is nested deeper than 16 levels"),
        ] {
            let error = parse("f", written).expect_err(written);
            assert!(error.starts_with(why), "{written}: {error}");
        }
    }

    #[test]
    fn types_of_the_same_values_have_one_form() {
        let canonical_name = |data_type| canonical(&Field::new("f", data_type, true)).map(|field| type_name(&field));
        let text = || Box::new(DataType::LargeUtf8);
        let item = |data_type| Arc::new(Field::new("element", data_type, true));
        for (data_type, name) in [
            (DataType::Utf8View, Some("text")),
            (DataType::Dictionary(Box::new(DataType::Int8), text()), Some("text")),
            (DataType::Decimal64(12, 2), Some("decimal(12,2)")),
            (DataType::FixedSizeList(item(DataType::BinaryView), 3), Some("list<binary>")),
            (DataType::Date64, Some("date")),
            (DataType::Decimal256(50, 2), None),
            (DataType::Null, None),
            (DataType::Struct(Fields::empty()), None),
            (DataType::LargeList(item(DataType::Null)), None),
        ] {
            assert_eq!(canonical_name(data_type.clone()).as_deref(), name, "{data_type}");
        }
        let large = DataType::LargeList(item(DataType::Int8));
        let DataType::List(found) = canonical(&Field::new("f", large, true)).expect("a list").data_type().clone()
        else {
            panic!("no list")
        };
        assert_eq!(found.name(), "item");
    }

    #[test]
    fn maps_are_no_keys() {
        let key = |name| can_be_key(parse("f", name).expect("a type").data_type());
        assert!(key("list<struct<a: int64>>") && !key("map<text, text>") && !key("list<map<text, text>>"));
    }
}
