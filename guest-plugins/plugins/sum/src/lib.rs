//! Reduce plugin `sum`, also a combiner: adds up the values of each key.
//!
//! Input: any key; values that are integers of any width, decimals, or floating-point numbers. Output: the same columns,
//! one row for each key; each value is the sum of its column, exact for integers and decimals. Nulls are skipped; the sum
//! of a column with only nulls is null.
//!
//! Sums have more room than values: those of `int8` to `int64` are `int64`, of `uint8` to `uint64` `uint64`, of
//! `decimal(p,s)` `decimal(38,s)`, of floating-point numbers `float64`. A sum that does not fit fails the task. A combiner
//! emits values of its input's types, and a sum that does not fit them as several rows; so it depends on the data alone
//! whether a task fails.

mod total;

use etl_plugin::{Cell, Context, DataType, Describe, Field, Output, Reducer, Rows, Schema, StepError};

use crate::total::{Exact, Total};

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

/// A value column.
struct Values {
    operation: Operation,
    /// The smallest and the largest value that the column holds when it is emitted; meaningless for floating-point
    /// numbers.
    limits: (i128, i128),
    /// What the values of the current key come to. It is here and not in `State`, since most keys have only a few rows,
    /// and a vector for each key would cost more than the sums.
    total: Total,
}

struct Sum {
    input: Schema,
    output: Schema,
    /// Whether the rows that are emitted are summed again.
    combines: bool,
    values: Vec<Values>,
    /// The totals as they are emitted.
    cells: Vec<Cell<'static>>,
}

impl Reducer for Sum {
    type Config = Config;
    type State = ();

    fn open(config: Config, context: &Context) -> Result<Self, StepError> {
        let (input, mut output) = (context.input.clone(), context.input.clone());
        for name in config.max.iter().chain(&config.min) {
            if !input.value_fields().iter().any(|field| field.name == *name) {
                return Err(no_such_value(name, &input));
            }
        }
        let mut values = Vec::new();
        for field in &mut output.fields[input.key_fields().len()..] {
            let operation = operation(field, &config)?;
            if let Operation::Sum = operation {
                field.data_type = sum_type(field, context.combines)?;
            }
            values.push(Values { operation, limits: limits(field)?, total: Total::Null });
        }
        let cells = Vec::with_capacity(values.len());
        Ok(Self { input, output, combines: context.combines, values, cells })
    }

    fn schema(&self) -> Schema {
        self.output.clone()
    }

    fn fold(&mut self, (): &mut (), rows: Rows<'_>) -> Result<(), StepError> {
        let first = self.input.key_fields().len();
        for (column, values) in (first..).zip(&mut self.values) {
            values.add(&self.input.fields[column].data_type, column, rows)?;
        }
        Ok(())
    }

    fn end(&mut self, key: &[Cell<'_>], (): (), out: &mut Output) -> Result<(), StepError> {
        let first = self.input.key_fields().len();
        while self.combines && self.values.iter().any(Values::is_wide) {
            self.cells.clear();
            let fields = &self.output.fields[first..];
            self.cells.extend(self.values.iter_mut().zip(fields).map(|(values, field)| values.take_part(field)));
            out.emit_cells(key.iter().chain(&self.cells).copied())?;
        }
        self.cells.clear();
        for (values, field) in self.values.iter_mut().zip(&self.output.fields[first..]) {
            if values.is_wide() {
                return Err(overflow(field, self.output.key_fields(), key));
            }
            self.cells.push(values.take_part(field));
            values.total = Total::Null;
        }
        out.emit_cells(key.iter().chain(&self.cells).copied())
    }
}

impl Values {
    /// Adds the values of one key in a column of the input.
    fn add(&mut self, data_type: &DataType, column: usize, rows: Rows<'_>) -> Result<(), StepError> {
        match data_type {
            DataType::Int64 => self.add_integers(rows.int64(column)?.iter()),
            DataType::Float64 => self.add_floats(rows.float64(column)?.iter()),
            DataType::Int8 => self.add_integers(rows.int8(column)?.iter()),
            DataType::Int16 => self.add_integers(rows.int16(column)?.iter()),
            DataType::Int32 => self.add_integers(rows.int32(column)?.iter()),
            DataType::UInt8 => self.add_integers(rows.uint8(column)?.iter()),
            DataType::UInt16 => self.add_integers(rows.uint16(column)?.iter()),
            DataType::UInt32 => self.add_integers(rows.uint32(column)?.iter()),
            DataType::UInt64 => self.add_integers(rows.uint64(column)?.iter()),
            DataType::Float16 => self.add_floats(rows.float16(column)?.iter()),
            DataType::Float32 => self.add_floats(rows.float32(column)?.iter()),
            _ => rows.decimal(column)?.iter().flatten().for_each(|value| self.add_exact(value.unscaled())),
        }
        Ok(())
    }

    fn add_integers<T: Into<i128>>(&mut self, values: impl Iterator<Item = Option<T>>) {
        let values = values.flatten().map(T::into);
        match self.operation {
            // Fewer than 2^64 integers of 64 bits cannot overflow 128.
            Operation::Sum => values.reduce(|sum, value| sum + value).into_iter().for_each(|sum| self.add_exact(sum)),
            Operation::Max | Operation::Min => values.for_each(|value| self.add_exact(value)),
        }
    }

    fn add_exact(&mut self, value: i128) {
        let value = Exact::from(value);
        let Total::Exact(total) = self.total else {
            self.total = Total::Exact(value);
            return;
        };
        self.total = Total::Exact(match self.operation {
            Operation::Sum => total + value,
            Operation::Max => total.max(value),
            Operation::Min => total.min(value),
        });
    }

    fn add_floats<T: Into<f64>>(&mut self, values: impl Iterator<Item = Option<T>>) {
        for value in values.flatten().map(T::into) {
            let Total::Float(total) = self.total else {
                self.total = Total::Float(value);
                continue;
            };
            self.total = Total::Float(match self.operation {
                Operation::Sum => total + value,
                Operation::Max => total.max(value),
                Operation::Min => total.min(value),
            });
        }
    }

    /// Returns whether the total does not fit a row.
    fn is_wide(&self) -> bool {
        let (smallest, largest) = self.limits;
        matches!(self.total, Total::Exact(total) if total < smallest.into() || total > largest.into())
    }

    /// Takes as much out of a total as a row can hold. Taken in again, the parts make up the total, also that of a
    /// maximum or minimum, which is in each of them.
    fn take_part(&mut self, field: &Field) -> Cell<'static> {
        match (&mut self.total, self.operation) {
            (Total::Null, _) => Cell::Null,
            (Total::Exact(total), operation) => {
                let part = total.clamp_to(self.limits);
                if let Operation::Sum = operation {
                    *total = *total - Exact::from(part);
                }
                exact_cell(part, &field.data_type)
            }
            (Total::Float(total), Operation::Sum) => float_cell(std::mem::replace(total, -0.0), &field.data_type),
            (Total::Float(total), _) => float_cell(*total, &field.data_type),
        }
    }
}

/// Returns an exact number as a value of a column whose limits it is within.
fn exact_cell(value: i128, data_type: &DataType) -> Cell<'static> {
    match data_type {
        DataType::Decimal { scale, .. } => Cell::Decimal(etl_plugin::Decimal::new(value, *scale)),
        _ if value < 0 => Cell::Int64(value as i64),
        _ => Cell::UInt64(value as u64),
    }
}

/// Returns a floating-point number as a value of a column. Only a maximum or minimum is of less than 64 bits, and was
/// one of the column's values.
fn float_cell(value: f64, data_type: &DataType) -> Cell<'static> {
    match data_type {
        DataType::Float64 => Cell::Float64(value),
        _ => Cell::Float32(value as f32),
    }
}

fn operation(field: &Field, config: &Config) -> Result<Operation, StepError> {
    let name = &field.name;
    match (config.max.contains(name), config.min.contains(name)) {
        (true, true) => Err(StepError::InvalidConfig(format!("`{name}` is listed in both `max` and `min`"))),
        (true, false) => Ok(Operation::Max),
        (false, true) => Ok(Operation::Min),
        (false, false) => Ok(Operation::Sum),
    }
}

/// Returns the type of the sums of a column. Those of a combiner have the type of the values, as they are values again.
fn sum_type(field: &Field, combines: bool) -> Result<DataType, StepError> {
    let Field { name, data_type, .. } = field;
    Ok(match data_type {
        DataType::Float16 | DataType::Float32 if combines => {
            let message = format!("sums of column `{name}` do not fit its type {data_type}: set `combine = false`");
            return Err(StepError::InvalidInput(message));
        }
        same if combines => same.clone(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::UInt64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Decimal { scale, .. } => DataType::Decimal { precision: 38, scale: *scale },
        same => same.clone(),
    })
}

/// Returns the smallest and the largest value of a column.
fn limits(field: &Field) -> Result<(i128, i128), StepError> {
    let Field { name, data_type, .. } = field;
    Ok(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => (0, 0),
        DataType::Decimal { precision, .. } => {
            let largest = 10_i128.pow((*precision).into()) - 1;
            (-largest, largest)
        }
        _ => {
            let takes = "`sum` takes integers, decimals and floating-point numbers";
            return Err(StepError::InvalidInput(format!("value column `{name}` is {data_type} ({takes})")));
        }
    })
}

fn no_such_value(name: &str, schema: &Schema) -> StepError {
    let values = Schema { fields: schema.value_fields().to_vec(), key_fields: 0 };
    StepError::InvalidConfig(format!("`{name}` in `max` or `min` is not a value column (value columns: {values})"))
}

fn overflow(field: &Field, key_fields: &[Field], key: &[Cell<'_>]) -> StepError {
    let Field { name, data_type, .. } = field;
    let article = if matches!(data_type, DataType::Int64) { "an" } else { "a" };
    let key = key_fields.iter().zip(key).map(|(field, cell)| format!("`{}` {cell}", field.name));
    let mut key = key.collect::<Vec<_>>().join(", ");
    key.truncate(key.floor_char_boundary(KEY_BYTES));
    StepError::Fatal(format!("the sum of column `{name}` does not fit {article} {data_type} (the key: {key})"))
}

/// Largest number of bytes of a key that an error shows.
const KEY_BYTES: usize = 200;

etl_plugin::export_reducer!(Sum);

#[cfg(test)]
mod tests;
