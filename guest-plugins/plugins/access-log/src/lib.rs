//! Map plugin `access-log`: turns records of a web server's log into values to sum up.
//!
//! Input: `path` (text), `status` (int64), `bytes` (int64), `latency_ms` (float64); other columns are ignored. Records
//! without path or status are rejected.
//!
//! Output, one row for each record: key `path` (text, without its query string) and `status` (int64); values `requests`
//! (int64, always 1), `bytes` (int64) and `slowest_ms` (float64); the last two are null where the record lacks them.
//! Reduce the rows with `sum` and `config = { max = ["slowest_ms"] }`.

use etl_plugin::{Context, Float64, Int64, Mapper, NoConfig, Output, Rows, Schema, StepError, Text};

/// The indexes of the input columns.
struct AccessLog {
    path: usize,
    status: usize,
    bytes: usize,
    latency_ms: usize,
}

impl Mapper for AccessLog {
    type Config = NoConfig;

    fn open(_: NoConfig, context: &Context) -> Result<Self, StepError> {
        let input = &context.input;
        Ok(Self {
            path: input.column("path", Text)?,
            status: input.column("status", Int64)?,
            bytes: input.column("bytes", Int64)?,
            latency_ms: input.column("latency_ms", Float64)?,
        })
    }

    fn schema(&self) -> Schema {
        let key = Schema::new().key("path", Text).key("status", Int64);
        key.value("requests", Int64).nullable_value("bytes", Int64).nullable_value("slowest_ms", Float64)
    }

    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
        let (paths, statuses) = (rows.text(self.path)?, rows.int64(self.status)?);
        let (bytes, latencies) = (rows.int64(self.bytes)?, rows.float64(self.latency_ms)?);
        for row in 0..rows.len() {
            let out = out.from_row(row);
            match (paths.get(row), statuses.get(row)) {
                (Some(path), Some(status)) => {
                    out.emit((without_query(path), status, 1, bytes.get(row), latencies.get(row)))?;
                }
                (None, _) => out.reject("`path` is missing")?,
                (_, None) => out.reject("`status` is missing")?,
            }
        }
        Ok(())
    }
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

etl_plugin::export_mapper!(AccessLog);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{json, map_rows, rows};

    fn input() -> Schema {
        let schema = Schema::new().nullable_value("path", Text).nullable_value("status", Int64);
        schema.nullable_value("bytes", Int64).nullable_value("latency_ms", Float64)
    }

    #[test]
    fn a_record_becomes_values_to_sum() -> Result<(), StepError> {
        let records = [("/a?x=1", 200, Some(10), Some(1.5)), ("/a", 404, None, None)];
        let outcome = map_rows::<AccessLog>(json!({}), &input(), records)?;
        assert_eq!(outcome.rows, rows([("/a", 200, 1, Some(10), Some(1.5)), ("/a", 404, 1, None, None)]));
        Ok(())
    }

    #[test]
    fn a_record_without_path_or_status_is_rejected() -> Result<(), StepError> {
        let records = [(None, Some(200), 1, 1.0), (Some("/"), None, 1, 1.0), (Some("/"), Some(200), 1, 1.0)];
        let outcome = map_rows::<AccessLog>(json!({}), &input(), records)?;
        assert_eq!(outcome.rejects, [(0, "`path` is missing".to_owned()), (1, "`status` is missing".to_owned())]);
        assert_eq!(outcome.rows, rows([("/", 200, 1, 1, 1.0)]));
        assert_eq!(outcome.origins, [Some(2)]);
        Ok(())
    }

    #[test]
    fn lines_are_refused() {
        let error = map_rows::<AccessLog>(json!({}), &Schema::lines(), [(b"{}".as_slice(),)]);
        let message = "the input has no column `path` (its columns: `line` binary)".to_owned();
        assert_eq!(error, Err(StepError::InvalidInput(message)));
    }
}
