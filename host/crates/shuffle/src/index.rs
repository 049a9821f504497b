//! The index of all shuffle files of a run: where each partition lies in them.
//!
//! Owns this index, which is laid out so that a reduce task reads only the entries of its own partition. The index
//! grows with the shuffled data, so beyond 4 MiB it moves from memory to a scratch file. Filled as map tasks are
//! committed.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
};

use etl_core::{
    model::{
        error::{ErrorKind, Result, ResultExt},
        ids::{PartitionId, TaskId},
        shared::Shared,
    },
    runtime::scratch::Scratch,
};
use tempfile::SpooledTempFile;

use crate::{Block, PartitionIndex, ShuffleIndex};

/// The size up to which the index is held in memory, in bytes.
const MEMORY_BYTES: usize = 4 << 20;

/// Size of a number in the index, in bytes. All numbers are little-endian `u64`.
const NUMBER_BYTES: usize = size_of::<u64>();

/// The shuffle files of all map tasks, with an index by partition.
pub struct ShuffleFiles {
    partitions: u32,
    files: BTreeMap<TaskId, FileEntry>,
    /// For each file: first the end of each partition's entry, counted in numbers from the end of this list; then the
    /// entries. An entry has, for each sorted run, the rows, the size of the largest batch, the offset, the number of
    /// blocks, and the length and the checksum of each block. Every use of the file seeks first, so a use that panicked leaves no state that matters.
    index: Shared<SpooledTempFile>,
}

/// A shuffle file in the index.
struct FileEntry {
    key: String,
    /// Size in bytes.
    bytes: u64,
    /// The offset in the index at which the file's entries start.
    start: u64,
}

impl ShuffleFiles {
    /// Creates an empty index.
    pub fn new(partitions: u32, scratch: &Scratch) -> Self {
        let index = Shared::new(scratch.spooled(MEMORY_BYTES));
        Self { partitions, files: BTreeMap::new(), index }
    }

    /// Adds the shuffle file of a task, with the index that its commit has.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when scratch is missing or full.
    pub fn add(&mut self, task: TaskId, key: String, run: &ShuffleIndex) -> Result<()> {
        let (mut ends, mut entries) = (Vec::new(), Vec::new());
        for partition in 0..self.partitions {
            for index in run.of_partition(partition) {
                let PartitionIndex { rows, batch_bytes_max, offset, blocks, .. } = index;
                entries.extend([*rows, *batch_bytes_max, *offset, blocks.len() as u64]);
                entries.extend(blocks.iter().flat_map(|block| [block.length, block.checksum]));
            }
            ends.push(entries.len() as u64);
        }
        let bytes: Vec<u8> = ends.into_iter().chain(entries).flat_map(u64::to_le_bytes).collect();
        let append = || {
            let mut index = self.index.lock();
            let start = index.seek(SeekFrom::End(0))?;
            index.write_all(&bytes)?;
            Ok::<_, io::Error>(start)
        };
        let start = append().or_kind(ErrorKind::Unavailable, || "cannot write the shuffle index to scratch")?;
        self.files.insert(task, FileEntry { key, bytes: run.size_bytes, start });
        Ok(())
    }

    /// Returns the key of a task's shuffle file.
    pub fn key(&self, task: TaskId) -> Option<&str> {
        self.files.get(&task).map(|file| file.key.as_str())
    }

    /// Returns all shuffle files in the order of their tasks: the task, the key, and the size in bytes.
    pub fn files(&self) -> impl Iterator<Item = (TaskId, &str, u64)> {
        self.files.iter().map(|(task, file)| (*task, file.key.as_str(), file.bytes))
    }

    /// Returns the sorted runs that hold rows of a partition, in the order of their tasks: the task, the key of its
    /// shuffle file, and the place in it. The entries of one file are read at a time, as the iterator advances.
    ///
    /// # Errors
    /// Yields [`ErrorKind::Unavailable`] as an item when scratch cannot be read.
    pub fn of_partition(&self, partition: PartitionId) -> impl Iterator<Item = Result<(TaskId, &str, PartitionIndex)>> {
        self.files.iter().flat_map(move |(task, FileEntry { key, start, .. })| {
            let found = self.read(*start, partition.0);
            let found = found.or_kind(ErrorKind::Unavailable, || "cannot read the shuffle index from scratch");
            let (runs, failed) = match found {
                Ok(runs) => (runs, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            runs.into_iter().map(|run| Ok((*task, key.as_str(), run))).chain(failed)
        })
    }

    fn read(&self, start: u64, partition: u32) -> io::Result<Vec<PartitionIndex>> {
        let mut index = self.index.lock();
        let ends = match partition.checked_sub(1) {
            None => [0, read_numbers(&mut index, start, 1)?[0]],
            Some(before) => {
                let ends = read_numbers(&mut index, start + u64::from(before) * NUMBER_BYTES as u64, 2)?;
                [ends[0], ends[1]]
            }
        };
        let start = start + (u64::from(self.partitions) + ends[0]) * NUMBER_BYTES as u64;
        let mut entry = read_numbers(&mut index, start, ends[1] - ends[0])?.into_iter();
        let mut runs = Vec::new();
        while let (Some(rows), Some(batch_bytes_max), Some(offset), Some(blocks)) =
            (entry.next(), entry.next(), entry.next(), entry.next())
        {
            let block = |_| Some(Block { length: entry.next()?, checksum: entry.next()? });
            let blocks = (0..blocks).map_while(block).collect();
            runs.push(PartitionIndex { partition, rows, batch_bytes_max, offset, blocks });
        }
        Ok(runs)
    }
}

fn read_numbers(file: &mut SpooledTempFile, start: u64, count: u64) -> io::Result<Vec<u64>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)? * NUMBER_BYTES];
    file.read_exact(&mut bytes)?;
    let (numbers, _) = bytes.as_chunks();
    Ok(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
}

#[cfg(test)]
mod tests {
    use etl_core::testing::scratch;

    use super::*;

    /// Returns an index whose partitions have the given numbers of blocks.
    fn index(seed: u64, blocks: &[u64]) -> ShuffleIndex {
        let mut at = 8;
        let partition = |(partition, count): (usize, &u64)| {
            let blocks: Vec<Block> =
                (0..*count).map(|block| Block { length: 100 + block, checksum: seed << 32 | block }).collect();
            let offset = at;
            at += blocks.iter().map(|block| block.length).sum::<u64>();
            let partition = u32::try_from(partition).expect("few");
            PartitionIndex { partition, rows: count * 10, batch_bytes_max: seed, offset, blocks }
        };
        let partitions = blocks.iter().enumerate().filter(|(_, count)| **count > 0).map(partition).collect();
        ShuffleIndex { rows: 0, size_bytes: 0, digest: String::new(), partitions }
    }

    #[test]
    fn what_was_added_is_found_by_partition_in_the_order_of_tasks() {
        let mut files = ShuffleFiles::new(3, &scratch(u64::MAX));
        let (one, two) = (index(1, &[1, 0, 3]), index(2, &[0, 0, 2]));
        files.add(TaskId(7), "seven".to_owned(), &two).expect("scratch");
        files.add(TaskId(0), "zero".to_owned(), &one).expect("scratch");
        files.add(TaskId(9), "nine".to_owned(), &index(3, &[0, 0, 0])).expect("scratch");
        let found = |partition| -> Vec<(TaskId, &str, PartitionIndex)> {
            files.of_partition(PartitionId(partition)).collect::<Result<_>>().expect("reads")
        };
        assert_eq!(found(0), [(TaskId(0), "zero", one.partitions[0].clone())]);
        assert_eq!(found(1), []);
        assert_eq!((files.key(TaskId(7)), files.key(TaskId(8))), (Some("seven"), None));
        assert_eq!(
            found(2),
            [(TaskId(0), "zero", one.partitions[1].clone()), (TaskId(7), "seven", two.partitions[0].clone())]
        );
    }

    #[test]
    fn a_large_index_is_in_scratch_and_reads_the_same() {
        let mut files = ShuffleFiles::new(2, &scratch(u64::MAX));
        let large = index(5, &[200_000, 200_000]);
        for task in 0..2 {
            files.add(TaskId(task), task.to_string(), &large).expect("scratch");
        }
        assert!(files.index.lock().is_rolled(), "the index is still in memory");
        let found: Vec<PartitionIndex> =
            files.of_partition(PartitionId(1)).map(|found| found.expect("reads").2).collect();
        assert_eq!(found, [large.partitions[1].clone(), large.partitions[1].clone()]);
    }

    #[test]
    fn each_sorted_run_of_a_file_is_found() {
        let mut files = ShuffleFiles::new(2, &scratch(u64::MAX));
        let (mut runs, later) = (index(1, &[2, 1]), index(2, &[3]));
        runs.partitions.insert(1, later.partitions[0].clone());
        files.add(TaskId(4), "four".to_owned(), &runs).expect("scratch");
        let found = |partition| {
            files.of_partition(PartitionId(partition)).map(|found| found.expect("reads").2).collect::<Vec<_>>()
        };
        assert_eq!(found(0), runs.partitions[..2]);
        assert_eq!(found(1), runs.partitions[2..]);
    }
}
