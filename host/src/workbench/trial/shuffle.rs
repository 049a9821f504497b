//! The shuffle of a trial: the same code as in a run, with shuffle files in memory.

use std::path::Path;

use arrow_array::RecordBatch;
use bytes::Bytes;
use etl_core::{
    model::{error::Result, schema::Schema},
    runtime::scratch::Scratch,
};
use etl_shuffle::{NewCombiner, ShuffleReader, ShuffleSettings, ShuffleWriter, SizedRun, SortedGroups, merge_all};

use crate::task::output::FAN_IN;

/// The most bytes of rows that are sorted in memory; beyond it, the shuffle spills to scratch.
const MEMORY_BYTES: u64 = 256 << 20;
/// The most bytes of scratch that the shuffle may use.
const SCRATCH_BYTES: u64 = 16 << 30;

/// Groups rows by key, in the form in which the reducer of a single partition gets them. `shards` has the rows of each
/// shard. They first go through a combiner if `combiner` returns one; it is called once per shard. Rows that do not fit
/// into memory go to scratch in the directory `scratch`.
///
/// # Errors
/// [`etl_core::model::error::ErrorKind::Config`] when the rows have no key; fails also as the combiner does.
pub(crate) fn group(
    schema: &Schema,
    shards: &[RecordBatch],
    scratch: &Path,
    combiner: impl Fn() -> Option<NewCombiner>,
) -> Result<Vec<SortedGroups>> {
    let scratch = Scratch::new(scratch, SCRATCH_BYTES);
    let settings =
        ShuffleSettings { partitions: 1, memory_bytes: MEMORY_BYTES, fan_in: FAN_IN, scratch: scratch.clone() };
    let mut runs = Vec::new();
    for (number, rows) in shards.iter().enumerate() {
        let mut writer = ShuffleWriter::new(settings.clone(), schema.clone(), combiner())?;
        writer.push(rows.clone())?;
        let mut file = Vec::new();
        let index = writer.finish(&mut file)?;
        let file = Bytes::from(file);
        for partition in index.of_partition(0) {
            let range = partition.range();
            let bytes = file.slice(range.start as usize..range.end as usize);
            let run = ShuffleReader::new(format!("shard {number}"), schema, partition, std::iter::once(Ok(bytes)));
            runs.push(Ok(SizedRun { run: Box::new(run), batch_bytes_max: partition.batch_bytes_max }));
        }
    }
    merge_all(runs, schema, FAN_IN, &scratch)?.collect()
}

/// Cuts grouped rows into batches of at most `batch_rows` rows. A group may continue in the next batch.
pub(crate) fn recut(groups: &[SortedGroups], batch_rows: usize) -> Vec<SortedGroups> {
    groups.iter().flat_map(|groups| recut_one(groups, batch_rows)).collect()
}

fn recut_one(groups: &SortedGroups, batch_rows: usize) -> Vec<SortedGroups> {
    let rows = groups.batch.num_rows();
    let cut = |start: usize| {
        let end = rows.min(start + batch_rows);
        let inside =
            groups.group_ends.iter().map(|group_end| *group_end as usize).filter(|e| (start + 1..end).contains(e));
        let group_ends = inside.chain([end]).map(|group_end| (group_end - start) as u32).collect();
        let ends_here = groups.group_ends.contains(&(end as u32));
        let last_group_continues = if end == rows { groups.last_group_continues } else { !ends_here };
        SortedGroups { batch: groups.batch.slice(start, end - start), group_ends, last_group_continues }
    };
    (0..rows).step_by(batch_rows).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use arrow_schema::{DataType, Field};

    use super::*;

    fn grouped() -> Vec<SortedGroups> {
        let fields = vec![Field::new("k", DataType::Utf8, false), Field::new("n", DataType::Int64, false)];
        let schema = Schema::new(fields, 1).expect("a schema");
        let shard = |keys: &[&str], numbers: &[i64]| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(keys)),
                Arc::new(Int64Array::from_iter_values(numbers.iter().copied())),
            ];
            RecordBatch::try_new(Arc::clone(&schema.fields), columns).expect("rows")
        };
        let shards = [shard(&["b", "a", "b"], &[1, 2, 3]), shard(&["b"], &[4])];
        group(&schema, &shards, Path::new("/nowhere"), || None).expect("grouped in memory")
    }

    #[test]
    fn rows_are_grouped_by_key_in_the_order_of_shards() {
        let groups = grouped();
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].group_ends.as_slice(), groups[0].last_group_continues), ([1, 4].as_slice(), false));
        let numbers = groups[0].batch.column(1).as_any().downcast_ref::<Int64Array>().expect("numbers");
        assert_eq!(numbers.values().to_vec(), [2, 1, 3, 4]);
    }

    #[test]
    fn groups_go_on_over_the_batches_they_are_cut_into() {
        let cut = |rows| -> Vec<(Vec<u32>, bool)> {
            recut(&grouped(), rows).into_iter().map(|g| (g.group_ends, g.last_group_continues)).collect()
        };
        assert_eq!(cut(1), [(vec![1], false), (vec![1], true), (vec![1], true), (vec![1], false)]);
        assert_eq!(cut(2), [(vec![1, 2], true), (vec![2], false)]);
        assert_eq!(cut(9), [(vec![1, 4], false)]);
    }
}
