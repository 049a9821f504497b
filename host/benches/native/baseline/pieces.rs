//! The input: files cut into pieces, which threads take one by one and read in blocks of whole lines.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result};

/// Size of a piece in bytes. There are many more pieces than threads, so that all threads end at about the same time.
const PIECE_BYTES: u64 = 16 << 20;

/// Size of a read in bytes. A block of this size stays in the second level of cache while it is worked on.
const BLOCK_BYTES: usize = 256 << 10;

/// A range of a file, which stands for the lines that start in it.
pub(crate) struct Piece {
    pub(crate) number: usize,
    file: PathBuf,
    start: u64,
    end: u64,
}

/// Cuts all files of a directory into pieces, in the order of their names.
pub(crate) fn pieces(directory: &Path) -> Result<Vec<Piece>> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort_unstable();
    let mut pieces = Vec::new();
    for file in files {
        let size = fs::metadata(&file)?.len();
        for start in (0..size).step_by(PIECE_BYTES as usize) {
            let end = size.min(start + PIECE_BYTES);
            pieces.push(Piece { number: pieces.len(), file: file.clone(), start, end });
        }
    }
    Ok(pieces)
}

/// Calls `work` for each item, on the given number of threads, each with a state of its own. Returns the states.
pub(crate) fn on_threads<S: Send, T: Sync>(
    threads: usize,
    items: &[T],
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, &T) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicUsize::new(0);
    let thread = || {
        let mut state = state()?;
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut state, item)?;
        }
        Ok(state)
    };
    let thread = &thread;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread of the baseline does not panic")).collect()
    })
}

/// The memory of a block, which a thread uses for all the pieces it reads.
#[derive(Default)]
pub(crate) struct Blocks {
    buffer: Vec<u8>,
}

impl Blocks {
    /// Reads a piece and calls `work` with blocks of whole lines. `work` may change a block, which is a copy.
    pub(crate) fn read(&mut self, piece: &Piece, mut work: impl FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
        let file = File::open(&piece.file)?;
        let mut position = if piece.start == 0 { 0 } else { self.line_end(&file, piece.start - 1)? };
        while position < piece.end {
            let wanted = BLOCK_BYTES.min((piece.end - position) as usize);
            let found = self.fill(&file, position, wanted)?;
            let whole = match memchr::memrchr(b'\n', &self.buffer[..found]) {
                Some(end) => end + 1,
                None => (self.line_end(&file, position + found as u64)? - position) as usize,
            };
            if whole > found {
                self.fill(&file, position, whole)?;
            }
            work(&mut self.buffer[..whole])?;
            position += whole as u64;
        }
        Ok(())
    }

    /// Returns the position after the line, including its line end, that the byte at `position` belongs to.
    fn line_end(&mut self, file: &File, mut position: u64) -> Result<u64> {
        loop {
            let found = self.fill(file, position, 4096)?;
            match memchr::memchr(b'\n', &self.buffer[..found]) {
                Some(end) => return Ok(position + end as u64 + 1),
                None if found == 0 => return Ok(position),
                None => position += found as u64,
            }
        }
    }

    /// Reads into the start of the buffer, up to the end of the file.
    fn fill(&mut self, file: &File, position: u64, wanted: usize) -> Result<usize> {
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let mut found = 0;
        while found < wanted {
            match file.read_at(&mut self.buffer[found..wanted], position + found as u64)? {
                0 => break,
                read => found += read,
            }
        }
        Ok(found)
    }
}

/// Checks that a block is UTF-8, and returns it as text.
pub(crate) fn text(block: &[u8]) -> Result<&str> {
    str::from_utf8(block).context("the input is not UTF-8")
}

/// Returns the lines of a block, without their ends.
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', block).chain((block.last() != Some(&b'\n')).then_some(block.len())).map(move |end| {
        let line = &block[start..end];
        start = end + 1;
        line
    })
}
