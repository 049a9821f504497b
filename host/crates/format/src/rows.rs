//! Rows of a file on their way into a batch of the source.
//!
//! Owns which rows are rejects: those with a value that does not fit its field.

use std::{borrow::Cow, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema, TimeUnit};
use arrow_select::filter::filter;
use etl_core::{
    model::{
        error::{ErrorKind, Result, ResultExt},
        position::Position,
        reject::{Reject, SOURCE},
        schema::Schema,
        sizes::{Measure, RowSizes},
        types::type_name,
    },
    text::rows::{record_of, values},
};

use crate::{
    Origin, SourceBatch,
    columns::shown,
    convert::{convert, is_int96, kept},
    origin::Origins,
};

/// The positions of rows: of some of them, in order, with those of the rows behind each. The first row has one.
#[derive(Clone)]
pub(crate) struct Places(pub(crate) Vec<(usize, Position)>);

impl Places {
    /// Returns the position of a row.
    fn of(&self, row: usize) -> Position {
        let (first, position) = self.0[self.0.partition_point(|(first, _)| *first <= row) - 1];
        position.further((row - first) as u64)
    }
}

/// Some rows as they are in the file.
pub(crate) struct Rows<'a> {
    pub(crate) rows: RecordBatch,
    pub(crate) object: &'a Arc<str>,
    pub(crate) places: Places,
    /// Which column each field is made of, and the column's field in the file; `None` for one of nulls.
    pub(crate) columns: &'a [Option<(usize, Arc<Field>)>],
}

impl Rows<'_> {
    /// Makes a batch of the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when that is not possible, which is not expected.
    pub(crate) fn convert(&self, schema: &Schema) -> Result<SourceBatch> {
        let cannot = || format!("cannot make a batch of rows of object `{}`", self.object);
        let (mut columns, mut wrong) = (Vec::new(), Vec::new());
        for (number, (to, column)) in schema.fields.fields().iter().zip(self.columns).enumerate() {
            let Some((index, from)) = column else {
                columns.push(new_null_array(to.data_type(), self.rows.num_rows()));
                continue;
            };
            let converted = convert(self.rows.column(*index), from, to).or_kind(ErrorKind::Internal, cannot)?;
            columns.push(converted.array);
            wrong.extend(converted.wrong.map(|rows| (number, rows)));
        }
        let any = wrong
            .iter()
            .map(|(_, rows)| rows)
            .fold(None, |any: Option<BooleanBuffer>, rows| Some(any.map_or_else(|| rows.clone(), |any| &any | rows)));
        let (mut kept_rows, mut rejects) = (None, Vec::new());
        if let Some(any) = any {
            rejects = self.rejects(&any, &wrong, schema).or_kind(ErrorKind::Internal, cannot)?;
            columns = self.keep(&any, &columns).or_kind(ErrorKind::Internal, cannot)?;
            kept_rows = Some((!&any).set_indices().collect::<Vec<_>>());
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema.fields), columns).or_kind(ErrorKind::Internal, cannot)?;
        let bytes = RowSizes::new(&self.rows, Measure::Memory).total() as u64;
        let origins = RowOrigins {
            object: Arc::clone(self.object),
            places: self.places.clone(),
            kept: kept_rows,
            rows: batch.clone(),
        };
        Ok(SourceBatch::new(batch, rejects, bytes, Box::new(origins), None))
    }

    fn keep(&self, wrong: &BooleanBuffer, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        let keep = kept(wrong);
        columns.iter().map(|column| filter(column, &keep)).collect()
    }

    fn rejects(
        &self,
        any: &BooleanBuffer,
        wrong: &[(usize, BooleanBuffer)],
        schema: &Schema,
    ) -> Result<Vec<Reject>, ArrowError> {
        let reject = |row: usize| {
            let as_is = self.as_is(row)?;
            let column = wrong.iter().find(|(_, rows)| rows.value(row)).map_or(0, |(column, _)| *column);
            let (to, there) = (schema.fields.field(column), self.columns[..column].iter().flatten().count());
            let from = self.columns[column].as_ref().map_or(to, |(_, from)| from);
            let value = values(&as_is, 0).swap_remove(there);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let reason = format!(
                "`{}` in column `{}` is {}, which does not fit {}",
                shown(&value),
                to.name(),
                type_name(from),
                type_name(to)
            );
            let reject = Reject::new(SOURCE, &reason).at(self.object, self.places.of(row));
            Ok(reject.with_record(&record_of(&as_is)))
        };
        any.set_indices().map(reject).collect()
    }

    /// Returns a row with the values that the file has, text as bytes.
    fn as_is(&self, row: usize) -> Result<RecordBatch, ArrowError> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (index, from) in self.columns.iter().flatten() {
            let column = self.rows.column(*index).slice(row, 1);
            let mut field = with_bytes(self.rows.schema_ref().field(*index));
            if matches!(from.data_type(), DataType::Timestamp(..)) && is_int96(&column) {
                field = field.with_data_type(DataType::Timestamp(TimeUnit::Microsecond, None));
                columns.push(convert(&column, from, &field)?.array);
            } else {
                columns.push(convert(&column, &field, &field)?.array);
            }
            fields.push(field);
        }
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns)
    }
}

/// Returns a field as it is read with plain bytes instead of views.
fn with_bytes(field: &Field) -> Field {
    let part = |part: &Field| Arc::new(with_bytes(part));
    let data_type = match field.data_type() {
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(part(item)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(|member| with_bytes(member)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(part(entries), *sorted),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}

/// The places of the rows of a batch.
struct RowOrigins {
    object: Arc<str>,
    places: Places,
    /// The rows that are no rejects, counted from the first; `None` if all of them are in the batch.
    kept: Option<Vec<usize>>,
    rows: RecordBatch,
}

impl Origins for RowOrigins {
    fn origin(&self, record: usize) -> Origin<'_> {
        let row = self.kept.as_ref().map_or(record, |kept| kept[record]);
        Origin {
            object: &self.object,
            at: self.places.of(row),
            record: Cow::Owned(record_of(&self.rows.slice(record, 1))),
        }
    }
}
