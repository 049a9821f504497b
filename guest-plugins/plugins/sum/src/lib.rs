//! Reduce plugin `sum`, also a combiner: adds up the values of each key.
//!
//! Input: any key; values of type int64 or float64. Output: the same columns, one row for each key; each value is the
//! sum of its column. Nulls are skipped; the sum of a column with only nulls is null. A sum that does not fit an int64
//! fails the task. A combiner emits such a sum as several rows, so it depends on the data alone whether a task fails.

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
    /// Whether the rows that are emitted are summed again.
    combines: bool,
    /// Totals of the current key, one for each value column. They are here and not in `State`, since most keys have
    /// only a few rows, and a vector for each key would cost more than the sums.
    totals: Vec<Total>,
    /// The totals as they are emitted.
    cells: Vec<Cell<'static>>,
}

/// What the values of a column come to so far. The sum of any number of rows fits.
#[derive(Clone, Copy)]
enum Total {
    Null,
    Int64(i128),
    Float64(f64),
}

impl Total {
    fn is_wide(self) -> bool {
        matches!(self, Self::Int64(total) if i64::try_from(total).is_err())
    }

    fn cell(self) -> Option<Cell<'static>> {
        Some(match self {
            Self::Null => Cell::Null,
            Self::Int64(total) => Cell::Int64(i64::try_from(total).ok()?),
            Self::Float64(total) => Cell::Float64(total),
        })
    }

    /// Takes as much out of a total as a cell can hold. Taken in again, the parts make up the total, also that of a
    /// maximum or minimum, which is in each of them.
    fn take_part(&mut self, operation: Operation) -> Cell<'static> {
        match (self, operation) {
            (Self::Null, _) => Cell::Null,
            (Self::Int64(total), _) => {
                let part = i64::try_from(*total).unwrap_or(if *total < 0 { i64::MIN } else { i64::MAX });
                *total -= if matches!(operation, Operation::Sum) { part.into() } else { 0 };
                Cell::Int64(part)
            }
            (Self::Float64(total), Operation::Sum) => Cell::Float64(std::mem::replace(total, -0.0)),
            (Self::Float64(total), _) => Cell::Float64(*total),
        }
    }
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
        let (totals, cells) = (vec![Total::Null; operations.len()], Vec::with_capacity(operations.len()));
        Ok(Self { schema, operations, combines: context.combines, totals, cells })
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
                    let values = rows.int64(first + i)?.iter().flatten();
                    values.fold(*total, |total, value| add_int64(*operation, total, value.into()))
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
        while self.combines && self.totals.iter().any(|total| total.is_wide()) {
            let parts = self.totals.iter_mut().zip(&self.operations);
            self.cells.clear();
            self.cells.extend(parts.map(|(total, operation)| total.take_part(*operation)));
            out.emit_cells(key.iter().chain(&self.cells).copied())?;
        }
        self.cells.clear();
        for (total, field) in self.totals.iter().zip(self.schema.value_fields()) {
            self.cells.push(total.cell().ok_or_else(|| overflow(field))?);
        }
        out.emit_cells(key.iter().chain(&self.cells).copied())?;
        self.totals.fill(Total::Null);
        Ok(())
    }
}

fn add_int64(operation: Operation, total: Total, value: i128) -> Total {
    let Total::Int64(total) = total else { return Total::Int64(value) };
    Total::Int64(match operation {
        Operation::Sum => total + value,
        Operation::Max => total.max(value),
        Operation::Min => total.min(value),
    })
}

fn add_float64(operation: Operation, total: Total, value: f64) -> Total {
    let Total::Float64(total) = total else { return Total::Float64(value) };
    Total::Float64(match operation {
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
    use etl_plugin::testing::{combine_rows, json, reduce_rows, rows};
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
    fn whether_a_sum_fits_does_not_depend_on_how_the_rows_are_cut_or_combined() -> Result<(), StepError> {
        let input = Schema::new().key("k", Text).value("n", Int64).value("x", Float64).value("high", Int64);
        let config = json!({ "max": ["high"] });
        let values = [i64::MAX, 1, i64::MAX, -1, i64::MIN, -5, i64::MIN];
        let all: Vec<_> = values.map(|value| ("a", value, 0.5, value)).into();
        let expected = reduce_rows::<Sum>(config.clone(), &input, all.clone())?.rows;
        assert_eq!(expected, rows([("a", -7, 3.5, i64::MAX)]));
        for cut in 0..=all.len() {
            let mut combined = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                let rows = combine_rows::<Sum>(config.clone(), &input, part.to_vec())?.rows;
                assert!(rows.len() <= part.len());
                combined.extend(rows);
            }
            let combined = combined.iter().map(|row| (&row[0], &row[1], &row[2], &row[3]));
            assert_eq!(reduce_rows::<Sum>(config.clone(), &input, combined)?.rows, expected, "cut at {cut}");
        }
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
