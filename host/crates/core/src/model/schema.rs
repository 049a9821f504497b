//! Schemas: the columns of a batch as Arrow fields, the first of which may be the key.
//!
//! Owns [`Schema`]. Which types a column can have is [`types`]'. Batches themselves are Arrow's `RecordBatch`.

use std::{fmt, sync::Arc};

use arrow_schema::{DataType, Field, FieldRef, SchemaRef};

use crate::{
    model::{
        error::{Error, Result},
        redact::cut,
        reject::shown,
        types::{self, can_be_key, type_name},
    },
    text::numbers::count,
};

/// The most fields that a schema may have, those that nested columns are made of included.
pub const FIELDS_MAX: usize = 1024;

/// The longest name of a field, in bytes. No database allows as much for a column; a key of a JSON record may be a URL.
const NAME_BYTES_MAX: usize = 1024;

/// The most bytes that the names of a schema's fields have together. A JSON sink repeats them in each row.
const NAMES_BYTES_MAX: usize = 64 * 1024;

/// The most fields that a message shows of a schema.
const SHOWN_FIELDS_MAX: usize = 10;

/// The most bytes that a message shows of the name of a field of a schema.
const SHOWN_NAME_BYTES_MAX: usize = 40;

/// The most bytes that a message shows of the type of a field.
const SHOWN_TYPE_BYTES_MAX: usize = 200;

/// The columns of a batch. Two schemas are equal when their names, types, nullability and key are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The fields in order, as an Arrow schema.
    pub fields: SchemaRef,
    /// Number of leading fields that are the key; 0 means that there is no key.
    pub key_fields: usize,
}

impl Schema {
    /// Creates a schema of `fields`, the first `key_fields` of which are the key.
    ///
    /// # Errors
    /// Says what is wrong when there are no fields or more than [`FIELDS_MAX`], a name is empty, given twice or too long,
    /// the names are too long together, a type is not one that a column can have, the key has more fields than the
    /// schema, or a field of the key cannot be one.
    pub fn new(fields: Vec<Field>, key_fields: usize) -> Result<Self> {
        let nodes = fields.iter().map(types::nodes).sum::<usize>();
        if !(1..=FIELDS_MAX).contains(&nodes) {
            return Err(Error::config(format!("a schema has 1 to {FIELDS_MAX} fields, this one has {nodes}")));
        }
        if key_fields > fields.len() {
            return Err(Error::config(format!("{key_fields} key fields, but only {} fields", fields.len())));
        }
        let mut names = std::collections::HashSet::new();
        for field in &fields {
            check_name(field.name())?;
            if !names.insert(field.name()) {
                return Err(Error::config(format!("two fields are called {}", shown(field.name()))));
            }
        }
        fields.iter().try_for_each(check_type)?;
        if let Some(field) = fields[..key_fields].iter().find(|field| !can_be_key(field.data_type())) {
            let (name, data_type) = (shown(field.name()), type_name(field));
            return Err(Error::config(format!(
                "field {name} is {data_type}, which cannot be a key (maps have no order)"
            )));
        }
        let bytes: usize = fields.iter().map(name_bytes).sum();
        if bytes > NAMES_BYTES_MAX {
            let what = format!("the field names have {bytes} bytes together (limit {NAMES_BYTES_MAX} bytes)");
            return Err(Error::config(what));
        }
        Ok(Self { fields: Arc::new(arrow_schema::Schema::new(fields)), key_fields })
    }

    /// Returns the number of fields, those that nested columns are made of included.
    pub fn nodes(&self) -> usize {
        self.fields.fields().iter().map(|field| types::nodes(field)).sum()
    }

    /// Creates a schema of nullable fields, each written as `name=type`.
    ///
    /// # Errors
    /// Names a field that is not of that form or has an unknown type; fails otherwise as [`Schema::new`] does.
    pub fn parse(fields: &[String], key_fields: usize) -> Result<Self> {
        let field = |written: &String| {
            let wrong = || Error::config(format!("`{written}` is not a field (write `name=type`)"));
            let (name, data_type) = written.split_once('=').ok_or_else(wrong)?;
            let parsed = types::parse(name.trim(), data_type.trim());
            parsed.map_err(|why| Error::config(format!("type `{}` of field `{}` {why}", data_type.trim(), name.trim())))
        };
        Self::new(fields.iter().map(field).collect::<Result<_>>()?, key_fields)
    }

    /// Returns the names and types of all fields as text, which is the same for equal columns: `word text, count int64
    /// (key: word)`.
    pub fn signature(&self) -> String {
        let fields: Vec<String> = self.fields.fields().iter().map(|field| written(field, usize::MAX)).collect();
        let key: Vec<&str> = self.fields.fields().iter().take(self.key_fields).map(|f| f.name().as_str()).collect();
        let key = if key.is_empty() { String::new() } else { format!(" (key: {})", key.join(", ")) };
        fields.join(", ") + &key
    }

    /// Returns the first thing in which this schema differs from `other`, in the words of messages; `None` if the two
    /// are equal.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let (fields, others) = (self.fields.fields(), other.fields.fields());
        if let Some(number) = (0..fields.len().min(others.len())).find(|number| fields[*number] != others[*number]) {
            let described = |field: &Field| {
                let nullable = if field.is_nullable() { "nullable" } else { "not nullable" };
                format!("`{}`, {nullable}", written(field, SHOWN_NAME_BYTES_MAX))
            };
            let (field, other) = (described(&fields[number]), described(&others[number]));
            return Some(format!("field {} is {field}, not {other}", number + 1));
        }
        if fields.len() != others.len() {
            return Some(format!("it has {} fields, not {}", count(fields.len() as u64), count(others.len() as u64)));
        }
        let (key, other) = (self.key_fields, other.key_fields);
        (key != other).then(|| format!("its key has {key} fields, not {other}"))
    }

    /// Returns the schema of the `lines` format: one binary column called `line`, without line terminators.
    pub fn lines() -> Self {
        let line = Field::new("line", DataType::Binary, false);
        Self { fields: Arc::new(arrow_schema::Schema::new(vec![line])), key_fields: 0 }
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::config("a field has an empty name"));
    }
    if name.len() > NAME_BYTES_MAX {
        let (shown, bytes) = (cut(name, SHOWN_NAME_BYTES_MAX), name.len());
        return Err(Error::config(format!(
            "field `{shown}` has a name of {bytes} bytes (limit {NAME_BYTES_MAX} bytes)"
        )));
    }
    Ok(())
}

fn check_type(field: &Field) -> Result<()> {
    match types::canonical(field) {
        Some(found) if found == *field => Ok(()),
        _ => Err(Error::config(format!(
            "field {} is {}, which a column cannot be (types: {})",
            shown(field.name()),
            cut(&type_name(field), SHOWN_TYPE_BYTES_MAX),
            types::NAMES
        ))),
    }
}

/// Returns the bytes of the names of a field and of all fields that it is made of.
fn name_bytes(field: &Field) -> usize {
    field.name().len() + types::parts(field.data_type()).iter().map(|part| name_bytes(part)).sum::<usize>()
}

/// Writes a field as its name, of at most `name_bytes_max` bytes, and its type.
fn written(field: &Field, name_bytes_max: usize) -> String {
    format!(
        "{} {}",
        cut(field.name(), name_bytes_max),
        cut(&type_name(field), name_bytes_max.max(SHOWN_TYPE_BYTES_MAX))
    )
}

impl fmt::Display for Schema {
    /// Writes `word text, count int64 (key: word)`. Of a large schema, writes the first fields and the number of the
    /// others, because what follows it in a message matters more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |fields: &[FieldRef], shown: fn(&Field) -> String| {
            let more = fields.len().saturating_sub(SHOWN_FIELDS_MAX) as u64;
            let shown = fields.iter().take(SHOWN_FIELDS_MAX).map(|field| shown(field));
            let more = (more > 0).then(|| format!("… and {} more", count(more)));
            shown.chain(more).collect::<Vec<_>>().join(", ")
        };
        let fields = self.fields.fields();
        f.write_str(&list(fields, |field| written(field, SHOWN_NAME_BYTES_MAX)))?;
        match &fields[..self.key_fields] {
            [] => Ok(()),
            key => write!(f, " (key: {})", list(key, |field| cut(field.name(), SHOWN_NAME_BYTES_MAX).into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_written_as_names_and_types() {
        let parse = |fields: &[&str]| Schema::parse(&fields.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>(), 1);
        assert_eq!(parse(&["a=text", " n = int64"]).expect("valid").to_string(), "a text, n int64 (key: a)");
        assert!(parse(&["a"]).expect_err("no type").to_string().contains("`a` is not a field"));
        let error = parse(&["a = list<string>"]).expect_err("no such type").to_string();
        assert!(error.starts_with("type `list<string>` of field `a` is no type that a column can have"), "{error}");
    }

    #[test]
    fn a_large_schema_is_cut_in_messages_and_whole_in_its_signature() {
        let fields = |last: &str| {
            let names = (0..1023).map(|number| format!("{number}{}", "é".repeat(28))).chain([last.to_owned()]);
            names.map(|name| Field::new(name, DataType::Int64, false)).collect::<Vec<_>>()
        };
        let schema = Schema::new(fields("last"), 1024).expect("valid");
        let shown = schema.to_string();
        assert!(shown.len() < 2000 && shown.starts_with(&format!("0{}… int64, 1é", "é".repeat(19))), "{shown}");
        assert!(
            shown.contains("… int64, … and 1,014 more (key: 0é") && shown.ends_with("…, … and 1,014 more)"),
            "{shown}"
        );
        let signature = schema.signature();
        assert!(signature.contains("é int64, last int64 (key: 0é") && signature.ends_with("é, last)"));
        let other = Schema::new(fields("other"), 1024).expect("valid");
        let difference = "field 1024 is `last int64`, not nullable, not `other int64`, not nullable";
        assert_eq!(schema.difference(&other).as_deref(), Some(difference));
    }

    #[test]
    fn the_first_difference_of_two_schemas_is_named() {
        let schema = |names: &[&str], nullable, key| {
            Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, nullable)).collect(), key)
                .expect("valid")
        };
        let of = |other: &Schema| schema(&["a", "b"], false, 1).difference(other);
        assert_eq!(of(&schema(&["a", "b"], false, 1)), None);
        assert_eq!(of(&schema(&["a"], false, 1)).as_deref(), Some("it has 2 fields, not 1"));
        assert_eq!(of(&schema(&["a", "b"], false, 2)).as_deref(), Some("its key has 1 fields, not 2"));
        let nullable = "field 1 is `a text`, not nullable, not `a text`, nullable";
        assert_eq!(of(&schema(&["a", "b"], true, 1)).as_deref(), Some(nullable));
    }

    #[test]
    fn duplicate_names_and_long_keys_are_refused() {
        let field = |name: &str| Field::new(name, DataType::Int64, false);
        assert!(Schema::new(vec![field("a"), field("a")], 1).is_err());
        assert!(Schema::new(vec![field("a")], 2).is_err());
        assert!(Schema::new(vec![], 0).is_err());
        let schema = Schema::new(vec![field("a"), field("b")], 1).expect("valid");
        assert_eq!(schema.to_string(), "a int64, b int64 (key: a)");
    }

    #[test]
    fn names_are_bounded_one_by_one_and_together() {
        let named = |names: &[String]| {
            let fields = names.iter().map(|name| Field::new(name, DataType::Int64, false));
            Schema::new(fields.collect(), 0).map_err(|error| error.to_string())
        };
        named(&["é".repeat(512)]).expect("1024 bytes");
        let refused = named(&["é".repeat(513)]).expect_err("too long");
        assert_eq!(refused, format!("field `{}…` has a name of 1026 bytes (limit 1024 bytes)", "é".repeat(20)));
        let names: Vec<String> = (0..65).map(|number| format!("{number:01024}")).collect();
        named(&names[1..]).expect("64 KiB");
        let refused = named(&names).expect_err("too long together");
        assert_eq!(refused, "the field names have 66560 bytes together (limit 65536 bytes)");
    }
}
