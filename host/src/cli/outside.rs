//! The world outside of the program: environment variables, the clock, random numbers.
//!
//! Owns every reading of them. The library reads none by itself: commands hand in what it needs.

#![expect(clippy::disallowed_methods, reason = "this is the place where the program reads the world outside")]

use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::SystemTime,
};

use etl_plugin::Cache;

/// Returns the value of an environment variable, if it is set and is text.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Returns the cache of compiled plugins that the environment names.
pub(super) fn cache() -> Cache {
    Cache::of_environment(|name| env::var_os(name))
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
