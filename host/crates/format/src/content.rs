//! Content: what the name and the first bytes of an object say it holds, so that nothing else passes for records.

use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};

/// Number of bytes at the start of an object by which its content is known.
pub(crate) const HEAD_BYTES: usize = 262;

/// Byte order mark, which some tools write in front of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

const DECOMPRESS: &str = "decompress it, or compress it with gzip or zstd";
const UNPACK: &str = "unpack it";
const CONVERT: &str = "convert it to JSON Lines or CSV";
const READ_PARQUET: &str = "read it with `format = \"parquet\"`";
const READ_AVRO: &str = "read it with `format = \"avro\"`";
const RECODE: &str = "convert it to UTF-8";
const NAME_GZIP: &str = "give it a name that ends in `.gz`";
const NAME_ZSTD: &str = "give it a name that ends in `.zst`";

/// A kind of content that is no records.
struct Foreign {
    name: &'static str,
    /// Extensions of names, in lowercase.
    extensions: &'static [&'static str],
    /// Bytes that such content starts with, after the given number of other bytes.
    magic: &'static [(usize, &'static [u8])],
    /// Whether the magic is text, so that it counts only with a byte that no text has.
    is_text: bool,
    /// What to do with it.
    cure: &'static str,
}

const fn foreign(
    name: &'static str,
    extensions: &'static [&'static str],
    magic: &'static [(usize, &'static [u8])],
    cure: &'static str,
) -> Foreign {
    Foreign { name, extensions, magic, is_text: false, cure }
}

/// All kinds of content that are known not to be records. The first that fits counts.
const FOREIGN: [Foreign; 22] = [
    foreign("gzip", &[], &[(0, b"\x1F\x8B\x08")], NAME_GZIP),
    foreign("zstd", &[], &[(0, b"\x28\xB5\x2F\xFD")], NAME_ZSTD),
    foreign("bzip2", &["bz2", "tbz2"], &[(0, b"BZh"), (4, b"1AY&SY")], DECOMPRESS),
    foreign("xz", &["xz", "txz"], &[(0, b"\xFD7zXZ\0")], DECOMPRESS),
    foreign("lzma", &["lzma"], &[], DECOMPRESS),
    foreign("lz4", &["lz4"], &[(0, b"\x04\x22\x4D\x18")], DECOMPRESS),
    foreign("brotli", &["br"], &[], DECOMPRESS),
    foreign("snappy", &["snappy", "sz"], &[(0, b"\xFF\x06\0\0sNaPpY")], DECOMPRESS),
    foreign("compress", &["z"], &[(0, b"\x1F\x9D")], DECOMPRESS),
    foreign("zip", &["zip"], &[(0, b"PK\x03\x04")], UNPACK),
    foreign("zip", &[], &[(0, b"PK\x05\x06")], UNPACK),
    foreign("7z", &["7z"], &[(0, b"7z\xBC\xAF\x27\x1C")], UNPACK),
    foreign("rar", &["rar"], &[(0, b"Rar!\x1A\x07")], UNPACK),
    foreign("tar", &["tar", "tgz"], &[(256, b"\0ustar")], UNPACK),
    Foreign { is_text: true, ..foreign("Parquet", &["parquet"], &[(0, b"PAR1")], READ_PARQUET) },
    Foreign { is_text: true, ..foreign("ORC", &["orc"], &[(0, b"ORC")], CONVERT) },
    foreign("Avro", &["avro"], &[(0, b"Obj\x01")], READ_AVRO),
    foreign("Arrow", &["arrow", "feather"], &[(0, b"ARROW1\0\0")], CONVERT),
    foreign("UTF-32", &[], &[(0, b"\xFF\xFE\0\0")], RECODE),
    foreign("UTF-32", &[], &[(0, b"\0\0\xFE\xFF")], RECODE),
    foreign("UTF-16", &[], &[(0, b"\xFF\xFE")], RECODE),
    foreign("UTF-16", &[], &[(0, b"\xFE\xFF")], RECODE),
];

impl Foreign {
    fn starts(&self, head: &[u8]) -> bool {
        let has = |(at, magic): &(usize, &[u8])| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
        let is_binary = || head.iter().any(|byte| *byte < 0x09);
        !self.magic.is_empty() && self.magic.iter().all(has) && (!self.is_text || is_binary())
    }

    fn names(&self, extension: &str) -> bool {
        self.extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
    }
}

/// Checks that the name of an object does not say that it holds something else than records.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object, its content and what to do.
pub(crate) fn check_name(object: &str, compression: Compression) -> Result<()> {
    let mut parts = object.rsplit('.');
    // The extension of the compression stands behind that of the content.
    let extension = if compression == Compression::None { parts.next() } else { parts.nth(1) };
    match FOREIGN.iter().find(|foreign| extension.is_some_and(|extension| foreign.names(extension))) {
        Some(foreign) if object.contains('.') => Err(refused(object, "is named like", foreign)),
        _ => Ok(()),
    }
}

/// Checks that the first bytes of an object, up to [`HEAD_BYTES`] and decompressed, may be those of records.
///
/// # Errors
/// As [`check_name`].
pub(crate) fn check_head(object: &str, head: &[u8]) -> Result<()> {
    match foreign_start(head) {
        Some(foreign) => Err(refused(object, "begins like", foreign)),
        None => Ok(()),
    }
}

fn foreign_start(head: &[u8]) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| foreign.starts(head))
}

/// Returns what an object looks like by its first bytes, as the end of a sentence on it.
#[cfg(any(feature = "avro", feature = "parquet"))]
pub(crate) fn looks(head: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&head[..head.len().min(40)]).into_owned();
    match foreign_start(head) {
        Some(foreign) => format!("begins like {}", foreign.name),
        None if head.is_empty() => "is empty".to_owned(),
        None if head.iter().all(|byte| *byte >= 0x09) => format!("begins with the text {shown:?}"),
        None => "begins like nothing that is known".to_owned(),
    }
}

fn refused(object: &str, looks: &str, Foreign { name, cure, .. }: &Foreign) -> Error {
    Error::input(format!("object `{object}` {looks} {name}, which is not read: {cure}, or leave it out"))
}

/// Checks that a source would take the first bytes of a part for records.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names what they would be taken for.
pub(crate) fn check_written(format: &str, head: &[u8]) -> Result<()> {
    let Some(Foreign { name, .. }) = foreign_start(head) else { return Ok(()) };
    Err(Error::input(format!(
        "the first rows of a part begin like {name}, which a `{format}` source would refuse (use another format)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(object: &str) -> Option<String> {
        check_name(object, Compression::of(object)).err().map(|error| error.to_string())
    }

    #[test]
    fn content_is_known_by_its_name() {
        for (object, what) in [
            ("a.xz", "xz"),
            ("d/a.log.BZ2", "bzip2"),
            ("a.zip", "zip"),
            ("a.tar", "tar"),
            ("a.tar.gz", "tar"),
            ("a.tgz", "tar"),
            ("a.tar.zst", "tar"),
            ("a.snappy.parquet", "Parquet"),
            ("a.avro", "Avro"),
            ("a.orc", "ORC"),
            ("a.lz4", "lz4"),
            ("a.Z", "compress"),
        ] {
            let error = named(object).unwrap_or_else(|| panic!("{object} is refused"));
            assert!(
                error.starts_with(&format!("object `{object}` is named like {what}, which is not read: ")),
                "{error}"
            );
        }
        for object in ["a", "zip", "a.txt", "a.gz", "dir.xz/a", "a.xz.txt", "a.jsonl.zst", "xz"] {
            assert_eq!(named(object), None, "{object}");
        }
    }

    #[test]
    fn content_is_known_by_its_first_bytes() {
        let tar = [&b"a/b.txt"[..], &[0; 250], b"ustar\x0000"].concat();
        for (head, what) in [
            (&b"\x1F\x8B\x08\0"[..], "gzip, which is not read: give it a name that ends in `.gz`, or leave it out"),
            (b"\x28\xB5\x2F\xFD", "zstd"),
            (b"BZh91AY&SY", "bzip2"),
            (b"PK\x03\x04", "zip"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"ORC\n\x03\n\x01", "ORC"),
            (b"Obj\x01", "Avro"),
            (b"\xFF\xFEa\0", "UTF-16, which is not read: convert it to UTF-8"),
            (b"\xFE\xFF\0a", "UTF-16"),
            (b"\xFF\xFE\0\0a\0\0\0", "UTF-32"),
            (b"\0\0\xFE\xFF", "UTF-32"),
            (&tar, "tar"),
        ] {
            let error = check_head("o", head).expect_err(what).to_string();
            assert!(error.starts_with(&format!("object `o` begins like {what}")), "{error}");
        }
        for head in
            [&b""[..], b"BZhang", b"PAR1 is a line", b"ORC\nELF\n", b"PK,1", b"\x1F", BYTE_ORDER_MARK, b"\xFF\n"]
        {
            check_head("o", head).expect("may be lines");
        }
    }
}
