//! The bytes of slices as UTF-8, or as an encoding that has ASCII as a part.

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE};
use etl_core::model::error::{Error, Result};

use super::dialect::Encoding;
use crate::{
    compression::{Inflate, SliceStart},
    decoder::ChunkIter,
};

/// Number of bytes that are decoded at once, at most.
const DECODED_BYTES: usize = 64 << 10;

/// The text of a shard's slices.
pub(super) enum Text<'a> {
    /// As it is stored.
    Stored(Inflate<ChunkIter<'a>>),
    /// Decoded from UTF-16.
    Utf16(Box<Utf16<'a>>),
}

impl<'a> Text<'a> {
    pub(super) fn new(chunks: ChunkIter<'a>, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Utf16 => Self::Utf16(Box::new(Utf16::new(Inflate::new(chunks).taking_utf16()))),
            Encoding::Utf8 | Encoding::Latin1 => Self::Stored(Inflate::new(chunks)),
        }
    }

    /// Moves to the next slice, if there is one.
    pub(super) fn next_slice(&mut self) -> Result<Option<SliceStart>> {
        match self {
            Self::Stored(input) => input.next_slice(),
            Self::Utf16(input) => input.next_slice(),
        }
    }

    /// Returns the slice's next bytes without consuming them; empty at the slice's end.
    pub(super) fn fill(&mut self) -> Result<&[u8]> {
        match self {
            Self::Stored(input) => input.fill(),
            Self::Utf16(input) => input.fill(),
        }
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        match self {
            Self::Stored(input) => input.consume(bytes),
            Self::Utf16(input) => input.consumed += bytes,
        }
    }
}

/// A decoder of objects in UTF-16. They are never cut.
pub(super) struct Utf16<'a> {
    input: Inflate<ChunkIter<'a>>,
    object: std::sync::Arc<str>,
    /// The decoder of the object, once its byte order is known.
    decoder: Option<Decoder>,
    decoded: Vec<u8>,
    /// Number of decoded bytes that are taken.
    consumed: usize,
    is_done: bool,
}

impl<'a> Utf16<'a> {
    fn new(input: Inflate<ChunkIter<'a>>) -> Self {
        Self { input, object: "".into(), decoder: None, decoded: Vec::new(), consumed: 0, is_done: false }
    }

    fn next_slice(&mut self) -> Result<Option<SliceStart>> {
        let slice = self.input.next_slice()?;
        if let Some(slice) = &slice {
            self.object = std::sync::Arc::clone(&slice.object);
        }
        (self.decoder, self.consumed, self.is_done) = (None, 0, false);
        self.decoded.clear();
        Ok(slice)
    }

    fn fill(&mut self) -> Result<&[u8]> {
        while self.consumed == self.decoded.len() && !self.is_done {
            self.decode()?;
        }
        Ok(&self.decoded[self.consumed..])
    }

    fn decode(&mut self) -> Result<()> {
        let Self { input, object, decoder, decoded, .. } = self;
        let data = input.fill()?;
        self.is_done = data.is_empty();
        let decoder = match (&mut *decoder, data) {
            (Some(decoder), _) => decoder,
            (None, []) => return Ok(()),
            (None, [0xFF, 0xFE, ..]) => decoder.insert(UTF_16LE.new_decoder_with_bom_removal()),
            (None, [0xFE, 0xFF, ..]) => decoder.insert(UTF_16BE.new_decoder_with_bom_removal()),
            (None, _) => {
                let what = "does not start with the byte order mark of UTF-16, which `source.csv.encoding` says it is";
                return Err(Error::input(format!("object `{object}` {what} (use `utf-8` or `latin1`)")));
            }
        };
        decoded.resize(DECODED_BYTES, 0);
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(data, decoded, data.is_empty());
        decoded.truncate(written);
        self.consumed = 0;
        if let DecoderResult::Malformed(..) = result {
            return Err(Error::input(format!(
                "object `{object}` is not UTF-16, which `source.csv.encoding` says it is"
            )));
        }
        // What is left of the last bytes may not have found room.
        self.is_done &= result == DecoderResult::InputEmpty;
        input.consume(read);
        Ok(())
    }
}
