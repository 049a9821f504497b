//! The schema in the header of an object, with its names resolved.
//!
//! Owns what is a schema of Avro, and what is wrong with one that is not. A schema may contain itself, so its types are
//! in a list and refer to each other by number.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

/// The most types that a schema may consist of.
const TYPES_MAX: usize = 1 << 18;

/// The number of a type in its schema.
pub(super) type TypeId = usize;

/// A schema.
#[derive(Debug)]
pub(super) struct AvroSchema {
    types: Vec<Type>,
    root: TypeId,
}

/// A type. What annotations say of it is in here; an annotation that does not fit its type means nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Date,
    TimeMillis,
    Long,
    TimeMicros,
    Timestamp(Unit, Zone),
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    /// A UUID in 16 bytes.
    Uuid,
    /// Months, days and milliseconds in 12 bytes.
    Duration,
    /// A decimal number of so many digits, and so many behind the point, in any number of bytes or in this many.
    Decimal(u64, u64, Option<usize>),
    Enum(Arc<[String]>),
    Array(TypeId),
    Map(TypeId),
    Record(Arc<[(String, TypeId)]>),
    Union(Arc<[TypeId]>),
}

/// The unit of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Milli,
    Micro,
    Nano,
}

/// Whether a timestamp is an instant, or what a clock on a wall shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Zone {
    Utc,
    Local,
}

impl AvroSchema {
    /// Parses a schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let mut parser = Parser::default();
        let root = parser.parse(&json, "")?;
        Ok(Self { types: parser.types, root })
    }

    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    pub(super) fn get(&self, id: TypeId) -> &Type {
        &self.types[id]
    }

    /// Returns the name of a type, as messages have it.
    pub(super) fn name(&self, id: TypeId) -> String {
        match self.get(id) {
            Type::Null => "null".to_owned(),
            Type::Boolean => "boolean".to_owned(),
            Type::Int => "int".to_owned(),
            Type::Date => "date".to_owned(),
            Type::TimeMillis => "time-millis".to_owned(),
            Type::Long => "long".to_owned(),
            Type::TimeMicros => "time-micros".to_owned(),
            Type::Timestamp(unit, zone) => {
                let local = if *zone == Zone::Local { "local-" } else { "" };
                format!("{local}timestamp-{unit:?}s").to_lowercase()
            }
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::Bytes => "bytes".to_owned(),
            Type::Text => "string".to_owned(),
            Type::Fixed(bytes) => format!("fixed({bytes})"),
            Type::Uuid => "uuid".to_owned(),
            Type::Duration => "duration".to_owned(),
            Type::Decimal(digits, scale, _) => format!("decimal({digits},{scale})"),
            Type::Enum(_) => "enum".to_owned(),
            Type::Array(_) => "array".to_owned(),
            Type::Map(_) => "map".to_owned(),
            Type::Record(_) => "record".to_owned(),
            Type::Union(branches) => {
                let names: Vec<String> = branches.iter().map(|branch| self.short_name(*branch)).collect();
                format!("union of {}", names.join(", "))
            }
        }
    }

    fn short_name(&self, id: TypeId) -> String {
        match self.get(id) {
            Type::Union(_) => "union".to_owned(),
            _ => self.name(id),
        }
    }
}

#[derive(Default)]
struct Parser {
    types: Vec<Type>,
    /// The named types so far, by their full names.
    named: HashMap<String, TypeId>,
}

impl Parser {
    fn add(&mut self, new: Type) -> Result<TypeId, String> {
        if self.types.len() == TYPES_MAX {
            return Err(format!("it has more than {TYPES_MAX} types"));
        }
        self.types.push(new);
        Ok(self.types.len() - 1)
    }

    fn parse(&mut self, json: &Value, namespace: &str) -> Result<TypeId, String> {
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.parse(branch, namespace));
                let branches: Vec<TypeId> = branches.collect::<Result<_, _>>()?;
                if branches.is_empty() {
                    return Err("it has a union of nothing".to_owned());
                }
                self.add(Type::Union(branches.into()))
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("`{other}` is no type")),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        if let Some(plain) = plain(name) {
            return self.add(plain);
        }
        let within = full_name(name, namespace);
        let found = self.named.get(&within).or_else(|| self.named.get(name));
        found.copied().ok_or_else(|| format!("it has no type `{name}`"))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let kind = match object.get("type") {
            None => return Err("a type in it lacks `type`".to_owned()),
            Some(Value::String(kind)) => kind,
            Some(nested) => return self.parse(nested, namespace),
        };
        match kind.as_str() {
            "array" => {
                let items = self.parse(part(object, "items", "an array")?, namespace)?;
                self.add(Type::Array(items))
            }
            "map" => {
                let values = self.parse(part(object, "values", "a map")?, namespace)?;
                self.add(Type::Map(values))
            }
            "record" | "error" | "enum" | "fixed" => self.named(kind, object, namespace),
            name => match plain(name) {
                Some(plain) => self.add(annotated(plain, object)),
                None => self.by_name(name, namespace),
            },
        }
    }

    fn named(&mut self, kind: &str, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let name = text(object, "name").ok_or_else(|| format!("a type `{kind}` in it lacks a name"))?;
        let namespace = text(object, "namespace").unwrap_or(namespace);
        let full = full_name(name, namespace);
        // What a record contains may be the record, so it has its number before its fields are known.
        let id = self.add(Type::Null)?;
        if self.named.insert(full.clone(), id).is_some() {
            return Err(format!("it has two types `{full}`"));
        }
        let inner = full.rsplit_once('.').map_or("", |(inner, _)| inner);
        self.types[id] = match kind {
            "enum" => Type::Enum(symbols(object, name)?),
            "fixed" => annotated(Type::Fixed(size(object, name)?), object),
            _ => self.record(object, name, inner)?,
        };
        Ok(id)
    }

    fn record(&mut self, object: &Map<String, Value>, name: &str, namespace: &str) -> Result<Type, String> {
        let fields = part(object, "fields", "a record")?.as_array();
        let fields = fields.ok_or_else(|| format!("the fields of `{name}` are no list"))?;
        let mut parsed = Vec::with_capacity(fields.len());
        for field in fields {
            let field = field.as_object().ok_or_else(|| format!("a field of `{name}` is no object"))?;
            let field_name = text(field, "name").ok_or_else(|| format!("a field of `{name}` lacks a name"))?;
            let of = part(field, "type", "a field")?;
            // Some writers annotate the field instead of its type; the specification has that mean nothing.
            parsed.push((field_name.to_owned(), self.parse(of, namespace)?));
        }
        Ok(Type::Record(parsed.into()))
    }
}

fn plain(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

/// Returns a type with what its annotation says.
fn annotated(plain: Type, object: &Map<String, Value>) -> Type {
    let Some(annotation) = text(object, "logicalType") else { return plain };
    match (&plain, annotation) {
        (Type::Int, "date") => Type::Date,
        (Type::Int, "time-millis") => Type::TimeMillis,
        (Type::Long, "time-micros") => Type::TimeMicros,
        (Type::Long, "timestamp-millis") => Type::Timestamp(Unit::Milli, Zone::Utc),
        (Type::Long, "timestamp-micros") => Type::Timestamp(Unit::Micro, Zone::Utc),
        (Type::Long, "timestamp-nanos") => Type::Timestamp(Unit::Nano, Zone::Utc),
        (Type::Long, "local-timestamp-millis") => Type::Timestamp(Unit::Milli, Zone::Local),
        (Type::Long, "local-timestamp-micros") => Type::Timestamp(Unit::Micro, Zone::Local),
        (Type::Long, "local-timestamp-nanos") => Type::Timestamp(Unit::Nano, Zone::Local),
        (Type::Fixed(16), "uuid") => Type::Uuid,
        (Type::Fixed(12), "duration") => Type::Duration,
        (Type::Bytes | Type::Fixed(_), "decimal") => decimal(&plain, object).unwrap_or(plain),
        _ => plain,
    }
}

fn decimal(plain: &Type, object: &Map<String, Value>) -> Option<Type> {
    let digits = object.get("precision")?.as_u64().filter(|digits| *digits > 0)?;
    let scale = object.get("scale").map_or(Some(0), Value::as_u64).filter(|scale| *scale <= digits)?;
    let bytes = if let Type::Fixed(bytes) = plain { Some(*bytes) } else { None };
    Some(Type::Decimal(digits, scale, bytes))
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn part<'a>(object: &'a Map<String, Value>, key: &str, what: &str) -> Result<&'a Value, String> {
    object.get(key).ok_or_else(|| format!("{what} in it lacks `{key}`"))
}

fn symbols(object: &Map<String, Value>, name: &str) -> Result<Arc<[String]>, String> {
    let symbols = part(object, "symbols", "an enum")?.as_array();
    let symbols = symbols.ok_or_else(|| format!("the symbols of `{name}` are no list"))?;
    let symbol = |symbol: &Value| symbol.as_str().map(str::to_owned);
    let texts = symbols.iter().map(symbol).collect::<Option<Vec<_>>>();
    texts.map(Arc::from).ok_or_else(|| format!("a symbol of `{name}` is no text"))
}

fn size(object: &Map<String, Value>, name: &str) -> Result<usize, String> {
    let bytes = part(object, "size", "a fixed type")?.as_u64().and_then(|bytes| i32::try_from(bytes).ok());
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("the size of `{name}` is no number of bytes"))
}

/// Returns a name with its namespace; a name with a point has one already.
fn full_name(name: &str, namespace: &str) -> String {
    match namespace {
        "" => name.to_owned(),
        _ if name.contains('.') => name.to_owned(),
        _ => format!("{namespace}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(text: &str) -> Result<String, String> {
        AvroSchema::parse(text.as_bytes()).map(|schema| schema.name(schema.root()))
    }

    #[test]
    fn an_annotation_that_does_not_fit_means_nothing() {
        for (text, name) in [
            (r#"{"type":"int","logicalType":"date"}"#, "date"),
            (r#"{"type":"long","logicalType":"date"}"#, "long"),
            (r#"{"type":"long","logicalType":"local-timestamp-micros"}"#, "local-timestamp-micros"),
            (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, "decimal(4,2)"),
            (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":5}"#, "bytes"),
            (r#"{"type":"bytes","logicalType":"decimal"}"#, "bytes"),
            (r#"{"type":"string","logicalType":"uuid"}"#, "string"),
            (r#"{"type":"fixed","name":"f","size":16,"logicalType":"uuid"}"#, "uuid"),
            (r#"{"type":"fixed","name":"f","size":15,"logicalType":"uuid"}"#, "fixed(15)"),
            (r#"{"type":{"type":"int","logicalType":"date"}}"#, "date"),
            (r#"["null",{"type":"map","values":"int"}]"#, "union of null, map"),
        ] {
            assert_eq!(name_of(text).as_deref(), Ok(name), "{text}");
        }
    }

    #[test]
    fn names_are_resolved_in_their_namespaces() {
        let inner = r#"{"name":"inner","type":{"type":"enum","name":"E","symbols":["A"]}}"#;
        for reference in ["E", "a.E"] {
            let again = format!(r#"{{"name":"again","type":"{reference}"}}"#);
            let text = format!(r#"{{"type":"record","name":"a.R","fields":[{inner},{again}]}}"#);
            let schema = AvroSchema::parse(text.as_bytes()).expect("a schema");
            let Type::Record(fields) = schema.get(schema.root()) else { panic!("a record") };
            assert_eq!(fields[0].1, fields[1].1, "{reference}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_said() {
        let deep = format!("{}\"int\"{}", "{\"type\":\"array\",\"items\":".repeat(200), "}".repeat(200));
        for (text, why) in [
            ("{", "it is no JSON: "),
            ("3", "`3` is no type"),
            ("[]", "it has a union of nothing"),
            (r#""nothing""#, "it has no type `nothing`"),
            (r#"{"type":"array"}"#, "an array in it lacks `items`"),
            (r#"{"type":"record","fields":[]}"#, "a type `record` in it lacks a name"),
            (r#"{"type":"record","name":"r","fields":[{"type":"int"}]}"#, "a field of `r` lacks a name"),
            (r#"{"type":"fixed","name":"f","size":-1}"#, "the size of `f` is no number of bytes"),
            (r#"[{"type":"fixed","name":"f","size":1},{"type":"fixed","name":"f","size":1}]"#, "it has two types `f`"),
            (&deep, "it is no JSON: recursion limit exceeded"),
        ] {
            let error = name_of(text).expect_err(text);
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }
}
