//! Key paths: the place of a value in a document, such as `map[1].limits.memory`.

use std::fmt;

use etl_plugin::config_schema::PathPart;

/// A path of keys and indexes from the root of a document. Displays as messages show it: `map[1].limits.memory`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Segment>);

/// One part of a [`KeyPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// A key of a table.
    Key(String),
    /// An index of an array, from 0.
    Index(usize),
}

impl KeyPath {
    /// Returns the path of the key `name` in the table at this path.
    pub(super) fn key(&self, name: &str) -> Self {
        self.join(Segment::Key(name.to_owned()))
    }

    /// Returns the path of item `index` in the array at this path.
    pub(super) fn index(&self, index: usize) -> Self {
        self.join(Segment::Index(index))
    }

    /// Returns the path of a value inside the value at this path.
    pub(super) fn join_path(&self, inside: &[PathPart]) -> Self {
        inside.iter().fold(self.clone(), |key, part| match part {
            PathPart::Field(name) => key.key(name),
            PathPart::Item(index) => key.index(*index),
        })
    }

    /// Returns whether this path is `prefix`, or leads to something inside it.
    pub(super) fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// Returns the segments, from the root.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the names of the keys, from the root; indexes are left out.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Key(name) => Some(name.as_str()),
            Segment::Index(_) => None,
        })
    }

    pub(super) fn join(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }
}

impl From<&serde_path_to_error::Path> for KeyPath {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment as Foreign;
        let segments = path.iter().filter_map(|segment| match segment {
            Foreign::Seq { index } => Some(Segment::Index(*index)),
            Foreign::Map { key } => Some(Segment::Key(key.clone())),
            // serde adds a segment for an enum variant, but the value stands at the key before it.
            Foreign::Enum { .. } | Foreign::Unknown => None,
        });
        Self(segments.collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
