//! Reduce plugin `newest`, also a combiner: keeps one row of each key, the one with the largest value in a column.
//!
//! Input: any key; values of any type, one of which has an order: no list, struct or map. Output: the same columns, one
//! row for each key, its values as they were.
//!
//! Null is smaller than any value. Of rows with the same value, the last in order is kept: that of the last shard, and
//! within a shard the last that was emitted.

use std::cmp::Ordering;

use etl_plugin::{Cell, Context, DataType, Describe, Output, OwnedCell, Reducer, Rows, Schema, StepError, Value};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
struct Config {
    /// The value column whose largest value says which row is the newest.
    by: String,
    /// Whether to keep the row with the smallest value instead.
    #[serde(default)]
    oldest: bool,
}

struct Newest {
    input: Schema,
    by: usize,
    /// How a row compares with the one that is kept if it is kept in its place; so does one that is equal.
    better: Ordering,
    /// The values of the row that is kept of the current key; meaningless before the key's first row. They are here and
    /// not in `State`, so that their memory serves for all keys.
    kept: Vec<OwnedCell>,
}

impl Reducer for Newest {
    type Config = Config;

    /// Whether a row of the key is kept.
    type State = bool;

    fn open(config: Config, context: &Context) -> Result<Self, StepError> {
        let input = context.input.clone();
        let by = column(&config.by, &input)?;
        let better = if config.oldest { Ordering::Less } else { Ordering::Greater };
        Ok(Self { input, by, better, kept: Vec::new() })
    }

    fn schema(&self) -> Schema {
        self.input.clone()
    }

    fn fold(&mut self, is_kept: &mut bool, rows: Rows<'_>) -> Result<(), StepError> {
        let column = rows.any(self.by)?;
        let (mut best, mut value) = (0, column.cell(0));
        for row in 1..rows.len() {
            let cell = column.cell(row);
            if self.replaces(&cell, &value) {
                (best, value) = (row, cell);
            }
        }
        let first = self.input.key_fields().len();
        if !*is_kept || self.replaces(&value, &self.kept[self.by - first].cell()) {
            self.kept.clear();
            self.kept.extend((first..self.input.fields.len()).map(|column| rows.cell(column, best).into()));
            *is_kept = true;
        }
        Ok(())
    }

    fn end(&mut self, key: &[Cell<'_>], _: bool, out: &mut Output) -> Result<(), StepError> {
        out.emit_cells(key.iter().copied().chain(self.kept.iter().map(Value::cell)))
    }
}

impl Newest {
    fn replaces(&self, cell: &Cell<'_>, kept: &Cell<'_>) -> bool {
        cell.compare(kept).is_some_and(|order| order == self.better || order.is_eq())
    }
}

/// Returns the index of the column that decides.
fn column(name: &str, input: &Schema) -> Result<usize, StepError> {
    let index = input.fields.iter().position(|field| field.name == name);
    let Some(index) = index.filter(|index| *index >= input.key_fields().len()) else {
        let values = Schema { fields: input.value_fields().to_vec(), key_fields: 0 };
        let message = format!("`by = \"{name}\"` is not a value column (value columns: {values})");
        return Err(StepError::InvalidConfig(message));
    };
    match &input.fields[index].data_type {
        unordered @ (DataType::List(_) | DataType::Struct(_) | DataType::Map(..)) => {
            let takes = "`newest` takes any type but lists, structs and maps";
            Err(StepError::InvalidConfig(format!("`by = \"{name}\"` is {unordered}, which has no order ({takes})")))
        }
        _ => Ok(index),
    }
}

etl_plugin::export_reducer!(Newest);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{Json, combine_rows, json, reduce_rows, rows};
    use etl_plugin::{Binary, Boolean, Date, Decimal, Float64, Int64, Text, Timestamp, UInt64, Unit};

    fn events() -> Schema {
        let at = DataType::Timestamp { unit: Unit::Milli, zone: Some("UTC".to_owned()) };
        Schema::new().key("id", Text).value("status", Text).nullable_value("at", at)
    }

    fn at(millis: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(millis))
    }

    fn newest(config: Json, input: &[(&'static str, &'static str, Option<Timestamp>)]) -> Vec<Vec<OwnedCell>> {
        reduce_rows::<Newest>(config, &events(), input.to_vec()).expect("no error").rows
    }

    #[test]
    fn the_newest_row_of_each_key_is_kept() {
        let input = [("b", "old", at(1)), ("a", "only", at(5)), ("b", "new", at(9)), ("b", "older", at(0))];
        let expected = rows([("a", "only", at(5)), ("b", "new", at(9))]);
        assert_eq!(newest(json!({ "by": "at" }), &input), expected);
    }

    #[test]
    fn the_oldest_row_is_kept_where_told() {
        let input = [("a", "new", at(9)), ("a", "old", at(1)), ("a", "old, too", at(1)), ("a", "middle", at(5))];
        let expected = rows([("a", "old, too", at(1))]);
        assert_eq!(newest(json!({ "by": "at", "oldest": true }), &input), expected);
    }

    #[test]
    fn of_equal_rows_the_last_is_kept() {
        let input = [("a", "first", at(1)), ("a", "last", at(1)), ("b", "first", None), ("b", "last", None)];
        let expected = rows([("a", "last", at(1)), ("b", "last", None)]);
        assert_eq!(newest(json!({ "by": "at" }), &input), expected);
    }

    #[test]
    fn null_is_smaller_than_any_value() {
        let input = [("a", "null", None), ("a", "early", at(i64::MIN)), ("a", "null again", None)];
        assert_eq!(newest(json!({ "by": "at" }), &input), rows([("a", "early", at(i64::MIN))]));
        assert_eq!(
            newest(json!({ "by": "at", "oldest": true }), &input),
            rows([("a", "null again", at(0).filter(|_| false))])
        );
    }

    #[test]
    fn combining_first_changes_nothing() -> Result<(), StepError> {
        let all: Vec<_> = (0..40_i64).map(|n| (n % 3, n * 7 % 5, n)).collect();
        let input = Schema::new().key("id", Int64).value("version", Int64).value("row", Int64);
        for oldest in [false, true] {
            let config = json!({ "by": "version", "oldest": oldest });
            let expected = reduce_rows::<Newest>(config.clone(), &input, all.clone())?.rows;
            for cut in 0..=all.len() {
                let mut combined = Vec::new();
                for part in [&all[..cut], &all[cut..]] {
                    combined.extend(combine_rows::<Newest>(config.clone(), &input, part.to_vec())?.rows);
                }
                let combined = combined.iter().map(|row| (&row[0], &row[1], &row[2]));
                assert_eq!(reduce_rows::<Newest>(config.clone(), &input, combined)?.rows, expected, "cut at {cut}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_ordered_type_decides_and_every_type_is_kept() -> Result<(), StepError> {
        fn pair<V: Value + Copy>(data_type: DataType, small: V, large: V) -> Result<(), StepError> {
            let input = Schema::new().key("k", Int64).value("by", data_type);
            let input = input.value("tags", DataType::map(Text, DataType::list(Int64)));
            let tags = |n: i64| vec![("k", vec![n])];
            let rows_in = [(1, large, tags(2)), (1, small, tags(1))];
            let outcome = reduce_rows::<Newest>(json!({ "by": "by" }), &input, rows_in.clone())?;
            assert_eq!(outcome.rows, rows([&rows_in[0]].map(|(k, by, tags)| (k, by, tags))));
            Ok(())
        }
        pair(Boolean, false, true)?;
        pair(Int64, -1, 1)?;
        pair(UInt64, 1, u64::MAX)?;
        pair(Float64, -1.5, f64::INFINITY)?;
        pair(DataType::Decimal { precision: 9, scale: 2 }, Decimal::new(-1, 2), Decimal::new(1, 2))?;
        pair(DataType::Date, Date::from_days(-1), Date::from_days(1))?;
        pair(Text, "Z", "a")?;
        pair(Binary, &b"\x7f"[..], &b"\x80"[..])
    }

    #[test]
    fn a_column_that_does_not_decide_is_named_with_the_choices() {
        let error = |by: &str| {
            let input = Schema::new().key("id", Text).value("n", Int64).value("tags", DataType::list(Text));
            match reduce_rows::<Newest>(json!({ "by": by }), &input, [("a", 1, vec!["x"])]) {
                Err(StepError::InvalidConfig(message)) => message,
                other => panic!("expected `invalid-config`, found {other:?}"),
            }
        };
        let choices = "is not a value column (value columns: `n` int64, `tags` list<text>)";
        assert_eq!(error("at"), format!("`by = \"at\"` {choices}"));
        assert_eq!(error("id"), format!("`by = \"id\"` {choices}"));
        let message =
            "`by = \"tags\"` is list<text>, which has no order (`newest` takes any type but lists, structs and maps)";
        assert_eq!(error("tags"), message);
    }
}
