//! Samples: the first records of some objects, from which the fields of a source are inferred.
//!
//! Owns how much a sample is, and what is found in it. What a value tells about the type of its field is each format's.

use arrow_schema::Field;
use etl_core::model::{
    error::{Error, Result},
    schema::FIELDS_MAX,
    types::nodes,
};

use crate::{
    ChunkIter, Decode, SourceBatch, WantedField,
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
                "the fields cannot be inferred, because the first objects of the source have none ({records} records \
                 of {objects} objects were read): write `source.fields`, or check `source.format`, and `source.json.layout` if \
                 documents are not lines"
            )));
        }
        if count > FIELDS_MAX { Err(too_many(count)) } else { Ok(Inferred { fields, records, objects, has_more }) }
    }
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
