//! The table of shards: which shards make a task, and which page holds them.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use etl_core::model::ids::TaskId;

use super::Numbers;

/// The most map tasks that a run has. In a run of more shards, a task takes several neighbouring ones, so that what a
/// run keeps per task, in memory and in its run store, is bounded for any number of shards.
const TASKS_MAX: usize = 4096;

/// The most map tasks of a run in which a task has [`LITTLE_BYTES`] or less to read on average. With more tasks than
/// that, commits would cost more than the work.
const LITTLE_TASKS_MAX: usize = 128;

/// A task with at most this many bytes to read counts as small.
pub(super) const LITTLE_BYTES: u64 = 1 << 20;

/// Number of leading bits of a task's size that count when tasks are put in order. Sizes that count as the same differ
/// by less than a quarter. This mostly keeps the tasks of one page together.
const SIZE_BITS: u32 = 3;

/// The number of shards, the tasks they make, and where their pages begin. A part of the plan.
///
/// The number of a task is that of its first shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTable {
    /// Number of shards.
    shards: u32,
    /// Number of neighbouring shards that make a task; the last task may have fewer.
    shards_per_task: u32,
    /// The work that each task is counted with, in bytes to read, in the order of tasks.
    task_bytes: Vec<u64>,
    /// The first shard of each page.
    pages: Vec<u32>,
}

impl Default for ShardTable {
    fn default() -> Self {
        Self { shards: 0, shards_per_task: 1, task_bytes: Vec::new(), pages: Vec::new() }
    }
}

impl ShardTable {
    /// Returns the number of shards.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Returns the number of tasks.
    pub fn tasks(&self) -> usize {
        self.task_bytes.len()
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Returns whether tasks and pages cover the shards, each once. A table that was read back may be damaged.
    pub fn is_sound(&self) -> bool {
        let tasks_fit = self.shards_per_task > 0
            && self.tasks() == self.shards.div_ceil(self.shards_per_task) as usize
            && self.task_bytes.iter().try_fold(0, |sum: u64, bytes| sum.checked_add(*bytes)).is_some();
        let ends = self.pages.iter().skip(1).chain([&self.shards]);
        let pages_fit = self.pages.first().copied().unwrap_or(self.shards) == 0
            && self.pages.iter().zip(ends).all(|(first, end)| first < end);
        tasks_fit && pages_fit
    }

    /// Adds a shard that is counted with as much work as reading `bytes` bytes.
    pub(super) fn add(&mut self, bytes: u64) {
        if self.shards.is_multiple_of(self.shards_per_task) {
            if self.has_too_many_tasks() {
                self.shards_per_task *= 2;
                self.task_bytes = self.task_bytes.chunks(2).map(|pair| pair.iter().sum()).collect();
            }
            self.task_bytes.push(0);
        }
        self.shards += 1;
        if let Some(task) = self.task_bytes.last_mut() {
            *task += bytes;
        }
    }

    fn has_too_many_tasks(&self) -> bool {
        let tasks = self.tasks();
        let are_little = || self.task_bytes.iter().sum::<u64>() <= tasks as u64 * LITTLE_BYTES;
        tasks == TASKS_MAX || tasks >= LITTLE_TASKS_MAX && are_little()
    }

    /// Begins a page with the next shard.
    pub(super) fn begin_page(&mut self) {
        self.pages.push(self.shards);
    }

    /// Returns the tasks, those with the most to read first, because a long task that is started last would run alone.
    pub fn longest_first(&self) -> Vec<TaskId> {
        self.by_size().concat()
    }

    /// Returns the tasks, those with the most to read first, in groups: of two tasks of one group, none has twice as
    /// much to read as the other.
    pub fn by_size(&self) -> Vec<Vec<TaskId>> {
        let mut tasks: Vec<(usize, u64)> = self.task_bytes.iter().copied().enumerate().collect();
        tasks.sort_by_key(|&(_, bytes)| Reverse(size_class(bytes)));
        let groups = tasks.chunk_by(|(_, a), (_, b)| size_class(*a).0 == size_class(*b).0);
        groups.map(|group| group.iter().map(|(number, _)| self.task(*number)).collect()).collect()
    }

    /// Returns the `number`th task.
    pub fn task(&self, number: usize) -> TaskId {
        TaskId(u32::try_from(number).expect("fewer tasks than shards") * self.shards_per_task)
    }

    /// Returns the shards of a task.
    pub fn of_task(&self, task: TaskId) -> Numbers {
        let first = task.shard().0;
        first..self.shards.min(first.saturating_add(self.shards_per_task))
    }

    /// Returns the page that holds a shard.
    pub(super) fn page_of(&self, shard: u32) -> usize {
        self.pages.partition_point(|first| *first <= shard) - 1
    }

    /// Returns the shards of a page.
    pub(super) fn of_page(&self, page: usize) -> Numbers {
        self.pages[page]..self.pages.get(page + 1).copied().unwrap_or(self.shards)
    }
}

/// Returns a pair that grows with `bytes`, but is the same for sizes whose difference hardly matters.
fn size_class(bytes: u64) -> (u32, u64) {
    let shift = (u64::BITS - bytes.leading_zeros()).saturating_sub(SIZE_BITS);
    (shift, bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sizes: impl IntoIterator<Item = u64>) -> ShardTable {
        let mut table = ShardTable::default();
        sizes.into_iter().for_each(|bytes| table.add(bytes));
        table
    }

    /// Checks that the tasks cover all shards, once and in order, and returns the number of shards of a task.
    fn check(shards: u32, bytes: u64) -> u32 {
        let table = table((0..shards).map(|_| bytes));
        let mut tasks = table.longest_first();
        tasks.sort_unstable();
        let covered: Vec<u32> = tasks.into_iter().flat_map(|task| table.of_task(task)).collect();
        assert_eq!(covered, (0..shards).collect::<Vec<_>>());
        assert_eq!(table.task_bytes.iter().sum::<u64>(), u64::from(shards) * bytes);
        table.shards_per_task
    }

    #[test]
    fn a_task_is_a_shard_until_there_are_too_many() {
        let large = 64 << 20;
        for (shards, per_task) in [(0, 1), (1, 1), (4096, 1), (4097, 2), (8192, 2), (1_000_000, 256)] {
            assert_eq!(check(shards, large), per_task, "{shards} shards");
        }
    }

    #[test]
    fn tasks_of_little_are_fewer() {
        for (shards, per_task) in [(128, 1), (129, 2), (10_000, 128), (1_000_000, 2048)] {
            assert_eq!(check(shards, 1000), per_task, "{shards} shards");
        }
        // Large shards that follow small ones do not undo the joining, and they are not joined further because of the
        // small ones.
        assert_eq!(table((0..200).map(|_| 1000).chain((0..200).map(|_| 64 << 20))).shards_per_task, 2);
    }

    #[test]
    fn long_tasks_come_first_and_those_of_a_size_in_order() {
        let table = table([100, 70_000, 101, 1 << 40, 0, 66_000, 1]);
        assert_eq!(table.longest_first(), [3, 1, 5, 0, 2, 6, 4].map(TaskId));
    }

    #[test]
    fn a_table_that_cannot_be_is_noticed() {
        assert!(ShardTable::default().is_sound());
        let whole = || {
            let mut table = table([1, 2, 3]);
            table.pages = vec![0, 2];
            table
        };
        assert!(whole().is_sound());
        let damages: [fn(&mut ShardTable); 7] = [
            |table| table.shards = 4,
            |table| table.shards_per_task = 0,
            |table| table.task_bytes.truncate(2),
            |table| table.task_bytes[0] = u64::MAX,
            |table| table.pages.clear(),
            |table| table.pages[0] = 1,
            |table| table.pages[1] = 3,
        ];
        for (number, damage) in damages.iter().enumerate() {
            let mut table = whole();
            damage(&mut table);
            assert!(!table.is_sound(), "damage {number}");
        }
    }

    #[test]
    fn a_larger_size_is_never_in_a_smaller_class() {
        let sizes = (0..64).flat_map(|shift| (0..16).map(move |step| (1_u64 << shift) + step * ((1 << shift) >> 4)));
        assert!(sizes.collect::<Vec<_>>().is_sorted_by_key(|size| size_class(*size)));
    }
}
