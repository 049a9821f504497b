//! In-mapper counting.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::{Output, StepError};

/// Past either of these the counts are emitted and counting starts anew: with what a table and its keys take on top,
/// some 32 MiB.
const ENTRIES_MAX: usize = 256 * 1024;
const KEY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Counts texts in a mapper, in bounded memory, so that a row for each *different* text leaves it and not one for each
/// occurrence.
///
/// Emits rows of a text and its count: `Schema::new().key("type", Text).value("count", Int64)`. When there are too many
/// different texts to hold, those so far are emitted and counted on from 0, so a text may be emitted more than once;
/// the reduce step adds its counts up.
///
/// Hashes with a fixed seed: the same input gives the same rows in the same order, on every run. In a component
/// `HashMap::new()` would, too, since the host seeds a step's random numbers, but it hashes more slowly.
#[derive(Debug, Default)]
pub struct Counts {
    counts: HashMap<Box<str>, i64, FixedState>,
    key_bytes: usize,
}

impl Counts {
    /// Counts one occurrence of the text.
    #[inline]
    pub fn add(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        match self.counts.get_mut(text) {
            Some(count) => *count += 1,
            None => self.insert(text, out)?,
        }
        Ok(())
    }

    fn insert(&mut self, text: &str, out: &mut Output) -> Result<(), StepError> {
        if self.counts.len() >= ENTRIES_MAX || self.key_bytes + text.len() > KEY_BYTES_MAX {
            self.emit(out)?;
        }
        self.key_bytes += text.len();
        self.counts.insert(text.into(), 1);
        Ok(())
    }

    /// Emits the counts and starts anew. Call it in the mapper's `finish`.
    pub fn emit(&mut self, out: &mut Output) -> Result<(), StepError> {
        self.key_bytes = 0;
        self.counts.drain().try_for_each(|(text, count)| out.emit((&*text, count)))
    }
}
