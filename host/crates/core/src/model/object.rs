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
    /// Compression of the object: what its extension tells or, if an object could be cut, its first bytes. An object that
    /// is read as a whole may turn out to be compressed only then.
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
    /// gzip, any number of members.
    Gzip,
    /// Zstandard, any number of frames.
    Zstd,
    /// bzip2, any number of streams.
    Bzip2,
    /// xz, any number of streams.
    Xz,
    /// Snappy in its framing format, any number of streams.
    Snappy,
    /// LZ4 in its frame format, any number of frames.
    Lz4,
}

impl Compression {
    /// All compressions, but not [`Compression::None`].
    pub const ALL: [Self; 6] = [Self::Gzip, Self::Zstd, Self::Bzip2, Self::Xz, Self::Snappy, Self::Lz4];

    /// Returns the compression that the name of an object tells by its extension.
    pub fn of(name: &str) -> Self {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let has =
            |compression: &Self| compression.extensions().iter().any(|known| known.eq_ignore_ascii_case(extension));
        Self::ALL.into_iter().find(has).unwrap_or_default()
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
        }
    }

    /// Returns the extensions of the names of objects, in lowercase. The first is the one that a sink uses.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Gzip => &["gz", "gzip"],
            Self::Zstd => &["zst", "zstd"],
            Self::Bzip2 => &["bz2"],
            Self::Xz => &["xz"],
            Self::Snappy => &["sz", "snappy"],
            Self::Lz4 => &["lz4"],
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
    fn a_compression_is_told_by_an_extension_in_any_case() {
        for (name, compression) in [
            ("a.gz", Compression::Gzip),
            ("d.xz/a.b.ZSTD", Compression::Zstd),
            ("a.sz", Compression::Snappy),
            ("gz", Compression::None),
            ("a.gz.txt", Compression::None),
            ("a.", Compression::None),
        ] {
            assert_eq!(Compression::of(name), compression, "{name}");
        }
    }

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
