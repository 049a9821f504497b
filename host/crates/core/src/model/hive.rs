//! Hive's layout of directories: `day=2026-11-27/country=CH`, one level for each column that a result is partitioned by.
//!
//! Owns how a column and its value are written as the name of a directory, and how that is read back. What is escaped
//! is what Hive and Spark escape; Spark, DuckDB and Polars read all of it.

use std::fmt::Write;

use crate::model::error::{Error, Result};

/// The value that stands for null. As in Hive and Spark, it stands for empty text, too.
pub const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The most bytes of the name of a directory: as many as file systems take.
pub const NAME_BYTES_MAX: usize = 255;

/// The most bytes of the path that all columns together make, which leaves room in the 1,024 bytes of a key of S3.
pub const PATH_BYTES_MAX: usize = 640;

/// Characters that are escaped besides control characters.
const SPECIAL: &str = "\"#%'*/:=?\\{[]^";

/// Appends the directory of a column's value, behind a `/` unless it is the first. `None` is null.
///
/// # Errors
/// [`ErrorKind::Input`](crate::model::error::ErrorKind::Input), naming the column, when the name would be too long, or
/// when the value is the text that stands for null.
pub fn push(path: &mut String, column: &str, value: Option<&str>) -> Result<()> {
    if !path.is_empty() {
        path.push('/');
    }
    let start = path.len();
    escape(column, path);
    path.push('=');
    match value {
        Some(NULL) => {
            return Err(Error::input(format!(
                "column `{column}` has the value `{NULL}`, which a reader takes for null"
            )));
        }
        None | Some("") => path.push_str(NULL),
        Some(value) => escape(value, path),
    }
    let too_long = |what: &str, bytes, max| {
        let why = format!("column `{column}` has a value that makes {what} of {bytes} bytes (limit {max}: a directory");
        Err(Error::input(format!("{why} cannot have a longer name, so partition by something shorter)")))
    };
    match (path.len() - start, path.len()) {
        (name, _) if name > NAME_BYTES_MAX => too_long("the name of a directory", name, NAME_BYTES_MAX),
        (_, all) if all > PATH_BYTES_MAX => too_long("a path", all, PATH_BYTES_MAX),
        _ => Ok(()),
    }
}

/// Returns the columns and values that a path has, in order. Parts of the path that are no `column=value` are skipped.
pub fn values(path: &str) -> impl Iterator<Item = (String, Option<String>)> {
    path.split('/').filter_map(|name| {
        let (column, value) = name.split_once('=')?;
        Some((unescape(column), (value != NULL).then(|| unescape(value))))
    })
}

fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        if char.is_ascii_control() || SPECIAL.contains(char) {
            // Writing to a `String` cannot fail.
            _ = write!(out, "%{:02X}", u32::from(char));
        } else {
            out.push(char);
        }
    }
}

/// Returns a text without escapes. What is no escape stays as it is.
fn unescape(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| str::from_utf8(hex).ok()).filter(|_| *first == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(values: &[(&str, Option<&str>)]) -> Result<String> {
        let mut path = String::new();
        values.iter().try_for_each(|(column, value)| push(&mut path, column, *value)).map(|()| path)
    }

    #[test]
    fn values_are_escaped_as_hive_does_and_read_back() {
        for (value, name) in [
            ("2026-11-27", "2026-11-27"),
            ("a b & c+d.e,f", "a b & c+d.e,f"),
            ("Zürich", "Zürich"),
            ("a/b=c%d", "a%2Fb%3Dc%25d"),
            ("10:30?", "10%3A30%3F"),
            ("\t\n\r\0\u{1f}\u{7f}", "%09%0A%0D%00%1F%7F"),
            ("\"#'*\\{[]^", "%22%23%27%2A%5C%7B%5B%5D%5E"),
            ("..", ".."),
            ("%41", "%2541"),
        ] {
            let path = path(&[("k=1", Some(value))]).expect("short");
            assert_eq!(path, format!("k%3D1={name}"));
            let read: Vec<_> = values(&path).collect();
            assert_eq!(read, [("k=1".to_owned(), Some(value.to_owned()))]);
        }
    }

    #[test]
    fn null_and_empty_text_are_one_and_what_looks_like_it_is_refused() {
        let path_of = path(&[("a", None), ("b", Some("")), ("c", Some("x"))]).expect("short");
        assert_eq!(path_of, format!("a={NULL}/b={NULL}/c=x"));
        let read: Vec<_> = values(&path_of).collect();
        let column = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(read, [column("a", None), column("b", None), column("c", Some("x"))]);
        let refused = path(&[("a", Some(NULL))]).expect_err("null").to_string();
        assert_eq!(refused, format!("column `a` has the value `{NULL}`, which a reader takes for null"));
    }

    #[test]
    fn names_and_paths_that_are_too_long_are_refused_with_the_limit() {
        path(&[("a", Some(&"x".repeat(253)))]).expect("255 bytes");
        let refused = path(&[("a", Some(&"/".repeat(85)))]).expect_err("257 bytes").to_string();
        let expected = "column `a` has a value that makes the name of a directory of 257 bytes (limit 255: ";
        assert!(refused.starts_with(expected), "{refused}");
        let long = "x".repeat(250);
        let refused = path(&[("a", Some(&long)), ("b", Some(&long)), ("c", Some(&long))]).expect_err("758 bytes");
        assert!(
            refused.to_string().contains("`c` has a value that makes a path of 758 bytes (limit 640: "),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_escape_is_left_alone() {
        let read = |path| values(path).collect::<Vec<_>>();
        let column = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(
            read("x/a=100%/b=%zz%4/part-0=1"),
            [column("a", "100%"), column("b", "%zz%4"), column("part-0", "1")]
        );
        assert_eq!(read("a=%C3%BC"), [column("a", "ü")]);
    }
}
