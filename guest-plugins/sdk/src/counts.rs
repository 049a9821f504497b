//! Counts texts inside a mapper.

use std::{hint::black_box, ops::Range};

use crate::{
    Output, StepError,
    short::{self, Short},
    text,
};

/// Largest number of different texts held at a time. Past this limit or one of the next two, all counts are emitted and
/// counting starts again. At the limits, the texts and the table take about 64 MiB.
const TEXTS_MAX: usize = 512 * 1024;
const LONG_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest count of a text. The limit is checked after a whole queue of texts, so a slot can count that many more.
const COUNT_MAX: u32 = u32::MAX - QUEUE as u32;

/// Number of texts that are counted together: about the number of memory accesses that a processor has in flight.
const QUEUE: usize = 32;

/// Counts texts in a mapper, in bounded memory, so that the mapper emits one row for each *different* text and not one
/// for each occurrence.
///
/// A row is a text and its count: `Schema::new().key("type", Text).value("count", Int64)`. When there are too many
/// different texts to hold, or about four billion occurrences of one, all counts so far are emitted and counting starts
/// again from 0. A text may therefore be emitted more than once; the reduce step adds up its counts.
///
/// The same input gives the same rows in the same order, on every run and every machine.
#[derive(Debug)]
pub struct Counts {
    /// The hash table. Its length is a power of two, and at most half of the slots are in use.
    slots: Vec<Slot>,
    used: usize,
    /// The texts that do not fit a slot, back to back.
    long: Vec<u8>,
    /// Short texts that are not counted yet. In a large table each text costs an access to main memory; counting them
    /// together lets these accesses overlap.
    queue: Vec<Queued>,
}

/// A text and its count. The shortest texts are in the slot itself, which saves another access to main memory.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// One more than the text's length; 0 means the slot is free.
    length: u32,
    count: u32,
    /// The words of a [`Short`] pair, or the hash of a longer text and its start in `Counts::long`.
    words: [u64; 2],
}

/// A short text and its hash.
#[derive(Clone, Copy, Debug)]
struct Queued {
    text: Short,
    hash: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { slots: vec![Slot::default(); 2 * QUEUE], used: 0, long: Vec::new(), queue: Vec::with_capacity(QUEUE) }
    }
}

impl Counts {
    /// Number of bytes that [`add_part`](Self::add_part) reads at a time.
    pub const ROOM: usize = Short::PAIR;

    /// Counts one occurrence of the text.
    #[inline]
    pub fn add(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        match Short::new(text.as_bytes()) {
            Some(short) => self.enqueue(short, out),
            None => self.add_long(text.as_bytes(), out),
        }
    }

    /// Counts one occurrence of the text in `bytes`. Returns false, and counts nothing, if the bytes are not UTF-8.
    #[inline]
    pub fn add_bytes(&mut self, bytes: &[u8], out: &mut Output) -> Result<bool, StepError> {
        match Short::new(bytes) {
            Some(short) if short.is_ascii() => self.enqueue(short, out)?,
            _ => match text(bytes) {
                Ok(text) => self.add(text, out)?,
                Err(_) => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Counts one occurrence of the text in a part of `bytes`, as [`add_bytes`](Self::add_bytes) does with the part
    /// alone. This is the fastest way to count where `bytes` has at least [`ROOM`](Self::ROOM) bytes from the part's
    /// start on.
    ///
    /// # Panics
    /// When the part ends beyond the bytes.
    #[inline]
    pub fn add_part(&mut self, bytes: &[u8], part: Range<usize>, out: &mut Output) -> Result<bool, StepError> {
        match Short::part(bytes, &part) {
            Some(short) if short.is_ascii() => self.enqueue(short, out).map(|()| true),
            _ => self.add_bytes(&bytes[part], out),
        }
    }

    /// Emits all counts and starts again from 0. Call it in the mapper's `finish`.
    pub fn emit(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.count_queue(out)?;
        self.emit_slots(out)
    }

    #[inline]
    fn enqueue(&mut self, text: Short, out: &mut Output) -> Result<(), StepError> {
        self.queue.push(Queued { text, hash: text.hash() });
        if self.queue.len() < QUEUE { Ok(()) } else { self.count_queue(out) }
    }

    fn count_queue(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.make_room(self.queue.len(), QUEUE * Short::BYTES_MAX, out)?;
        let mask = self.slots.len() - 1;
        // Touch each slot once so that the cache misses overlap; `black_box` keeps the loads.
        black_box(self.queue.iter().fold(0, |all, text| all ^ self.slots[text.hash as usize & mask].length));
        let mut full = false;
        for Queued { text, hash } in self.queue.drain(..) {
            let Self { slots, long, used, .. } = self;
            let (length, [first, second, ..]) = (text.length + 1, text.words);
            let words = if text.is_pair() { [first, second] } else { [hash, long.len() as u64] };
            let same = |slot: &Slot| {
                (slot.length, slot.words[0]) == (length, words[0])
                    && if text.is_pair() { slot.words[1] == words[1] } else { text.is(slot.long(long)) }
            };
            let slot = find(slots, hash as usize, same);
            if slot.length == 0 {
                *slot = Slot { length, count: 0, words };
                if !text.is_pair() {
                    text.append_to(long);
                }
                *used += 1;
            }
            slot.count += 1;
            full |= slot.count > COUNT_MAX;
        }
        if full { self.emit_slots(out) } else { Ok(()) }
    }

    fn add_long(&mut self, text: &[u8], out: &mut Output) -> Result<(), StepError> {
        self.make_room(1, text.len(), out)?;
        let hash = short::hash(text);
        let length = text.len() as u32 + 1;
        let Self { slots, long, used, .. } = self;
        let same = |slot: &Slot| (slot.length, slot.words[0]) == (length, hash) && short::equal(slot.long(long), text);
        let slot = find(slots, hash as usize, same);
        if slot.length == 0 {
            *slot = Slot { length, count: 0, words: [hash, long.len() as u64] };
            long.extend_from_slice(text);
            *used += 1;
        }
        slot.count += 1;
        if slot.count > COUNT_MAX { self.emit_slots(out) } else { Ok(()) }
    }

    /// Makes room for `texts` more texts and `long_bytes` more bytes of long texts: emits all counts if a limit would
    /// be passed, and grows the table if it would be too small.
    fn make_room(&mut self, texts: usize, long_bytes: usize, out: &mut Output) -> Result<(), StepError> {
        if self.used + texts > TEXTS_MAX || self.long.len() + long_bytes > LONG_BYTES_MAX {
            self.emit_slots(out)?;
        }
        let slots = ((self.used + texts) * 2).next_power_of_two();
        if slots > self.slots.len() {
            let before = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
            for slot in before.into_iter().filter(|slot| slot.length > 0) {
                *find(&mut self.slots, slot.hash(), |_| false) = slot;
            }
        }
        Ok(())
    }

    fn emit_slots(&mut self, out: &mut Output) -> Result<(), StepError> {
        let Self { slots, long, .. } = self;
        out.of_many(|out| {
            for slot in slots.iter_mut().filter(|slot| slot.length > 0) {
                let pair = slot.pair();
                let text = str::from_utf8(slot.text(&pair, long)).expect("only text is counted");
                out.emit((text, i64::from(slot.count)))?;
                *slot = Slot::default();
            }
            Ok::<(), StepError>(())
        })?;
        self.used = 0;
        self.long.clear();
        Ok(())
    }
}

/// Returns the slot of the text with this hash for which `same` is true, or the free slot where the text belongs. At
/// least one slot must be free.
#[inline]
fn find(slots: &mut [Slot], hash: usize, same: impl Fn(&Slot) -> bool) -> &mut Slot {
    let mask = slots.len() - 1;
    let mut position = hash & mask;
    while slots[position].length > 0 && !same(&slots[position]) {
        position = (position + 1) & mask;
    }
    &mut slots[position]
}

impl Slot {
    fn hash(&self) -> usize {
        let (length, [first, second]) = (self.length - 1, self.words);
        let pair = Short { length, words: [first, second, 0, 0] };
        (if pair.is_pair() { pair.hash() } else { first }) as usize
    }

    /// Returns the text, from `pair` (the slot's words as bytes) if it fits there and from `long` otherwise.
    fn text<'a>(&self, pair: &'a [u8; Short::PAIR], long: &'a [u8]) -> &'a [u8] {
        pair.get(..self.length as usize - 1).unwrap_or_else(|| self.long(long))
    }

    /// Returns a text that does not fit the slot, from `long`.
    #[inline]
    fn long<'a>(&self, long: &'a [u8]) -> &'a [u8] {
        let (start, length) = (self.words[1] as usize, self.length as usize - 1);
        &long[start..start + length]
    }

    /// Returns the slot's words as bytes.
    fn pair(&self) -> [u8; Short::PAIR] {
        let [first, second] = self.words.map(u128::from);
        (first | second << u64::BITS).to_le_bytes()
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
    fn a_part_is_counted_like_the_text_it_is() -> Result<(), StepError> {
        let mut out = Output::new(&Schema::new().key("text", Text).value("count", Int64));
        let bytes = "0123456789abcdefghijklmnopqrstuvwxyz é".as_bytes();
        let mut counts = Counts::default();
        for (start, end) in (0..=bytes.len()).flat_map(|start| (start..=bytes.len()).map(move |end| (start, end))) {
            let counted = counts.add_part(bytes, start..end, &mut out)?;
            assert_eq!(counted, str::from_utf8(&bytes[start..end]).is_ok(), "{start}..{end}");
            let used = counts.used;
            assert_eq!(counts.add_bytes(&bytes[start..end], &mut out)?, counted);
            counts.count_queue(&mut out)?;
            assert!(counts.used <= used + usize::from(counted), "{start}..{end} was counted as two texts");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_text_is_not_counted() {
        let outcome = count([b"\xff".as_slice(), b"a", b"0123456789abcdef\xff", b"a"]);
        assert_eq!(outcome.rows, rows([("a", 2)]));
        assert_eq!(outcome.rejects.len(), 2);
    }

    /// Counts lines as if each had occurred nearly as often before as a slot can count.
    struct CountOn(CountLines);

    impl LineMapper for CountOn {
        type Config = NoConfig;

        fn open(config: NoConfig, context: &Context) -> Result<Self, StepError> {
            CountLines::open(config, context).map(Self)
        }

        fn schema(&self) -> Schema {
            self.0.schema()
        }

        fn map(&mut self, line: &[u8], out: &mut Output) -> Result<(), StepError> {
            self.0.map(line, out)?;
            self.0.0.count_queue(out)?;
            let new = self.0.0.slots.iter_mut().filter(|slot| slot.count == 1);
            new.for_each(|slot| slot.count = COUNT_MAX - 1);
            Ok(())
        }

        fn finish(&mut self, out: &mut Output) -> Result<(), StepError> {
            self.0.finish(out)
        }
    }

    #[test]
    fn more_of_a_text_than_a_slot_holds_are_counted_in_several_rows() -> Result<(), StepError> {
        for text in ["a", "a text of 24 characters.", "a text of more than thirty-two characters"] {
            let outcome = map_lines::<CountOn>(json!({}), [text; 4])?;
            assert_eq!(outcome.rows, rows([(text, i64::from(COUNT_MAX) + 1), (text, i64::from(COUNT_MAX) - 1)]));
        }
        Ok(())
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
