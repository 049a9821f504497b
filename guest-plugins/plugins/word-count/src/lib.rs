//! Map plugin `word-count`: counts words.
//!
//! A word is a longest run of alphanumeric characters, in Unicode's sense. Words are counted in the mapper, so a shard
//! emits a row for each different word (a few, if there are very many), not one for each word.
//!
//! Input: lines. Output: key `word` (text), value `count` (int64); add them up with `sum`. Lines that are not UTF-8 are
//! rejected.

use etl_plugin::{Context, Counts, Describe, Int64, LineMapper, Output, Schema, StepError, Text};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// Whether `The` and `the` are the same word.
    #[describe(default = true)]
    lowercase: bool,
}

struct WordCount {
    lowercase: bool,
    lowered: Vec<u8>,
    counts: Counts,
}

impl LineMapper for WordCount {
    type Config = Config;

    fn open(config: Config, _: &Context) -> Result<Self, StepError> {
        Ok(Self { lowercase: config.lowercase, lowered: Vec::new(), counts: Counts::default() })
    }

    fn schema(&self) -> Schema {
        Schema::new().key("word", Text).value("count", Int64)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        if line.is_ascii() {
            return self.count_ascii(line, out);
        }
        let Ok(line) = str::from_utf8(line) else {
            return out.reject("the line is not UTF-8");
        };
        for word in line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if self.lowercase { self.counts.add(&word.to_lowercase(), out)? } else { self.counts.add(word, out)? }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.counts.emit(out)
    }
}

impl WordCount {
    /// Counts the words of a line without other characters than ASCII's: most lines, and several times as fast.
    fn count_ascii(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        let mut rest = line;
        if self.lowercase {
            self.lowered.clear();
            self.lowered.extend_from_slice(line);
            self.lowered.make_ascii_lowercase();
            rest = &self.lowered;
        }
        while let Some(start) = rest.iter().position(u8::is_ascii_alphanumeric) {
            rest = &rest[start..];
            let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            self.counts.add_bytes(word, out)?;
            rest = behind;
        }
        Ok(())
    }
}

etl_plugin::export_line_mapper!(WordCount);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{OwnedCell, json, map_lines, rows};

    fn count(config: etl_plugin::testing::Json, lines: &[&str]) -> Vec<Vec<OwnedCell>> {
        let mut rows = map_lines::<WordCount>(config, lines).expect("the lines can be counted").rows;
        rows.sort_by(|a, b| a.partial_cmp(b).expect("no floating-point numbers"));
        rows
    }

    #[test]
    fn counts_words_over_lines() {
        let counts = count(json!({}), &["The cat -- the dog.", "", "THE end"]);
        assert_eq!(counts, rows([("cat", 1), ("dog", 1), ("end", 1), ("the", 3)]));
    }

    #[test]
    fn keeps_case_when_told() {
        assert_eq!(count(json!({ "lowercase": false }), &["The the"]), rows([("The", 1), ("the", 1)]));
    }

    #[test]
    fn knows_the_words_of_other_scripts() {
        assert_eq!(count(json!({}), &["Ärger, ÄRGER: 数据 2026年"]), rows([("2026年", 1), ("ärger", 2), ("数据", 1)]));
    }

    #[test]
    fn rejects_a_line_that_is_not_utf8() {
        let outcome = map_lines::<WordCount>(json!({}), [b"ok \xff"]).expect("a reject is no error");
        assert_eq!(outcome.rejects, [(0, "the line is not UTF-8".to_owned())]);
        assert!(outcome.rows.is_empty());
    }
}
