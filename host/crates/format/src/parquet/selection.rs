//! The selection: which columns of an object are read, and what each becomes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use etl_core::model::{
    error::{Error, Result},
    schema::Schema,
    types::{canonical, type_name},
};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};

use super::directory::{Directory, damaged, guarded};
use crate::{columns::cut, convert::can_convert};

/// The most characters of the names of columns that a message lists.
const NAMES_CHARACTERS_MAX: usize = 600;

/// What is read of an object.
pub(super) struct Selection {
    /// The columns that are read, for the library.
    pub(super) levels: FieldLevels,
    /// The numbers of the leaves that are read, in order.
    pub(super) leaves: Vec<usize>,
    /// For each field of the schema, in its order: which of the columns that are read it is made of, and that column's
    /// field in the file.
    pub(super) columns: Vec<(usize, Arc<Field>)>,
}

impl Selection {
    /// Selects the columns of an object for the fields of a schema.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object and the column, when a
    /// column is missing, is there twice, or has a type that cannot become the field's.
    pub(super) fn new(object: &str, directory: &Directory, schema: &Schema) -> Result<Self> {
        let (fields, wanted) = (&directory.fields, schema.fields.fields());
        let mut positions = Vec::with_capacity(wanted.len());
        for field in wanted {
            let found = find(fields, field).map_err(|why| Error::input(format!("object `{object}` {why}")))?;
            positions.push(found);
        }
        let mut leaves = Leaves::default();
        for (position, field) in fields.iter().enumerate() {
            let of = positions.iter().position(|other| *other == position);
            let taken = leaves.take(field, of.map(|index| &*wanted[index]));
            taken.map_err(|why| Error::input(format!("object `{object}` has a column `{}` {why}", field.name())))?;
        }
        let Leaves { wanted: leaves, count } = leaves;
        if count != directory.as_read.num_columns() {
            return Err(damaged(object, "its schema and its columns do not fit"));
        }
        let hint: Fields = fields.iter().map(|field| as_read(field)).collect();
        let mask = ProjectionMask::leaves(&directory.as_read, leaves.iter().copied());
        let levels = guarded(|| parquet_to_arrow_field_levels(&directory.as_read, mask, Some(&hint)));
        let levels = levels.map_err(|what| damaged(object, format!("its schema cannot be read: {what}")))?;
        let mut read = positions.clone();
        read.sort_unstable();
        let column = |position: &usize| {
            let index = read.binary_search(position).unwrap_or_default();
            (index, Arc::clone(&fields[*position]))
        };
        Ok(Self { levels, leaves, columns: positions.iter().map(column).collect() })
    }
}

/// Returns the position of the one column that a field is made of, or what is wrong.
fn find(fields: &Fields, wanted: &Field) -> Result<usize, String> {
    let name = wanted.name();
    let mut found = fields.iter().enumerate().filter(|(_, field)| field.name() == name);
    let Some((position, _)) = found.next() else {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        return Err(format!("has no column `{name}` (columns: {})", cut(&names.join(", "), NAMES_CHARACTERS_MAX)));
    };
    if found.next().is_some() {
        return Err(format!("has two columns `{name}`"));
    }
    Ok(position)
}

/// The leaves of a schema that are read, so far.
#[derive(Default)]
struct Leaves {
    wanted: Vec<usize>,
    /// Number of leaves that were looked at.
    count: usize,
}

impl Leaves {
    /// Looks at the leaves of a column, and takes those of which `to` is made, if it is given.
    fn take(&mut self, from: &Field, to: Option<&Field>) -> Result<(), String> {
        match (from.data_type(), to.map(Field::data_type)) {
            (DataType::Struct(of), Some(DataType::Struct(into))) => {
                if let Some(member) =
                    into.iter().find(|member| of.iter().filter(|of| of.name() == member.name()).count() != 1)
                {
                    let count =
                        if of.iter().any(|of| of.name() == member.name()) { "two members" } else { "no member" };
                    return Err(format!("of type {}, which has {count} `{}`", type_name(from), member.name()));
                }
                of.iter()
                    .try_for_each(|of| self.take(of, into.iter().find(|into| into.name() == of.name()).map(|to| &**to)))
            }
            (DataType::List(of), Some(DataType::List(into))) | (DataType::Map(of, _), Some(DataType::Map(into, _))) => {
                if matches!(from.data_type(), DataType::List(_)) {
                    self.take(of, Some(into))
                } else {
                    self.entries(of, into)
                }
            }
            (DataType::Struct(of), None) => of.iter().try_for_each(|of| self.take(of, None)),
            (DataType::List(of) | DataType::Map(of, _), None) => self.take(of, None),
            (_, Some(_)) => {
                let to = to.unwrap_or(from);
                if !can_convert(from, to) {
                    return Err(unfit(from, to));
                }
                self.wanted.push(self.count);
                self.count += 1;
                Ok(())
            }
            (_, None) => {
                self.count += 1;
                Ok(())
            }
        }
    }

    /// Takes the entries of a map, whose parts have names of no meaning.
    fn entries(&mut self, from: &Field, to: &Field) -> Result<(), String> {
        match (from.data_type(), to.data_type()) {
            (DataType::Struct(of), DataType::Struct(into)) if of.len() == into.len() => {
                of.iter().zip(into).try_for_each(|(of, into)| self.take(of, Some(into)))
            }
            _ => Err(unfit(from, to)),
        }
    }
}

fn unfit(from: &Field, to: &Field) -> String {
    let (of, into) = (type_name(from), type_name(to));
    match canonical(from) {
        None => format!("of type {of}, which is not supported, and cannot become {into}"),
        Some(_) => format!("of type {of}, which cannot become {into}"),
    }
}

/// Returns a field as it is read: text and bytes as views of the pages, which take no copy before batches are cut.
fn as_read(field: &Field) -> Field {
    let part = |part: &Field| Arc::new(as_read(part));
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::Binary => DataType::BinaryView,
        DataType::List(item) => DataType::List(part(item)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(|member| as_read(member)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(part(entries), *sorted),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}
