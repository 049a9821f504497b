//! The places in a plugin's source at which it failed, as text.
//!
//! Owns what is remembered of a plugin's debug information, and how long reading it may take in all. The compiler's
//! process reads it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use etl_core::model::shared::Shared;

use super::{compiler::Compiler, component::ComponentFile, trap::shown};

/// Longest time for reading the debug information of one plugin, in all.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Number of lists of addresses whose places are remembered.
const KNOWN_MAX: usize = 1_000;

/// The places in the source of one plugin. Clones share what is known.
#[derive(Clone)]
pub(super) struct Symbols {
    compiler: Compiler,
    file: Arc<ComponentFile>,
    found: Shared<Found>,
}

struct Found {
    /// Places by the addresses of a trap, as text.
    known: HashMap<Vec<u64>, String>,
    time_left: Duration,
    /// Note on why the debug information is not read any more.
    unreadable: Option<String>,
}

impl Symbols {
    pub(super) fn new(compiler: Compiler, file: ComponentFile) -> Self {
        let found = Found { known: HashMap::new(), time_left: TIME_MAX, unreadable: None };
        Self { compiler, file: Arc::new(file), found: Shared::new(found) }
    }

    /// Returns the places in the source that belong to the addresses of a trap, each on its own line. Returns an empty
    /// text if the plugin has no line tables, and a note if they cannot be read.
    pub(super) fn places(&self, addresses: &[u64]) -> String {
        if addresses.is_empty() {
            return String::new();
        }
        let mut found = self.found.lock();
        if let Some(known) = found.known.get(addresses) {
            return known.clone();
        }
        if let Some(note) = &found.unreadable {
            return note.clone();
        }
        let started = Instant::now();
        let places = self.compiler.places(&self.file, addresses, found.time_left);
        found.time_left = found.time_left.saturating_sub(started.elapsed());
        match places {
            Ok(places) => {
                let text = shown(&places.concat());
                if found.known.len() < KNOWN_MAX {
                    found.known.insert(addresses.to_vec(), text.clone());
                }
                if found.time_left.is_zero() {
                    let limit = humantime::format_duration(TIME_MAX);
                    found.unreadable = Some(note(&format!("took more than {limit} to read in all")));
                }
                text
            }
            Err(what) => {
                let note = note(&what);
                found.unreadable = Some(note.clone());
                note
            }
        }
    }
}

fn note(what: &str) -> String {
    format!("\n(no place in its source is shown, because its debug information {what})")
}
