//! A digest of the rows of a result, by which two results are compared.

use std::{
    fmt, fs,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, Result};
use xxhash_rust::xxh3::xxh3_128;

/// The number of a result's rows and the sum of their 128-bit hashes. Two results with the same rows are equal, in any
/// order and any number of parts. The digest has the same size for results of any size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    hashes: u128,
}

impl Rows {
    /// Reads the lines of all parts in a directory.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let mut rows = Self { count: 0, hashes: 0 };
        for entry in fs::read_dir(directory).with_context(|| format!("there is no {}", directory.display()))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("part-") {
                rows.add_lines(&entry.path())?;
            }
        }
        Ok(rows)
    }

    fn add_lines(&mut self, part: &Path) -> Result<()> {
        let mut part = BufReader::with_capacity(1 << 20, fs::File::open(part)?);
        let mut line = Vec::new();
        while part.read_until(b'\n', &mut line)? > 0 {
            self.count += 1;
            self.hashes = self.hashes.wrapping_add(xxh3_128(&line));
            line.clear();
        }
        Ok(())
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows (hash {:032x})", self.count, self.hashes)
    }
}
