//! Samples: the first records of some objects, from which the fields of a source are inferred.
//!
//! Owns how much a sample is, and what is found in it. What a value tells about the type of its field is each format's.

use arrow_schema::Field;
use etl_core::{
    model::{
        error::{Error, Result},
        schema::FIELDS_MAX,
        types::nodes,
    },
    text::numbers::counted,
};

use crate::{
    Chunk, ChunkIter, Decode, OwnFields, Section, SourceBatch, WantedField,
    columns::{WRONG_TYPE, cut},
};

/// The most objects of a sample.
pub const SAMPLE_OBJECTS: usize = 4;

/// Number of bytes of an object, after decompression, behind which no more of its records belong to a sample.
pub(crate) const SAMPLE_BYTES: u64 = 1 << 20;

/// The most records of an object that belong to a sample.
pub(crate) const SAMPLE_RECORDS: u64 = 10_000;

/// The most characters of an example.
const EXAMPLE_CHARACTERS_MAX: usize = 40;

/// The objects of a sample, each by its chunks, of which only the first are taken.
pub type SampledObjects<'a> = Box<dyn Iterator<Item = ChunkIter<'a>> + 'a>;

/// The fields that were found in a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The fields, in the order in which they were found.
    pub fields: Vec<InferredField>,
    /// Number of records that were looked at.
    pub records: u64,
    /// Number of objects that were looked at.
    pub objects: u64,
    /// Whether these objects have more records.
    pub has_more: bool,
}

/// A field that was found in a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferredField {
    /// The field, with the narrowest type that fits its values.
    pub wanted: WantedField,
    /// The first value that is not null, as it was read, perhaps cut.
    pub example: Option<String>,
}

/// Returns a value as an example.
pub(crate) fn example(value: &str) -> String {
    cut(value, EXAMPLE_CHARACTERS_MAX)
}

/// How much of a sample was read.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    pub(crate) records: u64,
    pub(crate) objects: u64,
    pub(crate) has_more: bool,
    of_object: (u64, u64),
}

impl Extent {
    pub(crate) fn next_object(&mut self) {
        self.objects += 1;
        self.of_object = (0, 0);
    }

    /// Returns whether more of the object belongs to the sample.
    pub(crate) fn goes_on(&mut self) -> bool {
        let (records, bytes) = self.of_object;
        let goes_on = records < SAMPLE_RECORDS && bytes < SAMPLE_BYTES;
        self.has_more |= !goes_on;
        goes_on
    }

    /// Counts a record.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.records += 1;
        self.of_object.0 += 1;
        self.of_object.1 += bytes;
    }

    /// Returns what was found in the sample.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there is no field, or there are too many.
    pub(crate) fn found(self, fields: Vec<InferredField>) -> Result<Inferred> {
        let Self { records, objects, has_more, .. } = self;
        let count: usize = fields.iter().map(|found| nodes(&found.wanted.field)).sum();
        if count == 0 {
            return Err(Error::config(format!(
                "the fields cannot be inferred, because the first records of the source have none ({} of {} were \
                 looked at): write `source.fields`, or check `source.format`, and `source.json.layout` if \
                 documents are not lines",
                counted(records, "record"),
                counted(objects, "object")
            )));
        }
        if count > FIELDS_MAX { Err(too_many(count)) } else { Ok(Inferred { fields, records, objects, has_more }) }
    }
}

/// Returns the fields that objects say they have, by `fields_of`. An object may lack one that another has. If they are
/// of different types, the first counts.
pub(crate) fn of_sections(
    objects: SampledObjects<'_>,
    fields_of: impl Fn(&Section) -> Result<Option<OwnFields>>,
) -> Result<Inferred> {
    let (mut extent, mut found) = (Extent::default(), Vec::<(Field, u64)>::new());
    for mut chunks in objects {
        let Some(Chunk::Section(section)) = chunks.next().transpose()? else { continue };
        extent.next_object();
        for (name, field) in fields_of(&section)?.unwrap_or_default() {
            let field = field.ok_or_else(|| {
                Error::config(format!(
                    "column `{name}` of object `{}` is of a type that cannot be read: name the columns that are wanted in \
                     `source.fields`",
                    section.object
                ))
            })?;
            match found.iter_mut().find(|(known, _)| *known.name() == name) {
                Some((_, of)) => *of += 1,
                None => found.push((field.with_nullable(true), 1)),
            }
        }
    }
    let objects = extent.objects;
    let field = |(field, of): (Field, u64)| {
        let wanted = WantedField { optional: of < objects, ..WantedField::named(field) };
        InferredField { wanted, example: None }
    };
    extent.found(found.into_iter().map(field).collect())
}

/// Returns the error that a source has more fields than a schema can have.
pub(crate) fn too_many(count: usize) -> Error {
    Error::config(format!(
        "the records have {count} fields, more than the {FIELDS_MAX} that can be read: name the ones that are wanted in \
         `source.fields`"
    ))
}

/// Returns the number of fields that all of these consist of.
pub(crate) fn count(fields: &[Field]) -> usize {
    fields.iter().map(nodes).sum()
}

/// A decoder of fields that were inferred: a value that does not fit is said to be one of a type that was inferred.
pub(crate) struct Explained<'a>(pub(crate) Box<dyn Decode + 'a>);

impl Decode for Explained<'_> {
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        let mut batch = self.0.next_batch()?;
        let rejects = batch.iter_mut().flat_map(|batch| &mut batch.rejects);
        for reject in rejects.filter(|reject| WRONG_TYPE.iter().any(|wrong| reject.reason.contains(wrong))) {
            reject.reason.push_str("; the type was inferred from the first records: declare it in `source.fields`");
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use etl_core::model::{object::Compression, types::type_name};

    use crate::{CsvSource, JsonLayout, Pick, SourceFormat};

    use super::*;

    fn objects<'a>(texts: &[&'a str]) -> SampledObjects<'a> {
        let object = |text: &'a str| -> ChunkIter<'a> {
            let data = text.as_bytes().chunks(7).map(|data| Ok(Chunk::Data(Bytes::from_static(data.to_vec().leak()))));
            Box::new([Ok(Chunk::whole("o", Compression::None))].into_iter().chain(data))
        };
        let texts = texts.to_vec();
        Box::new(texts.into_iter().map(object))
    }

    fn format(name: &str) -> SourceFormat {
        SourceFormat::new(name, None).expect("a format")
    }

    /// Returns each field with its type, `@` and its position if it is taken from one, and `?` if objects may lack it.
    fn written(found: &Inferred) -> Vec<String> {
        let field = |found: &InferredField| {
            let WantedField { field, pick, optional } = &found.wanted;
            let position = if let Pick::Position(position) = pick { format!("@{position}") } else { String::new() };
            format!("{} {}{position}{}", field.name(), type_name(field), if *optional { "?" } else { "" })
        };
        found.fields.iter().map(field).collect()
    }

    #[test]
    fn columns_of_csv_are_found_by_name_in_all_objects() {
        let found = format("csv").infer(objects(&["b,a\n1,x\n\n,y\n", "a,b,c\n\"z\nz\",2.5,\nbad\n"])).expect("infers");
        assert_eq!(written(&found), ["b float64", "a text", "c text?"]);
        assert_eq!(found.fields[0].example.as_deref(), Some("1"));
        assert_eq!((found.records, found.objects, found.has_more), (4, 2, false));
    }

    #[test]
    fn columns_that_a_header_does_not_tell_apart_are_taken_by_position() {
        let found = format("csv").infer(objects(&["x,x,,y,x\n1,2,3,4,5\n"])).expect("infers");
        assert_eq!(written(&found), ["x int64@1", "x_2 int64@2", "f3 int64@3", "y int64", "x_3 int64@5"]);
    }

    #[test]
    fn without_a_header_columns_are_numbered() {
        let csv = CsvSource { header: false, ..CsvSource::default() };
        let found = format("csv").with_csv(csv).expect("CSV").infer(objects(&["a,1\nb,2,true\n"])).expect("infers");
        assert_eq!(written(&found), ["f1 text@1", "f2 int64@2", "f3 boolean@3?"]);
    }

    #[test]
    fn keys_of_json_are_found_in_the_order_in_which_they_appear() {
        let text = "{\"z\":1,\"a\":null}\nno\n{\"n\":{\"k\":[1]},\"z\":2}\n";
        let found = format("json").infer(objects(&[text])).expect("infers");
        assert_eq!(written(&found), ["z int64", "a text", "n struct<k: list<int64>>"]);
        assert_eq!(found.fields[2].example.as_deref(), Some("{\"k\":[1]}"));
        assert_eq!(found.records, 2);
        let documents = format("json").with_json(JsonLayout::Documents).expect("JSON");
        let found = documents.infer(objects(&["[\n{\"a\":\n1},\n{\"b\":true}]"])).expect("infers");
        assert_eq!(written(&found), ["a int64", "b boolean"]);
    }

    #[test]
    fn no_more_is_read_than_a_sample_is_of() {
        let long = "{\"a\":1}\n".repeat(10_001) + "{\"a\":\"text\"}\n";
        let found = format("json").infer(objects(&[&long, "{\"b\":1}\n"])).expect("infers");
        assert_eq!(written(&found), ["a int64", "b int64"]);
        assert_eq!((found.records, found.objects, found.has_more), (10_001, 2, true));
        let wide = format!("a\n{}", "x".repeat(100_000) + "\n").repeat(20);
        assert!(format("csv").infer(objects(&[&wide])).expect("infers").records <= 30);
    }

    #[test]
    fn what_has_no_fields_or_too_many_is_an_error_that_names_the_key() {
        for name in ["csv", "json"] {
            let error = format(name).infer(objects(&["\n", "\n\n"])).expect_err("no field").to_string();
            assert!(error.contains("(0 records of 2 objects were looked at): write `source.fields`"), "{error}");
        }
        let names: Vec<String> = (0..1025).map(|number| format!("c{number}")).collect();
        let error = format("csv").infer(objects(&[&names.join(",")])).expect_err("too many").to_string();
        let expected = "the records have 1025 fields, more than the 1024 that can be read: name the ones";
        assert!(error.starts_with(expected) && error.ends_with("`source.fields`"), "{error}");
        let keys: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
        let error =
            format("json").infer(objects(&[&format!("{{{}}}", keys.join(","))])).expect_err("too many").to_string();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn nested_fields_become_json_until_a_schema_can_have_all() {
        let keys: Vec<String> = (0..200).map(|key| format!("\"k{key}\":1")).collect();
        let object = format!("{{{}}}", keys.join(","));
        let fields: Vec<String> = (0..7).map(|field| format!("\"f{field}\":{object}")).collect();
        let found = format("json").infer(objects(&[&format!("{{{}}}", fields.join(","))])).expect("infers");
        let json = written(&found).iter().filter(|field| field.ends_with(" json")).count();
        assert_eq!((found.fields.len(), json), (7, 2));
    }

    #[test]
    fn a_field_that_no_record_of_a_sample_has_is_named_with_what_it_may_be() {
        let lacking = |field: &str, pick: Pick, optional: bool| {
            let field = etl_core::model::types::parse(field, "text").expect("text");
            let wanted = WantedField { field, pick, optional };
            let fields = crate::Fields::new(vec![wanted]).expect("a field");
            let format = SourceFormat::new("json", Some(fields)).expect("a format");
            format.lacking(objects(&["{\"id\":1,\"actor\":{\"login\":\"x\",\"id\":null}}\n"])).expect("reads")
        };
        let column = |name: &str| Pick::Column(name.to_owned());
        let path = |keys: &[&str]| Pick::Path(keys.iter().map(|key| (*key).to_owned()).collect());
        assert_eq!(lacking("id", column("id"), false), None);
        assert_eq!(lacking("a", path(&["actor", "id"]), false), None);
        assert_eq!(lacking("a", path(&["actor", "logn"]), true), None);
        let (name, why) = lacking("who", path(&["actor", "logn"]), false).expect("lacks it");
        let expected = "is read from `actor.logn`, which none of the first 1 records has (did you mean `actor.login`? \
                        keys: actor.login, actor.id; with `optional = true` a sample may lack it)";
        assert_eq!((name.as_str(), why.as_str()), ("who", expected));
        let (_, why) = lacking("actor.login", column("actor.login"), false).expect("lacks it");
        assert!(why.ends_with("(write `{ type = \"…\", path = \"actor.login\" }`)"), "{why}");
        let (_, why) = lacking("actr", column("actr"), false).expect("lacks it");
        assert!(why.contains("(did you mean `actor`? keys: id, actor;"), "{why}");
    }

    #[test]
    fn a_value_that_does_not_fit_is_said_to_be_of_an_inferred_type() {
        let schema = etl_core::model::schema::Schema::parse(&["a=int64".to_owned()], 0).expect("a schema");
        for (name, text, count) in [("csv", "a\nx\n1,2\n", 2), ("json", "{\"a\":\"x\"}\n{\"a\":}\n", 2)] {
            let format = format(name).with_fields(schema.clone().into(), true).expect("no columns");
            let mut decoder = format.decoder(objects(&[text]).next().expect("an object")).expect("fields");
            let rejects = decoder.next_batch().expect("reads").expect("a batch").rejects;
            let told = rejects.iter().filter(|reject| reject.reason.ends_with("declare it in `source.fields`"));
            assert_eq!((rejects.len(), told.count()), (count, 1), "{rejects:?}");
        }
    }
}
