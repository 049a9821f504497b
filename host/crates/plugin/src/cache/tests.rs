//! Entries that were tampered with in any way are compiled again and never run.

use std::{
    os::unix::fs::{PermissionsExt, chown, symlink},
    time::{Duration, UNIX_EPOCH},
};

use tempfile::TempDir;

use super::*;
use crate::component::Interface;

/// The smallest component. Each test gives it any digest it likes.
const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

fn facts() -> Facts {
    Facts {
        interface: Interface::Mapper,
        wit_version: "0.2.0".to_owned(),
        imports: Vec::new(),
        exports: vec!["etl:plugin/mapper@0.2.0".to_owned()],
        built_with: Vec::new(),
        config: None,
    }
}

struct Fixture {
    root: TempDir,
    engine: wasmtime::Engine,
}

impl Fixture {
    fn new() -> Self {
        let engine = wasmtime::Engine::default();
        Self { root: tempfile::tempdir().expect("a directory"), engine }
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("components")
    }

    /// Loads a component, and returns why it was compiled.
    fn load(&self, digest: &str) -> Option<Miss> {
        let cache = Cache { directory: Some(self.directory()) };
        match cache.read(&self.engine, digest) {
            Ok((found, _)) => {
                assert_eq!(found, facts());
                None
            }
            Err(miss) => {
                let code = self.engine.precompile_component(WASM).expect("the component is valid");
                cache.keep(&self.engine, digest, miss, &facts(), &code);
                Some(miss)
            }
        }
    }

    fn entry(&self, digest: &str) -> PathBuf {
        path(&self.directory(), &key(&self.engine, digest))
    }

    /// Changes the entry of `aa`. Asserts that the component is then compiled for the reason `miss`, and that the entry
    /// is written again.
    #[track_caller]
    fn poisoned(&self, miss: Miss, change: impl FnOnce(&Path)) {
        self.load("aa");
        assert_eq!(self.load("aa"), None, "it was not kept");
        change(&self.entry("aa"));
        assert_eq!(self.load("aa"), Some(miss));
        assert_eq!(self.load("aa"), None, "it was not written again");
    }
}

fn change_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("the entry can be read");
    change(&mut bytes);
    fs::write(path, bytes).expect("the entry can be written");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
}

#[test]
fn a_component_is_compiled_once() {
    let fixture = Fixture::new();
    let found = [fixture.load("aa"), fixture.load("bb"), fixture.load("aa"), fixture.load("bb")];
    assert_eq!(found, [Some(Miss::New), Some(Miss::New), None, None]);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!((mode(&fixture.directory()), mode(&fixture.entry("aa"))), (0o700, 0o600));
}

#[test]
fn other_settings_of_the_engine_are_another_entry() {
    let mut fixture = Fixture::new();
    fixture.load("aa");
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    fixture.engine = wasmtime::Engine::new(&config).expect("valid settings");
    assert_eq!(fixture.load("aa"), Some(Miss::New));
}

#[test]
fn an_entry_that_was_changed_is_compiled_again() {
    let fixture = Fixture::new();
    let header_bytes = header(&key(&fixture.engine, "aa"), &[]).len();
    for position in [0, MAGIC.len() + 1, header_bytes - 2, header_bytes, header_bytes + 4000] {
        fixture.poisoned(Miss::Damaged, |path| change_bytes(path, |bytes| bytes[position] ^= 1));
    }
    for length in [0, 10, header_bytes, header_bytes + 1] {
        fixture.poisoned(Miss::Damaged, |path| change_bytes(path, |bytes| bytes.truncate(length)));
    }
    fixture.poisoned(Miss::Damaged, |path| change_bytes(path, |bytes| bytes.push(0)));
    fixture.poisoned(Miss::Damaged, |path| fs::write(path, "#!/bin/sh\n").expect("written"));
}

#[test]
fn an_entry_of_something_else_is_compiled_again() {
    let fixture = Fixture::new();
    fixture.load("bb");
    fixture.poisoned(Miss::Damaged, |path| _ = fs::copy(fixture.entry("bb"), path).expect("copied"));
    // The header is consistent, but names another version, target or setting of the engine.
    fixture.poisoned(Miss::Damaged, |path| {
        let key = key(&fixture.engine, "aa");
        let other = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { "1" } else { "0" });
        change_bytes(path, |bytes| {
            let content = bytes[header(&key, &[]).len()..].to_vec();
            *bytes = [header(&other, &content).as_bytes(), &content].concat();
        });
    });
    // The header is right, but the code was not written by wasmtime.
    fixture.poisoned(Miss::Damaged, |path| {
        let key = key(&fixture.engine, "aa");
        fs::write(path, [header(&key, b"code").as_bytes(), b"code"].concat()).expect("written");
    });
}

#[test]
fn an_entry_others_can_write_is_compiled_again() {
    let fixture = Fixture::new();
    fixture.poisoned(Miss::Foreign, |path| set_mode(path, 0o620));
    fixture.poisoned(Miss::Foreign, |path| set_mode(path, 0o602));
    fixture.poisoned(Miss::Foreign, |path| {
        let elsewhere = fixture.root.path().join("elsewhere");
        fs::rename(path, &elsewhere).expect("moved");
        symlink(elsewhere, path).expect("linked");
    });
    // Only the superuser can change the owner of a file.
    fixture.load("bb");
    if chown(fixture.entry("bb"), Some(12_345), None).is_ok() {
        assert_eq!(fixture.load("bb"), Some(Miss::Foreign));
        assert_eq!(fixture.load("bb"), None, "it was not written again");
    }
}

#[test]
fn an_entry_that_cannot_be_read_or_replaced_is_compiled_each_time() {
    let fixture = Fixture::new();
    fixture.load("bb");
    fs::create_dir(fixture.entry("aa")).expect("made");
    assert_eq!([fixture.load("aa"), fixture.load("aa")], [Some(Miss::Foreign); 2]);
    // The superuser can read the file in spite of its mode, so the assertion is skipped then.
    set_mode(&fixture.entry("bb"), 0o000);
    if File::open(fixture.entry("bb")).is_err() {
        assert_eq!(fixture.load("bb"), Some(Miss::Foreign));
    }
}

#[test]
fn a_directory_that_is_not_the_users_alone_is_not_used() {
    let fixture = Fixture::new();
    fixture.load("aa");
    for mode in [0o720, 0o702, 0o777] {
        set_mode(&fixture.directory(), mode);
        assert_eq!([fixture.load("aa"), fixture.load("bb")], [Some(Miss::Directory); 2]);
    }
    set_mode(&fixture.directory(), 0o755);
    assert_eq!(fixture.load("aa"), None);
    assert!(!fixture.entry("bb").exists(), "something was written to a directory of others");
    if chown(fixture.directory(), Some(12_345), None).is_ok() {
        assert_eq!(fixture.load("aa"), Some(Miss::Directory));
    }
    let elsewhere = fixture.root.path().join("elsewhere");
    fs::rename(fixture.directory(), &elsewhere).expect("moved");
    symlink(elsewhere, fixture.directory()).expect("linked");
    assert_eq!(fixture.load("aa"), Some(Miss::Directory));
}

#[test]
fn a_file_in_the_directorys_place_turns_the_cache_off() {
    let fixture = Fixture::new();
    fs::write(fixture.directory(), "").expect("written");
    assert_eq!([fixture.load("aa"), fixture.load("aa")], [Some(Miss::Directory); 2]);
}

#[test]
fn what_was_used_longest_ago_is_removed_first() {
    let fixture = Fixture::new();
    let then = UNIX_EPOCH + Duration::from_secs(1_795_365_000);
    for (minutes_ago, digest) in ["aa", "bb", "cc", "dd"].into_iter().enumerate() {
        fixture.load(digest);
        let file = File::open(fixture.entry(digest)).expect("the entry can be opened");
        file.set_modified(then - Duration::from_secs(60 * (minutes_ago as u64 + 1))).expect("its time can be set");
    }
    let others = fixture.directory().join("notes.txt");
    fs::write(&others, "not ours").expect("written");
    let kept = || ["aa", "bb", "cc", "dd"].map(|digest| fixture.entry(digest).exists());

    assert_eq!(fixture.load("dd"), None);
    prune(&fixture.directory(), 3, u64::MAX).expect("pruned");
    assert_eq!(kept(), [true, true, false, true], "a use counts");
    let bytes = fs::metadata(fixture.entry("dd")).expect("it is there").len();
    prune(&fixture.directory(), 3, bytes + 1).expect("pruned");
    assert_eq!(kept(), [false, false, false, true]);
    assert!(others.exists());
}

#[test]
fn the_environment_says_where_the_cache_lies() {
    let directory = |variables: &[(&str, &str)]| {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Cache::of_environment(get).directory.map(|path| path.display().to_string())
    };
    let home = ("HOME", "/home/u");
    assert_eq!(directory(&[home]).as_deref(), Some("/home/u/.cache/etl-host/components"));
    assert_eq!(directory(&[home, ("XDG_CACHE_HOME", "/c")]).as_deref(), Some("/c/etl-host/components"));
    assert_eq!(
        directory(&[home, ("XDG_CACHE_HOME", "relative")]).as_deref(),
        Some("/home/u/.cache/etl-host/components")
    );
    assert_eq!(directory(&[home, ("ETL_HOST_CACHE", "/mine")]).as_deref(), Some("/mine"));
    assert_eq!(directory(&[home, ("ETL_HOST_CACHE", "off")]), None);
    assert_eq!(directory(&[]), None);
}
