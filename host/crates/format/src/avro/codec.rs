//! The compressions of blocks.

use std::io::{self, Read, Write};

use flate2::{Compression, Crc, read::DeflateDecoder, write::DeflateEncoder};

use crate::AvroCompression;

/// Size in bytes of the longest block, compressed or not.
pub(super) const BLOCK_BYTES_MAX: u64 = 64 << 20;

/// Bytes that a decoder of xz may take besides what it returns, and of how many bytes the window of zstd may be, as a
/// power of 2. More would be longer than a block.
const XZ_BYTES_MAX: u64 = BLOCK_BYTES_MAX + (16 << 20);
const ZSTD_WINDOW_MAX: u32 = BLOCK_BYTES_MAX.trailing_zeros();

/// Level of compression by xz, which is its own default.
const XZ_LEVEL: u32 = 6;

/// Number of bytes of the checksum behind a block compressed by snappy.
const CRC_BYTES: usize = 4;

/// Returns the compression of a name in the header of an object.
pub(super) fn by_name(name: &[u8]) -> Option<AvroCompression> {
    Some(match name {
        b"null" => AvroCompression::None,
        b"deflate" => AvroCompression::Deflate,
        b"snappy" => AvroCompression::Snappy,
        b"zstandard" => AvroCompression::Zstd,
        b"bzip2" => AvroCompression::Bzip2,
        b"xz" => AvroCompression::Xz,
        _ => return None,
    })
}

/// Returns the name of a compression in the header of an object.
pub(super) fn name(compression: AvroCompression) -> &'static str {
    match compression {
        AvroCompression::None => "null",
        AvroCompression::Zstd => "zstandard",
        other => other.name(),
    }
}

/// Decompresses a block.
///
/// # Errors
/// What is wrong with it, as the end of a sentence on it.
pub(super) fn decompress(compression: AvroCompression, stored: &[u8]) -> Result<Vec<u8>, String> {
    let read = match compression {
        AvroCompression::None => Ok(stored.to_vec()),
        AvroCompression::Deflate => read_all(DeflateDecoder::new(stored)),
        AvroCompression::Snappy => return snappy(stored),
        AvroCompression::Zstd => zstd::Decoder::new(stored).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_MAX)?;
            read_all(decoder)
        }),
        AvroCompression::Bzip2 => read_all(bzip2::read::BzDecoder::new(stored)),
        AvroCompression::Xz => liblzma::stream::Stream::new_stream_decoder(XZ_BYTES_MAX, 0)
            .map_err(io::Error::from)
            .and_then(|stream| read_all(liblzma::read::XzDecoder::new_stream(stored, stream))),
    };
    let plain = read.map_err(|error| format!("cannot be decompressed as {}: {error}", name(compression)))?;
    if plain.len() as u64 > BLOCK_BYTES_MAX { Err(too_long()) } else { Ok(plain) }
}

fn read_all(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    decoder.take(BLOCK_BYTES_MAX + 1).read_to_end(&mut plain)?;
    Ok(plain)
}

fn too_long() -> String {
    format!("takes more than {BLOCK_BYTES_MAX} bytes (limit of a block): write it with smaller blocks")
}

fn snappy(stored: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("cannot be decompressed as snappy: {what}");
    let (stored, checksum) = stored.split_last_chunk::<CRC_BYTES>().ok_or_else(|| wrong(&"it has no checksum"))?;
    let bytes = snap::raw::decompress_len(stored).map_err(|error| wrong(&error))?;
    if bytes as u64 > BLOCK_BYTES_MAX {
        return Err(too_long());
    }
    let plain = snap::raw::Decoder::new().decompress_vec(stored).map_err(|error| wrong(&error))?;
    if crc(&plain) != *checksum {
        return Err(wrong(&"its checksum is another"));
    }
    Ok(plain)
}

fn crc(plain: &[u8]) -> [u8; CRC_BYTES] {
    let mut crc = Crc::new();
    crc.update(plain);
    crc.sum().to_be_bytes()
}

/// Compresses a block. The same bytes become the same bytes.
///
/// # Errors
/// When a library fails, which is not expected.
pub(super) fn compress(compression: AvroCompression, plain: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        AvroCompression::None => Ok(plain.to_vec()),
        AvroCompression::Deflate => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        AvroCompression::Snappy => {
            let mut stored = snap::raw::Encoder::new().compress_vec(plain).map_err(io::Error::other)?;
            stored.extend_from_slice(&crc(plain));
            Ok(stored)
        }
        AvroCompression::Zstd => zstd::encode_all(plain, zstd::DEFAULT_COMPRESSION_LEVEL),
        AvroCompression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        AvroCompression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), XZ_LEVEL);
            encoder.write_all(plain)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [AvroCompression; 6] = [
        AvroCompression::None,
        AvroCompression::Deflate,
        AvroCompression::Snappy,
        AvroCompression::Zstd,
        AvroCompression::Bzip2,
        AvroCompression::Xz,
    ];

    #[test]
    fn a_block_comes_back_as_it_was() {
        for compression in ALL {
            assert_eq!(by_name(name(compression).as_bytes()), Some(compression));
            for plain in [&b""[..], b"a", &[7; 10_000]] {
                let stored = compress(compression, plain).expect("compresses");
                assert_eq!(decompress(compression, &stored).as_deref(), Ok(plain), "{compression:?}");
            }
        }
    }

    #[test]
    fn a_few_bytes_that_become_many_are_refused() {
        let many = vec![0; BLOCK_BYTES_MAX as usize + 1];
        for compression in ALL {
            let stored = compress(compression, &many).expect("compresses");
            let error = decompress(compression, &stored).expect_err("too long");
            assert!(error.starts_with("takes more than 67108864 bytes"), "{error}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        for compression in ALL.into_iter().filter(|compression| *compression != AvroCompression::None) {
            for stored in [&b"\xff"[..], b"no compressed block", &[]] {
                let error = decompress(compression, stored).expect_err("damaged");
                let named = format!("cannot be decompressed as {}: ", name(compression));
                assert!(error.starts_with(&named), "{compression:?}: {error}");
            }
        }
        let mut stored = compress(AvroCompression::Snappy, b"abc").expect("compresses");
        *stored.last_mut().expect("a checksum") ^= 1;
        assert!(decompress(AvroCompression::Snappy, &stored).expect_err("damaged").ends_with("checksum is another"));
    }
}
