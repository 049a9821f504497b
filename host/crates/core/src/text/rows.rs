//! Rows as text for people and programs: aligned columns, or one JSON object per line.
//!
//! Owns how a value is written. The callers, such as `try`, `laws` and `diff`, decide which rows are shown, and where.

use std::fmt::Write;

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_schema::DataType;
use serde_json::Value;

use crate::{
    model::{hex::hex, schema::ColumnType},
    text::{numbers::printable, table},
};

/// The most characters of a value that a table shows.
const WIDTH_MAX: usize = 60;

/// Returns rows as a table with a header and aligned columns: numbers are aligned to the right, long values are cut,
/// and control characters are escaped. `marks` has a mark for each row, such as `-` or `+`, which is put before it.
pub fn table(rows: &RecordBatch, marks: Option<&[&str]>) -> String {
    let mut columns: Vec<Column> = (0..rows.num_columns()).map(|column| Column::new(rows, column)).collect();
    if let Some(marks) = marks {
        let cells = [""].iter().chain(marks).map(|mark| (*mark).to_owned()).collect();
        columns.insert(0, Column { cells, right: false });
    }
    let line = |line: usize| -> Vec<String> { columns.iter().map(|column| column.cells[line].clone()).collect() };
    let lines: Vec<Vec<String>> = (0..=rows.num_rows()).map(line).collect();
    let right: Vec<usize> = (0..columns.len()).filter(|column| columns[*column].right).collect();
    table::table(&lines, 0, &right)
}

/// Returns rows as JSON Lines, with the columns in their order. Binary values that are UTF-8 become a string, others a
/// string of hexadecimal digits; numbers that JSON does not have become `"NaN"`, `"Infinity"` and `"-Infinity"`.
pub fn json_lines(rows: &RecordBatch) -> String {
    let mut text = String::new();
    for row in 0..rows.num_rows() {
        let cells = rows.schema_ref().fields().iter().zip(rows.columns());
        let cells =
            cells.map(|(field, column)| format!("{}:{}", Value::from(field.name().as_str()), json(column, row)));
        _ = writeln!(text, "{{{}}}", cells.collect::<Vec<_>>().join(","));
    }
    text
}

/// Returns the values of a row as JSON, in the order of the columns.
pub fn values(rows: &RecordBatch, row: usize) -> Vec<Value> {
    rows.columns().iter().map(|column| json(column, row)).collect()
}

/// A column of a table as text.
struct Column {
    /// The column's name, followed by its values.
    cells: Vec<String>,
    /// Whether the cells are aligned to the right.
    right: bool,
}

impl Column {
    fn new(rows: &RecordBatch, column: usize) -> Self {
        let (field, values) = (rows.schema_ref().field(column), rows.column(column));
        let right = matches!(field.data_type(), DataType::Int64 | DataType::Float64);
        let cells = (0..rows.num_rows()).map(|row| match json(values, row) {
            Value::String(text) => text,
            _ if matches!(field.data_type(), DataType::Float64) && values.is_valid(row) => {
                values.as_primitive::<Float64Type>().value(row).to_string()
            }
            value => value.to_string(),
        });
        let cells = [field.name().clone()].into_iter().chain(cells).map(|cell| shown(&cell)).collect();
        Self { cells, right }
    }
}

/// Returns a value on one line, cut to [`WIDTH_MAX`] characters.
fn shown(cell: &str) -> String {
    let line = cell.replace('\n', "\\n").replace('\t', "\\t");
    let safe = printable(&line);
    if safe.chars().count() <= WIDTH_MAX {
        return safe;
    }
    safe.chars().take(WIDTH_MAX - 1).chain(['…']).collect()
}

fn json(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match ColumnType::of(column.data_type()) {
        Some(ColumnType::Boolean) => column.as_boolean().value(row).into(),
        Some(ColumnType::Int64) => column.as_primitive::<Int64Type>().value(row).into(),
        Some(ColumnType::Float64) => number(column.as_primitive::<Float64Type>().value(row)),
        Some(ColumnType::Text) => column.as_string::<i32>().value(row).into(),
        Some(ColumnType::Binary) => {
            let bytes = column.as_binary::<i32>().value(row);
            str::from_utf8(bytes).map_or_else(|_| hex(bytes).into(), Value::from)
        }
        None => format!("a value of type {}", column.data_type()).into(),
    }
}

fn number(value: f64) -> Value {
    match value {
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        _ if value.is_nan() => "NaN".into(),
        _ => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};

    use super::*;

    fn rows() -> RecordBatch {
        let columns: [(&str, ArrayRef); 5] = [
            ("city", Arc::new(StringArray::from(vec![Some("Chur"), Some("a\u{1b}\nb"), None]))),
            ("n", Arc::new(Int64Array::from(vec![7, 1234, -1]))),
            ("x", Arc::new(Float64Array::from(vec![0.5, f64::NAN, 1.0]))),
            ("ok", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("raw", Arc::new(BinaryArray::from(vec![b"text".as_slice(), b"\xff\x00", b""]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("rows")
    }

    #[test]
    fn columns_are_aligned_and_foreign_text_is_harmless() {
        let expected = "\
city           n    x  ok     raw
Chur           7  0.5  true   text
a\\u{1b}\\nb  1234  NaN  false  ff00
null          -1    1  true
";
        assert_eq!(table(&rows(), None), expected);
        let marked = table(&rows().slice(0, 2), Some(&["-", "+"]));
        assert!(
            marked.starts_with("   city ") && marked.contains("\n-  Chur ") && marked.contains("\n+  a\\u"),
            "{marked}"
        );
    }

    #[test]
    fn a_value_of_a_type_that_no_batch_has_is_named() {
        let other: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
        assert_eq!(values(&RecordBatch::try_from_iter([("n", other)]).expect("rows"), 0), ["a value of type Int32"]);
    }

    #[test]
    fn a_long_value_is_cut() {
        let long: ArrayRef = Arc::new(StringArray::from(vec!["é".repeat(100)]));
        let table = table(&RecordBatch::try_from_iter([("long", long)]).expect("rows"), None);
        assert_eq!(table.lines().nth(1).expect("a row").chars().count(), WIDTH_MAX);
    }

    #[test]
    fn json_keeps_the_order_of_columns() {
        let lines = json_lines(&rows());
        let first = lines.lines().next().expect("a row");
        assert_eq!(first, r#"{"city":"Chur","n":7,"x":0.5,"ok":true,"raw":"text"}"#);
        assert!(lines.contains(r#""x":"NaN""#) && lines.contains(r#""raw":"ff00""#), "{lines}");
        assert_eq!(values(&rows(), 2)[..2], [Value::Null, (-1).into()]);
    }
}
