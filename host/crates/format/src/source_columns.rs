//! Source columns: columns behind the fields that say where each record is from.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, builder::StringBuilder};
use arrow_schema::{DataType, Field};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    hive,
    schema::Schema,
};

use crate::{Decode, SourceBatch};

/// What a column says about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceColumn {
    /// The name of its object, as text.
    Object,
    /// Its position in the object: the byte at which it starts, after decompression, or in a format of rows its row.
    Offset,
    /// The value of the directory `column=value` in the name of its object, as text.
    Hive,
}

impl SourceColumn {
    fn field(self, name: &str) -> Field {
        match self {
            Self::Object => Field::new(name, DataType::Utf8, false),
            Self::Offset => Field::new(name, DataType::Int64, false),
            Self::Hive => Field::new(name, DataType::Utf8, true),
        }
    }

    fn of(self, name: &str, batch: &SourceBatch) -> Result<ArrayRef> {
        let origins = (0..batch.batch.num_rows()).map(|row| batch.origin(row));
        Ok(match self {
            Self::Object => Arc::new(StringArray::from_iter_values(origins.map(|origin| origin.object))),
            Self::Offset => {
                let offset = |offset| i64::try_from(offset).unwrap_or(i64::MAX);
                Arc::new(Int64Array::from_iter_values(origins.map(|origin| offset(origin.at.number()))))
            }
            Self::Hive => Arc::new(directories(name, origins.map(|origin| origin.object))?),
        })
    }
}

/// Returns the values of a column that the directories of objects have, one for each record.
///
/// # Errors
/// [`ErrorKind::Input`] when an object has no directory of the column.
fn directories<'a>(column: &str, objects: impl Iterator<Item = &'a str>) -> Result<StringArray> {
    let (mut values, mut last) = (StringBuilder::new(), None);
    for object in objects {
        // Records of one object follow each other.
        let value = match last.take() {
            Some((known, value)) if known == object => value,
            _ => directory(column, object)?,
        };
        values.append_option(value.as_deref());
        last = Some((object, value));
    }
    Ok(values.finish())
}

fn directory(column: &str, object: &str) -> Result<Option<String>> {
    let directories = object.rsplit_once('/').map_or("", |(directories, _)| directories);
    let found = hive::values(directories).find(|(name, _)| name == column);
    found.map(|(_, value)| value).ok_or_else(|| {
        Error::input(format!(
            "object `{object}` lies in no directory `{column}=…` below `source.url`, from which `source.columns` takes \
             column `{column}`"
        ))
    })
}

/// The names of the columns, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceColumns(Vec<(String, SourceColumn)>);

impl SourceColumns {
    /// Creates a list of columns. They stand in the order of what they say, so that their order is always the same.
    pub fn new(mut columns: Vec<(String, SourceColumn)>) -> Self {
        columns.sort_by(|(name, column), (other, than)| (column, name).cmp(&(than, other)));
        Self(columns)
    }

    /// Returns a schema with the columns behind its fields.
    ///
    /// # Errors
    /// As [`Schema::new`].
    pub(crate) fn behind(&self, schema: &Schema) -> Result<Schema> {
        if self.0.is_empty() {
            return Ok(schema.clone());
        }
        let columns = self.0.iter().map(|(name, column)| column.field(name));
        let fields = schema.fields.fields().iter().map(|field| field.as_ref().clone());
        Schema::new(fields.chain(columns).collect(), schema.key_fields)
    }

    /// Returns a decoder that adds the columns to what another one decodes. `schema` has them already.
    pub(crate) fn behind_records<'a>(&self, decoder: Box<dyn Decode + 'a>, schema: &Schema) -> Box<dyn Decode + 'a> {
        if self.0.is_empty() {
            return decoder;
        }
        Box::new(WithColumns { decoder, columns: self.clone(), schema: schema.clone() })
    }
}

/// A decoder that adds columns to what another one decodes.
struct WithColumns<'a> {
    decoder: Box<dyn Decode + 'a>,
    columns: SourceColumns,
    schema: Schema,
}

impl Decode for WithColumns<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        let Some(batch) = self.decoder.next_batch()? else { return Ok(None) };
        let added = self.columns.0.iter().map(|(name, column)| column.of(name, &batch));
        let arrays = batch.batch.columns().iter().cloned().map(Ok).chain(added).collect::<Result<_>>()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema.fields), arrays)
            .or_kind(ErrorKind::Internal, || "cannot add columns to a batch of records")?;
        Ok(Some(batch.with_rows(rows)))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, cast::AsArray, types::Int64Type};
    use bytes::Bytes;
    use etl_core::model::object::Compression;

    use super::*;
    use crate::{Chunk, SourceFormat};

    #[test]
    fn columns_say_where_each_record_is_from_in_every_format() {
        let columns = [("at", SourceColumn::Offset), ("file", SourceColumn::Object)];
        let columns = columns.map(|(name, column)| (name.to_owned(), column)).to_vec();
        let schema = Schema::parse(&["a=int64".to_owned()], 0).expect("a schema");
        for (name, text, offsets) in [
            ("lines", "x\nyy\nz", [0, 2, 5]),
            ("csv", "a\n1\nbad,\n2\n3\n", [2, 9, 11]),
            ("json", "{\"a\":1}\n{}\n7\n{}", [0, 8, 13]),
        ] {
            let fields = (name != "lines").then(|| schema.clone().into());
            let format = SourceFormat::new(name, fields).expect("a format");
            let format = format.with_columns(SourceColumns::new(columns.clone())).expect("no such field");
            assert_eq!(format.schema().fields.field(1), &Field::new("file", DataType::Utf8, false), "{name}");
            let chunks = [Chunk::whole("o", Compression::None), Chunk::Data(Bytes::from(text))].map(Ok);
            let batch = format.decoder(Box::new(chunks.into_iter())).expect("fits").next_batch();
            let batch = batch.expect("reads").expect("a batch");
            assert_eq!(batch.batch.schema(), format.schema().fields, "{name}");
            let (object, offset) = (batch.batch.column(1).as_string::<i32>(), batch.batch.column(2));
            assert!((0..object.len()).all(|row| object.value(row) == "o"), "{name}");
            assert_eq!(offset.as_primitive::<Int64Type>().values(), &offsets, "{name}");
        }
    }

    #[test]
    fn directories_of_hive_are_columns() {
        let objects = ["a=1/b=x%2Fy/p", "a=1/b=x%2Fy/p", "a=__HIVE_DEFAULT_PARTITION__/p", "in/b=2/a=3/a=4/p"];
        let values = directories("a", objects.into_iter()).expect("each has one");
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some("1"), Some("1"), None, Some("3")]);
        let values = directories("b", objects[..2].iter().copied()).expect("each has one");
        assert_eq!(values.value(1), "x/y");
        for object in ["p", "b=2/p", "b=2/a=3"] {
            let error = directories("a", [object].into_iter()).expect_err(object).to_string();
            assert!(error.starts_with(&format!("object `{object}` lies in no directory `a=…` below")), "{error}");
        }
    }

    #[test]
    fn a_column_cannot_have_the_name_of_a_field() {
        let columns = SourceColumns::new(vec![("line".to_owned(), SourceColumn::Object)]);
        let error = SourceFormat::lines().with_columns(columns).expect_err("it is taken").to_string();
        assert_eq!(error, "two fields are called `line`");
    }
}
