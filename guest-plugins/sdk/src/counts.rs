//! In-mapper counting.

use std::hint::black_box;

use crate::{Output, StepError, short};

/// Past either of these the counts are emitted and counting starts anew: with what a table takes on top, some 64 MiB.
const TEXTS_MAX: usize = 512 * 1024;
const LONG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many texts are counted together: about as many memory accesses as a processor has under way at a time.
const QUEUE: usize = 32;

/// Counts texts in a mapper, in bounded memory, so that a row for each *different* text leaves it and not one for each
/// occurrence.
///
/// Emits rows of a text and its count: `Schema::new().key("type", Text).value("count", Int64)`. When there are too many
/// different texts to hold, those so far are emitted and counted on from 0, so a text may be emitted more than once;
/// the reduce step adds its counts up.
///
/// The same input gives the same rows in the same order, on every run and every machine.
#[derive(Debug, Default)]
pub struct Counts {
    /// A power of two of them, at most half of them in use.
    slots: Vec<Slot>,
    used: usize,
    /// The texts that do not fit a slot, one behind the other.
    long: String,
    /// Texts to be counted. In a large table each costs a trip to memory, and together they make it side by side.
    queue: Vec<Short>,
}

/// A text and its count. Short ones are in the slot itself, for the same reason.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// One more than the text's length; 0 means the slot is free.
    length: u32,
    /// Where a long text starts in `Counts::long`.
    start: u32,
    /// The first 8 bytes of a short text, the hash of a long one.
    first: u64,
    /// The last 8 bytes.
    last: u64,
    count: i64,
}

/// A text of up to 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Short {
    length: u32,
    first: u64,
    last: u64,
}

impl Counts {
    /// Counts one occurrence of the text.
    #[inline]
    pub fn add(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        match Short::new(text.as_bytes()) {
            Some(short) => self.enqueue(short, out),
            None => self.add_long(text, out),
        }
    }

    /// Counts one occurrence of the text that the bytes are. Returns false, and counts nothing, if they are not UTF-8.
    #[inline]
    pub fn add_bytes(&mut self, bytes: &[u8], out: &mut Output) -> Result<bool, StepError> {
        match Short::new(bytes) {
            Some(short) if short.is_ascii() => self.enqueue(short, out)?,
            _ => match str::from_utf8(bytes) {
                Ok(text) => self.add(text, out)?,
                Err(_) => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Emits the counts and starts anew. Call it in the mapper's `finish`.
    pub fn emit(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.count_queue(out)?;
        self.emit_slots(out)
    }

    #[inline]
    fn enqueue(&mut self, short: Short, out: &mut Output) -> Result<(), StepError> {
        self.queue.push(short);
        if self.queue.len() < QUEUE { Ok(()) } else { self.count_queue(out) }
    }

    fn count_queue(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.make_room(self.queue.len(), 0, out)?;
        let mask = self.slots.len() - 1;
        // Nobody needs the result, but the slots are on their way when they are needed.
        black_box(self.queue.iter().fold(0, |all, short| all ^ self.slots[short.hash() & mask].length));
        for short in &self.queue {
            let Short { length, first, last } = *short;
            let mut position = short.hash() & mask;
            let slot = loop {
                let slot = &mut self.slots[position];
                if slot.length == 0 {
                    self.used += 1;
                    break slot;
                }
                if (slot.length, slot.first, slot.last) == (length + 1, first, last) {
                    break slot;
                }
                position = (position + 1) & mask;
            };
            *slot = Slot { length: length + 1, start: 0, first, last, count: slot.count + 1 };
        }
        self.queue.clear();
        Ok(())
    }

    fn add_long(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        self.make_room(1, text.len(), out)?;
        let mask = self.slots.len() - 1;
        let hash = short::hash(text.as_bytes());
        let mut position = hash as usize & mask;
        loop {
            let slot = &mut self.slots[position];
            if slot.length == 0 {
                let (length, start) = (text.len() as u32 + 1, self.long.len() as u32);
                *slot = Slot { length, start, first: hash, last: 0, count: 1 };
                self.long.push_str(text);
                self.used += 1;
                return Ok(());
            }
            if slot.first == hash && slot.long(&self.long).is_some_and(|other| short::equal(other, text.as_bytes())) {
                slot.count += 1;
                return Ok(());
            }
            position = (position + 1) & mask;
        }
    }

    /// Sees to it that so many more texts, and so many more bytes of long ones, can be held.
    fn make_room(&mut self, texts: usize, long_bytes: usize, out: &mut Output) -> Result<(), StepError> {
        if self.used + texts > TEXTS_MAX || self.long.len() + long_bytes > LONG_BYTES_MAX {
            self.emit_slots(out)?;
        }
        let slots = ((self.used + texts) * 2).next_power_of_two().max(2 * QUEUE);
        if slots > self.slots.len() {
            let before = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
            let mask = slots - 1;
            for slot in before.into_iter().filter(|slot| slot.length > 0) {
                let mut position = slot.hash() & mask;
                while self.slots[position].length > 0 {
                    position = (position + 1) & mask;
                }
                self.slots[position] = slot;
            }
        }
        Ok(())
    }

    fn emit_slots(&mut self, out: &mut Output) -> Result<(), StepError> {
        for slot in self.slots.iter_mut().filter(|slot| slot.length > 0) {
            let mut bytes = [0; Short::BYTES_MAX];
            let text = slot.long(&self.long).unwrap_or_else(|| slot.short(&mut bytes));
            out.emit((str::from_utf8(text).expect("only text is counted"), slot.count))?;
            *slot = Slot::default();
        }
        self.used = 0;
        self.long.clear();
        Ok(())
    }
}

impl Slot {
    fn hash(&self) -> usize {
        let Self { length, first, last, .. } = *self;
        let short = Short { length: length - 1, first, last };
        if short.length as usize > Short::BYTES_MAX { first as usize } else { short.hash() }
    }

    /// Returns the text, if it is a long one.
    fn long<'a>(&self, texts: &'a str) -> Option<&'a [u8]> {
        let (start, length) = (self.start as usize, self.length as usize - 1);
        (length > Short::BYTES_MAX).then(|| &texts.as_bytes()[start..start + length])
    }

    /// Returns the text, which is a short one.
    fn short<'a>(&self, bytes: &'a mut [u8; Short::BYTES_MAX]) -> &'a [u8] {
        let length = self.length as usize - 1;
        bytes[..8].copy_from_slice(&self.first.to_le_bytes());
        if length > 8 {
            bytes[length - 8..length].copy_from_slice(&self.last.to_le_bytes());
        }
        &bytes[..length]
    }
}

impl Short {
    const BYTES_MAX: usize = 16;

    #[inline]
    fn new(bytes: &[u8]) -> Option<Self> {
        let (first, last) = short::ends(bytes);
        (bytes.len() <= Self::BYTES_MAX).then_some(Self { length: bytes.len() as u32, first, last })
    }

    #[inline]
    fn is_ascii(self) -> bool {
        (self.first | self.last) & 0x8080_8080_8080_8080 == 0
    }

    #[inline]
    fn hash(self) -> usize {
        short::hash_words(u64::from(self.length), self.first, self.last) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Outcome, OwnedCell, json, map_lines, rows};
    use crate::{Context, Int64, LineMapper, NoConfig, Schema, Text};

    struct CountLines(Counts);

    impl LineMapper for CountLines {
        type Config = NoConfig;

        fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
            Ok(Self(Counts::default()))
        }

        fn schema(&self) -> Schema {
            Schema::new().key("line", Text).value("count", Int64)
        }

        fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
            if self.0.add_bytes(line, out)? { Ok(()) } else { out.reject("not UTF-8") }
        }

        fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
            self.0.emit(out)
        }
    }

    fn count<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Outcome {
        map_lines::<CountLines>(json!({}), lines).expect("lines can be counted")
    }

    fn sorted(mut rows: Vec<Vec<OwnedCell>>) -> Vec<Vec<OwnedCell>> {
        rows.sort_by(|a, b| a.partial_cmp(b).expect("no floating-point numbers"));
        rows
    }

    #[test]
    fn texts_of_every_length_are_counted() {
        let texts: Vec<String> = (0..40).flat_map(|n| ["x".repeat(n), "é".repeat(n), format!("{n:0n$}")]).collect();
        let lines: Vec<&String> = (0..700).map(|n| &texts[n * n % texts.len()]).collect();
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        lines.iter().for_each(|line| *counts.entry(line.as_str()).or_default() += 1);
        assert_eq!(sorted(count(lines).rows), sorted(rows(counts)));
    }

    #[test]
    fn what_is_not_text_is_not_counted() {
        let outcome = count([b"\xff".as_slice(), b"a", b"0123456789abcdef\xff", b"a"]);
        assert_eq!(outcome.rows, rows([("a", 2)]));
        assert_eq!(outcome.rejects.len(), 2);
    }

    #[test]
    fn more_texts_than_fit_are_counted_in_several_rows() {
        let texts = TEXTS_MAX + 100;
        let outcome = count((0..texts).chain(0..1000).map(|n| n.to_string()));
        assert!(outcome.rows.len() > texts, "{}", outcome.rows.len());
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for row in &outcome.rows {
            let [OwnedCell::Text(text), OwnedCell::Int64(count)] = row.as_slice() else { panic!("{row:?}") };
            *counts.entry(text.clone()).or_default() += count;
        }
        assert_eq!((counts.len(), counts.values().sum::<i64>()), (texts, texts as i64 + 1000));
        assert_eq!((counts["999"], counts["1000"]), (2, 1));
    }
}
