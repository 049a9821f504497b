use std::{io::Cursor, path::Path};

use arrow_ipc::reader::FileReader;
use etl_core::model::error::ErrorKind;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::{PARTITIONS_MAX, tests::*};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_are_ordered_by_partition_key_and_arrival(table in table(), partitions in 1..6_u32) {
        let (file, index) = shuffle(&table, settings(partitions, PLENTY, 2));
        let expected = table.groups(partitions);
        for partition in 0..partitions {
            let of_partition = expected.iter().filter(|((number, _), _)| *number == partition);
            let rows: Vec<Row> = of_partition.flat_map(|(_, rows)| rows.clone()).collect();
            prop_assert_eq!(read_rows(&table, &file, &index, partition), rows);
        }
        prop_assert_eq!(index.rows as usize, table.batches.iter().flatten().count());
    }

    #[test]
    fn a_file_holds_the_same_rows_however_often_they_were_spilled(
        table in table(), partitions in 1..4_u32, memory_bytes in 1..20_000_u64, fan_in in 0..4_usize,
    ) {
        let (file, index) = shuffle(&table, settings(partitions, PLENTY, fan_in));
        let (spilled, runs) = shuffle(&table, settings(partitions, memory_bytes, fan_in));
        prop_assert_eq!(index.rows, runs.rows);
        for partition in 0..partitions {
            prop_assert!(index.of_partition(partition).len() <= 1);
            prop_assert_eq!(read_rows(&table, &file, &index, partition), read_rows(&table, &spilled, &runs, partition));
        }
    }

    #[test]
    fn any_arrow_reader_opens_a_shuffle_file(table in table(), partitions in 1..4_u32) {
        let (file, index) = shuffle(&table, settings(partitions, PLENTY, 2));
        let reader = FileReader::try_new(Cursor::new(&file), None).expect("it is an Arrow file");
        let schema = reader.schema();
        prop_assert_eq!(schema.metadata.get("etl:key-fields"), Some(&table.schema.key_fields.to_string()));
        prop_assert_eq!(schema.fields(), table.schema.fields.fields());
        let rows: Vec<Row> = reader.flat_map(|batch| rows_of(&batch.expect("it is sound"))).collect();
        let expected = (0..partitions).flat_map(|partition| read_rows(&table, &file, &index, partition));
        prop_assert_eq!(rows, expected.collect::<Vec<_>>());
    }

    #[test]
    fn the_index_describes_the_file(
        table in table(), partitions in 1..6_u32, memory_bytes in prop_oneof![1..20_000_u64, Just(PLENTY)],
    ) {
        let (file, index) = shuffle(&table, settings(partitions, memory_bytes, 2));
        prop_assert_eq!(index.size_bytes as usize, file.len());
        prop_assert_eq!(&index.digest, &format!("{:032x}", xxh3_128(&file)));
        prop_assert!(index.partitions.is_sorted_by_key(|run| (run.partition, run.offset)));
        let mut in_file: Vec<_> = index.partitions.iter().map(PartitionIndex::range).collect();
        in_file.sort_by_key(|range| range.start);
        prop_assert!(in_file.windows(2).all(|pair| pair[0].end == pair[1].start));
        for partition in &index.partitions {
            let mut start = partition.offset as usize;
            for block in &partition.blocks {
                let end = start + block.length as usize;
                prop_assert_eq!(xxh3_64(&file[start..end]), block.checksum);
                start = end;
            }
        }
        let json = serde_json::to_string(&index).expect("it is plain data");
        prop_assert_eq!(serde_json::from_str::<ShuffleIndex>(&json).expect("it was written so"), index);
    }
}

#[test]
fn many_keys_that_begin_alike_are_sorted() {
    for prefix in ["", "key-", "eight by", "a prefix much longer than what is compared at once, "] {
        let table = counting_table(prefix, 5000, 1700);
        let (file, index) = shuffle(&table, settings(1, PLENTY, 2));
        let expected: Vec<Row> = table.groups(1).into_values().flatten().collect();
        assert_eq!(read_rows(&table, &file, &index, 0), expected, "prefix `{prefix}`");
    }
}

#[test]
fn batches_are_cut_where_they_are_large_enough() {
    let table = counting_table("key-", 100_000, 100_000);
    let (file, index) = shuffle(&table, settings(1, PLENTY, 2));
    let batches = read(&table.schema, &file, &index, 0, 1 << 20).into_iter().flatten();
    let rows: Vec<usize> = batches.map(|batch| batch.expect("it is sound").num_rows()).collect();
    let (last, full) = rows.split_last().expect("there are rows");
    // A row takes 17 to 21 bytes: an offset, `key-` with 1 to 5 digits, and the arrival.
    assert!(full.iter().all(|rows| (12_000..14_000).contains(rows)), "batches of {rows:?} rows");
    assert!(full.len() > 5 && *last <= 14_000, "batches of {rows:?} rows");
}

#[test]
fn scratch_is_used_only_when_something_is_spilled() {
    let nowhere = Scratch::new(Some(Path::new("no/such/directory")), u64::MAX);
    let small = Scratch::new(None, 1000);
    let table = counting_table("key-", 1000, 10);
    let try_with = |memory_bytes, scratch: &Scratch| {
        let settings = ShuffleSettings { scratch: scratch.clone(), ..settings(2, memory_bytes, 2) };
        let mut writer = ShuffleWriter::new(settings, table.schema.clone(), None).expect("the settings are valid");
        table.batches().try_for_each(|batch| writer.push(batch)).and_then(|()| writer.finish(std::io::sink()))
    };
    assert_eq!(try_with(PLENTY, &nowhere).expect("nothing is spilled").rows, 1000);
    assert_eq!(try_with(1000, &nowhere).expect_err("there is no scratch").kind(), ErrorKind::Unavailable);
    let error = try_with(1000, &small).expect_err("there is too little scratch");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("`run.scratch_space`"), "{error}");
}

#[test]
fn a_shuffle_needs_a_key_and_partitions() {
    let keyed = schema_of(&[DataType::Int64], 1);
    let unkeyed = Schema { key_fields: 0, ..keyed.clone() };
    let error = |partitions, schema: &Schema| {
        let writer = ShuffleWriter::new(settings(partitions, PLENTY, 2), schema.clone(), None);
        writer.err().map(|error| error.kind())
    };
    assert_eq!(error(1, &unkeyed), Some(ErrorKind::Config));
    assert_eq!(error(0, &keyed), Some(ErrorKind::Config));
    assert_eq!(error(PARTITIONS_MAX + 1, &keyed), Some(ErrorKind::Config));
    assert_eq!(error(PARTITIONS_MAX, &keyed), None);
}

#[test]
fn batches_of_another_schema_are_refused() {
    let schema = schema_of(&[DataType::Int64], 1);
    let mut writer = ShuffleWriter::new(settings(1, PLENTY, 2), schema, None).expect("the settings are valid");
    let other = counting_table("key-", 1, 1).batches().next().expect("it has a batch");
    assert_eq!(writer.push(other).expect_err("the columns differ").kind(), ErrorKind::Internal);
}

#[test]
fn an_output_that_fails_is_unavailable() {
    let table = counting_table("key-", 10, 10);
    let mut writer = ShuffleWriter::new(settings(1, PLENTY, 2), table.schema.clone(), None).expect("it is valid");
    table.batches().for_each(|batch| writer.push(batch).expect("the batch fits"));
    let error = writer.finish([0; 100].as_mut_slice()).expect_err("100 bytes are too few");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Resumed runs and the reducers of other processes rely on this.
#[test]
fn the_partition_of_a_key_never_changes() {
    let table = counting_table("key-", 4, 4);
    let batch = table.batches().next().expect("it has a batch");
    let keys = KeyEncoder::new(&table.schema).and_then(|encoder| encoder.encode(&batch)).expect("it has a key");
    let partitions: Vec<u32> = keys.iter().map(|key| partition_of(key, 1000)).collect();
    assert_eq!(partitions, [49, 985, 107, 418]);
}
