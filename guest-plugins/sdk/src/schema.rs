//! Building schemas and naming their parts in messages.

use std::fmt;

use crate::{DataType, Field, Schema};

impl Schema {
    /// Returns a schema without columns; add some with [`key`](Self::key) and [`value`](Self::value).
    pub const fn new() -> Self {
        Self { fields: Vec::new(), key_fields: 0 }
    }

    /// Returns the schema of lines: one unkeyed `binary` column named `line`.
    pub fn lines() -> Self {
        Self::new().value("line", DataType::Binary)
    }

    /// Adds a key column, which the shuffle groups by.
    ///
    /// # Panics
    /// When a value column was added before: the key comes first.
    #[must_use]
    pub fn key(mut self, name: &str, data_type: DataType) -> Self {
        assert!(self.key_fields().len() == self.fields.len(), "key column `{name}` must come before the value columns");
        self.key_fields += 1;
        self.with(name, data_type, false)
    }

    /// Adds a value column which holds no nulls.
    #[must_use]
    pub fn value(self, name: &str, data_type: DataType) -> Self {
        self.with(name, data_type, false)
    }

    /// Adds a value column which may hold nulls.
    #[must_use]
    pub fn nullable_value(self, name: &str, data_type: DataType) -> Self {
        self.with(name, data_type, true)
    }

    fn with(mut self, name: &str, data_type: DataType, nullable: bool) -> Self {
        self.fields.push(Field { name: name.to_owned(), data_type, nullable });
        self
    }

    /// Returns the fields of the key.
    pub fn key_fields(&self) -> &[Field] {
        &self.fields[..self.key_fields as usize]
    }

    /// Returns the fields after the key.
    pub fn value_fields(&self) -> &[Field] {
        &self.fields[self.key_fields as usize..]
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self::new()
    }
}

/// The columns as a message lists them: `` `path` text, `status` int64 ``.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.fields.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}`{}` {}", field.name, field.data_type)?;
        }
        Ok(())
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Text => "text",
            Self::Binary => "binary",
        })
    }
}
