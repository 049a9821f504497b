//! The names of a source: which objects belong to it.

use std::path::Path;

use etl_core::model::error::{ErrorKind, Result, ResultExt};
use etl_store::Wanted;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The rule for the names of a source: they match a pattern of `include` or, without patterns, they are not hidden.
#[derive(Debug)]
pub(super) struct Names {
    patterns: Option<Patterns>,
}

#[derive(Debug)]
struct Patterns {
    objects: GlobSet,
    /// Matches each directory that may hold, at any depth, an object that matches.
    directories: GlobSet,
}

impl Names {
    /// Makes the rule of some patterns.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an invalid pattern.
    pub(super) fn new(include: &[String]) -> Result<Self> {
        if include.is_empty() {
            return Ok(Self { patterns: None });
        }
        let objects = compile(include.iter().map(String::as_str))?;
        let directories: Vec<String> = include.iter().flat_map(|pattern| directories(pattern)).collect();
        let directories = compile(directories.iter().map(String::as_str))?;
        Ok(Self { patterns: Some(Patterns { objects, directories }) })
    }

    /// Returns whether the one object that a location names belongs to the source. Without patterns it does, even if it
    /// is hidden.
    pub(super) fn has(&self, name: &str) -> bool {
        self.patterns.as_ref().is_none_or(|patterns| patterns.objects.is_match(name))
    }
}

impl Wanted for Names {
    fn object(&self, name: &Path) -> bool {
        match &self.patterns {
            Some(patterns) => patterns.objects.is_match(name),
            None => !is_hidden(name),
        }
    }

    fn below(&self, directory: &Path) -> bool {
        match &self.patterns {
            Some(patterns) => patterns.directories.is_match(directory),
            None => !is_hidden(directory),
        }
    }
}

fn is_hidden(name: &Path) -> bool {
    let mut parts = name.as_os_str().as_encoded_bytes().split(|byte| *byte == b'/');
    parts.any(|part| part.starts_with(b".") || part.starts_with(b"_"))
}

/// Returns patterns for the directories above what a pattern matches: `a`, `a/b*` for `a/b*/c.txt`.
fn directories(pattern: &str) -> Vec<String> {
    let (mut found, mut above) = (Vec::new(), String::new());
    let parts = parts(pattern);
    for part in &parts[..parts.len() - 1] {
        let depth_is_open = part.contains("**") || part.contains('/');
        above.push_str(if depth_is_open { "**" } else { part });
        found.push(above.clone());
        if depth_is_open {
            return found;
        }
        above.push('/');
    }
    // The last part may match a name with directories, too.
    if parts.last().is_some_and(|part| part.contains("**") || part.contains('/')) {
        found.push(above + "**");
    }
    found
}

/// Divides a pattern at each `/` that is not in braces or brackets.
fn parts(pattern: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut escaped) = (Vec::new(), 0, 0_usize, false);
    for (at, letter) in pattern.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}

fn compile<'a>(include: impl Iterator<Item = &'a str>) -> Result<GlobSet> {
    let mut patterns = GlobSetBuilder::new();
    for pattern in include {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        patterns.add(glob.or_kind(ErrorKind::Config, || "`include` of the source")?);
    }
    patterns.build().or_kind(ErrorKind::Config, || "`include` of the source")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_that_may_hold_a_wanted_object_are_entered() {
        for (pattern, entered, left_out) in [
            ("*.txt", &[][..], &["lost+found", ".cache"][..]),
            ("a/b*/c.txt", &["a", "a/b", "a/bc"], &["b", "a/c", "a/b/d"]),
            ("sub/**/?.txt", &["sub", "sub/x", "sub/x/.y"], &["other"]),
            ("**", &["a", ".git/x"], &[]),
            ("**/x", &["a", "a/b"], &[]),
            ("{a,b}/x", &["a", "b"], &["c", "a/x"]),
            ("d/{a,b/c}/x", &["d", "d/a", "d/b", "d/b/c"], &["e"]),
            ("{a,b/c}", &["b"], &[]),
            ("[ab]/[{]/x", &["a", "a/{"], &["c"]),
            (r"a\[/x", &["a["], &["a"]),
        ] {
            let names = Names::new(&[pattern.to_owned()]).expect("a pattern");
            let wrong = |directories: &[&str], entered| {
                directories
                    .iter()
                    .copied()
                    .find(|directory| names.below(Path::new(directory)) != entered)
                    .map(str::to_owned)
            };
            assert_eq!((wrong(entered, true), wrong(left_out, false)), (None, None), "{pattern}");
        }
    }

    #[test]
    fn without_patterns_hidden_names_are_left_out() {
        let names = Names::new(&[]).expect("no pattern");
        for (name, wanted) in [("a", true), ("a/b.c", true), (".a", false), ("a/_b/c", false), ("a/.b", false)] {
            assert_eq!((names.object(Path::new(name)), names.below(Path::new(name))), (wanted, wanted), "{name}");
            assert!(names.has(name));
        }
    }
}
