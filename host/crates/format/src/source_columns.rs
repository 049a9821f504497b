//! Source columns: columns behind the fields that say where each record is from.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
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
}

impl SourceColumn {
    fn data_type(self) -> DataType {
        match self {
            Self::Object => DataType::Utf8,
            Self::Offset => DataType::Int64,
        }
    }

    fn of(self, batch: &SourceBatch) -> ArrayRef {
        let origins = (0..batch.batch.num_rows()).map(|row| batch.origin(row));
        match self {
            Self::Object => Arc::new(StringArray::from_iter_values(origins.map(|origin| origin.object))),
            Self::Offset => {
                let offset = |offset| i64::try_from(offset).unwrap_or(i64::MAX);
                Arc::new(Int64Array::from_iter_values(origins.map(|origin| offset(origin.offset))))
            }
        }
    }
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
        let columns = self.0.iter().map(|(name, column)| Field::new(name, column.data_type(), false));
        let fields = schema.fields.fields().iter().map(|field| field.as_ref().clone());
        Schema::new(fields.chain(columns).collect(), schema.key_fields)
    }

    /// Returns a decoder that adds the columns to what another one decodes. `schema` has them already.
    pub(crate) fn behind_records<'a>(&self, decoder: Box<dyn Decode + 'a>, schema: &Schema) -> Box<dyn Decode + 'a> {
        if self.0.is_empty() {
            return decoder;
        }
        let columns = self.0.iter().map(|(_, column)| *column).collect();
        Box::new(WithColumns { decoder, columns, schema: schema.clone() })
    }
}

/// A decoder that adds columns to what another one decodes.
struct WithColumns<'a> {
    decoder: Box<dyn Decode + 'a>,
    columns: Vec<SourceColumn>,
    schema: Schema,
}

impl Decode for WithColumns<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        let Some(batch) = self.decoder.next_batch()? else { return Ok(None) };
        let added = self.columns.iter().map(|column| column.of(&batch));
        let arrays = batch.batch.columns().iter().cloned().chain(added).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema.fields), arrays)
            .or_kind(ErrorKind::Internal, || "cannot add columns to a batch of records")?;
        Ok(Some(batch.with_rows(rows)))
    }
}
