//! Builds schemas, and names their parts in messages.

use std::fmt;

use crate::{DataType, Record, StepError};

/// The name and type of a column, or of a part of a nested column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name: of a column, not empty and unique in the schema.
    pub name: String,
    /// The type of the values.
    pub data_type: DataType,
    /// Whether there may be nulls.
    pub nullable: bool,
}

impl Field {
    /// Creates a field that holds no nulls.
    pub fn new(name: &str, data_type: DataType) -> Self {
        Self { name: name.to_owned(), data_type, nullable: false }
    }

    /// Creates a field that may hold nulls.
    pub fn nullable(name: &str, data_type: DataType) -> Self {
        Self { nullable: true, ..Self::new(name, data_type) }
    }
}

/// The columns of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The columns, in order.
    pub fields: Vec<Field>,
    /// Number of columns, counted from the first, that are the key, by which the shuffle groups. 0 means unkeyed.
    pub key_fields: u32,
}

impl Schema {
    /// Returns a schema without columns; add some with [`key`](Self::key) and [`value`](Self::value).
    pub const fn new() -> Self {
        Self { fields: Vec::new(), key_fields: 0 }
    }

    /// Returns the schema of lines: one unkeyed `binary` column named `line`.
    pub fn lines() -> Self {
        Self::new().value("line", DataType::Binary)
    }

    /// Returns the schema of the rows that a [`Record`] is: a column for each of its fields.
    pub fn of<'a, R: Record<'a>>() -> Self {
        R::schema()
    }

    /// Adds a key column, by which the shuffle groups.
    ///
    /// # Panics
    /// When a value column was added before; key columns must come first.
    #[must_use]
    pub fn key(self, name: &str, data_type: DataType) -> Self {
        self.with_key(Field::new(name, data_type))
    }

    /// Adds a key column that may hold nulls. Null is a key like any other.
    ///
    /// # Panics
    /// When a value column was added before; key columns must come first.
    #[must_use]
    pub fn nullable_key(self, name: &str, data_type: DataType) -> Self {
        self.with_key(Field::nullable(name, data_type))
    }

    /// Adds a value column that holds no nulls.
    #[must_use]
    pub fn value(mut self, name: &str, data_type: DataType) -> Self {
        self.fields.push(Field::new(name, data_type));
        self
    }

    /// Adds a value column that may hold nulls.
    #[must_use]
    pub fn nullable_value(mut self, name: &str, data_type: DataType) -> Self {
        self.fields.push(Field::nullable(name, data_type));
        self
    }

    fn with_key(mut self, field: Field) -> Self {
        let name = &field.name;
        assert!(self.key_fields().len() == self.fields.len(), "key column `{name}` must come before the value columns");
        self.key_fields += 1;
        self.fields.push(field);
        self
    }

    /// Returns the index of the column with this name and type. A step checks its input with this method in `open`.
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when there is no such column, or it has another type.
    pub fn column(&self, name: &str, data_type: DataType) -> Result<usize, StepError> {
        let index = self.fields.iter().position(|field| field.name == name);
        let index = index.ok_or_else(|| no_such_column(&self.fields, name))?;
        let found = &self.fields[index].data_type;
        if found.is_same(&data_type) {
            return Ok(index);
        }
        Err(wrong_type(name, found, &data_type))
    }

    /// Checks that rows of this schema can be read as records. A step checks its input with this method in `open`, so
    /// that a wrong input is found when a pipeline is only checked.
    ///
    /// # Errors
    /// [`StepError::InvalidInput`] when a column that the record has a field for is not there, or has another type.
    pub fn check<'a, R: Record<'a>>(&self) -> Result<(), StepError> {
        for Field { name, data_type: wanted, .. } in R::schema().fields {
            let found = self.fields.iter().find(|field| field.name == name);
            let found = &found.ok_or_else(|| no_such_column(&self.fields, &name))?.data_type;
            if !found.can_be_read_as(&wanted) {
                return Err(wrong_type(&name, found, &wanted));
            }
        }
        Ok(())
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

#[cold]
pub(crate) fn no_such_column(fields: &[Field], name: impl fmt::Display) -> StepError {
    let columns = Columns(fields);
    StepError::InvalidInput(format!("the input has no column `{name}` (its columns: {columns})"))
}

#[cold]
pub(crate) fn wrong_type(name: &str, found: &DataType, wanted: &DataType) -> StepError {
    StepError::InvalidInput(format!("column `{name}` of the input is {found}, not {wanted}"))
}

/// Lists the columns, for messages: `` `path` text, `status` int64 ``.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Columns(&self.fields).fmt(f)
    }
}

/// A list of columns, for messages.
pub(crate) struct Columns<'a>(pub(crate) &'a [Field]);

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Field { name, data_type, .. }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}`{name}` {data_type}")?;
        }
        Ok(())
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
