//! The fuzz target for shuffle files and their indexes.
//!
//! Each function takes arbitrary bytes, and panics when a promise is broken. The targets in `host/fuzz` call it with
//! bytes that are made to reach every branch, the tests here with the seeds of those targets. Not part of the program.

use arrow_array::RecordBatch;
use bytes::Bytes;
use etl_core::{
    model::error::{ErrorKind, Result},
    testing::{check_batch, typed_schema},
};

use crate::{ShuffleIndex, ShuffleReader, decode::decode_block};

/// Checks shuffle files: a block, or the blocks that an index names, are read or refused.
pub fn shuffle_file(data: &[u8]) {
    let schema = typed_schema();
    if let Ok(batch) = decode_block(&Bytes::copy_from_slice(data), &schema.fields) {
        check_batch(&batch);
    }
    // The data also stands for an index on its first line, with the shuffle file behind it.
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (Ok(index), file) = (serde_json::from_slice::<ShuffleIndex>(&data[..end]), &data[end + 1..]) else { return };
    for partition in &index.partitions {
        let start = usize::try_from(partition.range().start).unwrap_or(usize::MAX);
        let pieces = file.get(start..).into_iter().map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let read: Result<Vec<RecordBatch>> = ShuffleReader::new("fuzzed", &schema, partition, pieces).collect();
        match read {
            Ok(batches) => {
                batches.iter().for_each(check_batch);
                assert_eq!(batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>(), partition.rows);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Input),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
    use etl_core::testing::{check_target, scratch};

    use super::*;
    use crate::{FanIn, ShuffleSettings, ShuffleWriter};

    /// Makes shuffle files, each behind its index, and the first block of each.
    fn shuffled() -> Vec<Vec<u8>> {
        let schema = typed_schema();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a"), None, Some("é")])),
            Arc::new(Int64Array::from(vec![Some(-1), Some(7), None])),
            Arc::new(Float64Array::from(vec![Some(0.5), None, Some(f64::NAN)])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&schema.fields), columns).expect("rows");
        let of = |partitions| {
            let scratch = scratch(u64::MAX);
            let fan_in = FanIn { runs: 2, bytes: 1 << 20 };
            let settings = ShuffleSettings { partitions, memory_bytes: 1 << 20, fan_in, scratch };
            let mut writer = ShuffleWriter::new(settings, schema.clone(), None).expect("it has a key");
            writer.push(rows.clone()).expect("taken");
            let mut file = Vec::new();
            let index = writer.finish(&mut file).expect("written");
            let (start, length) = (index.partitions[0].offset as usize, index.partitions[0].blocks[0].length as usize);
            let block = file[start..start + length].to_vec();
            [[serde_json::to_vec(&index).expect("JSON"), b"\n".to_vec(), file].concat(), block]
        };
        [1, 3].into_iter().flat_map(of).collect()
    }

    #[test]
    fn shuffle_files() {
        check_target("shuffle_file", shuffled(), shuffle_file);
    }
}
