//! What is asked for of a document, and the values found.

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::SchemaRef;
use etl_core::model::schema::Schema;

use super::{
    strict,
    walk::{self, Keys},
};
use crate::columns::Value;

/// The number of the object that is the document itself.
pub(super) const DOCUMENT: usize = 0;

/// The fields that are asked for, as columns.
pub(super) struct JsonColumns {
    pub(super) schema: SchemaRef,
    /// The objects in which something is asked for: the document, and those inside it.
    objects: Vec<Object>,
}

/// An object in which something is asked for.
#[derive(Default)]
struct Object {
    /// What is asked for, by key, sorted.
    keys: Vec<(String, Wanted)>,
    /// The columns whose values are in the object.
    columns: Vec<usize>,
}

/// What is asked for of the value of a key.
pub(super) enum Wanted {
    /// The value is that of a column.
    Column(usize),
    /// It is an object in which something is asked for.
    Object(usize),
    /// All of these.
    Several(Vec<Wanted>),
}

impl JsonColumns {
    /// Asks for the fields of a schema, each under its path of keys.
    pub(super) fn new(schema: &Schema, paths: &[Vec<String>]) -> Self {
        let mut columns = Self { schema: Arc::clone(&schema.fields), objects: Vec::new() };
        let paths: Vec<(&[String], usize)> = paths.iter().map(Vec::as_slice).zip(0..).collect();
        columns.add_object(&paths);
        columns
    }

    /// Adds an object in which columns are asked for, each under a path of keys. Returns the object's number.
    fn add_object(&mut self, paths: &[(&[String], usize)]) -> usize {
        let number = self.objects.len();
        let columns = paths.iter().map(|(_, column)| *column).collect();
        self.objects.push(Object { keys: Vec::new(), columns });
        let mut by_key: BTreeMap<&String, Vec<(&[String], usize)>> = BTreeMap::new();
        for (path, column) in paths {
            if let Some((key, rest)) = path.split_first() {
                by_key.entry(key).or_default().push((rest, *column));
            }
        }
        let keys = by_key.into_iter().map(|(key, paths)| (key.clone(), self.wanted_of(paths))).collect();
        self.objects[number].keys = keys;
        number
    }

    fn wanted_of(&mut self, paths: Vec<(&[String], usize)>) -> Wanted {
        let (ends, inside): (Vec<_>, Vec<_>) = paths.into_iter().partition(|(rest, _)| rest.is_empty());
        let mut all: Vec<Wanted> = ends.into_iter().map(|(_, column)| Wanted::Column(column)).collect();
        if !inside.is_empty() {
            all.push(Wanted::Object(self.add_object(&inside)));
        }
        if all.len() > 1 { Wanted::Several(all) } else { all.remove(0) }
    }

    /// Returns the number of what is asked for under a key of an object.
    pub(super) fn find(&self, object: usize, key: &str) -> Option<usize> {
        self.objects[object].keys.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok()
    }

    /// Returns the key of an object by its number, and what is asked for under it.
    #[inline]
    pub(super) fn wanted(&self, object: usize, number: usize) -> (&str, &Wanted) {
        let (key, wanted) = &self.objects[object].keys[number];
        (key, wanted)
    }

    /// Forgets the values that were found in an earlier object of the same key.
    pub(super) fn clear(&self, object: usize, row: &mut Row<'_>) {
        self.objects[object].columns.iter().for_each(|column| row.values[*column] = Value::Null);
    }
}

/// The values of one document, by column. Reused, so that a record costs no allocation.
pub(super) struct Row<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) unescaped: String,
}

impl<'a> Row<'a> {
    pub(super) fn new(columns: usize) -> Self {
        Self { values: vec![Value::Null; columns], unescaped: String::new() }
    }

    pub(super) fn parse(
        &mut self,
        document: &'a [u8],
        keys: &mut Keys,
        columns: &JsonColumns,
    ) -> Result<(), serde_json::Error> {
        self.clear();
        if walk::walk(document, keys, columns, self).is_some() {
            return Ok(());
        }
        self.clear();
        strict::parse(document, columns, self)
    }

    fn clear(&mut self) {
        self.values.fill(Value::Null);
        self.unescaped.clear();
    }
}
