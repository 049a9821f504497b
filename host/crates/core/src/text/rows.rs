//! Rows as text for people and programs: aligned columns, or one JSON object per line.
//!
//! Owns how a value is written. The callers, such as `try`, `laws` and `diff`, decide which rows are shown, and where.

use std::fmt::Write;

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field};
use serde_json::Value;

use crate::{
    model::{hex::hex, types},
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
/// string of hexadecimal digits; numbers that JSON does not have become `"NaN"`, `"Infinity"` and `"-Infinity"`;
/// decimals, dates, times and durations become the string that a CSV part has for them.
pub fn json_lines(rows: &RecordBatch) -> String {
    let mut text = String::new();
    for row in 0..rows.num_rows() {
        let cells = rows.schema_ref().fields().iter().zip(rows.columns());
        let cells =
            cells.map(|(field, column)| format!("{}:{}", Value::from(field.name().as_str()), json(field, column, row)));
        _ = writeln!(text, "{{{}}}", cells.collect::<Vec<_>>().join(","));
    }
    text
}

/// Returns the values of a row as JSON, in the order of the columns.
pub fn values(rows: &RecordBatch, row: usize) -> Vec<Value> {
    let fields = rows.schema_ref().fields().iter();
    fields.zip(rows.columns()).map(|(field, column)| json(field, column, row)).collect()
}

/// Returns the content that a reject keeps of a row that does not come straight from the source: the value of its only
/// column if that is text or bytes, otherwise the row as a JSON object.
pub fn record_of(row: &RecordBatch) -> Vec<u8> {
    match row.columns() {
        [only] if only.is_valid(0) && *only.data_type() == DataType::Binary => {
            only.as_binary::<i32>().value(0).to_vec()
        }
        [only] if only.is_valid(0) && *only.data_type() == DataType::Utf8 => only.as_string::<i32>().value(0).into(),
        _ => json_lines(row).trim_ascii_end().into(),
    }
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
        let right = field.data_type().is_numeric();
        let cells = (0..rows.num_rows()).map(|row| match json(field, values, row) {
            Value::String(text) => text,
            _ if field.data_type().is_floating() && values.is_valid(row) => text(values, row),
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

fn json(field: &Field, column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match field.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Utf8 => match column.as_string::<i32>().value(row) {
            value if types::is_json(field) => serde_json::from_str(value).unwrap_or_else(|_| value.into()),
            value => value.into(),
        },
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => bytes(column.as_fixed_size_binary().value(row)),
        DataType::List(item) => items(item, &column.as_list::<i32>().value(row)),
        DataType::Map(entries, _) => items(entries, &column.as_map().value(row)),
        DataType::Struct(members) => {
            let columns = members.iter().zip(column.as_struct().columns());
            columns.map(|(member, column)| (member.name().clone(), json(member, column, row))).collect()
        }
        data_type if data_type.is_integer() || data_type.is_floating() => number(text(column, row)),
        _ => text(column, row).into(),
    }
}

fn items(item: &Field, items: &dyn Array) -> Value {
    (0..items.len()).map(|row| json(item, items, row)).collect()
}

fn bytes(bytes: &[u8]) -> Value {
    str::from_utf8(bytes).map_or_else(|_| hex(bytes).into(), Value::from)
}

/// Returns a number, or the text of one that JSON does not have.
fn number(text: String) -> Value {
    match text.as_str() {
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        _ => serde_json::from_str(&text).unwrap_or_else(|_| text.into()),
    }
}

/// Returns a value as Arrow writes it.
fn text(column: &dyn Array, row: usize) -> String {
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::default());
    formatter.map_or_else(|error| error.to_string(), |formatter| formatter.value(row).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMillisecondArray, Float32Array,
        Float64Array, Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
        types::Int32Type,
    };
    use arrow_schema::Schema;

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
null          -1  1.0  true
";
        assert_eq!(table(&rows(), None), expected);
        let marked = table(&rows().slice(0, 2), Some(&["-", "+"]));
        assert!(
            marked.starts_with("   city ") && marked.contains("\n-  Chur ") && marked.contains("\n+  a\\u"),
            "{marked}"
        );
    }

    #[test]
    fn values_of_all_types_are_shown() {
        let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        let price = Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).expect("a decimal");
        let members: Vec<(&str, ArrayRef)> = vec![("small", Arc::new(Float32Array::from(vec![0.1])))];
        let columns: [(&str, ArrayRef); 7] = [
            ("tags", Arc::new(tags)),
            ("price", Arc::new(price)),
            ("inner", Arc::new(StructArray::try_from(members).expect("a struct"))),
            ("day", Arc::new(Date32Array::from(vec![20_000]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("Europe/Zurich"))),
            ("took", Arc::new(DurationMillisecondArray::from(vec![1500]))),
            ("id", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).expect("rows");
        let expected = concat!(
            r#"{"tags":[1,null],"price":"12.50","inner":{"small":0.1},"day":"2024-10-04","#,
            r#""at":"1970-01-01T01:00:00.000001+01:00","took":"PT1.5S","id":18446744073709551615}"#,
            "\n"
        );
        assert_eq!(json_lines(&rows), expected);
        assert_eq!(record_of(&rows), expected.trim_ascii_end().as_bytes());
        let json = types::as_json(Field::new("doc", DataType::Utf8, false));
        let document: ArrayRef = Arc::new(StringArray::from(vec![r#"{"a": [1]}"#]));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![json])), vec![document]).expect("rows");
        assert_eq!(json_lines(&rows), "{\"doc\":{\"a\":[1]}}\n");
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
