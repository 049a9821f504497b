//! The outcome of running a step, and the comparison of two outcomes.

use etl_core::{model::error::Error, text::rows::values};
use serde_json::Value;

use crate::workbench::trial::Trial;

/// The most that two floating-point numbers may differ, as a share of the larger. Adding in another order can change
/// a sum that much.
const TOLERANCE: f64 = 1e-9;

/// The outcome of running a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepOutcome {
    /// The emitted rows, each as the list of its values.
    pub rows: Vec<Vec<Value>>,
    /// The rejects, each as a line with the record and the reason.
    pub rejects: Vec<String>,
    /// The error of the step, if it failed.
    pub failure: Option<String>,
}

impl StepOutcome {
    /// Returns the rows and rejects of several trials as one outcome.
    pub(super) fn of(trials: &[Trial]) -> Self {
        let rows = trials.iter().flat_map(|trial| (0..trial.rows.num_rows()).map(|row| values(&trial.rows, row)));
        let rejects = trials.iter().flat_map(|trial| &trial.rejects).map(|reject| {
            let record = reject.record.as_ref().or(reject.record_hex.as_ref());
            format!("{} rejected: {}", record.map_or("", String::as_str), reject.reason)
        });
        Self { rows: rows.collect(), rejects: rejects.collect(), failure: None }
    }

    /// Returns the outcome of a step that failed with `error`.
    pub(super) fn failed(error: &Error) -> Self {
        Self { rows: Vec::new(), rejects: Vec::new(), failure: Some(error.to_string()) }
    }

    /// Returns whether another outcome is the same. If `exact`, rows and rejects must be identical and in the same
    /// order; otherwise their order does not matter, and floating-point numbers only have to be close to each other.
    pub(super) fn equals(&self, other: &Self, exact: bool) -> bool {
        if exact {
            return self == other;
        }
        let (mine, others) = (self.sorted(), other.sorted());
        let close = |(mine, other): (&Vec<Value>, &Vec<Value>)| {
            mine.len() == other.len() && mine.iter().zip(other).all(|(mine, other)| is_close(mine, other))
        };
        mine.rejects == others.rejects
            && mine.failure == others.failure
            && mine.rows.len() == others.rows.len()
            && mine.rows.iter().zip(&others.rows).all(close)
    }

    /// Returns the outcome with rows and rejects sorted by their content.
    pub(crate) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.rejects.sort();
        sorted.rows.sort_by_cached_key(|row| row.iter().map(rough).collect::<Vec<_>>());
        sorted
    }
}

/// Returns a value as text for sorting. Numbers close to each other have the same text, except near a boundary of
/// rounding.
fn rough(value: &Value) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!("{number:.6e}"),
        None => value.to_string(),
    }
}

fn is_close(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or_default(), other.as_f64().unwrap_or_default());
            (one - other).abs() <= TOLERANCE * one.abs().max(other.abs())
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(rows: &[Value]) -> StepOutcome {
        let rows = rows.iter().map(|row| row.as_array().expect("a row").clone()).collect();
        StepOutcome { rows, rejects: Vec::new(), failure: None }
    }

    #[test]
    fn rows_may_come_in_another_order_and_sums_differ_in_their_last_digits() {
        let one = outcome(&[json!(["a", 1]), json!(["b", 0.3])]);
        let other = outcome(&[json!(["b", 0.1 + 0.2]), json!(["a", 1])]);
        assert!(one.equals(&other, false) && !one.equals(&other, true) && one.equals(&one.clone(), true));
        for different in [
            outcome(&[json!(["a", 1])]),
            outcome(&[json!(["a", 2]), json!(["b", 0.3])]),
            outcome(&[json!(["a", 1]), json!(["b", 0.301])]),
            StepOutcome { rejects: vec!["x".to_owned()], ..one.clone() },
            StepOutcome { failure: Some("trapped".to_owned()), ..one.clone() },
        ] {
            assert!(!one.equals(&different, false), "{different:?}");
        }
    }
}
