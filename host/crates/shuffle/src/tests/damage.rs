use etl_core::model::error::{ErrorKind, Result};

use crate::{decode::decode_block, tests::*};

type Place = prop::sample::Index;

/// Reads a partition from the given bytes.
fn read_from(table: &Table, index: &PartitionIndex, bytes: Bytes) -> Result<Vec<RecordBatch>> {
    ShuffleReader::new("1-abc.arrow", &table.schema, index, std::iter::once(Ok(bytes))).collect()
}

/// Returns the first partition of the table's shuffle file with its bytes, or `None` if the table has no rows.
fn first_partition(table: &Table) -> Option<(PartitionIndex, Bytes)> {
    let (file, index) = shuffle(table, settings(1, PLENTY, 2));
    let index = index.partitions.into_iter().next()?;
    let range = index.range();
    Some((index, file.slice(range.start as usize..range.end as usize)))
}

fn changed(bytes: &[u8], at: usize, flip: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= flip;
    bytes.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_byte_is_an_error(
        table in table(), flips in prop::collection::vec((any::<Place>(), 1..=u8::MAX), 20),
    ) {
        let Some((index, bytes)) = first_partition(&table) else { return Ok(()) };
        prop_assert!(read_from(&table, &index, bytes.clone()).is_ok());
        for (at, flip) in flips {
            let changed = changed(&bytes, at.index(bytes.len()), flip);
            let error = read_from(&table, &index, changed).expect_err("a byte was changed");
            prop_assert_eq!(error.kind(), ErrorKind::Input);
        }
    }

    #[test]
    fn a_missing_end_is_an_error(table in table(), cut: Place) {
        let Some((index, bytes)) = first_partition(&table) else { return Ok(()) };
        let error = read_from(&table, &index, bytes.slice(..cut.index(bytes.len()))).expect_err("it is cut off");
        prop_assert_eq!(error.kind(), ErrorKind::Input);
    }

    /// A block of any content, even one whose checksum is right, is at worst refused.
    #[test]
    fn no_block_makes_the_decoder_panic(
        table in table(), other in table(), cut: Place,
        flips in prop::collection::vec((any::<Place>(), 1..=u8::MAX), 200),
    ) {
        let Some((index, bytes)) = first_partition(&table) else { return Ok(()) };
        let block = bytes.slice(..index.blocks[0].length as usize);
        prop_assert!(decode_block(&block, &table.schema.fields).is_ok());
        // The first bytes of a block describe its layout.
        let layout = block.len().min(600);
        for (at, flip) in flips {
            for at in [at.index(layout), at.index(block.len())] {
                let _ = decode_block(&changed(&block, at, flip), &table.schema.fields);
            }
        }
        let _ = decode_block(&block.slice(..cut.index(block.len())), &table.schema.fields);
        let _ = decode_block(&block, &other.schema.fields);
    }

    #[test]
    fn pieces_may_be_cut_anywhere(table in table(), piece_bytes in 1..5000_usize) {
        let (file, index) = shuffle(&table, settings(1, PLENTY, 2));
        let read = |piece_bytes| {
            let batches = read(&table.schema, &file, &index, 0, piece_bytes).into_iter().flatten();
            batches.collect::<Result<Vec<_>>>().expect("the file is sound")
        };
        prop_assert_eq!(read(piece_bytes), read(usize::MAX));
    }
}

#[test]
fn errors_name_the_file_and_the_block() {
    let table = counting_table("key-", 100, 100);
    let (index, bytes) = first_partition(&table).expect("it has rows");
    let damaged = format!("shuffle file `1-abc.arrow` is damaged: block of {} bytes at {}", bytes.len(), index.offset);
    let error = read_from(&table, &index, changed(&bytes, 100, 1)).expect_err("a byte was changed");
    assert_eq!(error.to_string(), format!("{damaged}: its checksum does not match"));
    let error = read_from(&table, &index, bytes.slice(5..)).expect_err("five bytes are missing");
    assert_eq!(error.to_string(), format!("{damaged}: 5 bytes are missing"));
}

#[test]
fn an_index_of_another_file_is_an_error() {
    let (table, other) = (counting_table("key-", 100, 100), counting_table("other-", 100, 100));
    let (index, bytes) = first_partition(&table).expect("it has rows");
    let (other, _) = first_partition(&other).expect("it has rows");
    assert!(read_from(&table, &other, bytes.clone()).is_err());
    for rows in [99, 101] {
        let wrong = PartitionIndex { rows, ..index.clone() };
        let error = read_from(&table, &wrong, bytes.clone()).expect_err("it has 100 rows");
        assert_eq!(error.kind(), ErrorKind::Input);
    }
}

#[test]
fn a_buffer_that_claims_to_hold_too_much_is_refused() {
    let table = counting_table("key-", 10_000, 10_000);
    let (_, block) = first_partition(&table).expect("it has rows");
    let arrivals = (10_000 * size_of::<i64>() as u64).to_le_bytes();
    let at = block.windows(arrivals.len()).position(|bytes| bytes == arrivals).expect("they are compressed");
    let mut changed = block.to_vec();
    changed[at..at + arrivals.len()].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    let error = decode_block(&changed.into(), &table.schema.fields).expect_err("nothing holds that much");
    assert!(error.to_string().contains("claims to hold 1152921504606846976"), "{error}");
}
