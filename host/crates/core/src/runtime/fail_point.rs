//! Fail points: named places in a run at which a test can kill the process.
//!
//! A release build has no fail points, and [`reach`] is empty in it. In a debug build, a point that is [armed](arm)
//! kills the process, as `kill -9` does. The command line arms the point that `ETL_HOST_FAIL_POINT` names.

use std::sync::{
    OnceLock,
    atomic::{AtomicI64, Ordering},
};

use rustix::process::{Signal, getpid, kill_process};

/// All fail points, roughly in the order in which a run reaches them.
pub const ALL: [&str; 23] = [
    "plan.listed",
    "plan.page",
    "plan.freeze",
    "plan.frozen",
    "map.begin",
    "spill.begin",
    "spill.end",
    "map.mapped",
    "upload.begin",
    "upload.finish",
    "upload.finished",
    "commit.begin",
    "commit.end",
    "failure.commit",
    "redrive.take",
    "reduce.begin",
    "reduce.merged",
    "publish.begin",
    "publish.moved",
    "publish.success",
    "publish.latest",
    "finalize.manifest",
    "finalize.done",
];

/// The armed point, and the number of times it is still to be reached, the last of which kills the process.
static ARMED: OnceLock<(String, AtomicI64)> = OnceLock::new();

/// Arms the fail point that `asked` names: `upload.finish` kills the process when that point is reached for the first
/// time, and `upload.finish:3` when it is reached for the third time. Only the first call has an effect.
pub fn arm(asked: &str) {
    let (point, count) = asked.split_once(':').unwrap_or((asked, "1"));
    if let Ok(count) = count.parse() {
        ARMED.get_or_init(|| (point.to_owned(), AtomicI64::new(count)));
    }
}

/// Marks a fail point, and kills the process if it is the one that is armed.
#[inline]
pub fn reach(point: &'static str) {
    if cfg!(debug_assertions) {
        debug_assert!(ALL.contains(&point), "`{point}` is not among all fail points");
        if let Some((armed, left)) = ARMED.get()
            && armed == point
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        }
    }
}
