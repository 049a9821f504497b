//! Fail points: named places in a run at which a test can kill the process.
//!
//! A release build has no fail points, and [`reach`] is empty in it. In a debug build on Unix,
//! `ETL_HOST_FAIL_POINT=upload.finish` kills the process, as `kill -9` does, when that point is reached for the first
//! time; `upload.finish:3` kills it when the point is reached for the third time.

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

/// Marks a fail point. Does nothing in a release build, or on a system that is not Unix.
#[cfg(not(all(unix, debug_assertions)))]
#[inline]
pub fn reach(_point: &'static str) {}

/// Marks a fail point, and kills the process if it is the one asked for.
#[cfg(all(unix, debug_assertions))]
pub fn reach(point: &'static str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    };

    /// The point asked for, and the number of times it is still to be reached, the last of which kills the process.
    static ASKED_FOR: LazyLock<Option<(String, AtomicI64)>> = LazyLock::new(|| {
        let asked = std::env::var("ETL_HOST_FAIL_POINT").ok()?;
        let (point, count) = asked.split_once(':').unwrap_or((&asked, "1"));
        Some((point.to_owned(), AtomicI64::new(count.parse().ok()?)))
    });

    debug_assert!(ALL.contains(&point), "`{point}` is not among all fail points");
    if let Some((asked, left)) = &*ASKED_FOR
        && asked == point
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        kill();
    }
}

/// Ends the process in a way that no code in it can notice.
#[cfg(all(unix, debug_assertions))]
#[expect(unsafe_code, reason = "the standard library can abort a process, but not kill it without notice")]
fn kill() {
    unsafe extern "C" {
        fn kill(pid: i32, signal: i32) -> i32;
    }
    const SIGKILL: i32 = 9;
    let pid = i32::try_from(std::process::id()).expect("process ids are small");
    // SAFETY: `kill` takes two numbers and touches no memory of ours.
    unsafe { kill(pid, SIGKILL) };
}
