//! Sources: listing objects, fetching slices of them, and decoding records into batches.
//!
//! Owns which objects belong to a source and which records belong to a slice. Does not decide what the slices are;
//! `split` does. The map stage asks [`fetch`] for a shard's slices and gives the fetched chunks to a [`Decoder`].
//!
//! ```text
//! store ─► fetch (async, reads ahead) ─► Chunks ─► Decoder (sync, on the worker): inflate ─► lines ─► json ─► batches
//! ```

use std::collections::BTreeMap;

use bytesize::ByteSize;
use futures::{StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    error::{Error, ErrorKind, Result, ResultExt},
    store::{Location, Store, Version},
};

mod decode;
mod fetch;
mod inflate;
mod json;
mod lines;
#[cfg(test)]
mod tests;

pub use decode::{BATCH_BYTES, Decoder, RECORD_BYTES_MAX, SourceBatch};
pub use fetch::{Chunk, Chunks, READ_AHEAD_BYTES, fetch};
pub use lines::Origin;

/// Name of the step in the rejects of the source.
pub const STEP: &str = "source";

/// Approximate overhead of an allocation, in bytes.
const ALLOCATION_BYTES: usize = 16;

/// One object of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Name of the object, relative to the source's location.
    pub name: String,
    /// Size in bytes, as stored.
    pub size: u64,
    /// ETag, which changes when the object does. `None` if the store has no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
    /// Compression of the object, by its extension.
    #[serde(default)]
    pub compression: Compression,
}

impl Object {
    /// Returns the properties that tell this version of the object from others.
    pub fn version(&self) -> Version<'_> {
        Version { size: self.size, e_tag: self.e_tag.as_deref() }
    }

    /// Returns the approximate memory that the object takes, in bytes.
    fn memory_bytes(&self) -> u64 {
        let text = |text: &String| ALLOCATION_BYTES + text.capacity();
        (size_of::<Self>() + text(&self.name) + self.e_tag.as_ref().map_or(0, text)) as u64
    }
}

/// Compression of an object. A compressed object cannot be divided: its one slice is the whole object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// `.gz`: gzip, any number of members.
    Gzip,
    /// `.zst`, `.zstd`: Zstandard, any number of frames.
    Zstd,
}

impl Compression {
    /// Returns the compression of an object with this name.
    pub fn of(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A byte range of an object, as stored. The records that start in the range belong to the slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Name of the object.
    pub object: String,
    /// Offset of the range in bytes.
    pub offset: u64,
    /// Length of the range in bytes.
    pub length: u64,
}

/// A source: a store, and the rule for which of its objects belong to the source.
#[derive(Debug, Clone)]
pub struct SourceStore {
    store: Store,
    include: Option<GlobSet>,
    /// Key of the one object that the location names, if it names one.
    only: Option<String>,
    /// Maximum memory of the listing, in bytes.
    memory_bytes: u64,
}

impl SourceStore {
    /// Opens the source at `location`: a prefix or, if the location does not end with `/`, possibly one object.
    ///
    /// `include` holds glob patterns on names relative to the location, or on the name of the one object: `*` and `?`
    /// stay within a part of the name, `**` does not. Without patterns, every object belongs to the source except
    /// hidden ones, which have a part that starts with `.` or `_`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a location, option or pattern that is wrong; otherwise as [`Store::get`].
    pub async fn open(location: &Location, include: &[String], options: &BTreeMap<String, String>) -> Result<Self> {
        let store = Store::open(location, options)?;
        if !location.url.ends_with('/')
            && let Some((parent, key)) = store.parent()
            && parent.exists(&key).await?
        {
            return Ok(Self { only: Some(key), ..Self::new(parent, include)? });
        }
        Self::new(store, include)
    }

    /// Creates a source of all objects in `store` that match `include`, by the rules of [`SourceStore::open`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an invalid pattern.
    pub fn new(store: Store, include: &[String]) -> Result<Self> {
        Ok(Self { store, include: compile(include)?, only: None, memory_bytes: u64::MAX })
    }

    /// Returns the source with a limit on the memory of its listing, which is half of the memory that a run may take.
    #[must_use]
    pub fn within(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, ..self }
    }

    /// Returns the store. The names of objects are keys in it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the source's objects, sorted by name. An empty list is not an error here.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the location does not exist or there are too many objects; otherwise as
    /// [`Store::list`].
    pub async fn list(&self) -> Result<Vec<Object>> {
        let mut found = match &self.only {
            Some(key) => futures::stream::iter(self.store.stat(key).await?.map(Ok)).boxed(),
            None => self.store.list(""),
        };
        let (mut objects, mut memory_bytes) = (Vec::new(), 0);
        while let Some(found) = found.try_next().await? {
            if self.contains(&found.key) {
                let object = Object::from(found);
                memory_bytes += object.memory_bytes();
                if memory_bytes > self.memory_bytes {
                    return Err(self.too_many(objects.len()));
                }
                objects.push(object);
            }
        }
        if objects.is_empty() && !self.store.prefix_exists().await? {
            return Err(Error::config(format!("source `{}` does not exist", self.store.name())));
        }
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    fn too_many(&self, listed: usize) -> Error {
        let (source, memory) = (self.store.name(), ByteSize::b(self.memory_bytes).display().iec());
        Error::config(format!(
            "the listing of source `{source}` takes more than {memory}, half of `run.memory` ({listed} objects so \
             far): raise `run.memory`, or take fewer objects with `source.include`"
        ))
    }

    fn contains(&self, name: &str) -> bool {
        match &self.include {
            Some(include) => include.is_match(name),
            None => self.only.is_some() || !name.split('/').any(|part| part.starts_with(['.', '_'])),
        }
    }
}

/// Returns the object with this name. `objects` must be sorted by name.
pub fn find<'a>(objects: &'a [Object], name: &str) -> Option<&'a Object> {
    let found = objects.binary_search_by(|object| object.name.as_str().cmp(name));
    found.ok().map(|index| &objects[index])
}

/// Returns the XXH3-128 digest of a listing, in hexadecimal. The digest changes when an object is new, gone or changed.
/// `objects` must be sorted by name.
pub fn digest(objects: &[Object]) -> String {
    let mut digest = Xxh3::new();
    for Object { name, size, e_tag, .. } in objects {
        // Neither a name nor an ETag holds a line end, so different listings give different text.
        digest.update(format!("{name}\n{size}\n{}\n", e_tag.as_deref().unwrap_or_default()).as_bytes());
    }
    format!("{:032x}", digest.digest128())
}

fn compile(include: &[String]) -> Result<Option<GlobSet>> {
    let mut patterns = GlobSetBuilder::new();
    for pattern in include {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        patterns.add(glob.or_kind(ErrorKind::Config, || "`include` of the source")?);
    }
    let patterns = patterns.build().or_kind(ErrorKind::Config, || "`include` of the source")?;
    Ok((!include.is_empty()).then_some(patterns))
}
