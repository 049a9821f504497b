//! The order in which a process takes the tasks of a stage that it shares with others.
//!
//! Owns which tasks are still open, as far as this process knows, and which of them is next. Tasks are in groups of
//! about one size, the longest first. Within a group, a process begins at a place of its own and goes on from there, so
//! that processes rarely meet; where they do, it goes to a place in the middle of the longest row of open tasks.

use std::{collections::BTreeMap, ops::Range};

use etl_core::model::ids::TaskId;
use xxhash_rust::xxh3::xxh3_64;

/// Where a process begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// At the first task. That is right for a process that is mostly alone.
    #[default]
    First,
    /// At a place that its name gives.
    ByName,
    /// At the first task of part `index` of `of` equal ones.
    Part {
        /// The number of the part, from 0.
        index: u32,
        /// The number of parts.
        of: u32,
    },
}

/// The tasks of a stage and which of them are open.
#[derive(Debug)]
pub(super) struct Order {
    tasks: Vec<TaskId>,
    open: Vec<bool>,
    places: BTreeMap<TaskId, usize>,
    groups: Vec<Group>,
    /// What the process's places are made of.
    name: String,
    jumps: u32,
}

/// A row of tasks of about one size.
#[derive(Debug)]
struct Group {
    range: Range<usize>,
    /// Where the next task is looked for first.
    at: usize,
    open: usize,
}

impl Order {
    /// Creates the order of the process called `name`, in which all tasks are open.
    pub(super) fn new(groups: Vec<Vec<TaskId>>, place: Place, name: &str) -> Self {
        let mut order = Self {
            tasks: groups.concat(),
            open: Vec::new(),
            places: BTreeMap::new(),
            groups: Vec::new(),
            name: name.to_owned(),
            jumps: 0,
        };
        let mut start = 0;
        for group in groups {
            let range = start..start + group.len();
            start = range.end;
            order.groups.push(Group { at: range.start + order.begin(place, range.len()), open: range.len(), range });
        }
        order.open = vec![true; order.tasks.len()];
        order.places = order.tasks.iter().copied().zip(0..).collect();
        order
    }

    fn begin(&self, place: Place, tasks: usize) -> usize {
        match place {
            Place::First => 0,
            Place::ByName => self.somewhere(tasks),
            Place::Part { index, of } => tasks * index as usize / (of as usize).max(1),
        }
    }

    /// Returns a number below `max` that differs from process to process, and from jump to jump.
    fn somewhere(&self, max: usize) -> usize {
        let part = xxh3_64(format!("{}-{}", self.name, self.jumps).as_bytes()) >> 32;
        usize::try_from((max as u64 * part) >> 32).unwrap_or_default()
    }

    /// Returns the number of tasks.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the next open task, which is not open any more then.
    pub(super) fn next(&mut self) -> Option<TaskId> {
        let group = self.groups.iter_mut().find(|group| group.open > 0)?;
        let range = group.range.clone();
        let place = (group.at..range.end).chain(range.start..group.at).find(|place| self.open[*place])?;
        group.at = if place + 1 < range.end { place + 1 } else { range.start };
        group.open -= 1;
        self.open[place] = false;
        Some(self.tasks[place])
    }

    /// Returns whether a task is open.
    pub(super) fn is_open(&self, task: TaskId) -> bool {
        self.places.get(&task).is_some_and(|place| self.open[*place])
    }

    /// Says that a task is open, or that it is not any more.
    pub(super) fn set(&mut self, task: TaskId, open: bool) {
        let Some(&place) = self.places.get(&task) else { return };
        if std::mem::replace(&mut self.open[place], open) != open {
            let group =
                self.groups.iter_mut().find(|group| group.range.contains(&place)).expect("groups have all tasks");
            group.open = if open { group.open + 1 } else { group.open - 1 };
        }
    }

    /// Closes the tasks that `keep` does not accept.
    pub(super) fn retain(&mut self, keep: impl Fn(TaskId) -> bool) {
        for place in 0..self.tasks.len() {
            if !keep(self.tasks[place]) {
                self.set(self.tasks[place], false);
            }
        }
    }

    /// Goes to a place in the longest row of open tasks, because another process works where this one does.
    pub(super) fn jump(&mut self) {
        self.jumps += 1;
        let Some(number) = self.groups.iter().position(|group| group.open > 0) else { return };
        let (mut longest, mut row) = (0..0, 0..0);
        for place in self.groups[number].range.clone() {
            row = match (self.open[place], row.end == place) {
                (true, true) => row.start..place + 1,
                (true, false) => place..place + 1,
                (false, _) => 0..0,
            };
            if row.len() > longest.len() {
                longest = row.clone();
            }
        }
        self.groups[number].at = longest.start + self.somewhere(longest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(sizes: &[u32], place: Place) -> Order {
        let mut first = 0;
        let groups = sizes.iter().map(|size| {
            first += size;
            (first - size..first).map(TaskId).collect()
        });
        Order::new(groups.collect(), place, "a")
    }

    fn rest(order: &mut Order) -> Vec<u32> {
        std::iter::from_fn(|| order.next()).map(|task| task.0).collect()
    }

    #[test]
    fn tasks_come_once_longest_first_and_from_the_place_of_the_process() {
        assert_eq!(rest(&mut order(&[2, 4], Place::First)), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rest(&mut order(&[2, 4], Place::Part { index: 1, of: 2 })), [1, 0, 4, 5, 2, 3]);
        let mut by_name = rest(&mut order(&[100, 100], Place::ByName));
        assert!(by_name[0] > 0 && by_name[..100].iter().all(|task| *task < 100), "{by_name:?}");
        by_name.sort_unstable();
        assert_eq!(by_name, (0..200).collect::<Vec<_>>());
        assert_eq!(rest(&mut order(&[], Place::ByName)), Vec::<u32>::new());
    }

    #[test]
    fn a_task_may_be_closed_and_opened_again() {
        let mut order = order(&[2, 2], Place::First);
        order.set(TaskId(0), false);
        order.set(TaskId(3), false);
        order.set(TaskId(9), true);
        assert_eq!(
            (order.is_open(TaskId(0)), order.is_open(TaskId(1)), order.is_open(TaskId(9))),
            (false, true, false)
        );
        assert_eq!(rest(&mut order), [1, 2]);
        order.set(TaskId(0), true);
        assert_eq!((rest(&mut order), order.len()), (vec![0], 4));
    }

    #[test]
    fn a_jump_leads_into_the_longest_row_of_open_tasks() {
        for jumps in 0..50 {
            let mut order = order(&[100], Place::First);
            order.jumps = jumps;
            (0..20).chain(60..70).for_each(|task| order.set(TaskId(task), false));
            order.jump();
            let next = order.next().expect("some are open").0;
            assert!((20..60).contains(&next), "{next}");
        }
    }
}
