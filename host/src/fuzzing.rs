//! Fuzz targets for everything that may come from outside: pipelines, source data, batches of guests, and the files of
//! a run.
//!
//! Each function takes arbitrary bytes, and panics when a promise is broken. The targets in `host/fuzz` call the
//! functions with bytes that are made to reach every branch. The tests in this module call them with the seeds of those
//! targets, and with changed seeds. This module is not part of the program.

use std::{path::Path, sync::{Arc, LazyLock}};

use arbitrary::{Arbitrary, Result as Taken, Unstructured};
use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::model::{error::{ErrorKind, Result}, object::{Compression, Object, Slice}, schema::Schema};
use etl_format::{Decoder, SourceFormat};
use etl_plugin::{batch::{Lowered, lift}, bindings::etl::plugin::types as wit};
use etl_shuffle::{ShuffleIndex, ShuffleReader, decode::decode_block};
use etl_store::Store;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

use crate::{connector::objects::fetch, pipeline::Pipeline, run_store::{commit::Commit, document::{from_json, to_json}, layout::RunLayout, plan, shards::ShardPage}};

/// The value of `${SECRET}` in a fuzzed pipeline.
const SECRET: &str = "correct-horse-battery";

/// The most slices an object is cut into.
const SLICES_MAX: usize = 8;

/// The most rows that a fuzzed batch claims to have.
const ROWS_MAX: u32 = 64;

/// The runtime that fetches while this thread decodes.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

/// Checks `pipeline.toml`: every text is either a pipeline or an error of the configuration, and neither the document
/// that is kept nor the error holds the value of a `${NAME}`.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.contains(SECRET) {
        return;
    }
    let env = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    match Pipeline::parse(Path::new("pipeline.toml"), text, env) {
        Ok(pipeline) => {
            let kept = to_json(&pipeline.document).expect("a document is JSON");
            assert!(!String::from_utf8_lossy(&kept).contains(SECRET), "a secret is kept");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!error.to_string().contains(SECRET), "a secret is shown");
        }
    }
}

/// Checks slices of an object: its records are read once each and in order, wherever the object is cut. Compressed data
/// is read or refused.
pub fn slices(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((kind, cuts)) = <(u8, [u8; SLICES_MAX - 1])>::arbitrary(&mut input) else { return };
    let object = input.take_rest();
    match kind % 4 {
        0 => assert_eq!(lines(object, &cuts), lines(object, &[])),
        1 => assert_eq!(documents(object, &cuts), documents(object, &[])),
        2 => _ = decode(&SourceFormat::Lines, "a.gz", object, &[]),
        _ => _ = decode(&SourceFormat::Lines, "a.zst", object, &[]),
    }
}

fn lines(object: &[u8], cuts: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let batches = decode(&SourceFormat::Lines, "a", object, cuts).expect("lines are lines");
    let of_batch = |batch: &etl_format::SourceBatch| {
        let row = |row| (batch.origin(row).offset, batch.origin(row).record.to_vec());
        (0..batch.batch.num_rows()).map(row).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

/// Returns the documents of an object as text, and its rejects.
fn documents(object: &[u8], cuts: &[u8]) -> (Vec<String>, Vec<etl_core::model::reject::Reject>) {
    let batches = decode(&SourceFormat::Json(fields()), "a", object, cuts).expect("a malformed document is a reject");
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    for batch in batches {
        check(&batch.batch);
        let row = |row| format!("{} {:?}", batch.origin(row).offset, batch.batch.slice(row, 1).columns());
        rows.extend((0..batch.batch.num_rows()).map(row));
        rejects.extend(batch.rejects);
    }
    (rows, rejects)
}

/// Reads an object as a map task does, in slices that end at these 255ths of its size.
fn decode(format: &SourceFormat, name: &str, data: &[u8], cuts: &[u8]) -> Result<Vec<etl_format::SourceBatch>> {
    let store = Store::from_object_store(Arc::new(InMemory::new()), "in".into(), "memory");
    let (size, compression) = (data.len() as u64, Compression::of(name));
    let object = Object { name: name.to_owned(), size, e_tag: None, compression };
    let mut ends: Vec<u64> = cuts.iter().map(|cut| size * u64::from(*cut) / 255).chain([size]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.iter().copied());
    let slice = |(offset, end): (u64, &u64)| Slice { object: name.to_owned(), offset, length: end - offset };
    let slices: Vec<Slice> = starts.zip(&ends).map(slice).collect();
    let chunks = RUNTIME.block_on(async {
        store.put(name, data.to_vec()).await?;
        let mut chunks = fetch(&store, [(slices.as_slice(), std::slice::from_ref(&object))])?;
        chunks.ready().await;
        Result::Ok(chunks)
    })?;
    let mut decoder = Decoder::new(chunks, format)?;
    std::iter::from_fn(|| decoder.next_batch().transpose()).collect()
}

/// Returns a schema with a field of each type, of which the first two are the key.
fn fields() -> Schema {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    let fields = vec![
        field("text", DataType::Utf8, true),
        field("int", DataType::Int64, true),
        field("float", DataType::Float64, true),
        field("truth", DataType::Boolean, true),
    ];
    Schema::new(fields, 2).expect("a schema")
}

/// Checks batches of a guest: a batch that is accepted is sound and comes back unchanged; every other batch is refused.
pub fn guest_batch(data: &[u8]) {
    let mut fields = fields().fields.fields().to_vec();
    fields.push(Arc::new(Field::new("binary", DataType::Binary, false)));
    let schema = Schema::new(fields.iter().map(|field| Field::clone(field)).collect(), 0).expect("a schema");
    let Ok(batch) = batch_of(&mut Unstructured::new(data)) else { return };
    let Ok(lifted) = lift(batch, &schema) else { return };
    check(&lifted);
    let again = Lowered::new(&lifted).with(|batch| lift(returned(&batch), &schema)).expect("it was sound");
    assert_eq!(again, lifted);
}

/// Makes a batch of five columns, mostly of the expected types.
fn batch_of(input: &mut Unstructured<'_>) -> Taken<wit::BatchResult> {
    let rows = input.int_in_range(0..=ROWS_MAX)?;
    let columns: Taken<Vec<_>> = (0..5).map(|column| column_of(input, column, rows as usize)).collect();
    Ok(wit::BatchResult { rows, columns: columns? })
}

fn column_of(input: &mut Unstructured<'_>, column: u8, rows: usize) -> Taken<wit::ColumnResult> {
    let kind = if input.ratio(1, 16)? { input.int_in_range(0..=4)? } else { column };
    let values = match kind {
        0 => wit::ValuesResult::Text(variable_of(input, rows)?),
        1 => wit::ValuesResult::Int64(items(input, rows)?),
        2 => wit::ValuesResult::Float64(items(input, rows)?),
        3 => wit::ValuesResult::Boolean(items(input, rows.div_ceil(8))?),
        _ => wit::ValuesResult::Binary(variable_of(input, rows)?),
    };
    let validity = if input.arbitrary()? { Some(items(input, rows.div_ceil(8))?) } else { None };
    Ok(wit::ColumnResult { values, validity })
}

/// Makes values of variable length, with offsets that mostly rise.
fn variable_of(input: &mut Unstructured<'_>, rows: usize) -> Taken<wit::VariableResult> {
    let mut offsets: Vec<u32> = vec![0];
    for _ in 0..rows {
        offsets.push(offsets[offsets.len() - 1] + u32::from(input.int_in_range(0..=9_u8)?));
    }
    if input.ratio(1, 8)? {
        let wrong = input.choose_index(offsets.len())?;
        offsets[wrong] = input.arbitrary()?;
    }
    let bytes = (offsets[offsets.len() - 1] as usize).min(input.len());
    Ok(wit::VariableResult { offsets, bytes: input.bytes(bytes)?.to_vec() })
}

/// Takes `count` items, or now and then one fewer.
fn items<'a, T: Arbitrary<'a>>(input: &mut Unstructured<'a>, count: usize) -> Taken<Vec<T>> {
    let count = if input.ratio(1, 32)? { count.saturating_sub(1) } else { count };
    (0..count).map(|_| input.arbitrary()).collect()
}

/// Returns a batch that the host hands out in the form in which a guest would hand it back.
fn returned(batch: &wit::BatchParam<'_>) -> wit::BatchResult {
    let variable = |values: &wit::VariableParam<'_>| wit::VariableResult {
        offsets: values.offsets.to_vec(),
        bytes: values.bytes.to_vec(),
    };
    let column = |column: &wit::ColumnParam<'_>| wit::ColumnResult {
        values: match &column.values {
            wit::ValuesParam::Boolean(bits) => wit::ValuesResult::Boolean(bits.to_vec()),
            wit::ValuesParam::Int64(values) => wit::ValuesResult::Int64(values.to_vec()),
            wit::ValuesParam::Float64(values) => wit::ValuesResult::Float64(values.to_vec()),
            wit::ValuesParam::Text(values) => wit::ValuesResult::Text(variable(values)),
            wit::ValuesParam::Binary(values) => wit::ValuesResult::Binary(variable(values)),
        },
        validity: column.validity.map(<[u8]>::to_vec),
    };
    wit::BatchResult { rows: batch.rows, columns: batch.columns.iter().map(column).collect() }
}

/// Checks shuffle files: a block, or the blocks that an index names, are read or refused.
pub fn shuffle_file(data: &[u8]) {
    let schema = fields();
    if let Ok(batch) = decode_block(&Bytes::copy_from_slice(data), &schema.fields) {
        check(&batch);
    }
    // The data also stands for an index on its first line, with the shuffle file behind it.
    let Some(end) = memchr::memchr(b'\n', data) else { return };
    let (Ok(index), file) = (from_json::<ShuffleIndex>("index", &data[..end]), &data[end + 1..]) else { return };
    for partition in &index.partitions {
        let start = usize::try_from(partition.range().start).unwrap_or(usize::MAX);
        let pieces = file.get(start..).into_iter().map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let read: Result<Vec<RecordBatch>> = ShuffleReader::new("fuzzed", &schema, partition, pieces).collect();
        match read {
            Ok(batches) => {
                batches.iter().for_each(check);
                assert_eq!(batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>(), partition.rows);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Input),
        }
    }
}

/// Checks commits: a commit that can be read is still the same after it is written and read again.
pub fn commit(data: &[u8]) {
    let Ok(commit) = from_json::<Commit>("commit.json", data) else { return };
    let written = to_json(&commit).expect("a commit is JSON");
    assert_eq!(from_json::<Commit>("commit.json", &written).expect("as written"), commit);
}

/// Checks plans and pages of shards: the tasks of a plan that can be read cover all of its shards, each once.
pub fn plan(data: &[u8]) {
    if let Ok(page) = from_json::<ShardPage>("page", data) {
        let written = to_json(&page).expect("a page is JSON");
        assert_eq!(from_json::<ShardPage>("page", &written).expect("as written"), page);
    }
    let Ok(plan) = plan::read(&RunLayout::new("p", "r"), data) else { return };
    let mut tasks = plan.shards.longest_first();
    tasks.sort_unstable();
    let covered = tasks.iter().fold(0, |end, task| {
        let shards = plan.shards.of_task(*task);
        assert!(shards.start == end && shards.end > end, "task {task} is {shards:?}");
        shards.end
    });
    assert_eq!(covered, plan.shards.shards());
}

/// Checks every value of a batch with Arrow's full validation.
fn check(batch: &RecordBatch) {
    for column in batch.columns() {
        column.to_data().validate_full().expect("a sound column");
        if let Some(text) = column.as_string_opt::<i32>() {
            assert!(text.iter().flatten().all(|text| std::str::from_utf8(text.as_bytes()).is_ok()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;
    use etl_core::runtime::scratch::Scratch;
    use etl_shuffle::{ShuffleSettings, ShuffleWriter};

    /// Calls `target` with each of its seeds, which are the files in its directory and those `made`, with seeds that
    /// were changed here and there, and with random bytes. Writes the seeds to the fuzzer's corpus if
    /// `ETL_HOST_WRITE_SEEDS` is set.
    fn check_target(name: &str, made: Vec<Vec<u8>>, target: fn(&[u8])) {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let entries = fs::read_dir(fuzz.join("seeds").join(name)).into_iter().flatten();
        let kept = entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("reads"));
        let seeds: Vec<Vec<u8>> = kept.chain(made).collect();
        assert!(!seeds.is_empty());
        if std::env::var_os("ETL_HOST_WRITE_SEEDS").is_some() {
            let corpus = fuzz.join("corpus").join(name);
            fs::create_dir_all(&corpus).expect("made");
            (0..)
                .zip(&seeds)
                .for_each(|(n, seed): (u32, _)| fs::write(corpus.join(n.to_string()), seed).expect("written"));
        }
        seeds.iter().for_each(|seed| target(seed));
        let changes = (any::<Index>(), vec((any::<Index>(), any::<u8>()), 1..6), any::<Index>());
        proptest!(ProptestConfig::with_cases(400), |((seed, changes, cut) in changes)| {
            let mut bytes = seeds[seed.index(seeds.len())].clone();
            if !bytes.is_empty() {
                changes.iter().for_each(|(at, byte)| { let at = at.index(bytes.len()); bytes[at] = *byte; });
            }
            target(&bytes);
            target(&bytes[..cut.index(bytes.len() + 1)]);
        });
        proptest!(ProptestConfig::with_cases(100), |(bytes in vec(any::<u8>(), 0..300))| target(&bytes));
    }

    /// Makes shuffle files, each behind its index, and the first block of each.
    fn shuffled() -> Vec<Vec<u8>> {
        let schema = fields();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a"), None, Some("é")])),
            Arc::new(Int64Array::from(vec![Some(-1), Some(7), None])),
            Arc::new(Float64Array::from(vec![Some(0.5), None, Some(f64::NAN)])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&schema.fields), columns).expect("rows");
        let of = |partitions| {
            let scratch = Scratch::new(None, u64::MAX);
            let settings = ShuffleSettings { partitions, memory_bytes: 1 << 20, fan_in: 2, scratch };
            let mut writer = ShuffleWriter::new(settings, schema.clone(), None).expect("it has a key");
            writer.push(rows.clone()).expect("taken");
            let mut file = Vec::new();
            let index = writer.finish(&mut file).expect("written");
            let (start, length) = (index.partitions[0].offset as usize, index.partitions[0].blocks[0].length as usize);
            let block = file[start..start + length].to_vec();
            [[to_json(&index).expect("JSON"), b"\n".to_vec(), file].concat(), block]
        };
        [1, 3].into_iter().flat_map(of).collect()
    }

    #[test]
    fn pipelines() {
        check_target("pipeline", Vec::new(), pipeline);
    }

    #[test]
    fn slices_of_objects() {
        check_target("slices", Vec::new(), slices);
    }

    #[test]
    fn batches_of_guests() {
        check_target("guest_batch", vec![vec![0; 900], (0..900).map(|n| (n * 151 % 256) as u8).collect()], guest_batch);
    }

    #[test]
    fn shuffle_files() {
        check_target("shuffle_file", shuffled(), shuffle_file);
    }

    #[test]
    fn commits() {
        check_target("commit", Vec::new(), commit);
    }

    #[test]
    fn plans() {
        check_target("plan", Vec::new(), plan);
    }
}
