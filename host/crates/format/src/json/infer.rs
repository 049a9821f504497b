//! The fields of JSON documents, as a sample of them shows them.

use arrow_schema::{DataType, Field};
use etl_core::{
    model::{
        error::Result,
        schema::FIELDS_MAX,
        types::{as_json, nodes},
    },
    text::nearest::did_you_mean,
};

use super::{
    Json, path,
    shape::{Shape, merge},
    value::Pairs,
};
use crate::{
    Fields, Pick, Reading, Reads, Sizes, WantedField,
    columns::cut,
    decoder::ChunkIter,
    sample::{Extent, Inferred, InferredField, SampledObjects, count, example, too_many},
};

/// Approximate number of bytes of documents that are decoded at once.
const BATCH_BYTES: u64 = 64 << 10;

/// The most characters that a message shows of the keys of documents.
const KEYS_CHARACTERS_MAX: usize = 400;

/// The most keys of documents, taken together, that are kept.
const KEYS_MAX: usize = 16 * FIELDS_MAX;

/// Returns the fields of the documents of some objects.
pub(super) fn infer(objects: SampledObjects<'_>, reading: &Reading) -> Result<Inferred> {
    let (mut members, mut examples, mut extent) = (Vec::new(), Vec::new(), Extent::default());
    for chunks in objects {
        documents(chunks, reading, &mut extent, |document| {
            add(document, &mut members, &mut examples);
            if members.len() > KEYS_MAX { Err(too_many(members.len())) } else { Ok(()) }
        })?;
    }
    let mut fields: Vec<Field> = members.iter().map(|(key, shape)| shape.field(key)).collect();
    simplify(&mut fields);
    examples.resize(fields.len(), None);
    let found = fields.into_iter().zip(examples);
    let found = found.map(|(field, example)| InferredField { wanted: WantedField::named(field), example });
    extent.found(found.collect())
}

/// Hands the first documents of an object to `each`. What is no document is left out.
fn documents(
    chunks: ChunkIter<'_>,
    reading: &Reading,
    extent: &mut Extent,
    mut each: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let reading = Reading { fields: Fields::unknown(), ..reading.clone() };
    let mut decoder = Json.decoder(chunks, &reading, Sizes { batch: BATCH_BYTES, record_max: reading.record_max })?;
    extent.next_object();
    while let Some(batch) = decoder.next_batch()? {
        for row in 0..batch.batch.num_rows() {
            if !extent.goes_on() {
                return Ok(());
            }
            let record = batch.origin(row).record;
            extent.add(record.len() as u64);
            if let Ok(document) = str::from_utf8(&record) {
                each(document.trim_ascii())?;
            }
        }
    }
    Ok(())
}

/// Adds the members of a document, and the first value of each.
fn add(document: &str, members: &mut Vec<(String, Shape)>, examples: &mut Vec<Option<String>>) {
    let Ok(Pairs(pairs)) = serde_json::from_str(document) else { return };
    merge(members, pairs.iter().map(|(key, value)| (key.clone(), Shape::of(value.get()))).collect());
    examples.resize(members.len(), None);
    for (place, (key, value)) in pairs.iter().enumerate().filter(|(_, (_, value))| value.get() != "null") {
        let is_there = members.get(place).is_some_and(|(known, _)| known == key);
        let found = if is_there { Some(place) } else { members.iter().position(|(known, _)| known == key) };
        if let Some(found) = found {
            examples[found].get_or_insert_with(|| example(value.get()));
        }
    }
}

/// Makes the fields `json` that consist of the most fields, until a schema can have all of them.
fn simplify(fields: &mut [Field]) {
    while count(fields) > FIELDS_MAX {
        let Some(largest) = fields.iter_mut().max_by_key(|field| nodes(field)).filter(|field| nodes(field) > 1) else {
            return;
        };
        *largest = as_json(Field::new(largest.name(), DataType::Utf8, true));
    }
}

/// Returns the first wanted field that no document of a sample has, and what it may be instead.
pub(super) fn lacking(objects: SampledObjects<'_>, reading: &Reading) -> Result<Option<(String, String)>> {
    let is_needed = |wanted: &&WantedField| !wanted.optional;
    let mut missing: Vec<&WantedField> = reading.fields.wanted().iter().filter(is_needed).collect();
    let (mut members, mut extent) = (Vec::new(), Extent::default());
    for chunks in objects {
        if missing.is_empty() {
            return Ok(None);
        }
        documents(chunks, reading, &mut extent, |document| {
            missing.retain(|wanted| !has(document, &path(wanted)));
            if members.len() <= KEYS_MAX {
                add(document, &mut members, &mut Vec::new());
            }
            Ok(())
        })?;
    }
    let found = missing.first().filter(|_| extent.records > 0);
    Ok(found.map(|wanted| (wanted.field.name().clone(), lack(wanted, &members, extent.records))))
}

/// Returns whether a document has a value, perhaps null, under a path of keys.
fn has(document: &str, keys: &[String]) -> bool {
    let Some((key, rest)) = keys.split_first() else { return true };
    let Ok(Pairs(pairs)) = serde_json::from_str(document) else { return false };
    pairs.iter().any(|(known, value)| known == key && has(value.get(), rest))
}

/// Says that no document has a field, as the end of a sentence, with what documents have instead.
fn lack(wanted: &WantedField, members: &[(String, Shape)], records: u64) -> String {
    let keys = path(wanted);
    let sought = keys.join(".");
    if let Pick::Column(name) = &wanted.pick
        && name.contains('.')
        && is_known(&name.split('.').collect::<Vec<_>>(), members)
    {
        return format!(
            "is a key that none of the first {records} records has, but they have `{name}` as a path (write \
             `{{ type = \"…\", path = \"{name}\" }}`)"
        );
    }
    let (mut at, mut before) = (members, String::new());
    for key in &keys[..keys.len().saturating_sub(1)] {
        let Some(Shape::Object(inner)) = at.iter().find(|(known, _)| known == key).map(|(_, shape)| shape) else {
            break;
        };
        at = inner;
        before = format!("{before}{key}.");
    }
    let known: Vec<String> = at.iter().map(|(key, _)| format!("{before}{key}")).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    format!(
        "is read from `{sought}`, which none of the first {records} records has ({}keys: {}; with `optional = true` a \
         sample may lack it)",
        did_you_mean(&sought, &known),
        cut(&known.join(", "), KEYS_CHARACTERS_MAX)
    )
}

/// Returns whether documents have objects with these keys, each in the one before.
fn is_known(keys: &[&str], members: &[(String, Shape)]) -> bool {
    let Some((key, rest)) = keys.split_first() else { return true };
    match members.iter().find(|(known, _)| known == key) {
        Some((_, Shape::Object(inner))) => is_known(rest, inner),
        Some(_) => rest.is_empty(),
        None => false,
    }
}
