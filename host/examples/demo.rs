//! `cargo demo`: builds the plugins, runs `examples/count-types`, and shows the files of the run. With arguments, it is
//! `etl-host`, which starts itself to compile plugins.

#![expect(clippy::print_stdout, reason = "a demo shows its output")]

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let args: Vec<_> = std::env::args_os().collect();
    if args.len() > 1 {
        return Ok(etl_host::cli::main_from(args));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the host has no parent directory")?;
    std::env::set_current_dir(root)?;
    if !Command::new("guest-plugins/wasm-target").status()?.success() {
        return Err("there is no wasm32-wasip2 target, and guest-plugins/wasm-target could not get it".into());
    }

    println!("$ etl-host run examples/count-types/pipeline.toml --build\n");
    let ended = etl_host::cli::main_from(["etl-host", "run", "examples/count-types/pipeline.toml", "--build"]);
    if ended != ExitCode::SUCCESS {
        return Ok(ended);
    }

    let example = Path::new("examples/count-types");
    let run = newest(&example.join("runs/count-types"))?;
    println!("\nThe run store, {}:", run.display());
    for file in files(&run)? {
        println!("  {:>7} B  {}", fs::metadata(&file)?.len(), file.strip_prefix(&run)?.display());
    }
    println!("\nWhat each mapper counted (the shuffle files open in any Arrow reader):");
    let is_shuffle_file = |file: &&PathBuf| {
        let below = file.strip_prefix(&run).map(|below| below.to_string_lossy().contains("/map/"));
        below.is_ok_and(|is_of_map| is_of_map) && file.extension().is_some_and(|found| found == "arrow")
    };
    for file in files(&run)?.iter().filter(is_shuffle_file) {
        let counts: Vec<String> = arrow_ipc::reader::FileReader::try_new(File::open(file)?, None)?
            .map(|batch| Ok(rows(&batch?).join(", ")))
            .collect::<Result<_>>()?;
        println!("  {}  {}", file.strip_prefix(&run)?.display(), counts.join(", "));
    }
    let result = example.join("result").join(run.file_name().ok_or("a run has a name")?);
    println!("\nThe result, {}:", result.display());
    for part in files(&result)?.iter().filter(|file| file.extension().is_some()) {
        println!("  {}", part.strip_prefix(&result)?.display());
        fs::read_to_string(part)?.lines().for_each(|line| println!("    {line}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let (types, counts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
    (0..batch.num_rows()).map(|row| format!("{} x {}", counts.value(row), types.value(row))).collect()
}

/// Returns all files below a directory, sorted.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

/// Returns the newest run, which is the entry whose name sorts last, because run ids begin with the time.
fn newest(directory: &Path) -> Result<PathBuf> {
    let entries: std::io::Result<Vec<_>> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect();
    entries?.into_iter().max().ok_or_else(|| format!("nothing in {}", directory.display()).into())
}
