//! Builds schemas, and names their parts in messages.

use std::fmt;

use crate::{DataType, Field, Schema, StepError};

impl Schema {
    /// Returns a schema without columns; add some with [`key`](Self::key) and [`value`](Self::value).
    pub const fn new() -> Self {
        Self { fields: Vec::new(), key_fields: 0 }
    }

    /// Returns the schema of lines: one unkeyed `binary` column named `line`.
    pub fn lines() -> Self {
        Self::new().value("line", DataType::Binary)
    }

    /// Adds a key column, by which the shuffle groups.
    ///
    /// # Panics
    /// When a value column was added before; key columns must come first.
    #[must_use]
    pub fn key(mut self, name: &str, data_type: DataType) -> Self {
        assert!(self.key_fields().len() == self.fields.len(), "key column `{name}` must come before the value columns");
        self.key_fields += 1;
        self.with(name, data_type, false)
    }

    /// Adds a value column that holds no nulls.
    #[must_use]
    pub fn value(self, name: &str, data_type: DataType) -> Self {
        self.with(name, data_type, false)
    }

    /// Adds a value column that may hold nulls.
    #[must_use]
    pub fn nullable_value(self, name: &str, data_type: DataType) -> Self {
        self.with(name, data_type, true)
    }

    /// Returns the index of the column with this name and type. A step checks its input with this method in `open`.
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when there is no such column, or it has another type.
    pub fn column(&self, name: &str, data_type: DataType) -> Result<usize, StepError> {
        let index = self.fields.iter().position(|field| field.name == name);
        match index.map(|index| (index, self.fields[index].data_type)) {
            Some((index, found)) if found == data_type => Ok(index),
            Some((index, _)) => Err(self.wrong_type(index, data_type)),
            None => Err(self.no_such_column(name)),
        }
    }

    #[cold]
    pub(crate) fn no_such_column(&self, name: impl fmt::Display) -> StepError {
        StepError::InvalidInput(format!("the input has no column `{name}` (its columns: {self})"))
    }

    #[cold]
    pub(crate) fn wrong_type(&self, index: usize, wanted: DataType) -> StepError {
        let Field { name, data_type, .. } = &self.fields[index];
        StepError::InvalidInput(format!("column `{name}` of the input is {data_type}, not {wanted}"))
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

/// Lists the columns, for messages: `` `path` text, `status` int64 ``.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_columns_come_first() {
        let schema =
            Schema::new().key("path", DataType::Text).key("status", DataType::Int64).value("n", DataType::Int64);
        assert_eq!(schema.key_fields, 2);
        assert_eq!(schema.to_string(), "`path` text, `status` int64, `n` int64");
        let late = std::panic::catch_unwind(|| Schema::lines().key("path", DataType::Text));
        late.expect_err("a key after a value is a mistake");
    }

    #[test]
    fn a_missing_or_wrong_column_is_named() {
        let schema = Schema::new().value("path", DataType::Text);
        assert_eq!(schema.column("path", DataType::Text), Ok(0));
        assert_eq!(
            schema.column("pth", DataType::Text),
            Err(StepError::InvalidInput("the input has no column `pth` (its columns: `path` text)".to_owned()))
        );
        assert_eq!(
            schema.column("path", DataType::Int64),
            Err(StepError::InvalidInput("column `path` of the input is text, not int64".to_owned()))
        );
    }
}
