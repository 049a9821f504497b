//! The workloads: the name, the input size and the pipeline of each.

use clap::ValueEnum;

/// A piece of work that both sides do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Count short lines by type
    Count,
    /// Count words
    Words,
    /// Group JSON lines by a text and an integer
    Log,
    /// Sum values by very many keys
    Keys,
    /// Count short lines by type, in very many files
    Files,
    /// Keep the lines that contain a text
    Filter,
}

/// The goal for etl-host, on two cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// Largest ratio of etl-host's wall time to the native program's; absent where the time of a shard counts instead.
    pub(crate) ratio: Option<f64>,
    pub(crate) peak_mib: u64,
}

/// Size of a file of [`Workload::Files`], in bytes. Each file is a shard.
pub(crate) const FILE_BYTES: u64 = 1024;

impl Workload {
    /// Returns the workload's name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Returns a description of the workload, for the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Count => "count short lines by type, 1,000 types",
            Self::Words => "count words, 500,000 different ones",
            Self::Log => "JSON lines, four fields of seven, by text and integer",
            Self::Keys => "sum by key, five rows a key",
            Self::Files => "count by type in files of 1 KiB, a shard each",
            Self::Filter => "keep the lines that contain a text",
        }
    }

    /// Returns the default size of the workload's input, in bytes.
    pub(crate) fn input_bytes(self) -> u64 {
        match self {
            Self::Count | Self::Log | Self::Filter => 1_000_000_000,
            Self::Words => 500_000_000,
            Self::Keys => 700_000_000,
            Self::Files => 10_000 * FILE_BYTES,
        }
    }

    pub(crate) fn goal(self) -> Goal {
        let (ratio, peak_mib) = match self {
            Self::Count | Self::Filter => (Some(1.5), 300),
            Self::Words => (Some(1.5), 500),
            Self::Log => (Some(1.25), 400),
            Self::Keys => (Some(2.0), 1024),
            Self::Files => (None, 200),
        };
        Goal { ratio, peak_mib }
    }

    /// Returns settings with which even a small input has many shards and spills.
    pub(crate) fn small_tasks(self) -> &'static [&'static str] {
        match self {
            Self::Files => &[],
            _ => &["split.target_size=64KiB", "run.shuffle_memory=1MiB"],
        }
    }

    /// Returns the part of the workload's pipeline that defines the work: source format, split, steps, sink format.
    /// `plugin:sum` in it stands for two keys: the path of a plugin, and the command that builds it.
    pub(crate) fn steps(self) -> &'static str {
        match self {
            Self::Count => {
                r#"
                map = [{ plugin:count-by-type }]
                reduce = { plugin:sum, combine = true }
                "#
            }
            Self::Words => {
                r#"
                map = [{ plugin:word-count }]
                reduce = { plugin:sum, combine = true, partitions = 4 }
                "#
            }
            Self::Log => {
                r#"
                source.format = "json"
                source.fields = { path = "text", status = "int64", bytes = "int64", latency_ms = "float64" }
                map = [{ plugin:access-log }]
                reduce = { plugin:sum, combine = true, config = { max = ["slowest_ms"] } }
                "#
            }
            Self::Keys => {
                r#"
                map = [{ plugin:key-value }]
                reduce = { plugin:sum, combine = true, partitions = 8 }
                "#
            }
            Self::Files => {
                r#"
                split.target_size = 1024
                map = [{ plugin:count-by-type }]
                reduce = { plugin:sum, combine = true }
                "#
            }
            Self::Filter => {
                r#"
                map = [{ plugin:filter-clean, config = { pattern = "status=ok" } }]
                sink.format = "lines"
                "#
            }
        }
    }
}
