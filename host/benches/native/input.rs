//! The inputs: files of made-up lines, made once and used again.

use std::{
    fs::{self, File},
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    pipeline::directory,
    text::Text,
    workload::{FILE_BYTES, Workload},
};

/// Version of the inputs. It must change when the same size no longer gives the same bytes.
const VERSION: u32 = 1;

/// Returns the directory with a workload's input of about `bytes` bytes, and makes the input if it does not exist.
pub(crate) fn make(workload: Workload, bytes: u64) -> Result<PathBuf> {
    let inputs = directory()?.join("input");
    let made = inputs.join(format!("{}-{bytes}-v{VERSION}", workload.name()));
    if made.exists() {
        return Ok(made);
    }
    eprintln!("making {}", made.display());
    fs::create_dir_all(&inputs)?;
    let unfinished = tempfile::Builder::new().prefix("unfinished-").tempdir_in(&inputs)?;
    write(workload, bytes, unfinished.path()).with_context(|| format!("cannot make {}", made.display()))?;
    // The rename comes last, so a directory of this name always holds a whole input.
    fs::rename(unfinished.keep(), &made)?;
    Ok(made)
}

fn write(workload: Workload, bytes: u64, directory: &Path) -> Result<()> {
    let mut text = Text::new(workload, bytes);
    if workload != Workload::Files {
        return write_file(&mut text, bytes, &directory.join("lines.txt"));
    }
    (0..bytes / FILE_BYTES).try_for_each(|file| {
        let path = directory.join(format!("{file:06}.txt"));
        write_file(&mut text, FILE_BYTES, &path)?;
        // All files have the same size, so the last line of a file may be cut off.
        File::options().write(true).open(&path)?.set_len(FILE_BYTES)?;
        Ok(())
    })
}

/// Writes whole lines until there are at least `bytes` bytes.
fn write_file(text: &mut Text, bytes: u64, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let (mut line, mut written) = (Vec::new(), 0);
    while written < bytes {
        line.clear();
        text.line(&mut line);
        file.write_all(&line)?;
        written += line.len() as u64;
    }
    file.flush()?;
    Ok(())
}

/// Reads an input to bring it into the page cache, and returns its size.
pub(crate) fn warm(directory: &Path) -> Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    for entry in fs::read_dir(directory)? {
        let mut file = File::open(entry?.path())?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}
