//! `etl-host check`: checks a pipeline, of whose data it reads a sample at most.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use etl_core::{
    model::error::Result,
    text::{
        command::PIPELINE_FILE,
        numbers::{bytes, counted},
    },
};

use super::{block_on, compiling, load, print};
use crate::{
    pipeline::Pipeline,
    run::{
        check::{self, Checked},
        fields::Found,
    },
};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The pipeline file; relative paths in it are relative to its directory
    #[arg(value_name = "PIPELINE", default_value = PIPELINE_FILE)]
    pub file: PathBuf,
    /// Set a key of the pipeline, such as `run.concurrency=8` or `map.0.limits.memory=1GiB`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// First run each step's `build` command, in the pipeline's directory
    #[arg(long)]
    pub build: bool,
}

/// Number of characters of a digest that are shown: enough to tell builds apart. `etl-host inspect` shows the whole
/// digest.
const DIGEST_CHARACTERS: usize = 12;

/// Checks a pipeline and prints its source, steps and sink.
pub(super) fn check(args: &CheckArgs) -> Result<()> {
    let pipeline = load(&args.file, &args.set, args.build)?;
    let checked = block_on(&pipeline, check::check(&pipeline, compiling::told()))?;
    print(&pipeline.secrets.redact(&render(&pipeline, &checked)))
}

fn render(pipeline: &Pipeline, checked: &Checked) -> String {
    let source = format!("{}, {}, {}", counted(checked.objects, "object"), bytes(checked.bytes), checked.source_schema);
    let shards =
        checked.shards.map_or_else(|| "shards: known after the split".to_owned(), |shards| counted(shards, "shard"));
    let mut rows = vec![("source".to_owned(), source)];
    if let Some(Found { fields, from }) = &checked.inferred {
        rows.push((String::new(), format!("fields inferred from {from}:")));
        rows.push((String::new(), fields.clone()));
    }
    if !checked.steps.iter().any(|step| step.name == "split") {
        rows.push(("split".to_owned(), format!("built in, {shards}")));
    }
    for step in &checked.steps {
        let output = step.output.as_ref().map_or_else(|| shards.clone(), |schema| format!("emits {schema}"));
        let digest = step.digest.get(..DIGEST_CHARACTERS).unwrap_or(&step.digest);
        rows.push((step.name.clone(), step.plugin.clone()));
        rows.push((String::new(), format!("sha256 {digest}…, {output}")));
        if !step.grants.is_empty() || !step.grantable.is_empty() {
            let [granted, grantable] = [step.grants.join(", "), step.grantable.join(", ")].map(or_nothing);
            rows.push((String::new(), format!("granted {granted}; grantable {grantable}")));
        }
    }
    rows.push(("sink".to_owned(), pipeline.sink.location.written.clone()));
    let mut text = format!("{}: nothing wrong found\n\n", pipeline.name);
    for (label, what) in rows {
        _ = writeln!(text, "{label:8}  {what}");
    }
    text
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::check::CheckedStep;

    fn pipeline() -> Pipeline {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pipeline.toml");
        let tables = "name = 'p'\nsource.url = 'in/'\nsink.url = 'out/'\nmap = [{ plugin = 'a.wasm' }]\n";
        std::fs::write(&file, tables).expect("written");
        Pipeline::load(&file, &[], |_| None).expect("valid")
    }

    fn step(name: &str, output: Option<&str>) -> CheckedStep {
        let (plugin, digest) = (format!("{}.wasm", name.replace(' ', "")), "00ff".repeat(16));
        CheckedStep {
            name: name.to_owned(),
            plugin,
            digest,
            grants: Vec::new(),
            grantable: Vec::new(),
            output: output.map(str::to_owned),
        }
    }

    fn checked(steps: Vec<CheckedStep>, shards: Option<u64>) -> Checked {
        Checked { steps, source_schema: "line binary".to_owned(), objects: 3, bytes: 2048, shards, inferred: None }
    }

    #[test]
    fn what_was_checked_is_shown_in_the_order_data_flows() {
        let mut map = step("map", Some("word text, n int64 (key: word)"));
        (map.grants, map.grantable) = (vec!["clock".to_owned(), "env:TZ".to_owned()], vec!["clock", "random"]);
        let mut reduce = step("reduce", Some("word text, n int64"));
        reduce.grantable = vec!["clock"];
        let steps = vec![map, reduce];
        let expected = "\
p: nothing wrong found

source    3 objects, 2.0 KiB, line binary
split     built in, 4 shards
map       map.wasm
          sha256 00ff00ff00ff…, emits word text, n int64 (key: word)
          granted clock, env:TZ; grantable clock, random
reduce    reduce.wasm
          sha256 00ff00ff00ff…, emits word text, n int64
          granted nothing; grantable clock
sink      out/
";
        let pipeline = pipeline();
        let shown = render(&pipeline, &checked(steps, Some(4)));
        assert_eq!(shown.replace(&pipeline.sink.location.written, "out/"), expected);
    }

    #[test]
    fn shards_of_a_splitter_are_known_later() {
        let steps = vec![step("split", None), step("map", Some("n int64"))];
        let text = render(&pipeline(), &checked(steps, None));
        assert!(
            text.contains(
                "\nsplit     split.wasm\n          sha256 00ff00ff00ff…, shards: known after the split\nmap "
            ),
            "{text}"
        );
    }
}
