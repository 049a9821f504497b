//! Samples of a source: the first bytes of its first objects, for what can be told by them before a run.
//!
//! Owns which objects these are, and that no more of them is read than is looked at. What the records tell is the
//! format's.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use etl_core::{
    model::{
        error::Result,
        object::{Object, Slice},
    },
    runtime::threads,
};
use etl_format::{Chunk, ChunkIter, Cuts, Inferred, SAMPLE_OBJECTS, SampledObjects, SourceFormat};

use super::{Source, objects::Chunks};

/// Minimum and maximum number of bytes that are read at once.
const READ_BYTES: (u64, u64) = (64 << 10, 1 << 20);

/// Returns the fields that the first records of the first objects have, by name of object. Call this on the runtime.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when no fields can be inferred; when an object cannot
/// be read.
pub async fn infer(source: &Arc<dyn Source>, objects: &[Object], format: &SourceFormat) -> Result<Inferred> {
    let (sampled, format) = (sampled(source, objects, format.cuts())?, format.clone());
    let mut inferred = threads::run(move || format.infer(sampled())).await??;
    inferred.has_more |= objects.iter().filter(|object| object.size > 0).count() > SAMPLE_OBJECTS;
    Ok(inferred)
}

/// Returns the first field that none of the first records has, and more about it as the end of a sentence. Call this on
/// the runtime.
///
/// # Errors
/// When an object cannot be read.
pub async fn lacking(
    source: &Arc<dyn Source>,
    objects: &[Object],
    format: &SourceFormat,
) -> Result<Option<(String, String)>> {
    let (sampled, format) = (sampled(source, objects, format.cuts())?, format.clone());
    threads::run(move || format.lacking(sampled())).await?
}

/// Returns how to read the objects of a sample, on a thread that may block.
///
/// # Errors
/// As [`Source::open`].
fn sampled(
    source: &Arc<dyn Source>,
    objects: &[Object],
    cuts: Cuts,
) -> Result<impl FnOnce() -> SampledObjects<'static> + Send + use<>> {
    let objects = objects.iter().filter(|object| object.size > 0).take(SAMPLE_OBJECTS);
    let (source, objects) = (Arc::clone(source), objects.cloned().collect::<Vec<_>>());
    let opened = match cuts {
        Cuts::ByPosition { .. } => Some(opened(&source, &objects, cuts)?),
        Cuts::AtLineEnds | Cuts::AtRecords(_) | Cuts::Never(_) => None,
    };
    Ok(move || -> SampledObjects<'static> {
        match opened {
            Some(opened) => Box::new(opened.into_iter().map(|chunks| -> ChunkIter<'static> { Box::new(chunks) })),
            None => Box::new(objects.into_iter().map(move |object| chunks(Arc::clone(&source), object))),
        }
    })
}

/// Opens objects that are read by position, each as a whole.
fn opened(source: &Arc<dyn Source>, objects: &[Object], cuts: Cuts) -> Result<Vec<Chunks>> {
    let open = |object: &Object| {
        let slice = Slice { object: object.name.clone(), offset: 0, length: object.size };
        source.open(cuts, &[(&[slice], objects)])
    };
    objects.iter().map(open).collect()
}

/// Returns the chunks of an object, each of which is read when it is asked for.
fn chunks(source: Arc<dyn Source>, object: Object) -> ChunkIter<'static> {
    let (start, size) = (Chunk::whole(object.name.as_str(), object.compression), object.size);
    let read = move |range: Range<u64>| {
        let bytes: Bytes = threads::wait_on_runtime(source.read(&object, range))?;
        Ok(Chunk::Data(bytes))
    };
    Box::new([Ok(start)].into_iter().chain(ranges(size).map(read)))
}

/// Returns the ranges to read of an object of `size` bytes: each twice as long as the one before it, up to a limit.
fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let (mut at, (mut bytes, most)) = (0, READ_BYTES);
    std::iter::from_fn(move || {
        let range = at..size.min(at + bytes);
        (at, bytes) = (range.end, most.min(2 * bytes));
        (!range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_from_its_start_in_ranges_that_grow() {
        let ranges: Vec<_> = ranges(3 << 20).collect();
        assert_eq!(ranges.first(), Some(&(0..64 << 10)));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start && pair[1].start < pair[1].end));
        assert_eq!(ranges.last().map(|range| range.end), Some(3 << 20));
        assert!(ranges.iter().all(|range| range.end - range.start <= 1 << 20));
    }
}
