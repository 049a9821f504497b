//! In-mapper counting.

use hashbrown::HashTable;

use crate::{Output, StepError, short};

/// Past either of these the counts are emitted and counting starts anew: with what a table takes on top, some 64 MiB.
const ENTRIES_MAX: usize = 512 * 1024;
const KEY_BYTES_MAX: usize = 16 * 1024 * 1024;

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
    entries: HashTable<Entry>,
    /// The texts, one behind the other.
    texts: String,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    start: usize,
    end: usize,
    count: i64,
}

impl Counts {
    /// Counts one occurrence of the text.
    #[inline]
    pub fn add(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        if self.add_known(text.as_bytes()) { Ok(()) } else { self.insert(text, out) }
    }

    /// Counts one more occurrence of a text that is being counted already, and returns whether it is.
    ///
    /// Saves looking at whether bytes are text at all: what was counted before is.
    #[inline]
    pub fn add_known(&mut self, text: &[u8]) -> bool {
        let (hash, texts) = (short::hash(text), self.texts.as_bytes());
        let same = |entry: &Entry| entry.hash == hash && short::equal(&texts[entry.start..entry.end], text);
        match self.entries.find_mut(hash, same) {
            Some(entry) => {
                entry.count += 1;
                true
            }
            None => false,
        }
    }

    fn insert(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        if self.entries.len() >= ENTRIES_MAX || self.texts.len() + text.len() > KEY_BYTES_MAX {
            self.emit(out)?;
        }
        let (hash, start) = (short::hash(text.as_bytes()), self.texts.len());
        self.texts.push_str(text);
        let entry = Entry { hash, start, end: self.texts.len(), count: 1 };
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
        Ok(())
    }

    /// Emits the counts and starts anew. Call it in the mapper's `finish`.
    pub fn emit(&mut self, out: &mut Output) -> Result<(), StepError> {
        let texts = &self.texts;
        self.entries.drain().try_for_each(|entry| out.emit((&texts[entry.start..entry.end], entry.count)))?;
        self.texts.clear();
        Ok(())
    }
}
