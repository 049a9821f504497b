//! Reduce plugin `sum`, also a combiner: adds up the values of each key.
//!
//! Input: any key; values of type int64 or float64. Output: the same columns, one row for each key; each value is the
//! sum of its column. Nulls are skipped; the sum of a column with only nulls is null. A sum that does not fit an int64
//! fails the task.

use etl_plugin::{Cell, Context, DataType, Describe, Field, Output, Reducer, Rows, Schema, StepError};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
struct Config {
    /// Value columns whose largest value is kept instead of the sum.
    #[serde(default)]
    max: Vec<String>,
    /// Value columns whose smallest value is kept instead of the sum.
    #[serde(default)]
    min: Vec<String>,
}

#[derive(Clone, Copy)]
enum Operation {
    Sum,
    Max,
    Min,
}

struct Sum {
    schema: Schema,
    operations: Vec<Operation>,
    /// Totals of the current key, one for each value column. They are here and not in `State`, since most keys have
    /// only a few rows, and a vector for each key would cost more than the sums.
    totals: Vec<Cell<'static>>,
}

impl Reducer for Sum {
    type Config = Config;
    type State = ();

    fn open(config: Config, context: &Context) -> Result<Self, StepError> {
        let schema = context.input.clone();
        for name in config.max.iter().chain(&config.min) {
            if !schema.value_fields().iter().any(|field| field.name == *name) {
                return Err(no_such_value(name, &schema));
            }
        }
        let operations = schema.value_fields().iter().map(|field| operation(field, &config));
        let operations: Vec<_> = operations.collect::<Result<_, _>>()?;
        let totals = vec![Cell::Null; operations.len()];
        Ok(Self { schema, operations, totals })
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn fold(&mut self, (): &mut (), rows: Rows<'_>) -> Result<(), StepError> {
        let first = self.schema.key_fields().len();
        for (i, (total, operation)) in self.totals.iter_mut().zip(&self.operations).enumerate() {
            let field = &self.schema.fields[first + i];
            *total = match field.data_type {
                DataType::Int64 => {
                    let mut values = rows.int64(first + i)?.iter().flatten();
                    let sum = values.try_fold(*total, |total, value| add_int64(*operation, total, value));
                    sum.ok_or_else(|| overflow(field))?
                }
                _ => {
                    let values = rows.float64(first + i)?.iter().flatten();
                    values.fold(*total, |total, value| add_float64(*operation, total, value))
                }
            };
        }
        Ok(())
    }

    fn end(&mut self, key: &[Cell<'_>], (): (), out: &mut Output) -> Result<(), StepError> {
        out.emit_cells(key.iter().chain(&self.totals).copied())?;
        self.totals.fill(Cell::Null);
        Ok(())
    }
}

/// Returns the total with the value taken in; `None` on overflow.
fn add_int64(operation: Operation, total: Cell<'static>, value: i64) -> Option<Cell<'static>> {
    let Cell::Int64(total) = total else { return Some(Cell::Int64(value)) };
    let total = match operation {
        Operation::Sum => total.checked_add(value)?,
        Operation::Max => total.max(value),
        Operation::Min => total.min(value),
    };
    Some(Cell::Int64(total))
}

fn add_float64(operation: Operation, total: Cell<'static>, value: f64) -> Cell<'static> {
    let Cell::Float64(total) = total else { return Cell::Float64(value) };
    Cell::Float64(match operation {
        Operation::Sum => total + value,
        Operation::Max => total.max(value),
        Operation::Min => total.min(value),
    })
}

fn operation(field: &Field, config: &Config) -> Result<Operation, StepError> {
    let Field { name, data_type, .. } = field;
    if !matches!(data_type, DataType::Int64 | DataType::Float64) {
        let message = format!("value column `{name}` is {data_type} (`sum` takes int64 and float64)");
        return Err(StepError::InvalidInput(message));
    }
    match (config.max.contains(name), config.min.contains(name)) {
        (true, true) => Err(StepError::InvalidConfig(format!("`{name}` is listed in both `max` and `min`"))),
        (true, false) => Ok(Operation::Max),
        (false, true) => Ok(Operation::Min),
        (false, false) => Ok(Operation::Sum),
    }
}

fn no_such_value(name: &str, schema: &Schema) -> StepError {
    let values = Schema { fields: schema.value_fields().to_vec(), key_fields: 0 };
    StepError::InvalidConfig(format!("`{name}` in `max` or `min` is not a value column (value columns: {values})"))
}

fn overflow(field: &Field) -> StepError {
    StepError::Fatal(format!("the sum of column `{}` does not fit an int64", field.name))
}

etl_plugin::export_reducer!(Sum);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{json, reduce_rows, rows};
    use etl_plugin::{Float64, Int64, Text};

    fn counts() -> Schema {
        Schema::new().key("type", Text).value("count", Int64)
    }

    #[test]
    fn sums_the_values_of_each_key() -> Result<(), StepError> {
        let outcome = reduce_rows::<Sum>(json!({}), &counts(), [("b", 1), ("a", 2), ("b", 3)])?;
        assert_eq!(outcome.rows, rows([("a", 2), ("b", 4)]));
        Ok(())
    }

    #[test]
    fn keeps_every_column_of_a_key() -> Result<(), StepError> {
        let input = Schema::new().key("path", Text).key("status", Int64).value("requests", Int64);
        let outcome = reduce_rows::<Sum>(json!({}), &input, [("/", 200, 1), ("/", 404, 1), ("/", 200, 1)])?;
        assert_eq!(outcome.rows, rows([("/", 200, 2), ("/", 404, 1)]));
        Ok(())
    }

    #[test]
    fn takes_maximum_and_minimum_where_told() -> Result<(), StepError> {
        let input = Schema::new().key("k", Text).value("n", Int64).value("high", Float64).value("low", Int64);
        let config = json!({ "max": ["high"], "min": ["low"] });
        let outcome = reduce_rows::<Sum>(config, &input, [("a", 1, 1.5, 7), ("a", 1, 0.5, 3), ("a", 1, 1.0, 5)])?;
        assert_eq!(outcome.rows, rows([("a", 3, 1.5, 3)]));
        Ok(())
    }

    #[test]
    fn skips_nulls() -> Result<(), StepError> {
        let input = Schema::new().key("k", Text).nullable_value("n", Int64).nullable_value("x", Float64);
        let outcome = reduce_rows::<Sum>(json!({}), &input, [("a", None, None), ("a", Some(1), None::<f64>)])?;
        assert_eq!(outcome.rows, rows([("a", 1, None::<f64>)]));
        Ok(())
    }

    #[test]
    fn combining_first_changes_nothing() -> Result<(), StepError> {
        let input = [("a", 1), ("b", 2), ("a", 3), ("b", -4), ("c", 5)];
        let combined = [&input[..2], &input[2..]].map(|part| reduce_rows::<Sum>(json!({}), &counts(), part.to_vec()));
        let combined: Vec<_> = combined.into_iter().flat_map(|part| part.expect("sums").rows).collect();
        let pairs = combined.iter().map(|row| (&row[0], &row[1]));
        assert_eq!(
            reduce_rows::<Sum>(json!({}), &counts(), pairs)?.rows,
            reduce_rows::<Sum>(json!({}), &counts(), input)?.rows
        );
        Ok(())
    }

    #[test]
    fn a_sum_out_of_range_is_fatal() {
        let error = reduce_rows::<Sum>(json!({}), &counts(), [("a", i64::MAX), ("a", 1)]);
        let message = "the sum of column `count` does not fit an int64".to_owned();
        assert_eq!(error, Err(StepError::Fatal(message)));
    }

    #[test]
    fn wrong_columns_are_named() {
        let sum = |config, input: Schema| reduce_rows::<Sum>(config, &input, [("a", "b")]).expect_err("does not fit");
        assert_eq!(
            sum(json!({}), Schema::new().key("k", Text).value("name", Text)),
            StepError::InvalidInput("value column `name` is text (`sum` takes int64 and float64)".to_owned())
        );
        assert_eq!(
            sum(json!({ "max": ["type"] }), counts()),
            StepError::InvalidConfig(
                "`type` in `max` or `min` is not a value column (value columns: `count` int64)".to_owned()
            )
        );
        assert_eq!(
            sum(json!({ "max": ["count"], "min": ["count"] }), counts()),
            StepError::InvalidConfig("`count` is listed in both `max` and `min`".to_owned())
        );
    }
}
