//! Map plugin `key-value`: takes a key and a whole number from each line.
//!
//! Input: lines of fields. Output, one row for each line: key `key` (text), value `value` (int64). Add up the values
//! with `sum`. Lines that lack a field, whose key is not UTF-8, or whose value is not an int64 are rejected.

use etl_plugin::{Context, Describe, Int64, LineMapper, Output, Schema, Separator, StepError, Text, text};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// The character between fields; quotes have no meaning.
    #[describe(default = ',')]
    separator: char,
    /// Number of the field that is the key, counted from 0.
    key: usize,
    /// Number of the field that is the value, counted from 0.
    #[describe(default = 1)]
    value: usize,
}

struct KeyValue {
    separator: Separator,
    key: usize,
    value: usize,
}

impl LineMapper for KeyValue {
    type Config = Config;

    fn open(Config { separator, key, value }: Config, _: &Context) -> Result<Self, StepError> {
        let separator = Separator::new(separator.encode_utf8(&mut [0; 4]));
        let separator = separator.ok_or_else(|| StepError::InvalidConfig("`separator` is empty".to_owned()))?;
        Ok(Self { separator, key, value })
    }

    fn schema(&self) -> Schema {
        Schema::new().key("key", Text).value("value", Int64)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        let (Some(key), Some(value)) = self.fields(line) else {
            let last = self.key.max(self.value);
            return out.reject(format!("the line has no field {last} (fields count from 0)"));
        };
        let (Ok(key), Ok(value)) = (text(key), text(value)) else {
            return out.reject("the key or the value is not UTF-8");
        };
        match value.trim().parse::<i64>() {
            Ok(value) => out.emit((key, value)),
            Err(_) => out.reject(format!("the value `{value}` is not an int64")),
        }
    }
}

impl KeyValue {
    /// Returns the fields of a line that are its key and its value; `None` for a field that the line lacks.
    fn fields<'a>(&self, line: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        let (mut key, mut value) = (None, None);
        for (number, field) in (0..=self.key.max(self.value)).zip(self.separator.fields(line)) {
            if number == self.key {
                key = Some(field);
            }
            if number == self.value {
                value = Some(field);
            }
        }
        (key, value)
    }
}

etl_plugin::export_line_mapper!(KeyValue);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{json, map_lines, rows};

    #[test]
    fn takes_the_first_two_fields() -> Result<(), StepError> {
        let outcome = map_lines::<KeyValue>(json!({}), ["a,1", "b, -2\r,x", "a,3"])?;
        assert_eq!(outcome.rows, rows([("a", 1), ("b", -2), ("a", 3)]));
        assert!(outcome.rejects.is_empty());
        Ok(())
    }

    #[test]
    fn takes_other_fields_when_told() -> Result<(), StepError> {
        let config = json!({ "separator": ";", "key": 2, "value": 0 });
        let outcome = map_lines::<KeyValue>(config, ["7;x;a", "8;y"])?;
        assert_eq!(outcome.rows, rows([("a", 7)]));
        assert_eq!(outcome.rejects, [(1, "the line has no field 2 (fields count from 0)".to_owned())]);
        Ok(())
    }

    #[test]
    fn rejects_what_is_no_key_and_number() -> Result<(), StepError> {
        let lines: [&[u8]; 4] = [b"a,1.5", b"a,9223372036854775808", b"\xff,1", b"a,9223372036854775807"];
        let outcome = map_lines::<KeyValue>(json!({}), lines)?;
        assert_eq!(outcome.rows, rows([("a", i64::MAX)]));
        let reasons = [
            "the value `1.5` is not an int64",
            "the value `9223372036854775808` is not an int64",
            "the key or the value is not UTF-8",
        ];
        assert_eq!(outcome.rejects, (0..).zip(reasons.map(str::to_owned)).collect::<Vec<_>>());
        Ok(())
    }

    #[test]
    fn a_separator_is_one_character() {
        let error = map_lines::<KeyValue>(json!({ "separator": "::" }), ["a"]).expect_err("the separator is too long");
        assert!(matches!(error, StepError::InvalidConfig(message) if message.contains("separator")));
    }
}
