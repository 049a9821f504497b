//! Content: what the name and the first bytes of an object say it holds, so that nothing else passes for records.

use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};

/// Number of bytes at the start of an object by which its content is known.
pub const HEAD_BYTES: usize = 262;

/// Byte order mark, which some tools write in front of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// First bytes of a Snappy stream in the framing format.
pub(crate) const SNAPPY_MAGIC: &[u8] = b"\xFF\x06\0\0sNaPpY";

const ZSTD_MAGIC: &[u8] = b"\x28\xB5\x2F\xFD";
const LZ4_MAGIC: &[u8] = b"\x04\x22\x4D\x18";

/// First bytes of what `lz4 -l` writes.
const LZ4_LEGACY_MAGIC: &[u8] = b"\x02\x21\x4C\x18";

/// Number of bytes by which any compression is known.
const MAGIC_BYTES_MAX: usize = 10;

/// Bytes behind the first one of a frame that zstd and lz4 skip.
const SKIPPED_MAGIC: &[u8] = b"*M\x18";

/// Bytes behind the first four of a bzip2 stream: those of its first block, or of its end.
const BZIP2_MAGIC: [&[u8]; 2] = [b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"];

const DECOMPRESS: &str = "decompress it, or compress it with gzip or zstd";
const UNPACK: &str = "unpack it";
const CONVERT: &str = "convert it to JSON Lines or CSV";
const READ_PARQUET: &str = "read it with `format = \"parquet\"`";
const READ_AVRO: &str = "read it with `format = \"avro\"`";
const RECODE: &str = "convert it to UTF-8";
const DECLARE: &str = "convert it to UTF-8, or set `source.csv.encoding = \"utf-16\"` if it is CSV";
const RENAME: &str = "give it a name that ends in `.zst` or `.lz4`";

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
const FOREIGN: [Foreign; 18] = [
    foreign("lzma", &["lzma"], &[], DECOMPRESS),
    foreign("brotli", &["br"], &[], DECOMPRESS),
    foreign("compress", &["z"], &[(0, b"\x1F\x9D")], DECOMPRESS),
    foreign("lz4 in its legacy format", &[], &[(0, LZ4_LEGACY_MAGIC)], DECOMPRESS),
    foreign("a skippable frame of zstd or lz4", &[], &[(1, SKIPPED_MAGIC)], RENAME),
    foreign("zip", &["zip"], &[(0, b"PK\x03\x04")], UNPACK),
    foreign("zip", &[], &[(0, b"PK\x05\x06")], UNPACK),
    foreign("7z", &["7z"], &[(0, b"7z\xBC\xAF\x27\x1C")], UNPACK),
    foreign("rar", &["rar"], &[(0, b"Rar!\x1A\x07")], UNPACK),
    foreign("tar", &["tar", "tgz", "taz", "tbz", "tbz2", "txz", "tzst"], &[(256, b"\0ustar")], UNPACK),
    Foreign { is_text: true, ..foreign("Parquet", &["parquet"], &[(0, b"PAR1")], READ_PARQUET) },
    Foreign { is_text: true, ..foreign("ORC", &["orc"], &[(0, b"ORC")], CONVERT) },
    foreign("Avro", &["avro"], &[(0, b"Obj\x01")], READ_AVRO),
    foreign("Arrow", &["arrow", "feather"], &[(0, b"ARROW1\0\0")], CONVERT),
    foreign("UTF-32", &[], &[(0, b"\xFF\xFE\0\0")], RECODE),
    foreign("UTF-32", &[], &[(0, b"\0\0\xFE\xFF")], RECODE),
    foreign("UTF-16", &[], &[(0, b"\xFF\xFE")], DECLARE),
    foreign("UTF-16", &[], &[(0, b"\xFE\xFF")], DECLARE),
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

/// Returns the compression that the first bytes of an object tell, up to [`HEAD_BYTES`].
pub fn compression_at(head: &[u8]) -> Compression {
    Compression::ALL.into_iter().find(|compression| has_magic(*compression, head)).unwrap_or_default()
}

fn has_magic(compression: Compression, head: &[u8]) -> bool {
    match compression {
        Compression::None => false,
        Compression::Bzip2 => {
            let starts = |magic: &&[u8]| head.get(4..).is_some_and(|rest| rest.starts_with(magic));
            head.starts_with(b"BZh") && BZIP2_MAGIC.iter().any(starts)
        }
        Compression::Zstd | Compression::Lz4 => behind_skipped(head).starts_with(magic(compression)),
        _ => head.starts_with(magic(compression)),
    }
}

/// Returns the first bytes of what is compressed in this way.
fn magic(compression: Compression) -> &'static [u8] {
    match compression {
        Compression::None => b"",
        Compression::Gzip => b"\x1F\x8B\x08",
        Compression::Zstd => ZSTD_MAGIC,
        Compression::Bzip2 => b"BZh",
        Compression::Xz => b"\xFD7zXZ\0",
        Compression::Snappy => SNAPPY_MAGIC,
        Compression::Lz4 => LZ4_MAGIC,
    }
}

/// Returns what follows the frames that zstd and lz4 skip, as far as it belongs to the first bytes.
fn behind_skipped(mut head: &[u8]) -> &[u8] {
    while let Some((start, rest)) = head.split_first_chunk::<8>()
        && is_skipped(start)
    {
        let length = u32::from_le_bytes([start[4], start[5], start[6], start[7]]) as usize;
        head = rest.get(length..).unwrap_or_default();
    }
    head
}

fn is_skipped(head: &[u8]) -> bool {
    head.split_first().is_some_and(|(first, rest)| first >> 4 == 5 && begins(rest, SKIPPED_MAGIC))
}

/// Returns whether an object with these first bytes may be compressed in this way, so that its decompressor can say
/// what is wrong with the rest.
fn may_be(compression: Compression, head: &[u8]) -> bool {
    let (is_cut, is_skipped) = (begins(head, magic(compression)) && head.len() < MAGIC_BYTES_MAX, is_skipped(head));
    let is_relative = match compression {
        Compression::Zstd => is_skipped,
        Compression::Lz4 => is_skipped || head.starts_with(LZ4_LEGACY_MAGIC),
        _ => false,
    };
    has_magic(compression, head) || is_cut || is_relative
}

/// Returns whether `head` begins like `magic`, as far as it goes.
fn begins(head: &[u8], magic: &[u8]) -> bool {
    head.iter().zip(magic).all(|(found, expected)| found == expected)
}

/// Checks that the first bytes of an object, up to [`HEAD_BYTES`] and as stored, are those of the compression that it is
/// known to have. Returns that compression or, if none is known, the one that the bytes tell. An object without a byte
/// has none.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object, the compression, and what the
/// bytes look like.
pub(crate) fn check_start(object: &str, known: Compression, head: &[u8]) -> Result<Compression> {
    match known {
        _ if head.is_empty() => Ok(Compression::None),
        Compression::None => Ok(compression_at(head)),
        known if may_be(known, head) => Ok(known),
        known => Err(Error::input(format!(
            "object `{object}` is named like {}, but begins like {}{}: give it a name that fits, or leave it out",
            known.name(),
            looks(head),
            if matches!(known, Compression::Snappy | Compression::Lz4) {
                " (only the framing format is read, not raw blocks or those of Hadoop)"
            } else {
                ""
            }
        ))),
    }
}

/// Returns what the first bytes of an object look like.
pub(crate) fn looks(head: &[u8]) -> String {
    let is_text = || {
        let is_whole = |error: std::str::Utf8Error| error.error_len().is_none();
        std::str::from_utf8(head).map_or_else(is_whole, |_| true) && !head.iter().any(|byte| *byte < 0x09)
    };
    match (compression_at(head), foreign_start(head)) {
        (Compression::None, Some(foreign)) => foreign.name.to_owned(),
        (Compression::None, None) if is_text() => "plain text".to_owned(),
        (Compression::None, None) => {
            let bytes: Vec<String> = head.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
            format!("nothing that is known (`{}`)", bytes.join(" "))
        }
        (compression, _) => compression.name().to_owned(),
    }
}

/// Number of the first bytes of an object that a message shows.
const SHOWN_BYTES: usize = 8;

/// Checks that the name of an object does not say that it holds something else than records.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object, its content and what to do.
pub(crate) fn check_name(object: &str) -> Result<()> {
    let mut parts = object.rsplit('.');
    // The extension of the compression stands behind that of the content.
    let extension = if Compression::of(object) == Compression::None { parts.next() } else { parts.nth(1) };
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
    let twice = compression_at(head);
    if twice != Compression::None {
        return Err(Error::input(format!(
            "object `{object}` is compressed twice, with {} inside: decompress it once, or leave it out",
            twice.name()
        )));
    }
    match foreign_start(head) {
        Some(foreign) => Err(refused(object, "begins like", foreign)),
        None => Ok(()),
    }
}

/// Returns whether the first bytes of an object have the byte order mark of UTF-16.
pub(crate) fn is_utf16(head: &[u8]) -> bool {
    foreign_start(head).is_some_and(|foreign| foreign.name == "UTF-16")
}

fn foreign_start(head: &[u8]) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| foreign.starts(head))
}

fn refused(object: &str, looks: &str, Foreign { name, cure, .. }: &Foreign) -> Error {
    Error::input(format!("object `{object}` {looks} {name}, which is not read: {cure}, or leave it out"))
}

/// Checks that a source would take the first bytes of a part for records.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names what they would be taken for.
pub(crate) fn check_written(format: &str, head: &[u8]) -> Result<()> {
    let name = match (compression_at(head), foreign_start(head)) {
        (Compression::None, None) => return Ok(()),
        (Compression::None, Some(foreign)) => foreign.name,
        (compression, _) => compression.name(),
    };
    Err(Error::input(format!(
        "the first rows of a part begin like {name}, which a `{format}` source would not take for records (use another \
         format)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(object: &str) -> Option<String> {
        check_name(object).err().map(|error| error.to_string())
    }

    #[test]
    fn content_is_known_by_its_name() {
        for (object, what) in [
            ("a.txz", "tar"),
            ("d/a.tar.BZ2", "tar"),
            ("a.zip.xz", "zip"),
            ("a.zip", "zip"),
            ("a.tar", "tar"),
            ("a.tar.gz", "tar"),
            ("a.tgz", "tar"),
            ("a.tar.zst", "tar"),
            ("a.snappy.parquet", "Parquet"),
            ("a.avro", "Avro"),
            ("a.orc", "ORC"),
            ("a.br", "brotli"),
            ("a.Z", "compress"),
        ] {
            let error = named(object).unwrap_or_else(|| panic!("{object} is refused"));
            assert!(
                error.starts_with(&format!("object `{object}` is named like {what}, which is not read: ")),
                "{error}"
            );
        }
        for object in
            ["a", "zip", "a.txt", "a.gz", "dir.xz/a", "a.xz.txt", "a.jsonl.zst", "xz", "a.xz", "a.bz2", "a.sz", "a.lz4"]
        {
            assert_eq!(named(object), None, "{object}");
        }
    }

    #[test]
    fn content_is_known_by_its_first_bytes() {
        let tar = [&b"a/b.txt"[..], &[0; 250], b"ustar\x0000"].concat();
        for (head, what) in [
            (&b"PK\x03\x04"[..], "zip, which is not read: unpack it, or leave it out"),
            (b"\x02\x21\x4C\x18", "lz4 in its legacy format"),
            (b"\x50*M\x18", "a skippable frame of zstd or lz4"),
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
