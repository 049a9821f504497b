//! The frames of an lz4 file.
//!
//! Owns the frame format; `lz4_flex` decompresses the blocks. Its own reader of frames takes a file that is cut behind a
//! block for one that ends there.

use std::io::{self, BufRead, ErrorKind, Read};

use lz4_flex::block::decompress_into_with_dict;
use xxhash_rust::xxh32::{Xxh32, xxh32};

const MAGIC: u32 = 0x184D_2204;

/// First of the 16 magic numbers of frames that are to be skipped.
const SKIPPED_MAGIC: u32 = 0x184D_2A50;

/// Magic number of the frames that lz4 wrote before 2013. They have no end.
const LEGACY_MAGIC: u32 = 0x184C_2102;

/// Number of bytes before a block that it may refer to.
const WINDOW_BYTES: usize = 64 << 10;

/// Bit of a block's length that says that the block is stored as it is.
const STORED: u32 = 1 << 31;

/// The frames of an lz4 file, one after the other.
pub(super) struct Frames<R> {
    stored: R,
    /// The frame under way.
    frame: Option<Frame>,
    /// The block as stored. Reused.
    packed: Vec<u8>,
    /// The block's bytes, of which the first `taken` were handed out. Reused.
    block: Vec<u8>,
    taken: usize,
}

/// What the header of a frame says, and what is known of its content so far.
struct Frame {
    block_bytes: usize,
    has_block_checksums: bool,
    content_bytes: Option<u64>,
    content_hash: Option<Xxh32>,
    /// Number of bytes so far.
    bytes: u64,
    /// The last bytes before the next block, if blocks may refer to them.
    window: Option<Vec<u8>>,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(stored: R) -> Self {
        Self { stored, frame: None, packed: Vec::new(), block: Vec::new(), taken: 0 }
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        &mut self.stored
    }

    pub(super) fn into_inner(self) -> R {
        self.stored
    }

    /// Moves to the next block that is not empty. Returns whether there is one.
    fn next_block(&mut self) -> io::Result<bool> {
        (self.taken, self.block) = (0, std::mem::take(&mut self.block));
        self.block.clear();
        while self.block.is_empty() {
            let Some(frame) = &mut self.frame else {
                if self.stored.fill_buf()?.is_empty() {
                    return Ok(false);
                }
                self.frame = start_frame(&mut self.stored)?;
                continue;
            };
            let length = read_u32(&mut self.stored)?;
            if length == 0 {
                frame.end(&mut self.stored)?;
                self.frame = None;
            } else {
                self.packed.resize(frame.checked_length(length)?, 0);
                self.stored.read_exact(&mut self.packed)?;
                frame.check_block(&self.packed, &mut self.stored)?;
                frame.unpack(length & STORED != 0, &self.packed, &mut self.block)?;
            }
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() && !self.next_block()? {
            return Ok(0);
        }
        let length = buffer.len().min(self.block.len() - self.taken);
        buffer[..length].copy_from_slice(&self.block[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}

/// Reads the header of a frame; returns `None` when the frame was skipped.
fn start_frame(stored: &mut impl BufRead) -> io::Result<Option<Frame>> {
    match read_u32(stored)? {
        MAGIC => Frame::read(stored).map(Some),
        magic if magic & !0xF == SKIPPED_MAGIC => {
            let length = u64::from(read_u32(stored)?);
            let skipped = io::copy(&mut stored.take(length), &mut io::sink())?;
            if skipped == length { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) }
        }
        LEGACY_MAGIC => Err(invalid("it has the legacy format of `lz4 -l`, which is not read")),
        _ => Err(invalid("what follows a frame is no frame")),
    }
}

impl Frame {
    fn read(stored: &mut impl BufRead) -> io::Result<Self> {
        let mut header = vec![0; 2];
        stored.read_exact(&mut header)?;
        let (flags, block_code) = (header[0], header[1] >> 4 & 7);
        let has = |bit: u8| flags & 1 << bit != 0;
        if flags >> 6 != 1 || has(1) || block_code < 4 {
            return Err(invalid("the header of a frame is damaged, or of a later version"));
        }
        if has(0) {
            return Err(invalid("it needs a dictionary, which is not supported"));
        }
        if has(3) {
            let mut size = [0; 8];
            stored.read_exact(&mut size)?;
            header.extend(size);
        }
        let mut checksum = [0];
        stored.read_exact(&mut checksum)?;
        if xxh32(&header, 0).to_le_bytes()[1] != checksum[0] {
            return Err(invalid("the header of a frame is damaged"));
        }
        Ok(Self {
            block_bytes: 1 << (8 + 2 * block_code),
            has_block_checksums: has(4),
            content_bytes: header[2..].first_chunk().map(|size| u64::from_le_bytes(*size)),
            content_hash: has(2).then(|| Xxh32::new(0)),
            bytes: 0,
            window: (!has(5)).then(Vec::new),
        })
    }

    /// Returns the number of bytes that a block of this length field is stored in.
    fn checked_length(&self, length: u32) -> io::Result<usize> {
        let length = (length & !STORED) as usize;
        if length <= self.block_bytes { Ok(length) } else { Err(invalid("a block is longer than its frame allows")) }
    }

    fn check_block(&self, packed: &[u8], stored: &mut impl Read) -> io::Result<()> {
        if self.has_block_checksums && read_u32(stored)? != xxh32(packed, 0) {
            return Err(invalid("the checksum of a block is wrong"));
        }
        Ok(())
    }

    /// Puts the bytes of a block into `block`.
    fn unpack(&mut self, is_stored: bool, packed: &[u8], block: &mut Vec<u8>) -> io::Result<()> {
        if is_stored {
            block.extend_from_slice(packed);
        } else {
            block.resize(self.block_bytes, 0);
            let window = self.window.as_deref().unwrap_or_default();
            let length =
                decompress_into_with_dict(packed, block, window).map_err(|error| invalid(&error.to_string()))?;
            block.truncate(length);
        }
        self.bytes += block.len() as u64;
        if let Some(hash) = &mut self.content_hash {
            hash.update(block);
        }
        if let Some(window) = &mut self.window {
            window.extend_from_slice(&block[block.len().saturating_sub(WINDOW_BYTES)..]);
            window.drain(..window.len().saturating_sub(WINDOW_BYTES));
        }
        Ok(())
    }

    /// Checks what was read at the end of the frame.
    fn end(&self, stored: &mut impl Read) -> io::Result<()> {
        if self.content_bytes.is_some_and(|bytes| bytes != self.bytes) {
            return Err(invalid("a frame is not as long as its header says"));
        }
        match &self.content_hash {
            Some(hash) if read_u32(stored)? != hash.digest() => Err(invalid("the checksum of a frame is wrong")),
            _ => Ok(()),
        }
    }
}

fn read_u32(stored: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stored.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
