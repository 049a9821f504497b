//! Tests of compression: files of other tools, damage, limits, and what a sink writes.
//!
//! The files in `testdata` were made by gzip 1.12, bzip2 1.0.8, xz 5.4, zstd 1.5.4, lz4 1.9.4, and Snappy of Arrow C++, whose blocks
//! were framed by hand.
//! Those named `plain.json.*` are two streams of halves that meet inside of a line, with an empty one between.

use bytes::Bytes;
use etl_core::model::{error::Result, object::Compression};
use proptest::prelude::*;

use super::{Inflate, pack::Packer};
use crate::chunk::Chunk;

const PLAIN: &[u8] = include_bytes!("../../testdata/plain.json");
const LINKED_LZ4: &[u8] = include_bytes!("../../testdata/linked.lz4");

/// Files that hold [`PLAIN`], with their names.
const FILES: [(&str, &[u8]); 12] = [
    ("a.gz", include_bytes!("../../testdata/plain.json.gz")),
    ("a.zst", include_bytes!("../../testdata/plain.json.zst")),
    ("a.bz2", include_bytes!("../../testdata/plain.json.bz2")),
    ("a.xz", include_bytes!("../../testdata/plain.json.xz")),
    ("a.sz", include_bytes!("../../testdata/plain.json.sz")),
    ("a.lz4", include_bytes!("../../testdata/plain.json.lz4")),
    ("skippable.zst", include_bytes!("../../testdata/skippable.zst")),
    ("skippable.lz4", include_bytes!("../../testdata/skippable.lz4")),
    ("variants.lz4", include_bytes!("../../testdata/variants.lz4")),
    ("long27.zst", include_bytes!("../../testdata/long27.zst")),
    ("dict64.xz", include_bytes!("../../testdata/dict64.xz")),
    ("plain.txt", PLAIN),
];

/// Files that hold nothing.
const EMPTY: [(&str, &[u8]); 6] = [
    ("a.gz", include_bytes!("../../testdata/empty.gz")),
    ("a.zst", include_bytes!("../../testdata/empty.zst")),
    ("a.bz2", include_bytes!("../../testdata/empty.bz2")),
    ("a.xz", include_bytes!("../../testdata/empty.xz")),
    ("a.lz4", include_bytes!("../../testdata/empty.lz4")),
    ("a.sz", b"\xFF\x06\0\0sNaPpY"),
];

/// Returns the plain bytes of an object that arrives in pieces of this length.
fn plain_in_pieces(name: &str, stored: &[u8], piece_bytes: usize) -> Result<Vec<u8>> {
    let start = Chunk::Start { object: name.into(), offset: 0, compression: Compression::of(name), head: Bytes::new() };
    let pieces = stored.chunks(piece_bytes).map(|piece| Ok(Chunk::Data(Bytes::copy_from_slice(piece))));
    let mut inflate = Inflate::new([Ok(start)].into_iter().chain(pieces));
    assert!(inflate.next_slice()?.is_some());
    let mut plain = Vec::new();
    loop {
        let data = inflate.fill()?;
        if data.is_empty() {
            break;
        }
        plain.extend_from_slice(data);
        let taken = data.len();
        inflate.consume(taken);
    }
    assert!(inflate.next_slice()?.is_none());
    Ok(plain)
}

fn plain(name: &str, stored: &[u8]) -> Result<Vec<u8>> {
    plain_in_pieces(name, stored, usize::MAX)
}

fn refused(name: &str, stored: &[u8]) -> String {
    plain(name, stored).map(|plain| format!("{} bytes were read", plain.len())).expect_err(name).to_string()
}

fn packed(content: &[u8], compression: Compression, piece_bytes: usize) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new(), compression).expect("this build has it");
    content.chunks(piece_bytes).for_each(|piece| packer.write_all(piece).expect("memory"));
    packer.finish().expect("memory")
}

fn extension(compression: Compression) -> &'static str {
    compression.extensions()[0]
}

#[test]
fn files_of_other_tools_are_read_whole_however_they_arrive() {
    for (name, stored) in FILES {
        for piece_bytes in [1, 7, 100, 4096, usize::MAX] {
            assert!(plain_in_pieces(name, stored, piece_bytes).expect(name) == PLAIN, "{name} by {piece_bytes}");
        }
    }
    for (name, stored) in EMPTY {
        assert_eq!(plain(name, stored).expect(name), b"", "{name}");
    }
    assert!(plain("a.lz4", LINKED_LZ4).expect("whole") == PLAIN.repeat(20));
}

#[test]
fn a_compression_is_told_by_the_first_bytes_if_the_name_tells_none() {
    for (name, stored) in FILES.into_iter().chain(EMPTY) {
        for unnamed in ["a", "a.json", "a.1"] {
            assert_eq!(plain(unnamed, stored).expect(name), plain(name, stored).expect(name), "{name} as {unnamed}");
        }
    }
}

#[test]
fn a_name_that_does_not_fit_the_bytes_is_refused_with_what_they_look_like() {
    for (name, stored) in &FILES[..6] {
        for other in Compression::ALL.into_iter().filter(|other| *other != Compression::of(name)) {
            let (wrong, found) = (format!("b.{}", extension(other)), Compression::of(name).name());
            let expected = format!("object `{wrong}` is named like {}, but begins like {found}", other.name());
            let error = refused(&wrong, stored);
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.ends_with(": give it a name that fits, or leave it out"), "{error}");
        }
    }
    for (stored, looks) in [
        (&b"a,b\n1,2\n"[..], "plain text"),
        ("é".as_bytes(), "plain text"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04", "zip"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", "nothing that is known (`00 01 02 03 04 05 06 07`)"),
    ] {
        for compression in Compression::ALL {
            let (name, looks) = (format!("c.{}", extension(compression)), format!("but begins like {looks}"));
            assert!(refused(&name, stored).contains(&looks), "{}", refused(&name, stored));
        }
    }
    for stored in [&include_bytes!("../../testdata/raw.snappy")[..], include_bytes!("../../testdata/hadoop.snappy")] {
        let error = refused("a.snappy", stored);
        assert!(error.contains("only the framing format is read, not raw blocks or those of Hadoop"), "{error}");
    }
}

#[test]
fn an_object_without_a_byte_holds_nothing_whatever_its_name() {
    for compression in Compression::ALL {
        assert_eq!(plain(&format!("a.{}", extension(compression)), b"").expect("nothing"), b"");
    }
}

/// Returns the positions between the chunks of a Snappy file, where it may end as well: the format has no end.
fn snappy_ends(stored: &[u8]) -> Vec<usize> {
    let (mut ends, mut end) = (Vec::new(), 0);
    while let Some([_, length @ ..]) = stored[end..].first_chunk::<4>() {
        end += 4 + u32::from_le_bytes([length[0], length[1], length[2], 0]) as usize;
        ends.push(end);
    }
    // The last one is the end of the whole file.
    ends.pop();
    ends
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_and_named() {
    for (name, stored) in &FILES[..11] {
        let expected =
            format!("object `{name}` cannot be decompressed as {}: it ends early", Compression::of(name).name());
        let mut ends = Vec::new();
        for end in 1..stored.len() {
            match plain(name, &stored[..end]) {
                Err(error) => assert!(error.to_string().starts_with(&expected), "at {end}: {error}"),
                Ok(_) => ends.push(end),
            }
        }
        match Compression::of(name) {
            Compression::Snappy => assert_eq!(ends, snappy_ends(stored)),
            // Its streams: two halves, and what is skipped, or empty.
            _ => assert!(ends.len() <= 4, "{name} may end at {ends:?}"),
        }
    }
}

#[test]
fn what_follows_the_last_stream_is_refused() {
    for (name, stored) in &FILES[..11] {
        let error = refused(name, &[stored, &b"trailing bytes that are no stream"[..]].concat());
        assert!(error.starts_with(&format!("object `{name}` cannot be decompressed as ")), "{error}");
    }
}

#[test]
fn windows_beyond_the_limit_are_refused_with_the_limit() {
    let error = refused("a.zst", include_bytes!("../../testdata/long28.zst"));
    let expected = "object `a.zst` cannot be decompressed as zstd: its window is longer than the 128 MiB that are \
                    allowed (compress it with `--long=27` at most)";
    assert_eq!(error, expected);
    let error = refused("a.xz", include_bytes!("../../testdata/dict256.xz"));
    let expected = "object `a.xz` cannot be decompressed as xz: it takes more than the 128 MiB of memory that are allowed \
                    (compress it with `-9` at most)";
    assert_eq!(error, expected);
}

#[test]
fn relatives_that_are_not_read_are_named() {
    let legacy = include_bytes!("../../testdata/legacy.lz4");
    assert!(refused("a.lz4", legacy).contains("it has the legacy format of `lz4 -l`, which is not read"));
    assert!(refused("a", legacy).starts_with("object `a` begins like lz4 in its legacy format, which is not read"));
    let hidden = include_bytes!("../../testdata/hidden.zst");
    assert!(plain("a.zst", hidden).is_ok());
    let expected =
        "object `a` begins like a skippable frame of zstd or lz4, which is not read: give it a name that ends in";
    assert!(refused("a", hidden).starts_with(expected), "{}", refused("a", hidden));
}

#[test]
fn what_is_compressed_twice_is_refused() {
    for compression in Compression::ALL {
        let twice = packed(FILES[0].1, compression, usize::MAX);
        for name in ["a", &format!("a.{}", extension(compression))] {
            let expected = format!("object `{name}` is compressed twice, with gzip inside: decompress it once");
            assert!(refused(name, &twice).starts_with(&expected), "{}", refused(name, &twice));
        }
    }
}

#[test]
fn what_is_packed_is_read_back_and_depends_on_the_content_alone() {
    let long: Vec<u8> =
        (0..40_000_u32).flat_map(|number| format!("{}\n", number.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    for content in [&b""[..], b"a\n", PLAIN, &long] {
        for compression in Compression::ALL {
            let (name, whole) = (format!("a.{}", extension(compression)), packed(content, compression, usize::MAX));
            for piece_bytes in [1, 1000, 65_536, 100_000] {
                assert!(packed(content, compression, piece_bytes) == whole, "{name} by {piece_bytes}");
            }
            for name in [&name, "a"] {
                assert!(plain(name, &whole).expect(name) == content, "{name}");
            }
        }
    }
}

/// Returns whether these bytes are those of [`PLAIN`] in their order, of which at most one run of bytes is missing.
fn is_whole_but_for_one_gap(found: &[u8]) -> bool {
    let start = PLAIN.iter().zip(found).take_while(|(plain, found)| plain == found).count();
    let end = PLAIN.iter().rev().zip(found.iter().rev()).take_while(|(plain, found)| plain == found).count();
    found.len() <= PLAIN.len() && start + end >= found.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_is_an_error_or_no_damage_and_never_a_panic(
        file in 0..FILES.len() - 1, at in any::<prop::sample::Index>(), byte in any::<u8>(), piece_bytes in 1..2000_usize,
    ) {
        let (name, stored) = FILES[file];
        let mut damaged = stored.to_vec();
        damaged[at.index(stored.len())] = byte;
        if let Ok(found) = plain_in_pieces(name, &damaged, piece_bytes) {
            // Nothing protects the times and names of gzip, the content of skipped frames, whether a frame is to be
            // skipped, and the second frame of the variants of lz4, which has no checksum.
            prop_assert!(name == "variants.lz4" || is_whole_but_for_one_gap(&found), "{} bytes of {}", found.len(), name);
        }
    }
}
