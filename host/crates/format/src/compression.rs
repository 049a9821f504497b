//! Reader of chunks as plain bytes, one slice at a time, which decompresses the slices of compressed objects.
//!
//! Owns the compression formats, and the start of an object: what holds no records is refused, and a byte order mark is
//! skipped. A buffer bounds the bytes handed out at once, no matter how much a few compressed bytes expand to.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};
use flate2::bufread::GzDecoder;

use super::{
    chunk::Chunk,
    content::{BYTE_ORDER_MARK, HEAD_BYTES, check_head, check_name, is_utf16},
};

/// Number of bytes that are decompressed at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Reason why `Inflate::reader` and `Members::member` are always present.
const REPLACED: &str = "the reader is put back after each use, unless there was an error";

/// The plain bytes of a shard's slices, one slice after the other. Cannot be used after an error.
pub(super) struct Inflate<I: Iterator<Item = Result<Chunk>>> {
    reader: Option<Reader<I>>,
    object: Arc<str>,
    /// The first bytes of the object, which were read to find out what it holds and are still to be handed out.
    head: Bytes,
    /// Whether objects may be UTF-16.
    takes_utf16: bool,
}

/// The start of a slice.
pub(super) struct SliceStart {
    pub(super) object: Arc<str>,
    /// Offset in the object of the slice's first record.
    pub(super) offset: u64,
    /// The first bytes of the object, up to the end of its header, if the slice does not start the object.
    pub(super) head: Bytes,
}

impl<I: Iterator<Item = Result<Chunk>>> Inflate<I> {
    pub(super) fn new(chunks: I) -> Self {
        let stored = Stored { chunks, data: Bytes::new(), next: None, failed: None };
        Self { reader: Some(Reader::Plain(stored)), object: "".into(), head: Bytes::new(), takes_utf16: false }
    }

    /// Lets objects be UTF-16, whose bytes are handed out as they are.
    pub(super) fn taking_utf16(self) -> Self {
        Self { takes_utf16: true, ..self }
    }

    /// Moves to the next slice, and returns its start; `None` after the last slice. Bytes of the previous slice that were not consumed are skipped, and so is a byte order mark at the start of an
    /// object.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when an object holds something else than records.
    pub(super) fn next_slice(&mut self) -> Result<Option<SliceStart>> {
        let mut stored = self.reader.take().expect(REPLACED).into_stored();
        let Some(Start { object, offset, compression, head }) = stored.next_slice()? else {
            self.reader = Some(Reader::Plain(stored));
            return Ok(None);
        };
        self.object = Arc::clone(&object);
        if offset == 0 {
            check_name(&object, compression)?;
        }
        self.reader = Some(match compression {
            Compression::None => Reader::Plain(stored),
            Compression::Gzip => Reader::Gzip(buffered(Members::new(stored))),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(stored);
                Reader::Zstd(buffered(decoder.map_err(|error| invalid(&object, "zstd", &error))?))
            }
        });
        self.head = Bytes::new();
        let skipped = if offset == 0 { self.read_head()? } else { 0 };
        Ok(Some(SliceStart { object, offset: offset + skipped, head }))
    }

    /// Reads the first bytes of an object and checks them. Returns the number of bytes of a byte order mark, which is
    /// skipped.
    fn read_head(&mut self) -> Result<u64> {
        let mut head = Vec::new();
        while head.len() < HEAD_BYTES {
            let data = self.fill_reader()?;
            if data.is_empty() {
                break;
            }
            let taken = data.len().min(HEAD_BYTES - head.len());
            head.extend_from_slice(&data[..taken]);
            self.consume(taken);
        }
        if !(self.takes_utf16 && is_utf16(&head)) {
            check_head(&self.object, &head)?;
        }
        let skipped = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        self.head = Bytes::from(head).slice(skipped..);
        Ok(skipped as u64)
    }

    /// Returns the slice's next bytes without consuming them; empty at the slice's end.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        if self.head.is_empty() { self.fill_reader() } else { Ok(&self.head) }
    }

    fn fill_reader(&mut self) -> Result<&[u8]> {
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
        if self.head.is_empty() {
            self.reader.as_mut().expect(REPLACED).consume(bytes);
        } else {
            self.head.advance(bytes);
        }
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
    Gzip(Box<BufReader<Members<Stored<I>>>>),
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
            Self::Gzip(reader) => reader.get_mut().stored(),
            Self::Zstd(reader) => reader.get_mut().get_mut(),
        }
    }

    fn into_stored(self) -> Stored<I> {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader.into_inner().into_stored(),
            Self::Zstd(reader) => reader.into_inner().finish(),
        }
    }
}

/// The members of a gzip file, one after the other. Zeros between and behind them, as tapes and block devices leave
/// them, are skipped.
struct Members<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(stored: R) -> Self {
        Self { member: Some(GzDecoder::new(stored)) }
    }

    fn stored(&mut self) -> &mut R {
        self.member.as_mut().expect(REPLACED).get_mut()
    }

    fn into_stored(self) -> R {
        self.member.expect(REPLACED).into_inner()
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.member.as_mut().expect(REPLACED).read(buffer)?;
            if read > 0 || buffer.is_empty() || is_at_end(self.stored())? {
                return Ok(read);
            }
            let stored = self.member.take().expect(REPLACED).into_inner();
            self.member = Some(GzDecoder::new(stored));
        }
    }
}

/// Skips zeros, and returns whether nothing follows them.
fn is_at_end(stored: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let data = stored.fill_buf()?;
        let (length, zeros) = (data.len(), data.iter().take_while(|byte| **byte == 0).count());
        stored.consume(zeros);
        if length == 0 || zeros < length {
            return Ok(length == 0);
        }
    }
}

/// The start of a slice that was received but not moved to yet.
struct Start {
    object: Arc<str>,
    offset: u64,
    compression: Compression,
    head: Bytes,
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
                Some(Chunk::Start { object, offset, compression, head }) => {
                    self.next = Some(Start { object, offset, compression, head });
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
