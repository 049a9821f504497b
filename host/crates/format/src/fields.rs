//! The fields that a pipeline wants of a source's records, and where each takes its values from.

use arrow_schema::Field;
use etl_core::model::{error::Result, schema::Schema};

/// Where the values of a field are in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// In the column of this name, or under this key.
    Column(String),
    /// In the column at this position, counted from 1.
    Position(usize),
    /// Under these keys, each in the object under the key before it.
    Path(Vec<String>),
}

/// A field that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedField {
    /// The column that becomes of it.
    pub field: Field,
    /// Where its values are.
    pub pick: Pick,
    /// Whether an object may lack it, which makes its values null. Otherwise such an object is an error.
    pub optional: bool,
}

impl WantedField {
    /// Creates a field that has the name of the column it is taken from, and that no object may lack.
    pub fn named(field: Field) -> Self {
        Self { pick: Pick::Column(field.name().clone()), field, optional: false }
    }
}

/// The fields that are wanted, in the order of the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    wanted: Vec<WantedField>,
    schema: Schema,
}

impl Fields {
    /// Creates a list of fields.
    ///
    /// # Errors
    /// As [`Schema::new`].
    pub fn new(wanted: Vec<WantedField>) -> Result<Self> {
        let schema = Schema::new(wanted.iter().map(|wanted| wanted.field.clone()).collect(), 0)?;
        Ok(Self { wanted, schema })
    }

    /// Returns a list without a field: what is wanted is not known yet.
    pub fn unknown() -> Self {
        let fields = arrow_schema::Schema::empty().into();
        Self { wanted: Vec::new(), schema: Schema { fields, key_fields: 0 } }
    }

    /// Returns the fields in order.
    pub fn wanted(&self) -> &[WantedField] {
        &self.wanted
    }

    /// Returns the schema of the columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl From<Schema> for Fields {
    /// Wants each field of a schema from the column of its name.
    fn from(schema: Schema) -> Self {
        let wanted = schema.fields.fields().iter().map(|field| WantedField::named(field.as_ref().clone())).collect();
        Self { wanted, schema }
    }
}
