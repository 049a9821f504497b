//! Map plugin `select`: chooses which columns are the key, which are values, and which rows are kept.
//!
//! Input: columns of any type. Output: the columns of `key`, in their order, then those of `values`, of the rows for which
//! all conditions of `keep` hold; types and values stay as they are, also of lists, structs and maps. A column `count`
//! that is 1 in each row may follow, for `sum` to count the rows. The other rows are dropped, and counted as `dropped`.

mod condition;
mod operand;

use etl_plugin::{Cell, Context, Describe, Field, Int64, Mapper, Output, Rows, Schema, StepError, count};

use crate::condition::{Condition, Keep};

/// The configuration.
#[derive(Default, serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// The columns that become the key, in this order (default: none).
    key: Vec<String>,
    /// The columns that become values, in this order (default: all that are not in `key`).
    values: Option<Vec<String>>,
    /// The name of a value column to add that is 1 in each row, so that its sum is the number of rows.
    count: Option<String>,
    /// The conditions of which all must hold for a row to be kept.
    keep: Vec<Keep>,
}

struct Select {
    output: Schema,
    /// For each column of the output, its index in the input.
    columns: Vec<usize>,
    conditions: Vec<Condition>,
    /// The rows of the current batch that are kept.
    selected: Vec<u32>,
}

impl Mapper for Select {
    type Config = Config;

    fn open(config: Config, context: &Context) -> Result<Self, StepError> {
        let input = &context.input;
        let mut columns = Vec::new();
        choose("key", &config.key, input, &mut columns)?;
        match &config.values {
            Some(values) => choose("values", values, input, &mut columns)?,
            None => {
                let others: Vec<usize> = (0..input.fields.len()).filter(|index| !columns.contains(index)).collect();
                columns.extend(others);
            }
        }
        let conditions = config.keep.iter().map(|keep| Condition::new(keep, input)).collect::<Result<_, _>>()?;
        let fields: Vec<Field> = columns.iter().map(|index| input.fields[*index].clone()).collect();
        let mut output = Schema { fields, key_fields: config.key.len() as u32 };
        if let Some(count) = &config.count {
            output = with_count(output, count)?;
        }
        if output.fields.is_empty() {
            return Err(StepError::InvalidConfig("`key`, `values` and `count` choose no column".to_owned()));
        }
        Ok(Self { output, columns, conditions, selected: Vec::new() })
    }

    fn schema(&self) -> Schema {
        self.output.clone()
    }

    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
        self.selected.clear();
        self.selected.extend((0..).take(rows.len()));
        for condition in &self.conditions {
            condition.retain(rows, &mut self.selected)?;
        }
        let dropped = rows.len() - self.selected.len();
        if dropped > 0 {
            count("dropped", dropped as i64);
        }
        let constants = &[Cell::Int64(1)][..self.output.fields.len() - self.columns.len()];
        out.emit_rows(rows, &self.columns, &self.selected, constants)
    }
}

fn with_count(schema: Schema, name: &str) -> Result<Schema, StepError> {
    if name.is_empty() || schema.fields.iter().any(|field| field.name == name) {
        let message = format!("`count = \"{name}\"` is no new name (columns that are chosen: {schema})");
        return Err(StepError::InvalidConfig(message));
    }
    Ok(schema.value(name, Int64))
}

/// Appends the indices of the columns with these names.
fn choose(list: &str, names: &[String], input: &Schema, columns: &mut Vec<usize>) -> Result<(), StepError> {
    for name in names {
        let index = index_of(list, name, input)?;
        if columns.contains(&index) {
            let message = format!("column `{name}` is listed twice (`key` and `values` list each column once)");
            return Err(StepError::InvalidConfig(message));
        }
        columns.push(index);
    }
    Ok(())
}

fn index_of(list: &str, name: &str, input: &Schema) -> Result<usize, StepError> {
    input.fields.iter().position(|field| field.name == name).ok_or_else(|| {
        StepError::InvalidConfig(format!("`{list}` names no column of the input: `{name}` (its columns: {input})"))
    })
}

etl_plugin::export_mapper!(Select);

#[cfg(test)]
mod tests;
