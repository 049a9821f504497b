//! Map plugin `word-count`: counts words.
//!
//! A word is a longest sequence of alphanumeric characters, in Unicode's sense. The mapper counts, so a shard emits one
//! row for each different word (several, if there are very many words) and not one for each occurrence.
//!
//! Input: lines. Output: key `word` (text), value `count` (int64). Add up the counts with `sum`. Lines that are not
//! UTF-8 are rejected.

use etl_plugin::{Context, Counts, Describe, Int64, LineMapper, Output, Schema, StepError, Text};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// Whether words are counted in lower case, so that `The` and `the` are the same word.
    #[describe(default = true)]
    lowercase: bool,
}

struct WordCount {
    lowercase: bool,
    /// The line, followed by spaces up to a whole number of blocks.
    blocks: Vec<u8>,
    counts: Counts,
}

/// Number of bytes that are examined together, as one bit each.
const BLOCK: usize = 64;

impl LineMapper for WordCount {
    type Config = Config;

    fn open(config: Config, _: &Context) -> Result<Self, StepError> {
        Ok(Self { lowercase: config.lowercase, blocks: Vec::new(), counts: Counts::default() })
    }

    fn schema(&self) -> Schema {
        Schema::new().key("word", Text).value("count", Int64)
    }

    fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
        self.fill_blocks(line);
        if self.blocks.iter().fold(0, |all, byte| all | byte).is_ascii() {
            return self.count_ascii(out);
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
    fn fill_blocks(&mut self, line: &[u8]) {
        self.blocks.clear();
        self.blocks.extend_from_slice(line);
        // The spaces end the last word, and give `Counts` as many bytes after it as it reads at a time.
        self.blocks.resize((line.len() + Counts::ROOM).next_multiple_of(BLOCK), b' ');
    }

    /// Counts the words of a line of ASCII characters only, as most lines are, several times as fast.
    fn count_ascii(&mut self, out: &mut Output) -> Result<(), StepError> {
        if self.lowercase {
            self.blocks.make_ascii_lowercase();
        }
        let (mut word_goes_on, mut open) = (0, None);
        for (block, base) in self.blocks.as_chunks().0.iter().zip((0..).step_by(BLOCK)) {
            let in_word = alphanumeric(block);
            let behind_word = in_word << 1 | word_goes_on;
            word_goes_on = in_word >> (BLOCK - 1);
            let (mut starts, mut ends) = (in_word & !behind_word, behind_word & !in_word);
            while ends > 0 {
                let start = open.take().unwrap_or_else(|| base + take_lowest(&mut starts));
                let end = base + take_lowest(&mut ends);
                self.counts.add_part(&self.blocks, start..end, out)?;
            }
            if starts > 0 {
                open = Some(base + take_lowest(&mut starts));
            }
        }
        Ok(())
    }
}

/// Returns the position of the lowest bit set, and clears that bit.
fn take_lowest(bits: &mut u64) -> usize {
    let lowest = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    lowest
}

/// Returns one bit for each byte, the lowest bit for the first: whether the byte is an alphanumeric ASCII character.
fn alphanumeric(block: &[u8; BLOCK]) -> u64 {
    let flags = block.map(|byte| u8::from(byte.is_ascii_alphanumeric()));
    let words = flags.as_chunks().0.iter().zip((0..).step_by(8));
    // The highest byte of the product holds the lowest bits of all eight bytes, side by side.
    words.fold(0, |bits, (word, shift)| {
        bits | (u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56) << shift
    })
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
    fn words_are_found_wherever_they_are() {
        for spaces in 0..2 * BLOCK {
            for length in (0..40).chain(BLOCK - 3..BLOCK + 3).chain([3 * BLOCK]) {
                let (gap, word) = (" ".repeat(spaces), "x".repeat(length + 1));
                assert_eq!(count(json!({}), &[&format!("{gap}{word}-Y")]), rows([(word.as_str(), 1), ("y", 1)]));
            }
        }
    }

    #[test]
    fn letters_and_digits_make_words() {
        let all: String = (0..128).map(char::from).filter(|c| c.is_ascii_alphanumeric()).collect();
        let line: String = (0..128).map(char::from).collect();
        let found = count(json!({ "lowercase": false }), &[&line]);
        let found: Vec<_> = found.into_iter().map(|row| row[0].clone()).collect();
        let words = ["0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"];
        assert_eq!(words.concat(), all);
        assert_eq!(found, words.map(|word| OwnedCell::Text(word.to_owned())));
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
