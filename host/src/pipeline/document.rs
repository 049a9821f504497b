//! The TOML document of a pipeline, with `--set` applied, and the place where each value was written.
//!
//! Owns reading the file and locating values in it. Does not know what the keys mean. The parent module takes values
//! from it and has it make the errors that name a line.

use std::{fmt, fs::File, io::Read, ops::Range, path::Path};

use etl_core::{
    model::error::{Error, ErrorKind, Result, ResultExt},
    text::{command::PIPELINE_FILE, nearest::did_you_mean, variables},
};
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::key::{KeyPath, Segment};

/// Largest pipeline file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Number of directory entries that are compared with the name of a missing file.
const ENTRIES_MAX: usize = 1000;

/// A TOML document with the assignments of `--set` applied.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// Name of the file in messages.
    file: String,
    text: String,
    root: Value,
    /// Keys that `--set` assigned.
    set: Vec<KeyPath>,
}

impl Document {
    /// Turns a path relative to the file's directory into one relative to the working directory.
    pub(super) fn beside(&self, path: &str) -> String {
        Path::new(&self.file).with_file_name(path).display().to_string()
    }

    /// Reads the file at `path` and applies each `key.path=value`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the file cannot be read, is larger than 1 MiB or is not TOML, or when an assignment
    /// does not fit the document.
    pub(super) fn read(path: &Path, assignments: &[String]) -> Result<Self> {
        let what = || format!("cannot read pipeline file `{}`{}", path.display(), meant(path));
        let text = read_text(path).or_kind(ErrorKind::Config, what)?;
        Self::parse(path, text, assignments)
    }

    /// Parses `text` as the content of the file at `path`, which is not opened, and applies each `key.path=value`.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub(super) fn parse(path: &Path, text: String, assignments: &[String]) -> Result<Self> {
        let file = path.display().to_string();
        let table: Table = toml::from_str(&text).map_err(|error| syntax_error(&file, &text, &error))?;
        Self { file, text, root: Value::Table(table), set: Vec::new() }.with(assignments)
    }

    /// Takes the document that a plan keeps of the file at `path`, and applies each `key.path=value`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `planned` cannot be a TOML document, or when an assignment does not fit it.
    pub(super) fn of_plan(path: &Path, planned: &serde_json::Value, assignments: &[String]) -> Result<Self> {
        let file = format!("{} as planned", path.display());
        let root = Value::try_from(planned).or_kind(ErrorKind::Config, || "the plan holds no pipeline".to_owned())?;
        Self { file, text: String::new(), root, set: Vec::new() }.with(assignments)
    }

    fn with(mut self, assignments: &[String]) -> Result<Self> {
        for assignment in assignments {
            let key = set(&mut self.root, assignment)?;
            self.set.push(key);
        }
        Ok(self)
    }

    /// Returns the whole document, a table.
    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// Returns the variable that is the whole value at `key`: `NAME` of `"${NAME}"`.
    pub(super) fn variable_at(&self, key: &KeyPath) -> Option<&str> {
        let mut value = &self.root;
        for segment in key.segments() {
            value = match segment {
                Segment::Key(name) => value.get(name)?,
                Segment::Index(index) => value.get(*index)?,
            };
        }
        value.as_str().and_then(variables::whole)
    }

    /// Makes the error that the value at `key` is wrong: ``pipeline.toml:12: `run.concurrency` is 0 …``. A variable
    /// that is the whole value is named: `` `run.concurrency` (`${N}`) is 0 …``.
    ///
    /// `what` continues the sentence that starts with the key.
    pub(super) fn error(&self, key: &KeyPath, what: impl fmt::Display) -> Error {
        let variable = self.variable_at(key).map(|name| format!("(`${{{name}}}`) ")).unwrap_or_default();
        Error::config(format!("{}: `{key}` {variable}{what}", self.origin(key)))
    }

    /// Returns the place where the value at `key` was written; for a missing value, the place of the table around it.
    fn origin(&self, key: &KeyPath) -> String {
        let (known, span) = self.find(key);
        let by_set = self.set.iter().any(|set| key.starts_with(set) || (!known && set.starts_with(key)));
        match span {
            _ if by_set => format!("{} (by --set)", self.file),
            Some(span) => format!("{}:{}", self.file, line(&self.text, span.start)),
            None => self.file.clone(),
        }
    }

    /// Returns whether the file has a value at `key`, and the place of that value or of the closest table around it.
    fn find(&self, key: &KeyPath) -> (bool, Option<Range<usize>>) {
        let Ok(root) = DeTable::parse(&self.text) else { return (false, None) };
        let root = DeValue::Table(root.into_inner());
        let (mut value, mut span) = (&root, None);
        for segment in key.segments() {
            let found = match (segment, value) {
                (Segment::Key(name), DeValue::Table(table)) => {
                    table.get_key_value(name.as_str()).map(|(key, value)| (key.span(), value.get_ref()))
                }
                (Segment::Index(index), DeValue::Array(items)) => {
                    items.get(*index).map(|item| (item.span(), item.get_ref()))
                }
                _ => None,
            };
            let Some((place, inner)) = found else { return (false, span) };
            (span, value) = (Some(place), inner);
        }
        (true, span)
    }
}

/// Returns the value at `key` below `root`.
pub(super) fn find_mut<'v>(root: &'v mut Value, key: &KeyPath) -> Option<&'v mut Value> {
    key.segments().iter().try_fold(root, |value, segment| match segment {
        Segment::Key(name) => value.get_mut(name),
        Segment::Index(index) => value.get_mut(*index),
    })
}

/// Converts a TOML value to JSON; dates and times become text.
///
/// # Errors
/// The key of a number that JSON cannot hold, and the end of a sentence that starts with that key.
pub(super) fn json(value: &Value, at: &KeyPath) -> Result<serde_json::Value, (KeyPath, String)> {
    Ok(match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .ok_or_else(|| (at.clone(), format!("is {number}, which JSON cannot hold")))?
            .into(),
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| json(item, &at.index(index)));
            serde_json::Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Table(table) => {
            let items = table.iter().map(|(key, item)| Ok((key.clone(), json(item, &at.key(key))?)));
            serde_json::Value::Object(items.collect::<Result<_, _>>()?)
        }
    })
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    anyhow::ensure!(text.len() as u64 <= FILE_BYTES_MAX, "it is larger than {FILE_BYTES_MAX} bytes");
    Ok(text)
}

/// Returns a hint for the message that `path` cannot be read: `` (did you mean `pipeline.toml`?)``. Empty if no file
/// has a similar name.
fn meant(path: &Path) -> String {
    if path.is_dir() {
        let file = path.join(PIPELINE_FILE);
        return if file.is_file() { format!(" (did you mean `{}`?)", file.display()) } else { String::new() };
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let entries = std::fs::read_dir(directory).into_iter().flatten().take(ENTRIES_MAX).flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).filter(|known| known.ends_with(".toml")).collect();
    // The file exists, so its name is not the fault.
    if known.contains(&name.as_ref()) {
        return String::new();
    }
    match did_you_mean(&name, &known).trim_end() {
        "" => String::new(),
        question => format!(" ({question})"),
    }
}

fn syntax_error(file: &str, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| line(text, span.start));
    Error::config(format!("{file}:{line}: not valid TOML: {}", error.to_string().trim_end()))
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Applies `key.path=value` and returns the key.
fn set(root: &mut Value, assignment: &str) -> Result<KeyPath> {
    let wrong = |what: String| Error::config(format!("--set {what}"));
    let Some((names, text)) = assignment.split_once('=') else {
        return Err(wrong(format!("`{assignment}` has no value (write `--set key.path=value`)")));
    };
    let (mut value, mut key) = (root, KeyPath::default());
    for name in names.trim().split('.') {
        if name.is_empty() {
            return Err(wrong(format!("`{names}`: a part of the key is empty (write `--set key.path=value`)")));
        }
        (value, key) = descend(value, &key, name).map_err(|what| wrong(format!("`{names}`: {what}")))?;
    }
    // Anything that does not parse as TOML is taken as text, so `--set source.url=s3://bucket/` needs no quotes.
    *value = text.trim().parse().unwrap_or_else(|_| Value::String(text.to_owned()));
    Ok(key)
}

/// Descends one level into a table or an array. A key that a table lacks is added.
///
/// # Errors
/// The end of a message, when an array has no such item or the value is neither a table nor an array.
fn descend<'a>(value: &'a mut Value, at: &KeyPath, name: &str) -> Result<(&'a mut Value, KeyPath), String> {
    match value {
        Value::Table(table) => {
            let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            Ok((inner, at.key(name)))
        }
        Value::Array(items) => {
            let count = items.len();
            let index: Option<usize> = name.parse().ok().filter(|index| *index < count);
            let index = index.ok_or_else(|| format!("`{at}` has no item `{name}` (counted from 0; it has {count})"))?;
            Ok((&mut items[index], at.index(index)))
        }
        scalar => Err(format!("`{at}` is not a table but a value of type {}", scalar.type_str())),
    }
}
