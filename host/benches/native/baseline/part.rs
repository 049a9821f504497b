//! The output: parts of the result, written in large pieces.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;

const BUFFER_BYTES: usize = 1 << 20;

/// A part of the result: a file that is written to through a buffer.
pub(crate) struct Part {
    file: File,
    buffer: Vec<u8>,
}

impl Part {
    pub(crate) fn create(result: &Path, number: usize) -> Result<Self> {
        let path: PathBuf = result.join(format!("part-{number:05}"));
        Ok(Self { file: File::create(path)?, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Adds bytes unchanged.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(bytes);
        self
    }

    /// Adds a whole number in decimal.
    pub(crate) fn integer(&mut self, value: i64) -> &mut Self {
        self.bytes(itoa::Buffer::new().format(value).as_bytes())
    }

    /// Adds text as a JSON string, quotes included.
    pub(crate) fn string(&mut self, text: &[u8]) -> Result<&mut Self> {
        if text.iter().any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            serde_json::to_writer(&mut self.buffer, str::from_utf8(text)?)?;
            return Ok(self);
        }
        Ok(self.bytes(b"\"").bytes(text).bytes(b"\""))
    }

    /// Ends a row, and writes the buffer out when it is full. Every row must be ended with this function.
    pub(crate) fn end_row(&mut self) -> Result<()> {
        self.buffer.push(b'\n');
        if self.buffer.len() > BUFFER_BYTES - (BUFFER_BYTES >> 3) { self.flush() } else { Ok(()) }
    }

    /// Writes the bytes that are still in the buffer.
    pub(crate) fn close(mut self) -> Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
