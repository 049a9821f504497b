//! The bindings that are checked in: the test generates them anew and compares, or writes them.
//!
//! The package depends neither on the SDK nor on a plugin, so it can write bindings while those do not compile.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wit_bindgen_core::{
    Files, WorldGenerator,
    wit_parser::{PackageId, Resolve},
};
use wit_bindgen_rust::{Opts, WithOption};

/// The environment variable that makes the test write the bindings instead of comparing them, as the host's tests do
/// with the reference.
const UPDATE: &str = "ETL_HOST_UPDATE_DOCS";

/// The modules of the SDK, each with the interfaces that it takes from `map`.
const MODULES: [(&str, &[&str]); 3] =
    [("map", &[]), ("reduce", &["types", "diagnostics", "output"]), ("split", &["types", "diagnostics"])];

/// Returns a path below `guest-plugins`.
fn guests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path)
}

/// Returns the bindings to a world of the WIT package in a directory.
fn generate(wit: &Path, world: &str, options: impl FnOnce(&Resolve, PackageId) -> Opts) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).expect("valid WIT");
    let world = resolve.select_world(&[package], Some(world)).expect("a world of the package");
    let mut generator = Opts { format: true, ..options(&resolve, package) }.build();
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).expect("the world has bindings");
    let (_, text) = files.iter().next().expect("a world has one file of bindings");
    str::from_utf8(text).expect("Rust is UTF-8").to_owned()
}

/// Returns the options for a module of the SDK, which takes these interfaces from `map`.
fn options_of_sdk(module: &str, shared: &[&str], resolve: &Resolve, package: PackageId) -> Opts {
    let with = shared.iter().map(|name| {
        let interface = resolve.packages[package].interfaces[*name];
        let path = format!("crate::bindings::map::etl::plugin::{name}");
        (resolve.id_of(interface).expect("the interface has a name"), WithOption::Path(path))
    });
    Opts {
        pub_export_macro: true,
        default_bindings_module: Some(format!("etl_plugin::bindings::{module}")),
        runtime_path: Some("::etl_plugin::wit_bindgen::rt".to_owned()),
        additional_derive_attributes: vec!["PartialEq".to_owned()],
        with: with.collect(),
        ..Opts::default()
    }
}

/// Returns the versions of a package in the lock file.
fn locked_versions(package: &str) -> Vec<String> {
    let lock = fs::read_to_string(guests("Cargo.lock")).expect("the lock file");
    let start = format!("name = \"{package}\"\nversion = \"");
    lock.split(&start).skip(1).map(|entry| entry.split('"').next().unwrap_or_default().to_owned()).collect()
}

/// Writes the bindings, if that is asked for; otherwise compares them.
fn check(path: &str, bindings: &str) {
    let (path, expected) = (guests(path), format!("// @generated, see `sdk-bindings`.\n{bindings}"));
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &expected).expect("writes");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "{} is not what the interface gives: run `cargo test --package sdk-bindings` once with `{UPDATE}=1`",
        path.display()
    );
}

#[test]
fn the_bindings_of_the_sdk_are_what_the_interface_gives() {
    for (module, shared) in MODULES {
        let options = |resolve: &Resolve, package| options_of_sdk(module, shared, resolve, package);
        let bindings = generate(&guests("../wit"), &format!("{module}-plugin"), options);
        check(&format!("sdk/src/bindings/{module}.rs"), &bindings);
    }
}

#[test]
fn the_bindings_of_the_fixtures_are_what_their_worlds_give() {
    for (fixture, world) in [("imports-extra", "greedy"), ("other-version", "map-plugin")] {
        let fixture = format!("fixtures/{fixture}");
        let bindings = generate(&guests(&format!("{fixture}/wit")), world, |_, _| Opts::default());
        check(&format!("{fixture}/src/bindings.rs"), &bindings);
    }
}

#[test]
fn the_generator_has_the_version_of_the_runtime() {
    let runtime = locked_versions("wit-bindgen");
    for generator in ["wit-bindgen-core", "wit-bindgen-rust"] {
        assert_eq!(locked_versions(generator), runtime, "`{generator}` must have the version of `wit-bindgen`");
    }
}

#[test]
fn no_plugin_builds_the_generator() {
    assert!(locked_versions("wit-bindgen-rust-macro").is_empty(), "a package turns on the feature `macros`");
}
