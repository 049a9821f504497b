//! What a step is opened with.

use crate::Schema;

/// The task, the input schema and the configuration that a step is opened with.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The run's id.
    pub run_id: String,
    /// Number of the shard (mappers, combiners) or of the partition (reducers). 0 for a splitter and in
    /// `etl-host check`.
    pub task: u32,
    /// Number of this attempt at the task, counted from 1.
    pub attempt: u32,
    /// Whether a reducer is opened as combiner, so that what it emits is reduced again. False for all other steps.
    pub combines: bool,
    /// Schema of the step's rows. For a splitter, the schema of the source's records.
    pub input: Schema,
    /// The step's `config` table of `pipeline.toml`, as a JSON object.
    pub config: String,
}
