//! Reader of chunks as plain bytes, one slice at a time, which decompresses the slices of compressed objects.
//!
//! Owns the compression formats. A buffer bounds the bytes handed out at once, no matter how much a few compressed
//! bytes expand to.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};
use flate2::bufread::MultiGzDecoder;

use super::chunk::Chunk;

/// Number of bytes that are decompressed at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Reason why `Inflate::reader` is always present.
const REPLACED: &str = "the reader is put back after each use, unless there was an error";

/// The plain bytes of a shard's slices, one slice after the other. Cannot be used after an error.
pub(super) struct Inflate<I: Iterator<Item = Result<Chunk>>> {
    reader: Option<Reader<I>>,
    object: Arc<str>,
}

impl<I: Iterator<Item = Result<Chunk>>> Inflate<I> {
    pub(super) fn new(chunks: I) -> Self {
        let stored = Stored { chunks, data: Bytes::new(), next: None, failed: None };
        Self { reader: Some(Reader::Plain(stored)), object: "".into() }
    }

    /// Moves to the next slice, and returns its object and the offset of its first record; `None` after the last slice.
    /// Bytes of the previous slice that were not consumed are skipped.
    pub(super) fn next_slice(&mut self) -> Result<Option<(Arc<str>, u64)>> {
        let mut stored = self.reader.take().expect(REPLACED).into_stored();
        let Some(Start { object, offset, compression }) = stored.next_slice()? else {
            self.reader = Some(Reader::Plain(stored));
            return Ok(None);
        };
        self.object = Arc::clone(&object);
        self.reader = Some(match compression {
            Compression::None => Reader::Plain(stored),
            Compression::Gzip => Reader::Gzip(buffered(MultiGzDecoder::new(stored))),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(stored);
                Reader::Zstd(buffered(decoder.map_err(|error| invalid(&object, "zstd", &error))?))
            }
        });
        Ok(Some((object, offset)))
    }

    /// Returns the slice's next bytes without consuming them; empty at the slice's end.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        let reader = self.reader.as_mut().expect(REPLACED);
        // Asking twice is free, because the buffer is full the second time. The bytes of the first answer would keep
        // the reader borrowed in the branch of the error.
        if let Err(error) = reader.fill() {
            let format = reader.format();
            let failed = reader.stored().failed.take();
            return Err(failed.unwrap_or_else(|| invalid(&self.object, format, &error)));
        }
        Ok(reader.fill().unwrap_or_default())
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.reader.as_mut().expect(REPLACED).consume(bytes);
    }
}

fn buffered<R: Read>(decoder: R) -> Box<BufReader<R>> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
}

fn invalid(object: &str, format: &str, error: &io::Error) -> Error {
    Error::input(format!("object `{object}` cannot be decompressed as {format}: {error}"))
}

/// Stored bytes, wrapped in the decompression they need.
enum Reader<I: Iterator<Item = Result<Chunk>>> {
    Plain(Stored<I>),
    Gzip(Box<BufReader<MultiGzDecoder<Stored<I>>>>),
    Zstd(Box<BufReader<zstd::stream::read::Decoder<'static, Stored<I>>>>),
}

impl<I: Iterator<Item = Result<Chunk>>> Reader<I> {
    fn fill(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(reader) => reader.fill_buf(),
            Self::Gzip(reader) => reader.fill_buf(),
            Self::Zstd(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Self::Plain(reader) => reader.consume(bytes),
            Self::Gzip(reader) => reader.consume(bytes),
            Self::Zstd(reader) => reader.consume(bytes),
        }
    }

    fn format(&self) -> &'static str {
        match self {
            Self::Plain(_) => "plain",
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        }
    }

    fn stored(&mut self) -> &mut Stored<I> {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader.get_mut().get_mut(),
            Self::Zstd(reader) => reader.get_mut().get_mut(),
        }
    }

    fn into_stored(self) -> Stored<I> {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader.into_inner().into_inner(),
            Self::Zstd(reader) => reader.into_inner().finish(),
        }
    }
}

/// The start of a slice that was received but not moved to yet.
struct Start {
    object: Arc<str>,
    offset: u64,
    compression: Compression,
}

/// The stored bytes of one slice as they arrive. Ends where the next slice starts.
struct Stored<I> {
    chunks: I,
    data: Bytes,
    next: Option<Start>,
    /// Error of the chunks, in place of which a decompressor was given an `io::Error`.
    failed: Option<Error>,
}

impl<I: Iterator<Item = Result<Chunk>>> Stored<I> {
    fn next_slice(&mut self) -> Result<Option<Start>> {
        loop {
            self.data.clear();
            self.pull()?;
            if self.data.is_empty() {
                return Ok(self.next.take());
            }
        }
    }

    /// Takes more data from the chunks, unless there is some or the slice is at its end.
    fn pull(&mut self) -> Result<()> {
        while self.data.is_empty() && self.next.is_none() {
            match self.chunks.next().transpose()? {
                Some(Chunk::Data(data)) => self.data = data,
                Some(Chunk::Start { object, offset, compression }) => {
                    self.next = Some(Start { object, offset, compression });
                }
                None => break,
            }
        }
        Ok(())
    }
}

impl<I: Iterator<Item = Result<Chunk>>> Read for Stored<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = self.fill_buf()?;
        let length = data.len().min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<I: Iterator<Item = Result<Chunk>>> BufRead for Stored<I> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.pull() {
            self.failed = Some(error);
            return Err(io::Error::other("the object could not be read"));
        }
        Ok(&self.data)
    }

    fn consume(&mut self, bytes: usize) {
        self.data.advance(bytes);
    }
}
