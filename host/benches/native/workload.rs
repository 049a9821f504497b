//! The workloads: what each is called, how much input it gets, and the pipeline that does it.

use clap::ValueEnum;

/// A piece of work that both sides do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Count short lines by type
    Count,
    /// Keep the lines that contain a text
    Filter,
}

/// What etl-host is to reach, on two cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// Of the native program's time; absent where the time of a shard counts instead.
    pub(crate) ratio: Option<f64>,
    pub(crate) peak_mib: u64,
}

impl Workload {
    /// Returns its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Returns what it does, for the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Count => "count short lines by type, 1,000 types",
            Self::Filter => "keep the lines that contain a text",
        }
    }

    /// Returns how much input it gets if nothing else is asked for.
    pub(crate) fn input_bytes(self) -> u64 {
        match self {
            Self::Count | Self::Filter => 1_000_000_000,
        }
    }

    pub(crate) fn goal(self) -> Goal {
        let (ratio, peak_mib) = match self {
            Self::Count | Self::Filter => (Some(1.5), 300),
        };
        Goal { ratio, peak_mib }
    }

    /// Returns the part of its pipeline that says what is done: source format, split, steps, sink format. In it
    /// `plugin:sum` stands for two keys, the path of a plugin and the command that builds it.
    pub(crate) fn steps(self) -> &'static str {
        match self {
            Self::Count => {
                r#"
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
