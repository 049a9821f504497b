//! Reduce step: adds up the pieces of each city. Also serves as combiner, since it emits rows of its input's schema.

use etl_plugin::{Cell, Context, Describe, Output, Record, Reducer, Rows, Schema, StepError};

/// `[reduce.config]` of pipeline.toml.
#[derive(serde::Deserialize, Describe)]
struct Config {
    /// Keys with fewer pieces than this are left out. Do not set it together with `combine = true`, because a combiner
    /// sees only some rows of a key.
    at_least: Option<i64>,
}

/// A row that the step is given, and one that it emits: a column for each field.
#[derive(Record)]
struct Pieces<'a> {
    #[record(key)]
    city: &'a str,
    pieces: i64,
}

/// The step. One value handles one partition and is then dropped.
struct SumPieces {
    config: Config,
}

impl Reducer for SumPieces {
    type Config = Config;
    /// The sum of one key so far, which no number of rows makes too large.
    type State = i128;

    fn open(config: Config, context: &Context) -> Result<Self, StepError> {
        context.input.check::<Pieces>()?;
        Ok(Self { config })
    }

    fn schema(&self) -> Schema {
        Schema::of::<Pieces>()
    }

    fn fold(&mut self, sum: &mut i128, rows: Rows<'_>) -> Result<(), StepError> {
        *sum += rows.records::<Pieces>()?.map(|row| i128::from(row.pieces)).sum::<i128>();
        Ok(())
    }

    fn end(&mut self, key: &[Cell<'_>], sum: i128, out: &mut Output) -> Result<(), StepError> {
        let Ok(sum) = i64::try_from(sum) else {
            return Err(StepError::Fatal(format!("the sum of a key is {sum}, which does not fit an int64")));
        };
        if self.config.at_least.is_some_and(|at_least| sum < at_least) {
            return Ok(());
        }
        out.emit((key[0], sum))
    }
}

etl_plugin::export_reducer!(SumPieces);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{json, reduce_rows, rows};

    #[test]
    fn pieces_are_summed_by_city() {
        let input = Schema::of::<Pieces>();
        let orders = [("Chur", 34), ("Bern", 3), ("Chur", 27)];
        let outcome = reduce_rows::<SumPieces>(json!({}), &input, orders).unwrap();
        assert_eq!(outcome.rows, rows([("Bern", 3), ("Chur", 61)]));
        let outcome = reduce_rows::<SumPieces>(json!({ "at_least": 10 }), &input, orders).unwrap();
        assert_eq!(outcome.rows, rows([("Chur", 61)]));
    }
}
