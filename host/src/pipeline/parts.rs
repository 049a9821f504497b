//! How the rows of a task are divided into parts of the result: `partition_by`, `open_parts`, `max_rows` and `target_size`
//! of `[sink]`.

use etl_core::model::error::Result;

use super::{bounds, file, key::KeyPath, validate::Validator};

/// The most columns that a result is partitioned by.
const PARTITION_COLUMNS_MAX: usize = 8;

/// How the rows of a task are divided into parts of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSettings {
    /// Columns whose values the parts are divided by.
    pub by: Vec<String>,
    /// Number of parts that are written at the same time.
    pub open_max: usize,
    /// Number of rows at which a part ends.
    pub rows_max: Option<u64>,
    /// Size in bytes, as encoded, at which a part ends.
    pub target_bytes: Option<u64>,
}

impl PartSettings {
    /// Returns whether a task makes exactly one part.
    pub fn is_one(&self) -> bool {
        self.by.is_empty() && self.rows_max.is_none() && self.target_bytes.is_none()
    }
}

impl Validator<'_> {
    /// Validates these keys.
    ///
    /// # Errors
    /// As [`Validator::pipeline`].
    pub(super) fn parts(&self, at: &KeyPath, table: &file::Sink) -> Result<PartSettings> {
        let partition_by = at.key("partition_by");
        let by = &table.partition_by;
        if let Some(index) = (1..by.len()).find(|index| by[..*index].contains(&by[*index])) {
            return Err(self.wrong(&partition_by.index(index), format!("is `{}`, which is there twice", by[index])));
        }
        if by.len() > PARTITION_COLUMNS_MAX {
            let what =
                format!("has {} columns (limit {PARTITION_COLUMNS_MAX}: each is a level of directories)", by.len());
            return Err(self.wrong(&partition_by, what));
        }
        if table.open_parts.is_some() && by.is_empty() {
            let what = "belongs to `partition_by` and cannot be used without it (a task has one part open at a time)";
            return Err(self.wrong(&at.key("open_parts"), what));
        }
        let open_max = self.counted(&at.key("open_parts"), table.open_parts, bounds::OPEN_PARTS)? as usize;
        let rows = table.max_rows.map(|rows| self.bounded(&at.key("max_rows"), Some(rows), bounds::PART_ROWS));
        let size = table.target_size.map(|size| self.bounded(&at.key("target_size"), Some(size), bounds::PART_SIZE));
        let (rows_max, target) = (rows.transpose()?.map(i64::unsigned_abs), size.transpose()?);
        Ok(PartSettings { by: by.clone(), open_max, rows_max, target_bytes: target.map(|size| size.0) })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pipeline::Pipeline;

    fn parts(keys: &str) -> Result<PartSettings> {
        let text =
            format!("name = 'p'\nsource.url = 'in/'\nmap = [{{ plugin = 'a.wasm' }}]\n[sink]\nurl = 'out/'\n{keys}");
        Pipeline::parse(Path::new("p.toml"), &text, |_| None).map(|pipeline| pipeline.sink.parts)
    }

    #[test]
    fn a_task_makes_one_part_unless_it_is_told_otherwise() {
        assert!(parts("").expect("valid").is_one());
        let keys = "partition_by = ['day', 'country']\nopen_parts = 8\nmax_rows = 1000\ntarget_size = '128MiB'\n";
        let (by, open_max) = (vec!["day".to_owned(), "country".to_owned()], 8);
        let expected = PartSettings { by, open_max, rows_max: Some(1000), target_bytes: Some(128 << 20) };
        assert_eq!(parts(keys).expect("valid"), expected);
        assert!(!parts("max_rows = 1").expect("valid").is_one());
    }

    #[test]
    fn what_is_wrong_with_the_parts_is_named() {
        for (keys, expected) in [
            ("partition_by = ['a', 'b', 'a']", "p.toml:6: `sink.partition_by[2]` is `a`, which is there twice"),
            (
                "partition_by = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']",
                "p.toml:6: `sink.partition_by` has 9 columns (limit 8: each is a level of directories)",
            ),
            (
                "open_parts = 3",
                "p.toml:6: `sink.open_parts` belongs to `partition_by` and cannot be used without it (a task has one part \
                 open at a time)",
            ),
            ("partition_by = ['a']\nopen_parts = 0", "p.toml:7: `sink.open_parts` is 0 (allowed: 1 to 1024)"),
            ("target_size = 1", "p.toml:6: `sink.target_size` is 1 byte (allowed: 1KiB to 1TiB)"),
            ("max_rows = 0", "p.toml:6: `sink.max_rows` is 0 (allowed: 1 to 9223372036854775807)"),
        ] {
            assert_eq!(parts(keys).expect_err(keys).to_string(), expected);
        }
    }
}
