//! How a run is started: which run a process works on, and what the process is given of the world outside.
//!
//! Owns the ids of new runs and the names of processes. Reads no clock and no random numbers: the caller hands them in.

use std::time::{Duration, SystemTime};

use etl_core::{model::event::Invocation, runtime::process::ProcessId};
use etl_plugin::Compiler;
use tokio_util::sync::CancellationToken;

use super::{Part, Place};

/// Time between two heartbeats of a process.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The run that a process works on. The id of a new run begins with the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// A new run. A warning names an unfinished run with the same plan, if there is one.
    #[default]
    Default,
    /// A new run, without that warning.
    New,
    /// The newest unfinished run of the same keys and plugins, or a new run if all are complete.
    Resume,
    /// The run with this id, whether it exists or not.
    Id(String),
    /// A run that completes the run with this id, or the newest that has ended if no id is given. If that run left out
    /// no shards, there is nothing to complete, and the process works on that run.
    Redrive(Option<String>),
}

/// How a run is started, and what it is given of the world outside: the library reads no clock, random numbers or
/// environment of its own.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The run to work on.
    pub start: Start,
    /// What of the run to do.
    pub part: Part,
    /// Where the process begins among the tasks of a stage that it shares with others.
    pub place: Place,
    /// Whether others are meant to work on the run, too, so that a run store that cannot keep them apart is refused.
    pub shared: bool,
    /// The process, as other processes can find out whether it has ended. Without it, none waits for this one.
    pub id: Option<ProcessId>,
    /// Time between two heartbeats, by which others see that this process is at work.
    pub heartbeat: Duration,
    /// Whether parts of a complete result that are gone or damaged are made again.
    pub repair: bool,
    /// Ends the run early when cancelled; it can be resumed afterwards.
    pub cancel: CancellationToken,
    /// How the pipeline was named on the command line. A command that looks at the run later must name it the same way.
    pub invocation: Invocation,
    /// The compiler of plugins, which keeps what it compiled from one run to the next.
    pub compiler: Compiler,
    /// The present time. A new run is named after it, and the wall clock of its plugins stands at it.
    pub started_at: SystemTime,
    /// A number that no other process has. It tells apart runs that start in the same second, and processes that work
    /// on the same run.
    pub random: u64,
}

impl RunOptions {
    /// Returns the options of a process that starts at `started_at`, compiles plugins with `compiler`, and has
    /// the number `random`. It starts a new run that nothing cancels.
    pub fn new(compiler: Compiler, started_at: SystemTime, random: u64) -> Self {
        Self {
            start: Start::Default,
            part: Part::Whole,
            place: Place::First,
            shared: false,
            id: None,
            heartbeat: HEARTBEAT,
            repair: false,
            cancel: CancellationToken::new(),
            invocation: Invocation::default(),
            compiler,
            started_at,
            random,
        }
    }

    /// Returns the id of a new run. Ids sort by time: `20261122T163000Z-5f3a90c2`.
    pub(super) fn new_run_id(&self) -> String {
        let time = humantime::format_rfc3339_seconds(self.started_at).to_string().replace(['-', ':'], "");
        format!("{time}-{:08x}", self.random >> 32)
    }

    /// Returns the name of this process, such as `5f3a90c2`.
    pub(super) fn process(&self) -> String {
        format!("{:08x}", self.random & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use etl_core::model::ids::check_name;
    use etl_plugin::Cache;

    use super::*;

    #[test]
    fn a_run_is_named_after_its_start_and_told_apart_by_its_number() {
        let started_at = UNIX_EPOCH + Duration::from_millis(1_795_365_000_999);
        let compiler = Compiler::new("etl-host".into(), Cache::of_environment(|_| None));
        let options = |random| RunOptions::new(compiler.clone(), started_at, random);
        let (one, small) = (options(0x5f3a_90c2_0bad_cafe), options(7));
        assert_eq!((one.new_run_id().as_str(), one.process().as_str()), ("20261122T163000Z-5f3a90c2", "0badcafe"));
        assert_eq!((small.new_run_id().as_str(), small.process().as_str()), ("20261122T163000Z-00000000", "00000007"));
        check_name("run id", &one.new_run_id()).expect("it is a name");
    }
}
