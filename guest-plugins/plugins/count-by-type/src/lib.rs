//! Map plugin `count-by-type`: counts lines by type.
//!
//! The type of a line is the whole line or one of its fields, trimmed. The mapper counts, so a shard emits one row for
//! each type (several, if there are very many types) and not one for each line.
//!
//! Input: lines. Output: key `type` (text), value `count` (int64). Add up the counts with `sum`. Lines that lack the
//! field, or whose type is not UTF-8, are rejected.

use etl_plugin::{Context, Counts, Describe, Int64, LineMapper, Output, Schema, Separator, StepError, Text};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
struct Config {
    /// The text between fields. Without it, the whole line is the type.
    separator: Option<String>,
    /// Number of the field that is the type, counted from 0 (default 0). Needs `separator`.
    field: Option<usize>,
}

struct CountByType {
    /// The text between fields, and the number of the field that is the type.
    field: Option<(Separator, usize)>,
    counts: Counts,
}

impl CountByType {
    /// Returns the part of a line that is its type; `None` if the line has no such field.
    fn kind<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        match &self.field {
            Some((separator, field)) => separator.fields(line).nth(*field),
            None => Some(line),
        }
    }
}

impl LineMapper for CountByType {
    type Config = Config;

    fn open(config: Config, _: &Context) -> Result<Self, StepError> {
        let field = match (config.separator, config.field) {
            (Some(separator), field) => {
                let separator = Separator::new(&separator);
                let separator = separator.ok_or_else(|| StepError::InvalidConfig("`separator` is empty".to_owned()))?;
                Some((separator, field.unwrap_or(0)))
            }
            (None, Some(_)) => return Err(StepError::InvalidConfig("`field` needs a `separator`".to_owned())),
            (None, None) => None,
        };
        Ok(Self { field, counts: Counts::default() })
    }

    fn schema(&self) -> Schema {
        Schema::new().key("type", Text).value("count", Int64)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        let Some(kind) = self.kind(line) else {
            let field = self.field.as_ref().map_or(0, |(_, field)| *field);
            return out.reject(format!("the line has no field {field} (fields count from 0)"));
        };
        let kind = kind.trim_ascii();
        let counted = match (kind.first(), kind.last()) {
            // A byte at an end is not a visible ASCII character, so it may belong to Unicode white space.
            (Some(first), Some(last)) if !first.is_ascii_graphic() || !last.is_ascii_graphic() => {
                match str::from_utf8(kind) {
                    Ok(kind) => self.counts.add(kind.trim(), out).map(|()| true)?,
                    Err(_) => false,
                }
            }
            _ => self.counts.add_bytes(kind, out)?,
        };
        if counted { Ok(()) } else { out.reject("the type is not UTF-8") }
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.counts.emit(out)
    }
}

etl_plugin::export_line_mapper!(CountByType);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{Outcome, OwnedCell, json, map_lines, rows};

    fn sorted(mut outcome: Outcome) -> Vec<Vec<OwnedCell>> {
        outcome.rows.sort_by(|a, b| a.partial_cmp(b).expect("no floating-point numbers"));
        outcome.rows
    }

    #[test]
    fn counts_lines_by_type() -> Result<(), StepError> {
        let outcome = map_lines::<CountByType>(json!({}), ["data_1", " data_2\t", "data_1"])?;
        assert_eq!(sorted(outcome), rows([("data_1", 2), ("data_2", 1)]));
        Ok(())
    }

    #[test]
    fn counts_by_a_field_of_the_line() -> Result<(), StepError> {
        let config = json!({ "separator": ",", "field": 1 });
        let outcome = map_lines::<CountByType>(config, ["1, get", "2, put", "3", "4, get"])?;
        assert_eq!(outcome.rejects, [(2, "the line has no field 1 (fields count from 0)".to_owned())]);
        assert_eq!(sorted(outcome), rows([("get", 2), ("put", 1)]));
        Ok(())
    }

    #[test]
    fn rejects_a_type_that_is_not_utf8() -> Result<(), StepError> {
        let outcome = map_lines::<CountByType>(json!({}), [b"data_1".as_slice(), b"\xff"])?;
        assert_eq!(outcome.rejects, [(1, "the type is not UTF-8".to_owned())]);
        assert_eq!(outcome.rows, rows([("data_1", 1)]));
        Ok(())
    }

    #[test]
    fn a_wrong_configuration_is_named() {
        let error = |config| map_lines::<CountByType>(config, ["data_1"]).expect_err("the configuration is wrong");
        assert_eq!(
            error(json!({ "seperator": ";" })),
            StepError::InvalidConfig("unknown field `seperator` (known fields: `separator`, `field`)".to_owned())
        );
        assert_eq!(error(json!({ "field": 1 })), StepError::InvalidConfig("`field` needs a `separator`".to_owned()));
        assert_eq!(error(json!({ "separator": "" })), StepError::InvalidConfig("`separator` is empty".to_owned()));
    }
}
