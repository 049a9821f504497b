//! Samples: records in memory, and where each came from.

use std::{fmt, io::Read, ops::Range, sync::Arc};

use arrow_array::{Array, RecordBatch, UInt64Array};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    object::Compression,
    position::Position,
    reject::Reject,
    schema::Schema,
};
use etl_format::{Chunk, Cuts, Section, SourceBatch, SourceFormat};

use super::together;

/// The number of bytes that one read asks for.
const READ_BYTES: usize = 512 << 10;

/// Some records, cut into batches.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The schema of the records.
    pub schema: Schema,
    /// The records.
    pub rows: RecordBatch,
    /// The rejects of malformed records, which are not in `rows`.
    pub rejects: Vec<Reject>,
    /// Whether the input had more records than the sample took.
    pub more: bool,
    /// The end of each batch: the number of the row behind its last one.
    batch_ends: Vec<usize>,
    /// Where each record came from; empty if the records do not come from the source.
    places: Vec<Place>,
}

/// Where a record came from. Displays in the words of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A record of the source.
    Object {
        /// The object's name.
        name: Arc<str>,
        /// The position of the record in the object.
        position: Position,
    },
    /// A row that another step emitted: its number, from 0.
    Row(usize),
}

impl Place {
    /// Returns the reject with this place as that of its record.
    pub(super) fn of(&self, reject: Reject) -> Reject {
        match self {
            Self::Object { name, position } => reject.at(name, *position),
            Self::Row(_) => reject,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { name, position } => write!(f, "the record of `{name}`{position}"),
            Self::Row(row) => write!(f, "row {}", row + 1),
        }
    }
}

impl Sample {
    /// Reads up to `records_max` records from a file. The ending of its name or its first bytes tell
    /// how it is compressed. The records
    /// are cut into batches as in a run.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the file cannot be read or decompressed, or a record is too long.
    pub(crate) fn read(name: &str, file: impl Read, format: &SourceFormat, records_max: usize) -> Result<Self> {
        if matches!(format.cuts(), Cuts::ByPosition { .. }) {
            let section = Section::in_memory(name, whole(name, file)?);
            return Self::decode([Ok(Chunk::Section(section))].into_iter(), format, records_max);
        }
        let start = Chunk::whole(name, Compression::of(name));
        Self::decode([Ok(start)].into_iter().chain(chunks(name, file)), format, records_max)
    }

    /// Decodes up to `records_max` records from the chunks of a shard.
    ///
    /// # Errors
    /// Returns an error among the chunks; fails otherwise as [`Sample::read`] does.
    pub(crate) fn decode(
        chunks: impl Iterator<Item = Result<Chunk>>,
        format: &SourceFormat,
        records_max: usize,
    ) -> Result<Self> {
        let mut decoder = format.decoder(Box::new(chunks))?;
        let (mut batches, mut rejects, mut places, mut more) = (Vec::new(), Vec::new(), Vec::new(), false);
        while let Some(batch) = decoder.next_batch()? {
            if places.len() == records_max {
                more = true;
                break;
            }
            let rows = batch.batch.num_rows().min(records_max - places.len());
            more = rows < batch.batch.num_rows();
            places.extend((0..rows).map(|row| place(&batch, row)));
            batches.push(batch.batch.slice(0, rows));
            rejects.extend(batch.rejects);
        }
        let mut sample = Self::of_rows(format.schema().clone(), &batches)?;
        (sample.rejects, sample.places, sample.more) = (rejects, places, more);
        Ok(sample)
    }

    /// Creates a sample of rows that are already in memory, and keeps their batches.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the rows do not fit into one batch of less than 2 GiB.
    pub(crate) fn of_rows(schema: Schema, batches: &[RecordBatch]) -> Result<Self> {
        let ends = batches.iter().scan(0, |end, batch| {
            *end += batch.num_rows();
            Some(*end)
        });
        let rows = together(&schema, batches)?;
        let batch_ends = ends.collect();
        Ok(Self { schema, rows, rejects: Vec::new(), more: false, batch_ends, places: Vec::new() })
    }

    /// Returns the sample with the schema that a mapper that emits these rows would declare: the first `key_fields`
    /// fields are the key, and only fields that have nulls are nullable.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there are fewer than `key_fields` fields.
    pub(crate) fn keyed(mut self, key_fields: usize) -> Result<Self> {
        let fields = self.schema.fields.fields().iter().zip(self.rows.columns());
        let declared = fields.map(|(field, column)| field.as_ref().clone().with_nullable(column.null_count() > 0));
        self.schema = Schema::new(declared.collect(), key_fields)?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema.fields), self.rows.columns().to_vec());
        self.rows = rows.or_kind(ErrorKind::Internal, || "cannot declare the fields of a sample")?;
        Ok(self)
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Returns where the record of a row came from.
    pub(crate) fn place(&self, row: usize) -> Place {
        self.places.get(row).cloned().unwrap_or(Place::Row(row))
    }

    /// Returns the records, batch by batch.
    pub(crate) fn batches(&self) -> impl Iterator<Item = RecordBatch> {
        let starts = [0].into_iter().chain(self.batch_ends.iter().copied());
        starts.zip(&self.batch_ends).map(|(start, end)| self.rows.slice(start, end - start))
    }

    /// Returns the same records in batches of at most `batch_rows` rows.
    #[must_use]
    pub(crate) fn cut(&self, batch_rows: usize) -> Self {
        let batch_ends = (1..=self.len()).filter(|end| end.is_multiple_of(batch_rows) || *end == self.len()).collect();
        Self { batch_ends, ..self.clone() }
    }

    /// Returns the records of a range of rows, in one batch.
    #[must_use]
    pub(crate) fn slice(&self, rows: Range<usize>) -> Self {
        Self {
            schema: self.schema.clone(),
            rows: self.rows.slice(rows.start, rows.len()),
            rejects: Vec::new(),
            more: self.more,
            batch_ends: vec![rows.len()],
            places: self.places.get(rows).map(<[Place]>::to_vec).unwrap_or_default(),
        }
    }

    /// Returns the records of the given rows, in the given order, in one batch.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a row does not exist.
    pub(crate) fn take(&self, rows: &[usize]) -> Result<Self> {
        let indices: UInt64Array = rows.iter().map(|row| *row as u64).collect::<Vec<_>>().into();
        let taken = take_record_batch(&self.rows, &indices).or_kind(ErrorKind::Internal, || "cannot take rows")?;
        let places = rows.iter().filter_map(|row| self.places.get(*row).cloned()).collect();
        Ok(Self { rows: taken, batch_ends: vec![rows.len()], places, rejects: Vec::new(), ..self.clone() })
    }
}

fn place(batch: &SourceBatch, row: usize) -> Place {
    let origin = batch.origin(row);
    Place::Object { name: origin.object.into(), position: origin.at }
}

/// Returns the content of a file.
fn whole(name: &str, mut file: impl Read) -> Result<Bytes> {
    let mut content = Vec::new();
    let read = file.read_to_end(&mut content);
    read.map_err(|error| Error::input(format!("cannot read `{name}`: {error}")))?;
    Ok(content.into())
}

/// Returns the content of a file in chunks. Ends after an error.
fn chunks(name: &str, mut file: impl Read) -> impl Iterator<Item = Result<Chunk>> {
    let (name, mut done) = (name.to_owned(), false);
    std::iter::from_fn(move || {
        let mut piece = Vec::new();
        let read = if done { Ok(0) } else { file.by_ref().take(READ_BYTES as u64).read_to_end(&mut piece) };
        done |= !matches!(read, Ok(1..));
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(Chunk::Data(Bytes::from(piece)))),
            Err(error) => Some(Err(Error::input(format!("cannot read `{name}`: {error}")))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, max: usize) -> Sample {
        Sample::read("a.txt", text.as_bytes(), &SourceFormat::lines(), max).expect("lines")
    }

    fn sizes(sample: &Sample) -> Vec<usize> {
        sample.batches().map(|batch| batch.num_rows()).collect()
    }

    #[test]
    fn a_sample_knows_where_its_records_came_from_and_whether_there_are_more() {
        let sample = lines("one\ntwo\nthree\n", 10);
        assert_eq!((sample.len(), sample.more), (3, false));
        assert_eq!(sample.place(2).to_string(), "the record of `a.txt` at byte 8");
        assert_eq!(sample.take(&[2, 0]).expect("rows").place(0), sample.place(2));
        assert_eq!(sample.slice(1..3).place(0), sample.place(1));
        let some = lines("one\ntwo\nthree\n", 2);
        assert_eq!((some.len(), some.more), (2, true));
        assert_eq!((lines("", 2).len(), lines("one", 1).more), (0, false));
    }

    #[test]
    fn a_sample_is_cut_into_batches_of_any_size() {
        let sample = lines("a\nb\nc\nd\ne\n", 10);
        assert_eq!(sizes(&sample), [5]);
        assert_eq!(sizes(&sample.cut(2)), [2, 2, 1]);
        assert_eq!(sizes(&sample.cut(1)), [1; 5]);
        assert_eq!(sizes(&lines("", 10).cut(2)), Vec::<usize>::new());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let directory = std::fs::File::open("/").expect("it can be opened");
        let error = Sample::read("b.txt", directory, &SourceFormat::lines(), 10).expect_err("a directory");
        assert!(error.to_string().starts_with("cannot read `b.txt`: "), "{error}");
    }
}
