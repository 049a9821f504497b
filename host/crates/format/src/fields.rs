//! The fields that a pipeline wants of a source's records, and where each takes its values from.

use arrow_schema::Field;
use etl_core::model::{error::Result, schema::Schema};

#[cfg(any(feature = "avro", feature = "parquet"))]
use crate::columns::cut;

/// The most characters of the names of columns that a message lists.
#[cfg(any(feature = "avro", feature = "parquet"))]
const NAMES_CHARACTERS_MAX: usize = 600;

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

/// Fields of formats whose objects have columns by name and nothing else, such as Parquet.
#[cfg(any(feature = "avro", feature = "parquet"))]
impl WantedField {
    /// Returns why the field cannot be read from such a format, as the end of a sentence; `None` if it can.
    pub(crate) fn refused_unless_named(&self, format: &str) -> Option<String> {
        match self.pick {
            Pick::Column(_) => None,
            Pick::Position(_) => Some(format!("takes its column by name, because it is {format}")),
            Pick::Path(_) => Some(format!("has no path, because it is {format} (use a `struct` of the members)")),
        }
    }

    /// Returns the position of the one column that the field is made of, among those of an object; `None` if there is
    /// none, and need not be.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence on the object.
    pub(crate) fn find<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> std::result::Result<Option<usize>, String> {
        let Pick::Column(name) = &self.pick else {
            return Err(format!("has columns by name only (`{:?}`)", self.pick));
        };
        let mut found = names.clone().enumerate().filter(|(_, found)| found == name);
        match (found.next(), found.next()) {
            (Some((position, _)), None) => Ok(Some(position)),
            (Some(_), Some(_)) => Err(format!("has two columns `{name}`")),
            (None, _) if self.optional => Ok(None),
            (None, _) => {
                let names: Vec<&str> = names.collect();
                Err(format!("has no column `{name}` (columns: {})", cut(&names.join(", "), NAMES_CHARACTERS_MAX)))
            }
        }
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
