//! Compressors of the parts of a sink.
//!
//! Owns the level of each compression. The bytes depend on the content alone: not on the pieces in which it is written,
//! on the time, or on the number of processors.

use std::io::{self, Write};

use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use crate::content::SNAPPY_MAGIC;

/// Number of bytes that a compressor is given at once. Some choose differently when they are given other pieces.
const PIECE_BYTES: usize = 64 << 10;

/// Level of gzip and of xz, which is the one of their tools.
const LEVEL: u32 = 6;

/// Level of zstd, which is the one of its tool.
const ZSTD_LEVEL: i32 = 3;

/// Level of bzip2, which is the one of its tool.
#[cfg(feature = "bzip2")]
const BZIP2_LEVEL: u32 = 9;

/// Returns the number of bytes that a compressor may hold.
pub fn pack_bytes(compression: Compression) -> usize {
    let mib = match compression {
        Compression::None => return 0,
        Compression::Gzip | Compression::Snappy | Compression::Lz4 => 1,
        Compression::Zstd | Compression::Bzip2 => 8,
        Compression::Xz => 96,
    };
    mib << 20
}

/// Writes the bytes of a part, compressed, to `W`.
pub(crate) struct Packer<W: Write> {
    encoder: Encoder<W>,
    /// Bytes that wait until they are a whole piece.
    piece: Vec<u8>,
    is_empty: bool,
}

enum Encoder<W: Write> {
    Plain(W),
    Gzip(Box<flate2::write::GzEncoder<W>>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    #[cfg(feature = "bzip2")]
    Bzip2(Box<bzip2::write::BzEncoder<W>>),
    #[cfg(feature = "xz")]
    Xz(Box<liblzma::write::XzEncoder<W>>),
    Snappy(Box<snap::write::FrameEncoder<W>>),
    Lz4(Box<FrameEncoder<W>>),
}

impl<W: Write> Packer<W> {
    /// Creates a compressor.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when this build lacks the compression.
    pub(crate) fn new(writer: W, compression: Compression) -> Result<Self> {
        let encoder = match compression {
            Compression::None => Encoder::Plain(writer),
            Compression::Gzip => {
                Encoder::Gzip(Box::new(flate2::write::GzEncoder::new(writer, flate2::Compression::new(LEVEL))))
            }
            Compression::Zstd => Encoder::Zstd(zstd_encoder(writer).map_err(Error::from_io)?),
            #[cfg(feature = "bzip2")]
            Compression::Bzip2 => {
                Encoder::Bzip2(Box::new(bzip2::write::BzEncoder::new(writer, bzip2::Compression::new(BZIP2_LEVEL))))
            }
            #[cfg(feature = "xz")]
            Compression::Xz => Encoder::Xz(Box::new(liblzma::write::XzEncoder::new(writer, LEVEL))),
            Compression::Snappy => Encoder::Snappy(Box::new(snap::write::FrameEncoder::new(writer))),
            Compression::Lz4 => Encoder::Lz4(Box::new(lz4_encoder(writer))),
            #[cfg(not(all(feature = "bzip2", feature = "xz")))]
            missing => return Err(super::missing(missing)),
        };
        Ok(Self { encoder, piece: Vec::new(), is_empty: true })
    }

    /// Compresses bytes. Keeps those that make no whole piece for later.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Encoder::Plain(writer) = &mut self.encoder {
            return writer.write_all(bytes);
        }
        self.is_empty &= bytes.is_empty();
        while !bytes.is_empty() {
            let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
            self.piece.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.piece.len() == PIECE_BYTES {
                self.flush_piece()?;
            }
        }
        Ok(())
    }

    /// Ends the compressed bytes and returns the writer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush_piece()?;
        match self.encoder {
            Encoder::Plain(writer) => Ok(writer),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
            #[cfg(feature = "bzip2")]
            Encoder::Bzip2(encoder) => encoder.finish(),
            #[cfg(feature = "xz")]
            Encoder::Xz(encoder) => encoder.finish(),
            Encoder::Snappy(encoder) => snappy_end(*encoder, self.is_empty),
            Encoder::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
        }
    }

    fn flush_piece(&mut self) -> io::Result<()> {
        let piece = &self.piece;
        match &mut self.encoder {
            Encoder::Plain(writer) => writer.write_all(piece),
            Encoder::Gzip(encoder) => encoder.write_all(piece),
            Encoder::Zstd(encoder) => encoder.write_all(piece),
            #[cfg(feature = "bzip2")]
            Encoder::Bzip2(encoder) => encoder.write_all(piece),
            #[cfg(feature = "xz")]
            Encoder::Xz(encoder) => encoder.write_all(piece),
            Encoder::Snappy(encoder) => encoder.write_all(piece),
            Encoder::Lz4(encoder) => encoder.write_all(piece),
        }?;
        self.piece.clear();
        Ok(())
    }
}

fn zstd_encoder<W: Write>(writer: W) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn lz4_encoder<W: Write>(writer: W) -> FrameEncoder<W> {
    FrameEncoder::with_frame_info(FrameInfo::new().block_size(BlockSize::Max64KB).content_checksum(true), writer)
}

/// Ends a Snappy stream. For no bytes, its library leaves out the start of the stream, too.
fn snappy_end<W: Write>(encoder: snap::write::FrameEncoder<W>, is_empty: bool) -> io::Result<W> {
    let mut writer = encoder.into_inner().map_err(|error| error.into_error())?;
    if is_empty {
        writer.write_all(SNAPPY_MAGIC)?;
    }
    Ok(writer)
}
