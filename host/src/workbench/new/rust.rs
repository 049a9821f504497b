//! A project in Rust: a crate that uses the SDK `etl-plugin`.

use std::path::{Path, PathBuf};

use etl_core::text::command::PIPELINE_FILE;
use etl_plugin::Interface;

use super::{BAD_ORDER, ORDERS, fill};

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

impl Template {
    fn of(step: Interface) -> Self {
        match step {
            Interface::Mapper => Self {
                lib: include_str!("../../../templates/map/lib.rs"),
                example: None,
                pipeline: include_str!("../../../templates/map/pipeline.toml"),
                input: &[ORDERS, BAD_ORDER],
                attempt: "try target/wasm32-wasip2/release/{{file}}.wasm --input input/orders.csv",
            },
            Interface::Reducer => Self {
                lib: include_str!("../../../templates/reduce/lib.rs"),
                example: Some(("orders", include_str!("../../../templates/reduce/map.rs"))),
                pipeline: include_str!("../../../templates/reduce/pipeline.toml"),
                input: &[ORDERS],
                attempt: "try target/wasm32-wasip2/release/examples/orders.wasm --input input/orders.csv \\\n    \
                      --reduce target/wasm32-wasip2/release/{{file}}.wasm",
            },
            Interface::Splitter => Self {
                lib: include_str!("../../../templates/split/lib.rs"),
                example: Some(("lengths", include_str!("../../../templates/split/map.rs"))),
                pipeline: include_str!("../../../templates/split/pipeline.toml"),
                input: &[ORDERS],
                attempt: "try target/wasm32-wasip2/release/{{file}}.wasm --input input/",
            },
        }
    }
}

/// Returns the name and the content of each file of a project, apart from the plugin interface.
pub(super) fn files(name: &str, step: Interface, sdk: &Sdk) -> Vec<(String, String)> {
    let Template { lib, example, pipeline, input, attempt } = Template::of(step);
    let target = example.map(|(example, _)| {
        format!("\n# A mapper for trying the step.\n[[example]]\nname = \"{example}\"\ncrate-type = [\"cdylib\"]\n")
    });
    let listed = example.map(|(example, _)| format!("| `examples/{example}.rs` | a mapper, for trying the step |\n"));
    let values = [
        ("{{try}}", attempt),
        ("{{files}}", &listed.unwrap_or_default()),
        ("{{example}}", &target.unwrap_or_default()),
        ("{{sdk}}", &sdk.dependency()),
        ("{{step}}", step.step()),
        ("{{name}}", name),
        ("{{file}}", &name.replace('-', "_")),
    ];
    let values = values.map(|(name, value): (&str, &str)| (name, value));
    let fill = |text| fill(text, &values);
    let mut files = vec![
        ("Cargo.toml".to_owned(), fill(include_str!("../../../templates/Cargo.toml.in"))),
        ("README.md".to_owned(), fill(include_str!("../../../templates/README.md"))),
        (".gitignore".to_owned(), include_str!("../../../templates/gitignore").to_owned()),
        (".cargo/config.toml".to_owned(), include_str!("../../../templates/cargo-config.toml").to_owned()),
        (PIPELINE_FILE.to_owned(), fill(pipeline)),
        ("input/orders.csv".to_owned(), input.concat()),
        ("src/lib.rs".to_owned(), lib.to_owned()),
    ];
    files.extend(example.map(|(name, source)| (format!("examples/{name}.rs"), source.to_owned())));
    files
}
