//! Guests: the plugins and fixtures of `guest-plugins`, built from source, each a constant that tests name it by.
//!
//! A constant that no test uses does not compile, and a directory without a constant fails a test: so each guest is
//! one that some test runs.

#![deny(dead_code)]

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::support::{cargo_in_guests, repository, succeed};

/// Declares each guest as a constant, by the name of its directory, and `NAMES`, the names of all.
macro_rules! guests {
    ($($guest:ident = $name:literal,)*) => {
        $(pub(crate) const $guest: Guest = Guest($name);)*

        // Names, not constants: those would all count as used.
        const NAMES: &[&str] = &[$($name),*];
    };
}

guests! {
    // guest-plugins/plugins
    ACCESS_LOG = "access-log",
    COUNT_BY_TYPE = "count-by-type",
    FILTER_CLEAN = "filter-clean",
    KEY_VALUE = "key-value",
    NEWEST = "newest",
    SELECT = "select",
    SPLIT_BY_SIZE = "split-by-size",
    SPLIT_RANDOM = "split-random",
    SUM = "sum",
    WORD_COUNT = "word-count",
    // guest-plugins/fixtures
    BAD_COMBINER = "bad-combiner",
    CRIMES = "crimes",
    IMPORTS_EXTRA = "imports-extra",
    JOIN = "join",
    LARGE_ROWS = "large-rows",
    LAWLESS = "lawless",
    OTHER_VERSION = "other-version",
    PROBE_WORLD = "probe-world",
    SPLIT_CRIMES = "split-crimes",
}

/// A guest. Shown, it is the path of its component as a string of TOML: `plugin = {CRIMES}`.
#[derive(Clone, Copy)]
pub(crate) struct Guest(&'static str);

impl Guest {
    /// Returns the file of the guest's component.
    pub(crate) fn path(self) -> PathBuf {
        built().join(self.0.replace('-', "_")).with_extension("wasm")
    }
}

impl Display for Guest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.path().display())
    }
}

/// Returns the directory of the components. All are built once per test run.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let guests = repository().join("guest-plugins");
        succeed(&mut Command::new(guests.join("wasm-target")));
        succeed(cargo_in_guests().args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--workspace"]));
        guests.join("target/wasm32-wasip2/release")
    })
}

/// Returns the names of the directories in a folder of `guest-plugins`.
fn directories(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository().join("guest-plugins").join(folder)).expect("a folder of guests");
    let directories = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_guest_has_a_constant_and_each_constant_a_guest() {
    let guests: BTreeSet<String> = ["plugins", "fixtures"].into_iter().flat_map(directories).collect();
    let constants: BTreeSet<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    let unnamed: Vec<_> = guests.difference(&constants).collect();
    assert!(unnamed.is_empty(), "no constant in {} for the guests {unnamed:?}", file!());
    let gone: Vec<_> = constants.difference(&guests).collect();
    assert!(gone.is_empty(), "no directory in guest-plugins for the constants {gone:?}");
}

#[test]
fn the_sdk_and_the_plugins_pass_their_own_tests() {
    let shown = succeed(cargo_in_guests().args(["test", "--workspace"]));
    assert!(shown.contains("test result: ok."), "{shown}");
}
