//! The world outside of the program: environment variables, the clock, random numbers.
//!
//! Owns every reading of them. The library reads none by itself: commands hand in what it needs.

#![expect(clippy::disallowed_methods, reason = "this is the place where the program reads the world outside")]

use std::{
    env,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    time::SystemTime,
};

use etl_core::runtime::process::ProcessId;
use etl_plugin::{Cache, Compiler};

/// Returns the value of an environment variable, if it is set and is text.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Returns the compiler of plugins: this program, and the cache that the environment names.
pub(super) fn compiler() -> Compiler {
    // On Linux, the link leads to this very program even after its file was replaced by another version.
    let this = PathBuf::from("/proc/self/exe");
    let program = if this.exists() { this } else { env::current_exe().unwrap_or(this) };
    Compiler::new(program, Cache::of_environment(|name| env::var_os(name)))
}

/// Returns this process, as other processes can find out whether it has ended.
pub(super) fn process() -> Option<ProcessId> {
    ProcessId::this()
}

/// Returns the present time.
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns a random number.
pub(super) fn random() -> u64 {
    // The standard library seeds its hashers from the system.
    RandomState::new().hash_one(0)
}
