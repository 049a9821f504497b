//! Source objects and slices of them, as listings and plans describe them.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

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
    pub fn memory_bytes(&self) -> u64 {
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

/// Properties that tell one version of an object from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a> {
    /// Size in bytes.
    pub size: u64,
    /// ETag, if the store has such a thing.
    pub e_tag: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_slices_keep_their_shape_in_plans() {
        let object = Object { name: "a.gz".into(), size: 3, e_tag: Some("t".into()), compression: Compression::Gzip };
        let slice = Slice { object: "a.gz".into(), offset: 0, length: 3 };
        let text = serde_json::to_string(&(&object, &slice)).expect("serialises");
        let expected =
            r#"[{"name":"a.gz","size":3,"e_tag":"t","compression":"gzip"},{"object":"a.gz","offset":0,"length":3}]"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<(Object, Slice)>(&text).expect("parses"), (object, slice));
    }
}
