//! Which of a stage's tasks a process does: all, ranges of them, or one of several equal parts.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use etl_core::model::{
    error::{Error, Result},
    ids::TaskId,
};

/// Some of the tasks of a stage, which are numbered from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    #[default]
    All,
    /// Those in these ranges.
    Ranges(Ranges),
    /// Part `index` of `of` parts of about one size.
    Part {
        /// The number of the part, from 0.
        index: u32,
        /// The number of parts.
        of: u32,
    },
}

/// Ranges of tasks, each from a first to a last number, in order, of which no two overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges(Vec<RangeInclusive<u32>>);

impl Which {
    /// Returns these of a stage's tasks. `what` is what the tasks are called: `map tasks`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming the first number that is none of a task.
    pub(super) fn of(&self, tasks: &[TaskId], what: &str) -> Result<Vec<TaskId>> {
        self.check(tasks.len(), what)?;
        let these = tasks.iter().enumerate().filter(|(number, _)| self.contains(*number, tasks.len()));
        Ok(these.map(|(_, task)| *task).collect())
    }

    fn check(&self, tasks: usize, what: &str) -> Result<()> {
        let Self::Ranges(Ranges(ranges)) = self else { return Ok(()) };
        let beyond = ranges.iter().map(|range| *range.end()).find(|last| *last as usize >= tasks);
        beyond.map_or(Ok(()), |last| {
            let which = if tasks == 0 { "there are none".to_owned() } else { format!("they are 0 to {}", tasks - 1) };
            Err(Error::config(format!("there is no number {last} among the run's {what}: {which}")))
        })
    }

    /// Returns whether task `number` of a stage of `tasks` tasks is one of these.
    fn contains(&self, number: usize, tasks: usize) -> bool {
        match self {
            Self::All => true,
            Self::Ranges(Ranges(ranges)) => ranges.iter().any(|range| {
                let (first, last) = (*range.start() as usize, *range.end() as usize);
                (first..=last).contains(&number)
            }),
            Self::Part { index, of } => {
                let (index, of) = (*index as usize, *of as usize);
                (tasks * index / of..tasks * (index + 1) / of).contains(&number)
            }
        }
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |range: &RangeInclusive<u32>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        f.write_str(&self.0.iter().map(range).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Ranges {
    type Err = Error;

    /// Reads ranges such as `0-99`, `7` or `0-9,20-29`.
    fn from_str(text: &str) -> Result<Self> {
        let mut ranges = text.split(',').map(range).collect::<Result<Vec<_>>>()?;
        ranges.sort_unstable_by_key(|range| *range.start());
        for pair in ranges.windows(2) {
            if pair[0].end() >= pair[1].start() {
                return Err(Error::config(format!("{} is in two of the ranges `{text}`", pair[1].start())));
            }
        }
        Ok(Self(ranges))
    }
}

fn range(text: &str) -> Result<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) else {
        return Err(Error::config(format!("`{text}` is no range of numbers, such as `0-99` or `7`")));
    };
    if first > last {
        return Err(Error::config(format!("the range `{text}` is empty: its last number is below its first")));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Result<Which, String> {
        text.parse().map(Which::Ranges).map_err(|error: Error| error.to_string())
    }

    #[test]
    fn ranges_are_read_and_those_that_cannot_be_are_named() {
        let some = ranges("20-29, 0-9,15").expect("ranges");
        let Which::Ranges(written) = &some else { panic!("ranges") };
        assert_eq!(written.to_string(), "0-9,15,20-29");
        let numbers: Vec<usize> = (0..100).filter(|number| some.contains(*number, 100)).collect();
        assert_eq!(numbers, (0..10).chain([15]).chain(20..30).collect::<Vec<_>>());
        assert_eq!(ranges("0-9,5-6"), Err("5 is in two of the ranges `0-9,5-6`".to_owned()));
        assert_eq!(ranges("3,3"), Err("3 is in two of the ranges `3,3`".to_owned()));
        assert_eq!(ranges("9-0"), Err("the range `9-0` is empty: its last number is below its first".to_owned()));
        for text in ["", "a", "1-", "-1", "1,,2", "1-2-3"] {
            assert!(ranges(text).is_err_and(|error| error.contains("is no range of numbers")), "{text}");
        }
    }

    #[test]
    fn a_number_beyond_the_last_is_named() {
        some_are_checked("0-9", 10).expect("there are ten");
        let error = some_are_checked("0-10", 10).expect_err("there is no eleventh");
        assert_eq!(error.to_string(), "there is no number 10 among the run's map tasks: they are 0 to 9");
        assert!(some_are_checked("0", 0).expect_err("there are none").to_string().ends_with(": there are none"));
    }

    fn some_are_checked(text: &str, tasks: usize) -> Result<()> {
        ranges(text).expect("ranges").check(tasks, "map tasks")
    }

    #[test]
    fn parts_cover_all_tasks_once_and_are_of_about_one_size() {
        for (tasks, of) in [(0, 3), (1, 8), (8, 8), (10, 3), (1000, 7)] {
            let sizes: Vec<usize> = (0..of)
                .map(|index| (0..tasks).filter(|number| Which::Part { index, of }.contains(*number, tasks)).count())
                .collect();
            assert_eq!(sizes.iter().sum::<usize>(), tasks);
            assert!(sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0) <= 1, "{sizes:?}");
        }
    }
}
