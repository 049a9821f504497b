//! A project in Python: modules with steps, and the SDK `etl_plugin`, which builds them.

use etl_core::text::command::PIPELINE_FILE;
use etl_plugin::Interface;

use super::{BAD_ORDER, ORDERS, fill};

/// The files of the SDK that each project gets: their names in the project and their text.
pub(super) const SDK: [(&str, &str); 18] = [
    ("etl_plugin/__init__.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/__init__.py")),
    ("etl_plugin/bits.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/bits.py")),
    ("etl_plugin/build.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/build.py")),
    ("etl_plugin/component.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/component.py")),
    ("etl_plugin/config.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/config.py")),
    ("etl_plugin/context.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/context.py")),
    ("etl_plugin/data_types.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/data_types.py")),
    ("etl_plugin/diagnostics.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/diagnostics.py")),
    ("etl_plugin/errors.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/errors.py")),
    ("etl_plugin/host.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/host.py")),
    ("etl_plugin/output.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/output.py")),
    ("etl_plugin/rows.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/rows.py")),
    ("etl_plugin/runners.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/runners.py")),
    ("etl_plugin/schema.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/schema.py")),
    ("etl_plugin/splitting.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/splitting.py")),
    ("etl_plugin/steps.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/steps.py")),
    ("etl_plugin/testing.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/testing.py")),
    ("etl_plugin/wire.py", include_str!("../../../../guest-plugins/sdk-python/etl_plugin/wire.py")),
];

/// The parts of a project that depend on the kind of step.
struct Template {
    step: &'static str,
    test: &'static str,
    /// The file and source of a mapper for trying out a step that is not one.
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
                step: include_str!("../../../templates/python/map/step.py"),
                test: include_str!("../../../templates/python/map/test_step.py"),
                example: None,
                pipeline: include_str!("../../../templates/python/map/pipeline.toml"),
                input: &[ORDERS, BAD_ORDER],
                attempt: "try build/step.wasm --input input/orders.csv",
            },
            Interface::Reducer => Self {
                step: include_str!("../../../templates/python/reduce/step.py"),
                test: include_str!("../../../templates/python/reduce/test_step.py"),
                example: Some(("orders.py", include_str!("../../../templates/python/reduce/orders.py"))),
                pipeline: include_str!("../../../templates/python/reduce/pipeline.toml"),
                input: &[ORDERS],
                attempt: "try build/orders.wasm --input input/orders.csv --reduce build/step.wasm",
            },
            Interface::Splitter => Self {
                step: include_str!("../../../templates/python/split/step.py"),
                test: include_str!("../../../templates/python/split/test_step.py"),
                example: Some(("lengths.py", include_str!("../../../templates/python/split/lengths.py"))),
                pipeline: include_str!("../../../templates/python/split/pipeline.toml"),
                input: &[ORDERS],
                attempt: "try build/step.wasm --input input/",
            },
        }
    }
}

/// Returns the name and the content of each file of a project, apart from the plugin interface.
pub(super) fn files(name: &str, step: Interface) -> Vec<(String, String)> {
    let template = Template::of(step);
    let listed = template.example.map(|(file, _)| format!("| `{file}` | a mapper, for trying the step |\n"));
    let listed = listed.unwrap_or_default();
    let values = [("{{try}}", template.attempt), ("{{files}}", &listed), ("{{step}}", step.step()), ("{{name}}", name)];
    let mut files = vec![
        ("README.md".to_owned(), fill(include_str!("../../../templates/python/README.md"), &values)),
        (".gitignore".to_owned(), include_str!("../../../templates/python/gitignore").to_owned()),
        (PIPELINE_FILE.to_owned(), fill(template.pipeline, &values)),
        ("requirements.txt".to_owned(), include_str!("../../../templates/python/requirements.txt").to_owned()),
        ("step.py".to_owned(), template.step.to_owned()),
        ("test_step.py".to_owned(), template.test.to_owned()),
        ("input/orders.csv".to_owned(), template.input.concat()),
    ];
    files.extend(template.example.map(|(file, source)| (file.to_owned(), source.to_owned())));
    files.extend(SDK.map(|(name, text)| (name.to_owned(), text.to_owned())));
    files
}
