//! Conditions: which rows are kept.

use std::cmp::Ordering;

use etl_plugin::{Cell, Describe, OwnedCell, Rows, Schema, StepError, Value};
use serde_json::Value as Json;

use crate::{index_of, operand};

/// A condition, as it is configured.
#[derive(serde::Deserialize, Describe)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keep {
    /// The column that is looked at; it need not be one of `key` or `values`.
    column: String,
    /// The value must be this one.
    equals: Option<Json>,
    /// The value must be another one than this.
    not_equals: Option<Json>,
    /// The value must be this one or larger.
    at_least: Option<Json>,
    /// The value must be this one or smaller.
    at_most: Option<Json>,
    /// Whether the value must be null, or must not.
    is_null: Option<bool>,
}

/// A condition on a column of the input.
pub(crate) struct Condition {
    column: usize,
    is_null: Option<bool>,
    comparisons: Vec<Comparison>,
}

type Holds = fn(Ordering) -> bool;

struct Comparison {
    /// Whether it holds for a value that is ordered so in comparison with the operand.
    holds: Holds,
    operand: OwnedCell,
}

impl Condition {
    /// Checks that the column is there and can be compared with what it is to be compared with.
    pub(crate) fn new(keep: &Keep, input: &Schema) -> Result<Self, StepError> {
        let column = index_of("keep", &keep.column, input)?;
        let operators: [(_, _, Holds); 4] = [
            ("equals", &keep.equals, Ordering::is_eq),
            ("not_equals", &keep.not_equals, Ordering::is_ne),
            ("at_least", &keep.at_least, Ordering::is_ge),
            ("at_most", &keep.at_most, Ordering::is_le),
        ];
        let mut comparisons = Vec::new();
        for (operator, operand, holds) in operators {
            let Some(operand) = operand else { continue };
            let operand = operand::read(operand, operator, &input.fields[column])?;
            comparisons.push(Comparison { holds, operand });
        }
        if comparisons.is_empty() && keep.is_null.is_none() {
            let operators = "`equals`, `not_equals`, `at_least`, `at_most`, `is_null`";
            let message = format!("`keep` asks nothing of column `{}` (it can ask {operators})", keep.column);
            return Err(StepError::InvalidConfig(message));
        }
        Ok(Self { column, is_null: keep.is_null, comparisons })
    }

    /// Removes the rows for which the condition does not hold.
    pub(crate) fn retain(&self, rows: Rows<'_>, selected: &mut Vec<u32>) -> Result<(), StepError> {
        let column = rows.any(self.column)?;
        if let Some(is_null) = self.is_null {
            selected.retain(|row| matches!(column.cell(*row as usize), Cell::Null) == is_null);
        }
        for Comparison { holds, operand } in &self.comparisons {
            let operand = operand.cell();
            selected.retain(|row| match column.cell(*row as usize) {
                Cell::Null => false,
                cell => cell.compare(&operand).is_some_and(holds),
            });
        }
        Ok(())
    }
}
