//! The selection: which fields of an object's records are read, and what each is in Arrow's types.

use std::sync::Arc;

use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields as ArrowFields, TimeUnit};
use etl_core::model::{
    error::{Error, Result},
    types::{DEPTH_MAX, canonical, type_name},
};

use super::schema::{AvroSchema, Type, TypeId, Unit, Zone};
use crate::{Fields, OwnFields, WantedField, convert::can_convert};

/// The most types that one field may consist of.
const NODES_MAX: usize = 1 << 16;

/// Returns the fields of an object's records of which the wanted fields are made, with those of their members that are
/// read; `None` for a field that the object lacks and may lack.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object and the field, when a field is
/// missing, is there twice, or has a type that cannot become the wanted one.
pub(super) fn selected(object: &str, file: &AvroSchema, wanted: &Fields) -> Result<Vec<Option<Arc<Field>>>> {
    let select = |wanted: &WantedField| {
        let Some((name, id)) = find(file, wanted)? else { return Ok(None) };
        let field = described(file, id, name, Some(&wanted.field));
        field.map(|field| Some(Arc::new(field))).map_err(|why| format!("has a column `{name}` {why}"))
    };
    let selected = wanted.wanted().iter().map(select).collect::<std::result::Result<_, String>>();
    selected.map_err(|why| Error::input(format!("object `{object}` {why}")))
}

/// Returns the fields that an object offers, each with the field of a batch, if one can have it.
///
/// # Errors
/// As [`members_of`].
pub(super) fn offered(object: &str, file: &AvroSchema) -> Result<OwnFields> {
    let offer = |(name, id): &(String, TypeId)| {
        let field = described(file, *id, name, None).ok();
        (name.clone(), field.and_then(|field| canonical(&field)))
    };
    Ok(members_of(object, file)?.iter().map(offer).collect())
}

/// Returns the fields of an object's records, by name.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which says what the object has instead of records.
pub(super) fn members_of<'a>(object: &str, file: &'a AvroSchema) -> Result<&'a [(String, TypeId)]> {
    record(file).map_err(|why| Error::input(format!("object `{object}` {why}")))
}

fn record(file: &AvroSchema) -> std::result::Result<&[(String, TypeId)], String> {
    match file.get(file.root()) {
        Type::Record(fields) => Ok(fields),
        _ => Err(format!("holds values of type {}, not records with fields", file.name(file.root()))),
    }
}

/// Returns the one field that a wanted field is made of; `None` if there is none, and need not be.
fn find<'a>(file: &'a AvroSchema, wanted: &WantedField) -> std::result::Result<Option<(&'a str, TypeId)>, String> {
    let fields = record(file)?;
    let position = wanted.find(fields.iter().map(|(name, _)| name.as_str()))?;
    Ok(position.map(|position| (fields[position].0.as_str(), fields[position].1)))
}

/// Returns a type as a field, with those of its members that `wanted` has, if it is given.
///
/// # Errors
/// Why it cannot be read, or cannot become what is wanted, as the end of a sentence on it.
fn described(file: &AvroSchema, id: TypeId, name: &str, wanted: Option<&Field>) -> std::result::Result<Field, String> {
    Describer { file, depth: 0, nodes: 0 }.field(id, name, wanted)
}

struct Describer<'a> {
    file: &'a AvroSchema,
    depth: usize,
    nodes: usize,
}

type Described<T> = std::result::Result<T, String>;

impl Describer<'_> {
    fn field(&mut self, id: TypeId, name: &str, wanted: Option<&Field>) -> Described<Field> {
        self.nodes += 1;
        if self.depth == DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(format!("of a type that is nested deeper than {DEPTH_MAX} levels, or too large"));
        }
        self.depth += 1;
        let field = self.of_type(id, name, wanted);
        self.depth -= 1;
        field
    }

    fn of_type(&mut self, id: TypeId, name: &str, wanted: Option<&Field>) -> Described<Field> {
        let file = self.file;
        let into = wanted.map(Field::data_type);
        let data_type = match (file.get(id), into) {
            (Type::Union(branches), _) => {
                let inner = self.file.nullable(branches);
                let (inner, is_nullable) = inner.ok_or_else(|| not_read(&file.name(id)))?;
                return Ok(self.field(inner, name, wanted)?.with_nullable(is_nullable));
            }
            (Type::Record(members), Some(DataType::Struct(into))) => self.members(members, Some(into))?,
            (Type::Record(members), None) => self.members(members, None)?,
            (Type::Array(item), Some(DataType::List(into))) => self.list(*item, Some(into))?,
            (Type::Array(item), None) => self.list(*item, None)?,
            (Type::Map(value), Some(DataType::Map(into, _))) => self.map(*value, value_of(into))?,
            (Type::Map(value), None) => self.map(*value, None)?,
            (Type::Record(_) | Type::Array(_) | Type::Map(_), Some(_)) => {
                let is = self.of_type(id, name, None)?;
                return Err(unfit(&is, wanted));
            }
            (leaf, _) => leaf_type(leaf).ok_or_else(|| not_read(&file.name(id)))?,
        };
        let field = Field::new(name, data_type, *self.file.get(id) == Type::Null);
        match wanted {
            Some(to) if !becomes(&field, to) => Err(unfit(&field, wanted)),
            _ => Ok(field),
        }
    }

    fn members(&mut self, members: &[(String, TypeId)], wanted: Option<&ArrowFields>) -> Described<DataType> {
        for wanted in wanted.into_iter().flatten() {
            let count = members.iter().filter(|(name, _)| name == wanted.name()).count();
            if count != 1 {
                let count = if count == 0 { "no member" } else { "two members" };
                return Err(format!("of type record, which has {count} `{}`", wanted.name()));
            }
        }
        let mut fields = Vec::new();
        for (name, id) in members {
            let to = wanted.map(|wanted| wanted.iter().find(|wanted| wanted.name() == name));
            match to {
                Some(None) => {}
                Some(Some(to)) => fields.push(self.field(*id, name, Some(to))?),
                None => fields.push(self.field(*id, name, None)?),
            }
        }
        Ok(DataType::Struct(fields.into()))
    }

    fn list(&mut self, item: TypeId, wanted: Option<&Arc<Field>>) -> Described<DataType> {
        let item = self.field(item, "item", wanted.map(|wanted| &**wanted))?;
        Ok(DataType::List(Arc::new(item)))
    }

    fn map(&mut self, value: TypeId, wanted: Option<(&Field, &Field)>) -> Described<DataType> {
        let key = Field::new("key", DataType::Utf8, false);
        if let Some((to, _)) = wanted.filter(|(to, _)| !can_convert(&key, to)) {
            return Err(format!("of type map, whose keys are text, which cannot become {}", type_name(to)));
        }
        let value = self.field(value, "value", wanted.map(|(_, value)| value))?;
        let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
        Ok(DataType::Map(Arc::new(entries), false))
    }
}

/// Returns whether values of a field can become those of another. Lists and maps have asked for their parts before, and
/// so have structs, but for that of a duration.
fn becomes(from: &Field, to: &Field) -> bool {
    match (from.data_type(), to.data_type()) {
        (DataType::Struct(of), DataType::Struct(into)) => {
            into.iter().all(|to| of.iter().any(|of| of.name() == to.name() && becomes(of, to)))
        }
        (DataType::List(_), DataType::List(_)) | (DataType::Map(..), DataType::Map(..)) => true,
        _ => can_convert(from, to),
    }
}

fn value_of(entries: &Field) -> Option<(&Field, &Field)> {
    match entries.data_type() {
        DataType::Struct(parts) if parts.len() == 2 => Some((&parts[0], &parts[1])),
        _ => None,
    }
}

fn not_read(name: &str) -> String {
    format!("of type {name}, which is not read: leave the column out")
}

fn unfit(from: &Field, to: Option<&Field>) -> String {
    let into = to.map(type_name).unwrap_or_default();
    let of = type_name(from);
    match canonical(from) {
        None if *from.data_type() != DataType::Null => {
            format!("of type {of}, which is not supported, and cannot become {into}")
        }
        _ => format!("of type {of}, which cannot become {into}"),
    }
}

/// The members of a duration.
pub(super) const DURATION: [&str; 3] = ["months", "days", "milliseconds"];

/// Returns Arrow's type of a type that is not nested, or `None` if there is none.
fn leaf_type(leaf: &Type) -> Option<DataType> {
    Some(match leaf {
        Type::Null => DataType::Null,
        Type::Boolean => DataType::Boolean,
        Type::Int => DataType::Int32,
        Type::Date => DataType::Date32,
        Type::TimeMillis => DataType::Time32(TimeUnit::Millisecond),
        Type::Long => DataType::Int64,
        Type::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp(unit, zone) => {
            let unit = match unit {
                Unit::Milli => TimeUnit::Millisecond,
                Unit::Micro => TimeUnit::Microsecond,
                Unit::Nano => TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, (*zone == Zone::Utc).then(|| "UTC".into()))
        }
        Type::Float => DataType::Float32,
        Type::Double => DataType::Float64,
        Type::Bytes => DataType::Binary,
        Type::Text | Type::Enum(_) | Type::Uuid => DataType::Utf8,
        Type::Fixed(bytes) => DataType::FixedSizeBinary(i32::try_from(*bytes).ok().filter(|bytes| *bytes > 0)?),
        Type::Decimal(digits, scale, _) => {
            let digits = u8::try_from(*digits).ok().filter(|digits| *digits <= DECIMAL128_MAX_PRECISION)?;
            DataType::Decimal128(digits, i8::try_from(*scale).ok()?)
        }
        Type::Duration => {
            DataType::Struct(DURATION.iter().map(|name| Field::new(*name, DataType::UInt32, false)).collect())
        }
        Type::Array(_) | Type::Map(_) | Type::Record(_) | Type::Union(_) => return None,
    })
}

impl AvroSchema {
    /// Returns the one type of a union that is not null, and whether null is in it, too; `None` if there are more.
    pub(super) fn nullable(&self, branches: &[TypeId]) -> Option<(TypeId, bool)> {
        let is_null = |branch: &&TypeId| *self.get(**branch) == Type::Null;
        match branches {
            [one] => Some((*one, is_null(&one))),
            [null, other] | [other, null] if is_null(&null) && !is_null(&other) => Some((*other, true)),
            _ => None,
        }
    }
}
