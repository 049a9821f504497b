//! Partitioning: in which directory of the result a row belongs, by the values of some of its columns.
//!
//! Owns which columns and types a result can be partitioned by. The form of a directory's name is Hive's.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, Field};
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result, ResultExt},
        hive,
        reject::shown,
        schema::Schema,
        types,
    },
    text::nearest::listed,
};

/// The columns that a result is partitioned by, and those that are written.
#[derive(Debug)]
pub struct Partitioning {
    /// Name and position of each column that decides on the directory.
    by: Vec<(String, usize)>,
    /// Positions of the columns that are written.
    rest: Vec<usize>,
    written: Schema,
}

impl Partitioning {
    /// Creates a partitioning of rows by the columns of these names, which may be none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], which names the column and the choices.
    pub fn new(by: &[String], rows: &Schema) -> Result<Self> {
        let fields = rows.fields.fields();
        let position = |name: &String| {
            let found = fields.iter().position(|field| field.name() == name);
            let unknown = || {
                let known = listed(fields.iter().map(|field| field.name()));
                Error::config(format!(
                    "`sink.partition_by` names column `{name}`, which the result does not have ({known})"
                ))
            };
            let position = found.ok_or_else(unknown)?;
            check_type(&fields[position])?;
            Ok((name.clone(), position))
        };
        let by = by.iter().map(position).collect::<Result<Vec<_>>>()?;
        let rest: Vec<usize> = (0..fields.len()).filter(|column| by.iter().all(|(_, by)| by != column)).collect();
        if rest.is_empty() && !by.is_empty() {
            return Err(Error::config(
                "`sink.partition_by` names all columns of the result, so its rows would be empty",
            ));
        }
        let left = rest.iter().map(|column| fields[*column].as_ref().clone()).collect();
        let written = if by.is_empty() { rows.clone() } else { Schema::new(left, 0)? };
        Ok(Self { by, rest, written })
    }

    /// Returns the schema of the rows as they are written: without the columns that decide on the directory.
    pub fn written(&self) -> &Schema {
        &self.written
    }

    /// Returns the rows as they are written.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the rows are of another schema.
    pub fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        if self.by.is_empty() {
            return Ok(rows.clone());
        }
        rows.project(&self.rest).or_kind(ErrorKind::Internal, || "cannot leave columns out of a batch")
    }

    /// Returns the directories of the rows of a batch.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a column cannot be written as text.
    pub fn directories<'a>(&'a self, rows: &'a RecordBatch) -> Result<Directories<'a>> {
        let column = |(name, position): &'a (String, usize)| Ok((name.as_str(), Texts::of(rows.column(*position))?));
        let columns = self.by.iter().map(column).collect::<Result<_>>()?;
        let keys = if self.by.is_empty() { None } else { Some(self.keys(rows)?) };
        Ok(Directories { columns, keys })
    }

    /// Returns the values that decide on the directories of rows, in a form in which rows are compared.
    fn keys(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.by.iter().map(|(_, position)| Arc::clone(rows.column(*position))).collect();
        let types = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let keys = RowConverter::new(types).and_then(|converter| converter.convert_columns(&columns));
        keys.or_kind(ErrorKind::Internal, || "cannot compare the columns of `sink.partition_by`")
    }
}

/// Checks that the values of a column have a plain text form, of which two are equal if and only if the values are.
fn check_type(field: &Arc<Field>) -> Result<()> {
    let data_type = field.data_type();
    let why = match data_type {
        _ if types::is_json(field) => "whose documents can be written in many ways",
        _ if data_type.is_floating() => "whose values have no exact text form",
        DataType::Binary | DataType::FixedSizeBinary(_) => "whose values need not be text",
        DataType::Duration(_) => "which Hive's layout does not know",
        _ if data_type.is_nested() => "which is more than one value",
        _ => return Ok(()),
    };
    Err(Error::config(format!(
        "`sink.partition_by` names column {}, which is {}, {why} (it takes text, whole numbers, decimals, booleans, dates, \
         times and timestamps)",
        shown(field.name()),
        types::type_name(field)
    )))
}

/// The directories of the rows of a batch.
pub struct Directories<'a> {
    columns: Vec<(&'a str, Texts<'a>)>,
    /// The values of these columns, to compare rows by; absent when there are no columns.
    keys: Option<Rows>,
}

impl Directories<'_> {
    /// Writes the directory of a row to `path`, in the place of what it held.
    ///
    /// # Errors
    /// As [`hive::push`].
    pub fn write(&self, row: usize, path: &mut String) -> Result<()> {
        path.clear();
        self.columns.iter().try_for_each(|(name, texts)| match texts {
            Texts::Text(column) => hive::push(path, name, column.is_valid(row).then(|| column.value(row))),
            Texts::Other(column, _) if column.is_null(row) => hive::push(path, name, None),
            Texts::Other(_, formatter) => hive::push(path, name, Some(&formatter.value(row).to_string())),
        })
    }

    /// Returns the rows from `first` on, up to `rows`, that have the directory of the first one, which goes to `path`.
    ///
    /// # Errors
    /// As [`hive::push`].
    pub fn run(&self, first: usize, rows: usize, path: &mut String) -> Result<usize> {
        self.write(first, path)?;
        let Some(keys) = &self.keys else { return Ok(rows) };
        Ok((first + 1..rows).find(|row| keys.row(*row) != keys.row(first)).unwrap_or(rows))
    }
}

/// The values of a column as text.
enum Texts<'a> {
    Text(&'a StringArray),
    Other(&'a dyn Array, ArrayFormatter<'a>),
}

impl<'a> Texts<'a> {
    fn of(column: &'a dyn Array) -> Result<Self> {
        if *column.data_type() == DataType::Utf8 {
            return Ok(Self::Text(column.as_string()));
        }
        let formatter = ArrayFormatter::try_new(column, &FormatOptions::default());
        Ok(Self::Other(column, formatter.or_kind(ErrorKind::Internal, || "cannot write a column as text")?))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{BooleanArray, Date32Array, Decimal128Array, Int64Array, TimestampMicrosecondArray, UInt64Array};

    use super::*;

    fn by(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fields(types: &[(&str, &str)]) -> Schema {
        Schema::new(types.iter().map(|(name, written)| types::parse(name, written).expect("a type")).collect(), 0)
            .expect("valid")
    }

    #[test]
    fn every_type_with_a_plain_text_form_makes_a_directory() {
        let columns: [(&str, ArrayRef); 8] = [
            ("city", Arc::new(StringArray::from(vec![Some("Zürich/Oerlikon"), None, Some("")]))),
            ("n", Arc::new(Int64Array::from(vec![Some(-7), None, Some(0)]))),
            ("id", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
            ("ok", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("day", Arc::new(Date32Array::from(vec![Some(20_784), None, Some(0)]))),
            ("price", {
                let price = Decimal128Array::from(vec![Some(1250), None, Some(-1)]);
                Arc::new(price.with_precision_and_scale(10, 2).expect("a decimal"))
            }),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(0)]).with_timezone("UTC"))),
            ("rest", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
        let rows = rows.expect("rows");
        let schema = Schema { fields: rows.schema(), key_fields: 0 };
        let names = ["day", "city", "n", "id", "ok", "price", "at"];
        let partitioning = Partitioning::new(&by(&names), &schema).expect("fits");
        assert_eq!(partitioning.project(&rows).expect("projects").num_columns(), 1);
        let (directories, mut path) = (partitioning.directories(&rows).expect("text"), String::new());
        directories.write(0, &mut path).expect("short");
        assert_eq!(
            path,
            "day=2026-11-27/city=Zürich%2FOerlikon/n=-7/id=18446744073709551615/ok=true/price=12.50/\
             at=1970-01-01T00%3A00%3A00.000001Z"
        );
        directories.write(1, &mut path).expect("short");
        assert_eq!(path, names.map(|name| format!("{name}={}", hive::NULL)).join("/"));
    }

    #[test]
    fn rows_of_one_directory_that_follow_each_other_are_found_at_once() {
        let columns: [(&str, ArrayRef); 3] = [
            ("a", Arc::new(StringArray::from(vec![Some("x"), Some("x"), None, None, Some("x"), Some("x")]))),
            ("b", Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(1), None, None, Some(1)]))),
            ("c", Arc::new(Int64Array::from(vec![1; 6]))),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
        let rows = rows.expect("rows");
        let schema = Schema { fields: rows.schema(), key_fields: 0 };
        let ends = |names: &[&str]| {
            let partitioning = Partitioning::new(&by(names), &schema).expect("fits");
            let directories = partitioning.directories(&rows).expect("text");
            let (mut ends, mut path) = (vec![0], String::new());
            while *ends.last().expect("one") < 6 {
                ends.push(directories.run(*ends.last().expect("one"), 6, &mut path).expect("short"));
            }
            ends
        };
        assert_eq!(ends(&["a"]), [0, 2, 4, 6]);
        assert_eq!(ends(&["a", "b"]), [0, 2, 3, 4, 5, 6]);
        assert_eq!(ends(&[]), [0, 6]);
    }

    #[test]
    fn columns_that_cannot_be_partitioned_by_are_refused_with_the_reason() {
        let schema = fields(&[
            ("day", "date"),
            ("mean", "float64"),
            ("raw", "binary"),
            ("tags", "list<text>"),
            ("doc", "json"),
            ("took", "duration(ms)"),
        ]);
        for (name, why) in [
            ("mean", "column `mean`, which is float64, whose values have no exact text form (it takes text, "),
            ("raw", "column `raw`, which is binary, whose values need not be text"),
            ("tags", "column `tags`, which is list<text>, which is more than one value"),
            ("doc", "column `doc`, which is json, whose documents"),
            ("took", "column `took`, which is duration(ms), which Hive's layout does not know"),
            ("dya", "column `dya`, which the result does not have (`day`, `mean`, "),
        ] {
            let error = Partitioning::new(&by(&["day", name]), &schema).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(why), "{error}");
        }
        let refused = Partitioning::new(&by(&["day"]), &fields(&[("day", "date")])).expect_err("nothing is left");
        assert!(refused.to_string().contains("names all columns"), "{refused}");
    }
}
