//! The places that records came from.

use std::{borrow::Cow, ops::Range, sync::Arc};

use arrow_array::BinaryArray;
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use etl_core::model::position::Position;

/// The place that a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name of the object.
    pub object: &'a str,
    /// Position of the record in the object.
    pub at: Position,
    /// The record as it was read, without its line end; of a format that keeps values apart, the row as JSON.
    pub record: Cow<'a, [u8]>,
}

/// The records of a batch as they were read, each with the place it came from.
pub(crate) trait Origins: Send + Sync {
    /// Returns the place that a record came from. Panics if there is no such record.
    fn origin(&self, record: usize) -> Origin<'_>;
}

/// Records that are collected, each with its place.
#[derive(Debug, Default)]
pub(crate) struct PlacedRecords {
    /// The records, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<i32>,
    offsets: Vec<u64>,
    /// Objects, each with the number of its first record.
    objects: Vec<(usize, Arc<str>)>,
}

impl PlacedRecords {
    /// Returns an empty collection with room for as many bytes and records as another one has.
    pub(crate) fn with_room_of(other: &Self) -> Self {
        let (text, ends) = (Vec::with_capacity(other.text.len()), Vec::with_capacity(other.ends.len()));
        Self { text, ends, offsets: Vec::with_capacity(other.offsets.len()), objects: Vec::new() }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &[u8], object: &Arc<str>, offset: u64) {
        if self.objects.last().is_none_or(|(_, last)| !Arc::ptr_eq(last, object)) {
            self.objects.push((self.ends.len(), Arc::clone(object)));
        }
        self.text.extend_from_slice(record);
        self.ends.push(i32::try_from(self.text.len()).expect("a batch and a record have less than 2 GiB"));
        self.offsets.push(offset);
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of all records, one record behind the other.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns where a record is in [`Self::text`], by its number.
    pub(crate) fn range(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[number] as usize
    }

    pub(crate) fn finish(self) -> Placed {
        let offsets = [0].into_iter().chain(self.ends).collect::<Vec<i32>>();
        let texts = BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), self.text.into(), None);
        Placed { texts, offsets: self.offsets, objects: self.objects }
    }
}

/// The records of a batch and their places.
#[derive(Debug)]
pub(crate) struct Placed {
    texts: BinaryArray,
    offsets: Vec<u64>,
    objects: Vec<(usize, Arc<str>)>,
}

impl Placed {
    /// Returns the records.
    pub(crate) fn texts(&self) -> &BinaryArray {
        &self.texts
    }
}

impl Origins for Placed {
    fn origin(&self, record: usize) -> Origin<'_> {
        let object = self.objects.partition_point(|(first, _)| *first <= record) - 1;
        Origin {
            object: &self.objects[object].1,
            at: self.offsets[record].into(),
            record: self.texts.value(record).into(),
        }
    }
}
