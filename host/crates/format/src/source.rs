//! The formats that a source reads.

use etl_core::model::schema::Schema;

/// How records are read from an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFormat {
    /// One record per line, which ends with `\n` or `\r\n`.
    Lines,
    /// One JSON object per line. The fields of the schema are read from its top level and become nullable columns.
    Json(Schema),
}

impl SourceFormat {
    /// Returns the columns of the records.
    pub fn schema(&self) -> Schema {
        match self {
            Self::Lines => Schema::lines(),
            Self::Json(schema) => schema.clone(),
        }
    }
}
