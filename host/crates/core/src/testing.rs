//! Checks that the tests and fuzz targets of all crates share. Not part of the program.

use std::{fs, path::Path};

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::model::schema::Schema;

/// Returns a schema with a field of each type, of which the first two are the key.
pub fn typed_schema() -> Schema {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    let fields = vec![
        field("text", DataType::Utf8, true),
        field("int", DataType::Int64, true),
        field("float", DataType::Float64, true),
        field("truth", DataType::Boolean, true),
    ];
    Schema::new(fields, 2).expect("a schema")
}

/// Checks every value of a batch with Arrow's full validation.
pub fn check_batch(batch: &RecordBatch) {
    for column in batch.columns() {
        column.to_data().validate_full().expect("a sound column");
        if let Some(text) = column.as_string_opt::<i32>() {
            assert!(text.iter().flatten().all(|text| std::str::from_utf8(text.as_bytes()).is_ok()));
        }
    }
}

/// Calls `target` with each of its seeds, which are the files in its directory and those `made`, with seeds that
/// were changed here and there, and with random bytes. Writes the seeds to the fuzzer's corpus if
/// `ETL_HOST_WRITE_SEEDS` is set.
pub fn check_target(name: &str, made: Vec<Vec<u8>>, target: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let entries = fs::read_dir(fuzz.join("seeds").join(name)).into_iter().flatten();
    let kept = entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("reads"));
    let seeds: Vec<Vec<u8>> = kept.chain(made).collect();
    assert!(!seeds.is_empty());
    if std::env::var_os("ETL_HOST_WRITE_SEEDS").is_some() {
        let corpus = fuzz.join("corpus").join(name);
        fs::create_dir_all(&corpus).expect("made");
        (0..).zip(&seeds).for_each(|(n, seed): (u32, _)| fs::write(corpus.join(n.to_string()), seed).expect("written"));
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
