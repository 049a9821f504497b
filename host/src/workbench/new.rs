//! A new project: a directory with everything it takes to write, build, test and run a plugin.
//!
//! Owns the templates, which are the files in `host/templates`. Called by `etl-host new`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use etl_core::{
    model::error::{Error, ErrorKind, Result, ResultExt},
    text::command::PIPELINE_FILE,
};
use etl_plugin::Interface;

/// The longest name a project may have, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Names of crates that a plugin uses, which the project's own crate therefore must not have.
const NAMES_TAKEN: [&str; 6] = ["alloc", "core", "etl-plugin", "serde", "std", "test"];

/// The files of the plugin interface that each project gets: their names in the project and their text.
const WIT: [(&str, &str); 9] = [
    ("wit/diagnostics.wit", include_str!("../../../wit/diagnostics.wit")),
    ("wit/mapper.wit", include_str!("../../../wit/mapper.wit")),
    ("wit/output.wit", include_str!("../../../wit/output.wit")),
    ("wit/reducer.wit", include_str!("../../../wit/reducer.wit")),
    ("wit/shards.wit", include_str!("../../../wit/shards.wit")),
    ("wit/source.wit", include_str!("../../../wit/source.wit")),
    ("wit/splitter.wit", include_str!("../../../wit/splitter.wit")),
    ("wit/types.wit", include_str!("../../../wit/types.wit")),
    ("wit/worlds.wit", include_str!("../../../wit/worlds.wit")),
];

/// A project that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// The name of the project's crate and of its pipeline.
    pub name: String,
    /// The step that the project's plugin implements.
    pub step: Interface,
    /// Where the project takes the SDK from.
    pub sdk: Sdk,
}

/// Where a project takes the SDK from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sdk {
    /// The directory of the SDK's crate.
    Path(PathBuf),
    /// The crate registry, by the major and minor version of this host.
    Version,
}

impl Sdk {
    /// Returns the SDK in the checkout that this program was built in, or the published one if the checkout is gone.
    pub(crate) fn of_this_build() -> Self {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("guest-plugins").join("sdk");
        if sdk.join("Cargo.toml").is_file() { Self::Path(sdk) } else { Self::Version }
    }

    /// Returns the lines of `Cargo.toml` that name the SDK as a dependency.
    fn dependency(&self) -> String {
        match self {
            // A TOML value displays as TOML: quoted, with backslashes and control characters escaped.
            Self::Path(path) => format!("etl-plugin = {{ path = {} }}", toml::Value::from(path.display().to_string())),
            Self::Version => format!(
                "# Not published yet. Until it is, use a checkout of etl-host: {{ path = \"…/guest-plugins/sdk\" }}\n\
                 etl-plugin = \"{}.{}\"",
                env!("CARGO_PKG_VERSION_MAJOR"),
                env!("CARGO_PKG_VERSION_MINOR"),
            ),
        }
    }
}

/// The parts of a project that depend on the kind of step.
struct Template {
    lib: &'static str,
    /// The name and source of a mapper for trying out a step that is not one; it becomes an example of the crate.
    example: Option<(&'static str, &'static str)>,
    pipeline: &'static str,
    input: &'static [&'static str],
    /// Arguments of `etl-host` that try the step alone.
    attempt: &'static str,
}

const ORDERS: &str = include_str!("../../templates/orders.csv");

impl Template {
    fn of(step: Interface) -> Self {
        match step {
            Interface::Mapper => Self {
                lib: include_str!("../../templates/map/lib.rs"),
                example: None,
                pipeline: include_str!("../../templates/map/pipeline.toml"),
                input: &[ORDERS, include_str!("../../templates/bad-order.csv")],
                attempt: "try target/wasm32-wasip2/release/{{file}}.wasm --input input/orders.csv",
            },
            Interface::Reducer => Self {
                lib: include_str!("../../templates/reduce/lib.rs"),
                example: Some(("orders", include_str!("../../templates/reduce/map.rs"))),
                pipeline: include_str!("../../templates/reduce/pipeline.toml"),
                input: &[ORDERS],
                attempt: "try target/wasm32-wasip2/release/examples/orders.wasm --input input/orders.csv \\\n    \
                      --reduce target/wasm32-wasip2/release/{{file}}.wasm",
            },
            Interface::Splitter => Self {
                lib: include_str!("../../templates/split/lib.rs"),
                example: Some(("lengths", include_str!("../../templates/split/map.rs"))),
                pipeline: include_str!("../../templates/split/pipeline.toml"),
                input: &[ORDERS],
                attempt: "try target/wasm32-wasip2/release/{{file}}.wasm --input input/",
            },
        }
    }
}

impl Project {
    /// Creates the description of a project called `name`; writes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a crate cannot have that name, or another crate that a plugin uses has it.
    pub(crate) fn new(name: &str, step: Interface, sdk: Sdk) -> Result<Self> {
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !begins || !name.chars().all(allowed) || name.len() > NAME_BYTES_MAX {
            return Err(Error::config(format!(
                "`{name}` cannot be the name of a crate: use 1 to {NAME_BYTES_MAX} lowercase letters, digits, `-` and \
                 `_`, beginning with a letter (`--name` gives another name than the directory's)"
            )));
        }
        if NAMES_TAKEN.contains(&name) {
            return Err(Error::config(format!(
                "`{name}` is the name of another crate that a plugin uses (`--name` gives another name than the \
                 directory's)"
            )));
        }
        Ok(Self { name: name.to_owned(), step, sdk })
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
        let Template { lib, example, pipeline, input, attempt } = Template::of(self.step);
        let target = example.map(|(example, _)| {
            format!("\n# A mapper for trying the step.\n[[example]]\nname = \"{example}\"\ncrate-type = [\"cdylib\"]\n")
        });
        let listed =
            example.map(|(example, _)| format!("| `examples/{example}.rs` | a mapper, for trying the step |\n"));
        let values = [
            ("{{try}}", attempt),
            ("{{files}}", &listed.unwrap_or_default()),
            ("{{example}}", &target.unwrap_or_default()),
            ("{{sdk}}", &self.sdk.dependency()),
            ("{{step}}", self.step.step()),
            ("{{name}}", &self.name),
            ("{{file}}", &self.name.replace('-', "_")),
        ];
        let fill = |text: &str| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let mut files = vec![
            ("Cargo.toml".to_owned(), fill(include_str!("../../templates/Cargo.toml.in"))),
            ("README.md".to_owned(), fill(include_str!("../../templates/README.md"))),
            (".gitignore".to_owned(), include_str!("../../templates/gitignore").to_owned()),
            (".cargo/config.toml".to_owned(), include_str!("../../templates/cargo-config.toml").to_owned()),
            (PIPELINE_FILE.to_owned(), fill(pipeline)),
            ("input/orders.csv".to_owned(), input.concat()),
            ("src/lib.rs".to_owned(), lib.to_owned()),
        ];
        files.extend(example.map(|(name, source)| (format!("examples/{name}.rs"), source.to_owned())));
        files.extend(WIT.map(|(name, text)| (name.to_owned(), text.to_owned())));
        files
    }
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

    #[test]
    fn no_placeholder_is_left_and_the_name_is_where_it_belongs() {
        for step in STEPS {
            let project = Project::new("my-step", step, Sdk::Version).expect("a name");
            for (name, text) in project.files() {
                assert!(!text.contains("{{"), "{name}: {text}");
            }
            assert!(content(&project, "Cargo.toml").contains("\nname = \"my-step\"\n"));
            assert!(content(&project, "pipeline.toml").contains("/release/my_step.wasm\""));
        }
    }

    #[test]
    fn the_sdk_is_a_directory_or_a_version() {
        let dependency = |sdk| {
            let project = Project::new("a", Interface::Mapper, sdk).expect("a name");
            let manifest: toml::Table = content(&project, "Cargo.toml").parse().expect("TOML");
            manifest["dependencies"]["etl-plugin"].clone()
        };
        assert_eq!(dependency(Sdk::Path("/a \"b\"".into()))["path"].as_str(), Some("/a \"b\""));
        assert_eq!(dependency(Sdk::Version).as_str(), Some("0.1"));
        assert!(matches!(Sdk::of_this_build(), Sdk::Path(path) if path.ends_with("guest-plugins/sdk")));
    }

    #[test]
    fn every_file_of_the_interface_is_copied() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("wit");
        let mut found: Vec<String> = fs::read_dir(directory)
            .expect("the interface is there")
            .map(|entry| format!("wit/{}", entry.expect("an entry").file_name().display()))
            .collect();
        found.sort();
        assert_eq!(found, WIT.map(|(name, _)| name));
    }

    #[test]
    fn names_that_no_crate_can_have_are_refused() {
        for name in ["", "1st", "-a", "Orders", "a b", "é", "a.b", "serde", &"a".repeat(65)] {
            let error = Project::new(name, Interface::Mapper, Sdk::Version).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Config);
        }
        Project::new("orders_2-b", Interface::Mapper, Sdk::Version).expect("a name");
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = Project::new("a", Interface::Mapper, Sdk::Version).expect("a name");
        fs::write(directory.path().join(".hidden"), "mine").expect("written");
        let error = project.write(directory.path()).expect_err("not empty").to_string();
        assert!(error.contains("is not empty"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
        assert!(project.write(&directory.path().join(".hidden")).is_err(), "a file is no directory");
        let files = project.write(&directory.path().join("new/deeper")).expect("made");
        assert!(files.iter().all(|file| directory.path().join("new/deeper").join(file).is_file()));
    }
}
