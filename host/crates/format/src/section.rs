//! Sections: slices of objects that are read by position.
//!
//! Owns how a format says which bytes it wants, and the directories of objects, which a process parses once. Whoever
//! makes a section owns how the bytes are fetched.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use etl_core::model::{error::Result, object::Compression};

/// The bytes of one version of an object, by position.
pub trait ReadAt: Send + Sync {
    /// Starts to fetch ranges that will be read, in this order. A range that is read later is given as it was here. The
    /// caller bounds how many bytes are fetched and not read.
    fn ahead(&self, ranges: &[Range<u64>]);

    /// Returns the bytes of a range, which must lie within the object. Waits for them.
    ///
    /// # Errors
    /// When the object cannot be read, or has changed.
    fn read(&self, range: Range<u64>) -> Result<Bytes>;

    /// Returns whether a range can be read without waiting for a store.
    fn is_there(&self, range: &Range<u64>) -> bool {
        let _ = range;
        true
    }
}

/// A slice of an object that is read by position. What starts in the slice belongs to it.
#[derive(Clone)]
pub struct Section {
    /// Name of the object.
    pub object: Arc<str>,
    /// Size of the object in bytes.
    pub size: u64,
    /// Compression of the object, by its name.
    pub compression: Compression,
    /// The slice.
    pub range: Range<u64>,
    /// The bytes of the object.
    pub bytes: Arc<dyn ReadAt>,
    /// What tells the version of the object from others.
    pub version: Option<Arc<str>>,
    /// The directories of the source's objects.
    pub directories: Arc<Directories>,
}

impl Section {
    /// Makes the section of a whole object that is in memory.
    pub fn in_memory(object: &str, bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        Self {
            object: object.into(),
            size,
            compression: Compression::of(object),
            range: 0..size,
            bytes: Arc::new(InMemory(bytes)),
            version: None,
            directories: Arc::default(),
        }
    }

    /// Returns whether the object's directory was parsed before.
    pub fn knows_directory(&self) -> bool {
        self.directories.find(&self.key()).is_some()
    }

    fn key(&self) -> Key {
        Key { object: Arc::clone(&self.object), size: self.size, version: self.version.clone() }
    }

    /// Returns the object's directory, which `parse` returns with its size in bytes unless it is known.
    ///
    /// # Errors
    /// As `parse`.
    pub(crate) fn directory<D: Any + Send + Sync>(&self, parse: impl FnOnce() -> Result<(D, u64)>) -> Result<Arc<D>> {
        let key = self.key();
        if let Some(known) = self.directories.find(&key).and_then(|known| known.downcast().ok()) {
            return Ok(known);
        }
        let (directory, bytes) = parse()?;
        let directory = Arc::new(directory);
        self.directories.keep(key, Arc::clone(&directory) as Arc<dyn Any + Send + Sync>, bytes);
        Ok(directory)
    }
}

impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        (&self.object, &self.range) == (&other.object, &other.range)
    }
}

impl Eq for Section {}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({}, {:?})", self.object, self.range)
    }
}

struct InMemory(Bytes);

impl ReadAt for InMemory {
    fn ahead(&self, _: &[Range<u64>]) {}

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}

/// Directories of objects, as far as there is room for them.
#[derive(Default)]
pub struct Directories {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// In the order in which they were parsed, each with its size.
    entries: VecDeque<(Key, Arc<dyn Any + Send + Sync>, u64)>,
    bytes: u64,
}

#[derive(PartialEq)]
struct Key {
    object: Arc<str>,
    size: u64,
    version: Option<Arc<str>>,
}

impl Directories {
    /// Maximum size in bytes of all directories together.
    pub const BYTES_MAX: u64 = 32 << 20;

    fn find(&self, key: &Key) -> Option<Arc<dyn Any + Send + Sync>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entries.iter().find(|(other, ..)| other == key).map(|(_, directory, _)| Arc::clone(directory))
    }

    fn keep(&self, key: Key, directory: Arc<dyn Any + Send + Sync>, bytes: u64) {
        if bytes > Self::BYTES_MAX {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.bytes += bytes;
        known.entries.push_back((key, directory, bytes));
        while known.bytes > Self::BYTES_MAX
            && let Some((.., oldest)) = known.entries.pop_front()
        {
            known.bytes -= oldest;
        }
    }
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directories")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_parsed_once_while_there_is_room() {
        let section = Section::in_memory("a", Bytes::from_static(b"abc"));
        let parse = |section: &Section, bytes| {
            let mut parsed = false;
            let directory = section.directory(|| {
                parsed = true;
                Ok((7, bytes))
            });
            assert_eq!(*directory.expect("a directory"), 7);
            parsed
        };
        assert_eq!([parse(&section, 10), parse(&section, 10)], [true, false]);
        let other = Section { object: "b".into(), ..section.clone() };
        assert_eq!([parse(&other, Directories::BYTES_MAX), parse(&section, 10)], [true, true]);
    }
}
