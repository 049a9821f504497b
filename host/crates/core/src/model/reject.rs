//! Rejects: records set aside with their reason instead of failing the run.
//!
//! Owns the shape of a line in `rejects/…jsonl`. The source makes rejects of malformed records; the plugin layer makes
//! rejects of records that a step rejects or traps on. The commit of the attempt decides which rejects count.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::model::{
    hex::hex,
    ids::ShardId,
    position::Position,
    redact::{CUT, Mask, cut},
};

/// Name of the step in the rejects of the source.
pub const SOURCE: &str = "source";

/// The most bytes of a record that a reject keeps.
pub const RECORD_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a reason that a reject keeps. A reason is the plugin's message and the place in its source code.
pub const REASON_BYTES_MAX: usize = 8 << 10;

/// The most bytes of a record that a message shows.
const SHOWN_BYTES_MAX: usize = 200;

/// The most bytes of an object's name that a message shows.
const SHOWN_NAME_BYTES_MAX: usize = 512;

/// Number of rejects, by who set the record aside: `source`, or a step's name.
pub type Rejected = BTreeMap<String, u64>;

/// A record that was set aside. Serialized as one line of JSON without the absent fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The object the record came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Offset of the record in the object, in bytes after decompression; offset of its block in a format that has
    /// blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Number of the record's row in the object, or in its block, from 0, in a format that has rows instead of offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The shard, if the splitter made the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardId>,
    /// The number of the record in its shard, from 0, if the splitter made the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Offset or number at which the first step's batch starts, if another step made the record. The record was made
    /// while the first step processed that batch, from rows of it or from rows that a step held back of earlier
    /// batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_start: Option<u64>,
    /// As `batch_start`, for a row of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_start_row: Option<u64>,
    /// Who set the record aside: `source`, or a step's name.
    pub step: String,
    /// Why the record was set aside, cut to [`REASON_BYTES_MAX`].
    pub reason: String,
    /// The record, if it is UTF-8, cut to [`RECORD_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The record in hexadecimal digits, if it is not UTF-8, cut to [`RECORD_BYTES_MAX`] before encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_hex: Option<String>,
    /// Whether the record was cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Reject {
    /// Creates a reject by `step` that does not name its record yet. Cuts the reason to [`REASON_BYTES_MAX`].
    pub fn new(step: &str, reason: &str) -> Self {
        let reason = reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned();
        Self {
            object: None,
            offset: None,
            row: None,
            shard: None,
            number: None,
            batch_start: None,
            batch_start_row: None,
            step: step.to_owned(),
            reason,
            record: None,
            record_hex: None,
            truncated: false,
        }
    }

    /// Returns the reject with another step and another reason, and the same record.
    #[must_use]
    pub fn by(self, step: &str, reason: &str) -> Self {
        let Self { step, reason, .. } = Self::new(step, reason);
        Self { step, reason, ..self }
    }

    /// Returns the reject with the object of its record, and the record's position there.
    #[must_use]
    pub fn at(mut self, object: &str, position: impl Into<Position>) -> Self {
        self.object = Some(object.to_owned());
        let position = position.into();
        (self.offset, self.row) = (position.offset(), position.row());
        self
    }

    /// Returns the position of the record in its object, if it has one.
    pub fn position(&self) -> Option<Position> {
        Position::of(self.offset, self.row)
    }

    /// Returns the reject with the shard of its record, and the record's number there. For records that the splitter
    /// made.
    #[must_use]
    pub fn of_shard(mut self, shard: ShardId, number: u64) -> Self {
        self.shard = Some(shard);
        self.number = Some(number);
        self
    }

    /// Returns the reject as one of a record that another step made, and turns its place into that of the first record
    /// in the batch it was made from.
    #[must_use]
    pub fn made_of_batch(self) -> Self {
        let (batch_start, batch_start_row) = (self.offset.or(self.number), self.row);
        Self { batch_start, batch_start_row, offset: None, row: None, number: None, ..self }
    }

    /// Returns the reject with secrets taken out of its reason and its record.
    #[must_use]
    pub fn masked(&self, mask: &Mask) -> Self {
        let record = self.record.as_ref().map(|record| match self.truncated {
            true => mask.apply(&format!("{record}{CUT}")).strip_suffix(CUT).unwrap_or_default().to_owned(),
            false => mask.apply(record).into_owned(),
        });
        Self { reason: mask.apply(&self.reason).into_owned(), record, ..self.clone() }
    }

    /// Returns where the record came from, in the words of messages, if that is known: `` `a.csv` at byte 59``.
    pub fn place(&self) -> Option<String> {
        match (&self.object, self.position(), self.shard, self.number) {
            (Some(object), Some(position), ..) => Some(format!("{}{position}", shown_name(object))),
            (.., Some(shard), Some(number)) => Some(format!("record {number} of shard {shard}")),
            (Some(object), ..) => Some(match Position::of(self.batch_start, self.batch_start_row)? {
                Position::Byte(offset) => format!("{}, from byte {offset} on", shown_name(object)),
                Position::Row(row) => format!("{}, from row {row} on", shown_name(object)),
                Position::InBlock(offset, row) => format!("{}, from byte {offset}, row {row} on", shown_name(object)),
            }),
            (.., Some(shard), _) => Some(format!("shard {shard}, from record {} on", self.batch_start?)),
            _ => None,
        }
    }

    /// Returns the beginning of the record in the words of messages: ``record `1099,Bern` ``.
    pub fn shown_record(&self) -> String {
        match (&self.record, &self.record_hex) {
            (Some(text), _) if text.is_empty() => "an empty record".to_owned(),
            (Some(text), _) => format!("record {}", shown(text)),
            (None, Some(hex)) => format!("record of bytes {}", shown(hex)),
            (None, None) => "a record".to_owned(),
        }
    }

    /// Returns the reject with the content of its record, cut to [`RECORD_BYTES_MAX`].
    #[must_use]
    pub fn with_record(mut self, record: &[u8]) -> Self {
        self.truncated = record.len() > RECORD_BYTES_MAX;
        let kept = &record[..record.len().min(RECORD_BYTES_MAX)];
        match std::str::from_utf8(kept) {
            Ok(text) => self.record = Some(text.to_owned()),
            // `error_len` is absent only when the bytes end in the middle of a character, which is where they were cut.
            Err(error) if self.truncated && error.error_len().is_none() => {
                self.record = Some(String::from_utf8_lossy(&kept[..error.valid_up_to()]).into_owned());
            }
            Err(_) => self.record_hex = Some(hex(kept)),
        }
        self
    }
}

/// Writes place, reason and record, without the step: `` `a.csv` at byte 59: it lacks a city: record `1099,Bern` ``.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place() {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.reason, self.shown_record())
    }
}

/// Returns the beginning of foreign text in backticks, as messages show it.
pub fn shown(text: &str) -> String {
    begin(text, SHOWN_BYTES_MAX)
}

/// Returns the name of an object in backticks, as messages show it: only the beginning, if it is very long.
pub fn shown_name(name: &str) -> String {
    begin(name, SHOWN_NAME_BYTES_MAX)
}

fn begin(text: &str, bytes_max: usize) -> String {
    format!("`{}`", cut(text, bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(reject: &Reject) -> String {
        serde_json::to_string(reject).expect("no map keys")
    }

    #[test]
    fn a_reject_is_one_line_of_json_without_absent_fields() {
        let reject = Reject::new("source", "not JSON").at("a.json", 7).with_record(b"{\"a\n");
        let expected = r#"{"object":"a.json","offset":7,"step":"source","reason":"not JSON","record":"{\"a\n"}"#;
        assert_eq!(line(&reject), expected);
        assert_eq!(serde_json::from_str::<Reject>(expected).expect("parses"), reject);
        let row = Reject::new("map", "no").at("a.parquet", Position::Row(17));
        assert_eq!(line(&row), r#"{"object":"a.parquet","row":17,"step":"map","reason":"no"}"#);
        assert_eq!(line(&Reject::new("map", "no")), r#"{"step":"map","reason":"no"}"#);
    }

    #[test]
    fn records_that_are_not_utf8_survive_as_hexadecimal() {
        let reject = Reject::new("map", "no").with_record(b"a\xff\x00");
        assert_eq!((reject.record, reject.record_hex.as_deref()), (None, Some("61ff00")));
    }

    #[test]
    fn a_message_names_a_record_and_shows_how_it_begins() {
        let line = Reject::new("map", "no").at("a.csv", 59).with_record(b"1099,Bern");
        assert_eq!(
            (line.place().as_deref(), &*line.shown_record()),
            (Some("`a.csv` at byte 59"), "record `1099,Bern`")
        );
        let later = Reject::new("", "").at("a.csv", 59).made_of_batch().by("map 2", "no");
        assert_eq!(later.place().as_deref(), Some("`a.csv`, from byte 59 on"));
        let later = Reject::new("", "").of_shard(ShardId(3), 7).made_of_batch().by("map 2", "no");
        assert_eq!(later.place().as_deref(), Some("shard 3, from record 7 on"));
        let row = Reject::new("map", "no").at("a.parquet", Position::Row(17));
        assert_eq!(row.place().as_deref(), Some("`a.parquet`, row 17"));
        assert_eq!(
            serde_json::to_string(&row).expect("no map keys"),
            r#"{"object":"a.parquet","row":17,"step":"map","reason":"no"}"#
        );
        assert_eq!(row.made_of_batch().place().as_deref(), Some("`a.parquet`, from row 17 on"));
        let in_block = Reject::new("map", "no").at("a.avro", Position::InBlock(59, 17));
        assert_eq!(in_block.place().as_deref(), Some("`a.avro` at byte 59, row 17"));
        assert_eq!(in_block.position(), Some(Position::InBlock(59, 17)));
        assert_eq!(in_block.made_of_batch().place().as_deref(), Some("`a.avro`, from byte 59, row 17 on"));
        let made = Reject::new("map", "no").of_shard(ShardId(3), 7).with_record(b"");
        assert_eq!((made.place().as_deref(), &*made.shown_record()), (Some("record 7 of shard 3"), "an empty record"));
        assert_eq!(line.to_string(), "`a.csv` at byte 59: no: record `1099,Bern`");
        assert_eq!(Reject::new("map", "no").with_record(b"a\xff").to_string(), "no: record of bytes `61ff`");
        let long = Reject::new("map", "no").with_record("é".repeat(101).as_bytes());
        assert_eq!((long.place(), long.shown_record()), (None, format!("record `{}…`", "é".repeat(100))));
        let deep = Reject::new("map", "no").at(&"d/".repeat(2000), 7);
        assert_eq!(deep.place(), Some(format!("`{}…` at byte 7", "d/".repeat(256))));
    }

    #[test]
    fn secrets_are_taken_out_of_reason_and_record_even_where_the_record_was_cut() {
        let mask = Mask::new([("KEY", "correct-horse")]);
        let masked = Reject::new("map", "no correct-horse").with_record(b"a correct-horse").masked(&mask);
        assert_eq!((&*masked.reason, masked.record.as_deref()), ("no ${KEY}", Some("a ${KEY}")));
        let long = format!("{}correct-horse", "x".repeat(RECORD_BYTES_MAX - 5));
        let masked = Reject::new("map", "no").with_record(long.as_bytes()).masked(&mask);
        assert!(masked.record.is_some_and(|record| record.ends_with("xx${KEY}")));
    }

    #[test]
    fn long_records_and_reasons_are_cut_at_a_character() {
        let reject = Reject::new("map", &"é".repeat(REASON_BYTES_MAX)).with_record("€".repeat(30_000).as_bytes());
        assert_eq!(reject.reason.len(), REASON_BYTES_MAX);
        assert!(reject.truncated);
        let kept = reject.record.expect("still text");
        assert_eq!(kept.len(), RECORD_BYTES_MAX / 3 * 3);
        assert!(!Reject::new("map", "").with_record(&[b'x'; RECORD_BYTES_MAX]).truncated);
    }
}
