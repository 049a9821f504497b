//! The fuzz target for objects and where they are cut.
//!
//! Each function takes arbitrary bytes, and panics when a promise is broken. The targets in `host/fuzz` call it with
//! bytes that are made to reach every branch, the tests here with the seeds of those targets. Not part of the program.

use std::sync::{Arc, LazyLock};

use arbitrary::{Arbitrary, Unstructured};
use etl_core::{
    model::{
        error::Result,
        object::{Compression, Object, Slice},
        position::Position,
        reject::Reject,
    },
    testing::{check_batch, typed_schema},
};
use etl_format::{Cuts, SourceBatch, SourceFormat, compression_at};
use etl_store::Store;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

use super::fetch::fetch;

/// The most slices an object is cut into.
const SLICES_MAX: usize = 8;

/// The runtime that fetches while this thread decodes.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

/// Checks slices of an object: its records are read once each and in order, wherever the object is cut. What holds no
/// records is refused. Compressed data is read or refused.
pub fn slices(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((kind, cuts)) = <(u8, [u8; SLICES_MAX - 1])>::arbitrary(&mut input) else { return };
    let object = input.take_rest();
    match kind % 8 {
        0 => _ = lines(object, &[]).map(|whole| assert_eq!(lines(object, &cuts).expect("lines"), whole)),
        1 => _ = documents(object, &[]).map(|whole| assert_eq!(documents(object, &cuts).expect("documents"), whole)),
        2 => _ = decode(&SourceFormat::lines(), "a.gz", object, &[]),
        3 => _ = decode(&SourceFormat::lines(), "a.zst", object, &[]),
        4 => _ = decode(&SourceFormat::lines(), "a.bz2", object, &[]),
        5 => _ = decode(&SourceFormat::lines(), "a.xz", object, &[]),
        6 => _ = decode(&SourceFormat::lines(), "a.sz", object, &[]),
        _ => _ = decode(&SourceFormat::lines(), "a.lz4", object, &[]),
    }
}

fn lines(object: &[u8], cuts: &[u8]) -> Result<Vec<(Position, Vec<u8>)>> {
    let batches = decode(&SourceFormat::lines(), "a", object, cuts)?;
    let of_batch = |batch: &SourceBatch| {
        let row = |row| (batch.origin(row).at, batch.origin(row).record.to_vec());
        (0..batch.batch.num_rows()).map(row).collect::<Vec<_>>()
    };
    Ok(batches.iter().flat_map(of_batch).collect())
}

/// Returns the documents of an object as text, and its rejects.
fn documents(object: &[u8], cuts: &[u8]) -> Result<(Vec<String>, Vec<Reject>)> {
    let batches = decode(&SourceFormat::new("json", Some(typed_schema().into()))?, "a", object, cuts)?;
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    for batch in batches {
        check_batch(&batch.batch);
        let row = |row| format!("{:?} {:?}", batch.origin(row).at, batch.batch.slice(row, 1).columns());
        rows.extend((0..batch.batch.num_rows()).map(row));
        rejects.extend(batch.rejects);
    }
    Ok((rows, rejects))
}

/// Reads an object as a map task does, in slices that end at these 255ths of its size. An object that turns out to be
/// compressed is not cut.
fn decode(format: &SourceFormat, name: &str, data: &[u8], cuts: &[u8]) -> Result<Vec<SourceBatch>> {
    let store = Store::from_object_store(Arc::new(InMemory::new()), "in".into(), "memory");
    let (size, compression) = (data.len() as u64, Compression::of(name));
    let object = Object { name: name.to_owned(), size, e_tag: None, compression };
    let cuts = if compression_at(data) == Compression::None { cuts } else { &[] };
    let mut ends: Vec<u64> = cuts.iter().map(|cut| size * u64::from(*cut) / 255).chain([size]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.iter().copied());
    let slice = |(offset, end): (u64, &u64)| Slice { object: name.to_owned(), offset, length: end - offset };
    let slices: Vec<Slice> = starts.zip(&ends).map(slice).collect();
    let chunks = RUNTIME.block_on(async {
        store.put(name, data.to_vec()).await?;
        let mut chunks =
            fetch(&store, &Arc::default(), Cuts::AtLineEnds, [(slices.as_slice(), std::slice::from_ref(&object))])?;
        chunks.ready().await;
        Result::Ok(chunks)
    })?;
    let mut decoder = format.decoder(Box::new(chunks))?;
    std::iter::from_fn(|| decoder.next_batch().transpose()).collect()
}

#[cfg(test)]
mod tests {
    use etl_core::testing::check_target;

    use super::*;

    #[test]
    fn slices_of_objects() {
        check_target("slices", Vec::new(), slices);
    }
}
