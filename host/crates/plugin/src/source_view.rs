//! The source as a splitter sees it, and the shards that a splitter hands back.
//!
//! Owns the types through which a splitter's host functions reach the source without knowing a store. `task` implements
//! [`SourceView`]; `imports` calls it.

use std::time::Instant;

use arrow_array::RecordBatch;
use etl_core::{
    model::{
        error::{Error, ErrorKind, Result},
        object::Slice,
        schema::Schema,
        times::Work,
    },
    runtime::clock::spend,
    text::numbers::count,
};

use super::limits::TimeLimit;

/// Number of bytes that are read at once when the splitter asks for less: so much that reading byte by byte makes few
/// requests, and so little that it takes about as long as a request takes in any case.
const BLOCK_BYTES: u32 = 256 * 1024;

/// Largest number of requests that a splitter's reads may make.
const REQUESTS_MAX: u32 = 500_000;

/// A splitter's view of the source. Its methods are called on a worker thread and may block.
pub trait SourceView: Send {
    /// Returns up to `max` objects after the one named `after`, sorted by name. Each comes with its name, its size in
    /// bytes, and whether it is splittable.
    fn list(&self, after: Option<&str>, max: usize) -> Vec<(String, u64, bool)>;

    /// Returns `length` bytes of an object from `offset`, and fewer only at the object's end.
    ///
    /// # Errors
    /// The reason why the read failed, which the plugin receives.
    fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError>;

    /// Adds the next shard.
    ///
    /// # Errors
    /// Fails when the shard is not valid for this source. The error ends the split.
    fn add(&mut self, shard: DraftShard) -> Result<()>;
}

/// Reason why a splitter's read failed.
#[derive(Debug)]
pub enum ReadError {
    /// The source has no such object.
    NoSuchObject,
    /// The offset is past the object's end.
    OutOfRange,
    /// The store failed.
    Store(Error),
}

/// A shard as the splitter handed it over. The objects and ranges that it names are not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub enum DraftShard {
    /// Slices of objects.
    Slices(Vec<Slice>),
    /// Records the splitter made, in the source's schema.
    Records(RecordBatch),
}

impl DraftShard {
    /// Returns the least memory that the shard takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Slices(slices) => slices.iter().map(|slice| size_of::<Slice>() + slice.object.len()).sum(),
            Self::Records(batch) => batch.get_array_memory_size(),
        };
        (size_of::<Self>() + bytes) as u64
    }

    /// Returns the number of records that the splitter made for the shard.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Slices(_) => 0,
            Self::Records(batch) => batch.num_rows() as u64,
        }
    }
}

/// The part of an instance's state that only splitters have.
pub(super) struct Splitting {
    pub(super) view: Box<dyn SourceView>,
    pub(super) records: Schema,
    block: Option<Block>,
    /// Number of requests that reads have made.
    requests: u32,
}

/// A part of an object that was read ahead. It begins at a multiple of [`BLOCK_BYTES`].
struct Block {
    object: String,
    start: u64,
    bytes: Vec<u8>,
}

impl Splitting {
    pub(super) fn new(view: Box<dyn SourceView>, records: Schema) -> Self {
        Self { view, records, block: None, requests: 0 }
    }

    /// Reads as [`SourceView::read`] does, and counts the requests it makes on `time`. Short reads in the same part of
    /// an object share one request.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when the splitter has made too many requests.
    pub(super) fn read(
        &mut self,
        time: &mut TimeLimit,
        object: &str,
        offset: u64,
        length: u32,
    ) -> Result<Result<Vec<u8>, ReadError>> {
        if self.requests >= REQUESTS_MAX {
            let (limit, told) = (count(REQUESTS_MAX.into()), time.work());
            let what = format!("read the source more than {limit} times ({told}): read larger pieces, in order");
            return Err(Error::new(ErrorKind::Sandbox, anyhow::anyhow!(what)));
        }
        Ok(match length < BLOCK_BYTES {
            true => self.read_ahead(time, object, offset, length as usize),
            false => self.request(time, object, offset, length),
        })
    }

    fn read_ahead(
        &mut self,
        time: &mut TimeLimit,
        object: &str,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, ReadError> {
        let mut read = Vec::with_capacity(length);
        loop {
            let at = offset.saturating_add(read.len() as u64);
            let block = self.block(time, object, at - at % u64::from(BLOCK_BYTES))?;
            let rest = usize::try_from(at - block.start).ok().and_then(|at| block.bytes.get(at..));
            let rest = rest.ok_or(ReadError::OutOfRange)?;
            read.extend_from_slice(&rest[..rest.len().min(length - read.len())]);
            if read.len() == length || block.bytes.len() < BLOCK_BYTES as usize {
                return Ok(read);
            }
        }
    }

    fn block(&mut self, time: &mut TimeLimit, object: &str, start: u64) -> Result<&Block, ReadError> {
        let block = self.block.take().filter(|block| block.object == object && block.start == start);
        let block = match block {
            Some(block) => block,
            None => {
                let bytes = self.request(time, object, start, BLOCK_BYTES)?;
                Block { object: object.to_owned(), start, bytes }
            }
        };
        Ok(self.block.insert(block))
    }

    fn request(&mut self, time: &mut TimeLimit, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let started = Instant::now();
        let read = spend(Work::Check, || self.view.read(object, offset, length));
        time.count_work(started.elapsed(), read.as_ref().map_or(0, |bytes| bytes.len() as u64));
        self.requests += 1;
        read
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
        time::Duration,
    };

    use super::*;
    use crate::settings::Limits;

    /// A source with one object, `a`, of this many bytes, which counts the reads of it.
    struct Counting(u64, Arc<AtomicU32>);

    impl SourceView for Counting {
        fn list(&self, _: Option<&str>, _: usize) -> Vec<(String, u64, bool)> {
            Vec::new()
        }

        fn read(&self, object: &str, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
            self.1.fetch_add(1, Relaxed);
            match object {
                "a" if offset <= self.0 => {
                    Ok((offset..self.0.min(offset.saturating_add(length.into()))).map(byte_at).collect())
                }
                "a" => Err(ReadError::OutOfRange),
                _ => Err(ReadError::NoSuchObject),
            }
        }

        fn add(&mut self, _: DraftShard) -> Result<()> {
            Ok(())
        }
    }

    fn byte_at(offset: u64) -> u8 {
        (offset % 251) as u8
    }

    fn source(size: u64) -> (Splitting, TimeLimit, Arc<AtomicU32>) {
        let reads = Arc::new(AtomicU32::new(0));
        let splitting = Splitting::new(Box::new(Counting(size, Arc::clone(&reads))), Schema::lines());
        let hour = Duration::from_secs(3600);
        let (timeout, batch_timeout, compile_timeout) = (hour, hour, hour);
        let limits = Limits { timeout, batch_timeout, compile_timeout, ..Limits::default() };
        (splitting, TimeLimit::new(&limits, None), reads)
    }

    #[test]
    fn byte_by_byte_a_block_costs_one_request() {
        let block = u64::from(BLOCK_BYTES);
        let size = 2 * block + 7;
        let (mut source, mut time, reads) = source(size);
        for offset in 0..size {
            let read = source.read(&mut time, "a", offset, 1).expect("few requests").expect("inside");
            assert_eq!(read, [byte_at(offset)]);
        }
        assert!(source.read(&mut time, "a", size, 1).expect("few requests").expect("the end").is_empty());
        assert_eq!(
            (reads.load(Relaxed), time.work().to_string().contains(" for 3 reads and shards of 512.0 KiB")),
            (3, true)
        );
    }

    #[test]
    fn reads_give_the_same_bytes_wherever_they_begin_and_end() {
        let block = u64::from(BLOCK_BYTES);
        for size in [0, 1, block - 1, block, block + 1, 2 * block] {
            let (mut source, mut time, _) = source(size);
            for (offset, length) in [(0, 0), (0, 5), (block - 2, 5), (block, 1), (1, BLOCK_BYTES - 1), (3, BLOCK_BYTES)]
            {
                let read = source.read(&mut time, "a", offset, length).expect("few requests").ok();
                let expected = Counting(size, Arc::default()).read("a", offset, length).ok();
                assert!(read == expected, "{length} bytes from {offset} of {size}");
            }
            assert!(matches!(source.read(&mut time, "a", u64::MAX, 9), Ok(Err(ReadError::OutOfRange))));
            assert!(matches!(source.read(&mut time, "b", 0, 9), Ok(Err(ReadError::NoSuchObject))));
        }
    }

    #[test]
    fn a_splitter_that_makes_too_many_requests_is_stopped() {
        let (mut source, mut time, reads) = source(0);
        source.requests = REQUESTS_MAX - 1;
        source.read(&mut time, "b", 0, 1).expect("the last one").expect_err("no such object");
        let error = source.read(&mut time, "b", 0, 1).expect_err("one too many").to_string();
        assert!(error.starts_with("read the source more than 500,000 times (the host took "));
        assert!(
            error.ends_with(" for 1 reads and shards of 0 B): read larger pieces, in order")
                && reads.load(Relaxed) == 1,
            "{error}"
        );
    }
}
