//! A new project: a directory with everything it takes to write, build, test and run a plugin.
//!
//! Owns the templates, which are the files in `host/templates`: what a project in each language consists of is in a
//! module of its own. Called by `etl-host new`.

mod python;
mod rust;

use std::{fs, io, path::Path};

use etl_core::model::error::{Error, ErrorKind, Result, ResultExt};
use etl_plugin::Interface;

pub(crate) use self::rust::Sdk;

/// The longest name a project may have, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Names of crates that a plugin uses, which the project's own crate therefore must not have.
const NAMES_TAKEN: [&str; 6] = ["alloc", "core", "etl-plugin", "serde", "std", "test"];

/// The files of the plugin interface that each project gets: their names in the project and their text.
const WIT: [(&str, &str); 9] = [
    ("wit/diagnostics.wit", include_str!("../../../../wit/diagnostics.wit")),
    ("wit/mapper.wit", include_str!("../../../../wit/mapper.wit")),
    ("wit/output.wit", include_str!("../../../../wit/output.wit")),
    ("wit/reducer.wit", include_str!("../../../../wit/reducer.wit")),
    ("wit/shards.wit", include_str!("../../../../wit/shards.wit")),
    ("wit/source.wit", include_str!("../../../../wit/source.wit")),
    ("wit/splitter.wit", include_str!("../../../../wit/splitter.wit")),
    ("wit/types.wit", include_str!("../../../../wit/types.wit")),
    ("wit/worlds.wit", include_str!("../../../../wit/worlds.wit")),
];

/// A project that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// The name of the project's pipeline, and of its crate.
    pub name: String,
    /// The step that the project's plugin implements.
    pub step: Interface,
    /// The language that the plugin is written in.
    pub language: Language,
}

/// A language that plugins are written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Language {
    /// Rust, with the SDK from there.
    Rust(Sdk),
    /// Python; the project contains the SDK.
    Python,
}

/// Sample records.
const ORDERS: &str = include_str!("../../../templates/orders.csv");
/// A sample record that a mapper rejects.
const BAD_ORDER: &str = include_str!("../../../templates/bad-order.csv");

impl Project {
    /// Creates the description of a project called `name`; writes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a crate or project cannot have that name, or another crate that a plugin uses has it.
    pub(crate) fn new(name: &str, step: Interface, language: Language) -> Result<Self> {
        let (is_rust, what) = match language {
            Language::Rust(_) => (true, "crate"),
            Language::Python => (false, "project"),
        };
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !begins || !name.chars().all(allowed) || name.len() > NAME_BYTES_MAX {
            return Err(Error::config(format!(
                "`{name}` cannot be the name of a {what}: use 1 to {NAME_BYTES_MAX} lowercase letters, digits, `-` and \
                 `_`, beginning with a letter (`--name` gives another name than the directory's)"
            )));
        }
        if is_rust && NAMES_TAKEN.contains(&name) {
            return Err(Error::config(format!(
                "`{name}` is the name of another crate that a plugin uses (`--name` gives another name than the \
                 directory's)"
            )));
        }
        Ok(Self { name: name.to_owned(), step, language })
    }

    /// Writes the project to a directory, which is created if it does not exist, and returns the names of the files.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the directory is not empty, before anything is written, or when a file cannot be
    /// written; the files written before that one stay.
    pub(crate) fn write(&self, directory: &Path) -> Result<Vec<String>> {
        check_empty(directory)?;
        let files = self.files();
        for (name, content) in &files {
            let path = directory.join(name);
            let parent = path.parent().expect("a file has a directory");
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, content));
            written.or_kind(ErrorKind::Config, || format!("cannot write `{}`", path.display()))?;
        }
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }

    /// Returns the name and the content of each file of the project.
    fn files(&self) -> Vec<(String, String)> {
        let mut files = match &self.language {
            Language::Rust(sdk) => rust::files(&self.name, self.step, sdk),
            Language::Python => python::files(&self.name, self.step),
        };
        files.extend(WIT.map(|(name, text)| (name.to_owned(), text.to_owned())));
        files
    }
}

/// Puts values in the place of their `{{names}}` in the text of a template.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn check_empty(directory: &Path) -> Result<()> {
    match fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::config(format!(
            "`{}` is not empty: name a directory that is empty, or a new one",
            directory.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).or_kind(ErrorKind::Config, || format!("cannot use `{}`", directory.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Interface; 3] = [Interface::Splitter, Interface::Mapper, Interface::Reducer];

    fn content(project: &Project, file: &str) -> String {
        let files = project.files();
        files.into_iter().find(|(name, _)| name == file).unwrap_or_else(|| panic!("no `{file}`")).1
    }

    const RUST: Language = Language::Rust(Sdk::Version);

    #[test]
    fn no_placeholder_is_left_and_the_name_is_where_it_belongs() {
        for (step, language) in STEPS.into_iter().flat_map(|step| [(step, RUST), (step, Language::Python)]) {
            let project = Project::new("my-step", step, language).expect("a name");
            for (name, text) in project.files() {
                assert!(!text.contains("{{") || name.ends_with(".py"), "{name}: {text}");
            }
            assert!(content(&project, "pipeline.toml").contains("\nname = \"my-step\"\n"));
            if project.language == RUST {
                assert!(content(&project, "Cargo.toml").contains("\nname = \"my-step\"\n"));
                assert!(content(&project, "pipeline.toml").contains("/release/my_step.wasm\""));
            }
        }
    }

    #[test]
    fn the_sdk_is_a_directory_or_a_version() {
        let dependency = |sdk| {
            let project = Project::new("a", Interface::Mapper, Language::Rust(sdk)).expect("a name");
            let manifest: toml::Table = content(&project, "Cargo.toml").parse().expect("TOML");
            manifest["dependencies"]["etl-plugin"].clone()
        };
        assert_eq!(dependency(Sdk::Path("/a \"b\"".into()))["path"].as_str(), Some("/a \"b\""));
        assert_eq!(dependency(Sdk::Version).as_str(), Some("0.1"));
        assert!(matches!(Sdk::of_this_build(), Sdk::Path(path) if path.ends_with("guest-plugins/sdk")));
    }

    #[test]
    fn every_file_of_the_interface_and_of_the_sdk_is_copied() {
        let listed = |directory: &str, folder: &str, extension: &str| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(directory);
            let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
            let files = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
            let mut names: Vec<_> =
                files.map(|path| format!("{folder}/{}", path.file_name().expect("a name").display())).collect();
            names.sort();
            names
        };
        assert_eq!(listed("wit", "wit", "wit"), WIT.map(|(name, _)| name));
        let sdk = listed("guest-plugins/sdk-python/etl_plugin", "etl_plugin", "py");
        assert_eq!(sdk, python::SDK.map(|(name, _)| name));
    }

    #[test]
    fn names_that_no_crate_can_have_are_refused() {
        for name in ["", "1st", "-a", "Orders", "a b", "é", "a.b", "serde", &"a".repeat(65)] {
            let error = Project::new(name, Interface::Mapper, RUST).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Config);
        }
        Project::new("orders_2-b", Interface::Mapper, RUST).expect("a name");
        Project::new("serde", Interface::Mapper, Language::Python).expect("a name, since no crate has it");
        let error = Project::new("A", Interface::Mapper, Language::Python).expect_err("uppercase").to_string();
        assert!(error.contains("cannot be the name of a project"), "{error}");
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = Project::new("a", Interface::Mapper, RUST).expect("a name");
        fs::write(directory.path().join(".hidden"), "mine").expect("written");
        let error = project.write(directory.path()).expect_err("not empty").to_string();
        assert!(error.contains("is not empty"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
        assert!(project.write(&directory.path().join(".hidden")).is_err(), "a file is no directory");
        let files = project.write(&directory.path().join("new/deeper")).expect("made");
        assert!(files.iter().all(|file| directory.path().join("new/deeper").join(file).is_file()));
    }
}
