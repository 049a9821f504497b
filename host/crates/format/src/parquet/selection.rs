//! The selection: which columns of an object are read, and what each becomes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields as ArrowFields};
use etl_core::model::{
    error::{Error, Result},
    types::{canonical, parts, type_name},
};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};

use super::directory::{Directory, damaged, guarded};
use crate::{Fields, WantedField, convert::can_convert};

/// What is read of an object.
pub(super) struct Selection {
    /// The columns that are read, for the library.
    pub(super) levels: FieldLevels,
    /// The numbers of the leaves that are read, in order.
    pub(super) leaves: Vec<usize>,
    /// For each wanted field, in its order: which of the columns that are read it is made of, and that column's field in
    /// the file; `None` if the file lacks the column, and the values are null.
    pub(super) columns: Vec<Option<(usize, Arc<Field>)>>,
}

impl Selection {
    /// Selects the columns of an object for the wanted fields.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object and the column, when a
    /// column is missing, is there twice, or has a type that cannot become the field's.
    pub(super) fn new(object: &str, directory: &Directory, wanted: &Fields) -> Result<Self> {
        let (fields, wanted) = (&directory.fields, wanted.wanted());
        let names = fields.iter().map(|field| field.name().as_str());
        let position = |wanted: &WantedField| {
            wanted.find(names.clone()).map_err(|why| Error::input(format!("object `{object}` {why}")))
        };
        let positions: Vec<Option<usize>> = wanted.iter().map(position).collect::<Result<_>>()?;
        let mut leaves = Leaves::default();
        for (position, field) in fields.iter().enumerate() {
            let of = positions.iter().zip(wanted).filter(|(other, _)| **other == Some(position));
            let taken = leaves.take(field, &of.map(|(_, wanted)| &wanted.field).collect::<Vec<_>>());
            taken.map_err(|why| Error::input(format!("object `{object}` has a column `{}` {why}", field.name())))?;
        }
        let Leaves { wanted: leaves, count } = leaves;
        if count != directory.as_read.num_columns() {
            return Err(damaged(object, "its schema and its columns do not fit"));
        }
        let hint: ArrowFields = fields.iter().map(|field| as_read(field)).collect();
        let mask = ProjectionMask::leaves(&directory.as_read, leaves.iter().copied());
        let levels = guarded(|| parquet_to_arrow_field_levels(&directory.as_read, mask, Some(&hint)));
        let levels = levels.map_err(|what| damaged(object, format!("its schema cannot be read: {what}")))?;
        let mut read: Vec<usize> = positions.iter().flatten().copied().collect();
        read.sort_unstable();
        read.dedup();
        let column = |position: &Option<usize>| {
            let position = (*position)?;
            Some((read.binary_search(&position).unwrap_or_default(), Arc::clone(&fields[position])))
        };
        Ok(Self { levels, leaves, columns: positions.iter().map(column).collect() })
    }
}

/// The leaves of a schema that are read, so far.
#[derive(Default)]
struct Leaves {
    wanted: Vec<usize>,
    /// Number of leaves that were looked at.
    count: usize,
}

impl Leaves {
    /// Looks at the leaves of a column, and takes those of which one of the fields `to` is made.
    fn take(&mut self, from: &Field, to: &[&Field]) -> Result<(), String> {
        match from.data_type() {
            DataType::Struct(members) => {
                to.iter().try_for_each(|to| check_members(from, members, to))?;
                members.iter().try_for_each(|member| {
                    let to = to.iter().flat_map(|to| parts(to.data_type()));
                    self.take(member, &to.filter(|to| to.name() == member.name()).map(|to| &**to).collect::<Vec<_>>())
                })
            }
            DataType::List(item) => {
                let is_list = |to: &&&Field| !matches!(to.data_type(), DataType::List(_));
                to.iter().find(is_list).map_or(Ok(()), |to| Err(unfit(from, to)))?;
                self.take(item, &to.iter().flat_map(|to| parts(to.data_type())).map(|to| &**to).collect::<Vec<_>>())
            }
            DataType::Map(entries, _) => {
                // The parts of an entry have names of no meaning.
                let is_other = |to: &&&Field| pair(to).is_none() || parts(entries.data_type()).len() != 2;
                to.iter().find(is_other).map_or(Ok(()), |to| Err(unfit(from, to)))?;
                parts(entries.data_type()).iter().enumerate().try_for_each(|(index, part)| {
                    self.take(part, &to.iter().filter_map(|to| Some(&*pair(to)?[index])).collect::<Vec<_>>())
                })
            }
            _ => {
                to.iter().find(|to| !can_convert(from, to)).map_or(Ok(()), |to| Err(unfit(from, to)))?;
                self.wanted.extend((!to.is_empty()).then_some(self.count));
                self.count += 1;
                Ok(())
            }
        }
    }
}

/// Returns the key and the value of a map.
fn pair(field: &Field) -> Option<&[Arc<Field>]> {
    let DataType::Map(entries, _) = field.data_type() else { return None };
    Some(parts(entries.data_type())).filter(|parts| parts.len() == 2)
}

/// Checks that a struct has each member of a field once.
fn check_members(from: &Field, members: &ArrowFields, to: &Field) -> Result<(), String> {
    let DataType::Struct(wanted) = to.data_type() else { return Err(unfit(from, to)) };
    let count = |name: &str| members.iter().filter(|member| member.name() == name).count();
    let Some(wrong) = wanted.iter().find(|wanted| count(wanted.name()) != 1) else { return Ok(()) };
    let found = if count(wrong.name()) == 0 { "no member" } else { "two members" };
    Err(format!("of type {}, which has {found} `{}`", type_name(from), wrong.name()))
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
