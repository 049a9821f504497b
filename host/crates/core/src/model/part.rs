//! The name of a part of a result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{hive, ids::TaskId};

/// The name of a part among those of its result. Names sort by directory, then by task, then by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartName {
    /// The directory of the part, below the result, in Hive's layout: `day=2026-11-27/country=CH`. Empty if the result
    /// is not partitioned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// The task that made the part.
    #[serde(rename = "part")]
    pub task: TaskId,
    /// Number of the part among those that the task made, from 0; absent if a task makes exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

impl PartName {
    /// Returns the name of the only part of a task.
    pub fn only(task: TaskId) -> Self {
        Self { directory: String::new(), task, number: None }
    }

    /// Returns the values of the columns that the result is partitioned by, by name.
    pub fn values(&self) -> BTreeMap<String, Option<String>> {
        hive::values(&self.directory).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_directory_then_task_then_number() {
        let name = |directory: &str, task, number| PartName { directory: directory.into(), task: TaskId(task), number };
        let sorted =
            [name("a=1", 0, Some(9)), name("a=1", 1, Some(0)), name("a=1", 1, Some(2)), name("b=0", 0, Some(1))];
        assert!(sorted.is_sorted());
    }

    #[test]
    fn the_only_part_of_a_task_is_written_as_its_number() {
        let only = PartName::only(TaskId(3));
        assert_eq!(serde_json::to_string(&only).expect("is JSON"), r#"{"part":3}"#);
        assert_eq!(serde_json::from_str::<PartName>(r#"{"part":3}"#).expect("reads"), only);
        assert_eq!(only.values(), BTreeMap::new());
    }
}
