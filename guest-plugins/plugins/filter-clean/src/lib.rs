//! Map plugin `filter-clean`: keeps the lines that match, trimmed, and rejects malformed ones.
//!
//! Lines that are not UTF-8 are rejected. Empty lines and lines that do not match are dropped, and counted as
//! `dropped`. Of the others, those with a wrong number of fields are rejected. The plugin can follow itself in a chain.
//!
//! Input: lines. Output: `line` (text), in the order of the input.

use etl_plugin::{Context, Describe, LineMapper, Output, Schema, StepError, Text, count, text};
use memchr::memmem;
use regex_lite::Regex;

/// The configuration.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// A regular expression: only lines that contain a match are kept. Plain text is by far the fastest.
    pattern: Option<String>,
    /// Whether to trim both ends of each line first.
    #[describe(default = true)]
    trim: bool,
    /// Number of fields a line must have.
    columns: Option<usize>,
    /// The text between fields; quotes have no meaning.
    #[describe(default = ",")]
    separator: String,
}

enum Pattern {
    Text(Box<memmem::Finder<'static>>),
    Regex(Regex),
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, StepError> {
        if regex_lite::escape(pattern) == pattern {
            return Ok(Self::Text(Box::new(memmem::Finder::new(pattern).into_owned())));
        }
        let regex = Regex::new(pattern)
            .map_err(|error| StepError::InvalidConfig(format!("`pattern` is not a regular expression: {error}")))?;
        Ok(Self::Regex(regex))
    }

    fn is_in(&self, line: &str) -> bool {
        match self {
            Self::Text(text) => text.find(line.as_bytes()).is_some(),
            Self::Regex(regex) => regex.is_match(line),
        }
    }
}

struct FilterClean {
    pattern: Option<Pattern>,
    trim: bool,
    columns: Option<usize>,
    separator: String,
}

impl LineMapper for FilterClean {
    type Config = Config;

    fn open(config: Config, _: &Context) -> Result<Self, StepError> {
        let Config { pattern, trim, columns, separator } = config;
        if separator.is_empty() {
            return Err(StepError::InvalidConfig("`separator` is empty".to_owned()));
        }
        if columns == Some(0) {
            return Err(StepError::InvalidConfig("`columns` must be at least 1".to_owned()));
        }
        let pattern = pattern.map(|pattern| Pattern::new(&pattern)).transpose()?;
        Ok(Self { pattern, trim, columns, separator })
    }

    fn schema(&self) -> Schema {
        Schema::new().value("line", Text)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        let Ok(line) = text(line) else {
            return out.reject("the line is not UTF-8");
        };
        let line = if self.trim { line.trim() } else { line };
        if line.is_empty() || self.pattern.as_ref().is_some_and(|pattern| !pattern.is_in(line)) {
            count("dropped", 1);
            return Ok(());
        }
        if let Some(columns) = self.columns {
            let found = line.split(&self.separator).count();
            if found != columns {
                let (separator, fields) = (&self.separator, if found == 1 { "field" } else { "fields" });
                return out.reject(format!("the line has {found} {fields} separated by `{separator}`, not {columns}"));
            }
        }
        out.emit((line,))
    }
}

etl_plugin::export_line_mapper!(FilterClean);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::Lines;
    use etl_plugin::testing::{Json, Outcome, json, map_lines, map_rows, rows};

    fn clean(config: Json, lines: &[&str]) -> Outcome {
        map_lines::<FilterClean>(config, lines).expect("a bad line is no error")
    }

    #[test]
    fn trims_and_drops_empty_lines() {
        let outcome = clean(json!({}), &[" one ", "", "\t", "two\r"]);
        assert_eq!(outcome.rows, rows([("one",), ("two",)]));
        assert_eq!(outcome.counters["dropped"], 2);
    }

    #[test]
    fn keeps_lines_that_match() {
        let outcome = clean(json!({ "pattern": "^[0-9]+," }), &["1,a", "x,b", "22,c"]);
        assert_eq!(outcome.rows, rows([("1,a",), ("22,c",)]));
        assert!(outcome.rejects.is_empty());
    }

    #[test]
    fn keeps_lines_that_contain_a_plain_text() {
        let outcome = clean(json!({ "pattern": "=ok " }), &["status=ok a", "status=okay", "=ok"]);
        assert_eq!(outcome.rows, rows([("status=ok a",)]));
        assert_eq!(outcome.counters["dropped"], 2);
    }

    #[test]
    fn rejects_malformed_lines_with_the_reason() {
        let config = json!({ "columns": 2, "separator": ";", "trim": false });
        let lines: [&[u8]; 4] = [b" 1;a", b"1;a;b", b"\xff;b", b"1"];
        let outcome = map_lines::<FilterClean>(config, lines).expect("a bad line is no error");
        assert_eq!(outcome.rows, rows([(" 1;a",)]));
        let reasons = [
            (1, "the line has 3 fields separated by `;`, not 2"),
            (2, "the line is not UTF-8"),
            (3, "the line has 1 field separated by `;`, not 2"),
        ];
        assert_eq!(outcome.rejects, reasons.map(|(row, reason)| (row, reason.to_owned())));
    }

    #[test]
    fn can_follow_itself() -> Result<(), StepError> {
        let first = clean(json!({}), &[" a,1 ", "b,2"]);
        let text = Schema::new().value("line", Text);
        let lines = first.rows.iter().map(|row| (&row[0],));
        let second = map_rows::<Lines<FilterClean>>(json!({ "pattern": "^a" }), &text, lines)?;
        assert_eq!(second.rows, rows([("a,1",)]));
        Ok(())
    }

    #[test]
    fn a_wrong_configuration_is_named() {
        let error = |config| match map_lines::<FilterClean>(config, ["x"]) {
            Err(StepError::InvalidConfig(message)) => message,
            other => panic!("expected `invalid-config`, found {other:?}"),
        };
        assert!(error(json!({ "pattern": "(" })).starts_with("`pattern` is not a regular expression: "));
        assert_eq!(error(json!({ "columns": 0 })), "`columns` must be at least 1");
        assert_eq!(error(json!({ "separator": "" })), "`separator` is empty");
    }
}
