//! The members of a gzip file.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Reason why `Members::member` is always present.
const REPLACED: &str = "the reader is put back after each use, unless there was an error";

/// The members of a gzip file, one after the other. Zeros between and behind them, as tapes and block devices leave
/// them, are skipped.
pub(super) struct Members<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(stored: R) -> Self {
        Self { member: Some(GzDecoder::new(stored)) }
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        self.member.as_mut().expect(REPLACED).get_mut()
    }

    pub(super) fn into_inner(self) -> R {
        self.member.expect(REPLACED).into_inner()
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.member.as_mut().expect(REPLACED).read(buffer)?;
            if read > 0 || buffer.is_empty() || is_at_end(self.get_mut())? {
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
