//! Map plugin `select`: chooses which columns are the key, which are values, and which rows are kept.
//!
//! Input: columns of any type. Output: the columns of `key`, in their order, then those of `values`, of the rows for which
//! all conditions of `keep` hold; types and values stay as they are, also of lists, structs and maps. The other rows are
//! dropped, and counted as `dropped`.

mod condition;
mod operand;

use etl_plugin::{Context, Describe, Field, Mapper, Output, Rows, Schema, StepError, count};

use crate::condition::{Condition, Keep};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// The columns that become the key, in this order (default: none).
    key: Vec<String>,
    /// The columns that become values, in this order (default: all that are not in `key`).
    values: Option<Vec<String>>,
    /// The conditions of which all must hold for a row to be kept.
    keep: Vec<Keep>,
}

impl Default for Config {
    fn default() -> Self {
        Self { key: Vec::new(), values: None, keep: Vec::new() }
    }
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
                columns.extend((0..input.fields.len()).filter(|index| !columns.contains(index)).collect::<Vec<_>>())
            }
        }
        if columns.is_empty() {
            return Err(StepError::InvalidConfig("`key` and `values` choose no column".to_owned()));
        }
        let conditions = config.keep.iter().map(|keep| Condition::new(keep, input)).collect::<Result<_, _>>()?;
        let fields: Vec<Field> = columns.iter().map(|index| input.fields[*index].clone()).collect();
        let output = Schema { fields, key_fields: config.key.len() as u32 };
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
        out.emit_rows(rows, &self.columns, &self.selected)
    }
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
