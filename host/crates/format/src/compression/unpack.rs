//! Decompressors: stored bytes, wrapped in the decompression they need.
//!
//! Owns which library reads which compression, and how much memory it may take for that.

use std::io::{self, BufRead, BufReader, Read};

use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};

use super::{lz4::Frames, members::Members, stored::Stored};
use crate::chunk::Chunk;

/// Number of bytes that are decompressed at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Binary logarithm of the largest window of a zstd frame that is read.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Maximum memory of the decompressor of an xz stream, in bytes. The largest preset, `xz -9`, needs 65 MiB.
#[cfg(feature = "xz")]
const XZ_BYTES_MAX: u64 = 128 << 20;

/// Maximum number of bytes that a decompressor may hold: a window of 128 MiB, and buffers.
pub const UNPACK_BYTES_MAX: usize = (1 << ZSTD_WINDOW_LOG_MAX) + (2 << 20);

/// Number of bytes that the decompressor of an object usually holds. Only `zstd --ultra` and `--long`, and `xz -7` and
/// higher, make objects that take more.
pub const UNPACK_BYTES: usize = 16 << 20;

/// Bytes of a slice on their way out of a decompressor.
type Buffered<D> = Box<BufReader<D>>;

/// Stored bytes, wrapped in the decompression they need.
pub(super) enum Reader<I: Iterator<Item = Result<Chunk>>> {
    Plain(Stored<I>),
    Gzip(Buffered<Members<Stored<I>>>),
    Zstd(Buffered<zstd::stream::read::Decoder<'static, Stored<I>>>),
    #[cfg(feature = "bzip2")]
    Bzip2(Buffered<bzip2::bufread::MultiBzDecoder<Stored<I>>>),
    #[cfg(feature = "xz")]
    Xz(Buffered<liblzma::bufread::XzDecoder<Stored<I>>>),
    Snappy(Buffered<snap::read::FrameDecoder<Stored<I>>>),
    Lz4(Buffered<Frames<Stored<I>>>),
}

/// Does the same with the reader of any compression.
macro_rules! each {
    ($reader:expr, $plain:ident => $of_plain:expr, $packed:ident => $of_packed:expr) => {
        match $reader {
            Reader::Plain($plain) => $of_plain,
            Reader::Gzip($packed) => $of_packed,
            Reader::Zstd($packed) => $of_packed,
            #[cfg(feature = "bzip2")]
            Reader::Bzip2($packed) => $of_packed,
            #[cfg(feature = "xz")]
            Reader::Xz($packed) => $of_packed,
            Reader::Snappy($packed) => $of_packed,
            Reader::Lz4($packed) => $of_packed,
        }
    };
}

impl<I: Iterator<Item = Result<Chunk>>> Reader<I> {
    /// Wraps the bytes of an object of this compression.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when this build lacks the compression.
    pub(super) fn new(stored: Stored<I>, compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(stored),
            Compression::Gzip => Self::Gzip(buffered(Members::new(stored))),
            Compression::Zstd => Self::Zstd(buffered(zstd_decoder(stored).map_err(Error::from_io)?)),
            #[cfg(feature = "bzip2")]
            Compression::Bzip2 => Self::Bzip2(buffered(bzip2::bufread::MultiBzDecoder::new(stored))),
            #[cfg(feature = "xz")]
            Compression::Xz => Self::Xz(buffered(xz_decoder(stored)?)),
            Compression::Snappy => Self::Snappy(buffered(snap::read::FrameDecoder::new(stored))),
            Compression::Lz4 => Self::Lz4(buffered(Frames::new(stored))),
            #[cfg(not(all(feature = "bzip2", feature = "xz")))]
            missing => return Err(super::missing(missing)),
        })
    }

    pub(super) fn fill(&mut self) -> io::Result<&[u8]> {
        each!(self, plain => plain.fill_buf(), packed => packed.fill_buf())
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        each!(self, plain => plain.consume(bytes), packed => packed.consume(bytes));
    }

    pub(super) fn stored(&mut self) -> &mut Stored<I> {
        each!(self, plain => plain, packed => packed.get_mut().get_mut())
    }

    pub(super) fn into_stored(self) -> Stored<I> {
        match self {
            Self::Plain(plain) => plain,
            Self::Gzip(packed) => packed.into_inner().into_inner(),
            Self::Zstd(packed) => packed.into_inner().finish(),
            #[cfg(feature = "bzip2")]
            Self::Bzip2(packed) => packed.into_inner().into_inner(),
            #[cfg(feature = "xz")]
            Self::Xz(packed) => packed.into_inner().into_inner(),
            Self::Snappy(packed) => packed.into_inner().into_inner(),
            Self::Lz4(packed) => packed.into_inner().into_inner(),
        }
    }
}

fn buffered<R: Read>(decoder: R) -> Buffered<R> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
}

fn zstd_decoder<R: BufRead>(stored: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(stored)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

#[cfg(feature = "xz")]
fn xz_decoder<R: BufRead>(stored: R) -> Result<liblzma::bufread::XzDecoder<R>> {
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_BYTES_MAX, liblzma::stream::CONCATENATED);
    let stream = stream.map_err(|error| Error::internal(format!("cannot make a decompressor of xz: {error}")))?;
    Ok(liblzma::bufread::XzDecoder::new_stream(stored, stream))
}

/// Returns what is wrong with the bytes of an object, given the error of their decompressor.
pub(super) fn cause(compression: Compression, error: &io::Error) -> String {
    let text = error.to_string();
    match compression {
        _ if error.kind() == io::ErrorKind::UnexpectedEof => "it ends early (is it truncated?)".to_owned(),
        Compression::Zstd if text.contains("too much memory") => {
            let mib = (1_u64 << ZSTD_WINDOW_LOG_MAX) >> 20;
            format!("its window is longer than the {mib} MiB that are allowed (compress it with `--long=27` at most)")
        }
        #[cfg(feature = "xz")]
        Compression::Xz if text.contains("memory limit") => {
            let mib = XZ_BYTES_MAX >> 20;
            format!("it takes more than the {mib} MiB of memory that are allowed (compress it with `-9` at most)")
        }
        _ => text,
    }
}
