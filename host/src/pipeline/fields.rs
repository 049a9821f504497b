//! `source.fields`: the fields that are wanted, each with its type and where it is.

use arrow_schema::{DataType, Field};
use etl_core::model::{error::Result, schema::data_type_of};
use etl_format::{Fields, Pick, WantedField};
use toml::{Table, Value};

use super::{file, key::KeyPath, message, validate::Validator};

/// The types that a field can have, as messages list them.
const TYPES: &str = "boolean, int64, float64, text";

impl Validator<'_> {
    pub(super) fn fields(&self, at: &KeyPath, table: &Table) -> Result<Fields> {
        let wanted = table.iter().map(|(name, value)| self.field(&at.key(name), name, value));
        let wanted = wanted.collect::<Result<_>>()?;
        Fields::new(wanted).map_err(|error| self.wrong(at, format!("is not valid: {error}")))
    }

    fn field(&self, at: &KeyPath, name: &str, value: &Value) -> Result<WantedField> {
        let Value::Table(_) = value else {
            let data_type = value.as_str().and_then(data_type_of);
            let what =
                || format!("is {value}, which is not a type (choices: {TYPES}; or a table with `type` and more)");
            let data_type = data_type.ok_or_else(|| self.wrong(at, what()))?;
            return Ok(WantedField::named(Field::new(name, data_type, true)));
        };
        let table: file::Field = serde_path_to_error::deserialize(value.clone()).map_err(|error| {
            let (inside, what) = message::explain(&error);
            self.wrong(&inside.segments().iter().fold(at.clone(), |at, segment| at.join(segment.clone())), what)
        })?;
        let data_type = self.data_type(&at.key("type"), &table.data_type)?;
        let pick = match (table.column, table.position) {
            (None, None) => Pick::Column(name.to_owned()),
            (Some(column), None) => Pick::Column(column),
            (None, Some(position)) => Pick::Position(self.position(&at.key("position"), position)?),
            (Some(_), Some(_)) => {
                let what = "cannot be used together with `column` (leave one of them out)";
                return Err(self.wrong(&at.key("position"), what));
            }
        };
        Ok(WantedField { field: Field::new(name, data_type, true), pick, optional: table.optional })
    }

    fn data_type(&self, at: &KeyPath, name: &str) -> Result<DataType> {
        let what = || format!("is `{name}`, which is not a type (choices: {TYPES})");
        data_type_of(name).ok_or_else(|| self.wrong(at, what()))
    }

    fn position(&self, at: &KeyPath, position: i64) -> Result<usize> {
        let found = usize::try_from(position).ok().filter(|position| *position > 0);
        found.ok_or_else(|| self.wrong(at, format!("is {position}, but columns are counted from 1")))
    }
}
