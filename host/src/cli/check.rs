//! `etl-host check`

use std::fmt::Write;

use super::{args::CheckArgs, load, print, redacted, runtime};
use crate::{
    check::{self, Checked},
    error::Result,
    pipeline::Pipeline,
    report::text::{bytes, counted},
};

/// Checks a pipeline and prints what was found.
pub(super) fn check(args: &CheckArgs) -> Result<()> {
    let pipeline = load(&args.pipeline)?;
    let checked = runtime()?.block_on(check::check(&pipeline));
    let checked = checked.map_err(|error| redacted(&error, &pipeline.secrets))?;
    print(&pipeline.secrets.redact(&text(&pipeline, &checked)));
    Ok(())
}

fn text(pipeline: &Pipeline, checked: &Checked) -> String {
    let source = format!("{}, {}, {}", counted(checked.objects, "object"), bytes(checked.bytes), checked.source_schema);
    let shards = checked.shards.map_or("known once it has run".to_owned(), |shards| counted(shards, "shard"));
    let mut rows = vec![("source".to_owned(), source)];
    if !checked.steps.iter().any(|step| step.name == "split") {
        rows.push(("split".to_owned(), format!("built in, {shards}")));
    }
    for step in &checked.steps {
        let output = step.output.as_ref().map_or(format!("shards: {shards}"), |schema| format!("emits {schema}"));
        rows.push((step.name.clone(), format!("{} ({}), {output}", step.plugin, step.digest)));
    }
    rows.push(("sink".to_owned(), pipeline.sink.location.written.clone()));
    let mut text = format!("{}: nothing wrong found\n\n", pipeline.name);
    for (label, what) in rows {
        _ = writeln!(text, "{label:8}  {what}");
    }
    text
}
