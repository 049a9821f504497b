//! `etl-host laws`: tests the laws of a step.

use std::{fmt::Write, path::PathBuf, sync::Arc};

use clap::Args;
use etl_core::{
    model::error::{Error, Result},
    runtime::scratch::temporary_directory,
    text::{
        numbers::{counted, printable},
        rows,
    },
};
use etl_plugin::{Engine, Interface, Plugin};

use super::{
    outside, print,
    sample::{InputArgs, ReducerArgs, SandboxArgs, engine},
    say, small_runtime,
};
use crate::workbench::{
    laws::{self, Counterexample, Law, StepOutcome, Subject, Verdict},
    trial::Sample,
};

/// Maximum number of rows shown of a sample or an outcome.
const ROWS_SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct LawsArgs {
    /// The component file
    #[arg(value_name = "PLUGIN")]
    pub plugin: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    #[command(flatten)]
    pub reducer: ReducerArgs,
    /// Skip this law, such as `order` for a reducer that keeps the first row of a key; may be repeated
    #[arg(long, value_name = "LAW")]
    pub skip: Vec<String>,
}

/// Tests the laws of a step on sample records, and shows the smallest sample found for each law that is broken.
pub(super) fn laws(args: &LawsArgs) -> Result<()> {
    let engine = engine()?;
    let subject = subject(&engine, args)?;
    let laws = laws_to_try(subject.interface, &args.skip)?;
    if subject.interface == Interface::Splitter {
        return laws_of_splitter(args, &subject.plugin, &laws);
    }
    let sample = args.input.sample(subject.interface, &args.sandbox.source()?)?;
    try_out(&laws, &counted(sample.len() as u64, "record"), |law| laws::check(&subject, law, &sample))
}

fn laws_of_splitter(args: &LawsArgs, plugin: &Arc<Plugin>, laws: &[Law]) -> Result<()> {
    let runtime = small_runtime()?;
    let source = runtime.block_on(args.input.source())?;
    let format = runtime.block_on(args.input.format_of(&source, &args.sandbox.source()?))?;
    let input = format!("`{}`", args.input.input.display());
    try_out(laws, &input, |law| runtime.block_on(laws::check_splitter(plugin, law, &format, &source)))
}

/// Checks each law and prints its verdict. Fails if a law is broken, naming the broken laws.
fn try_out(laws: &[Law], input: &str, check: impl Fn(Law) -> Result<Verdict>) -> Result<()> {
    let (mut broken, mut tried) = (Vec::new(), 0);
    for law in laws {
        let verdict = check(*law)?;
        print(&render(*law, &verdict))?;
        tried += usize::from(!matches!(verdict, Verdict::NotApplicable(_)));
        if matches!(verdict, Verdict::Broken(_) | Verdict::BrokenBy(_)) {
            broken.push(*law);
        }
    }
    say(&format!("tried on {input}"));
    laws::sum_up(&broken, tried)
}

fn subject(engine: &Engine, args: &LawsArgs) -> Result<Subject> {
    let (interface, plugin) = args.sandbox.load(engine, &args.plugin, &args.input.config)?;
    let reducer = args.reducer.load(engine, &args.sandbox, interface)?;
    Ok(Subject { plugin: Arc::new(plugin), interface, reducer, scratch: temporary_directory(outside::variable) })
}

fn laws_to_try(interface: Interface, skip: &[String]) -> Result<Vec<Law>> {
    let all = Law::of(interface);
    if let Some(unknown) = skip.iter().find(|name| !all.iter().any(|law| law.name() == name.as_str())) {
        let known = all.iter().map(|law| law.name()).collect::<Vec<_>>().join(", ");
        return Err(Error::config(format!(
            "--skip `{unknown}` is not a law of a {} plugin (laws: {known})",
            interface.step()
        )));
    }
    Ok(all.iter().copied().filter(|law| !skip.iter().any(|name| law.name() == name)).collect())
}

fn render(law: Law, verdict: &Verdict) -> String {
    let line = |what: &str, more: &str| format!("{what:8}  {:13}  {}{}\n", law.name(), law.says(), printable(more));
    match verdict {
        Verdict::Holds => line("holds", ""),
        Verdict::HoldsReduced => line("holds", ": the mapper's rows differ, but the reducer's result does not"),
        Verdict::NotApplicable(why) => line("-", &format!(": {why}")),
        Verdict::BrokenBy(why) => line("broken", &format!(": {why}")),
        Verdict::Broken(counterexample) => line("broken", "") + &broken(law, counterexample),
    }
}

fn broken(law: Law, counterexample: &Counterexample) -> String {
    let Counterexample { sample, difference } = counterexample;
    let mut text = format!("\nThe smallest sample found that breaks it, {}:\n", counted(sample.len() as u64, "record"));
    text.push_str(&indented(&records(sample)));
    let (one, other) = (difference.outcomes[0].sorted(), difference.outcomes[1].sorted());
    for (way, outcome, than) in [(&difference.ways[0], &one, &other), (&difference.ways[1], &other, &one)] {
        _ = writeln!(text, "Result {way}:");
        text.push_str(&indented(&outcome_text(outcome, than)));
    }
    text.push_str(hint(law));
    text.push('\n');
    text
}

fn records(sample: &Sample) -> String {
    let mut text = rows::table(&sample.rows.slice(0, sample.len().min(ROWS_SHOWN_MAX)), None);
    if let more @ 1.. = sample.len().saturating_sub(ROWS_SHOWN_MAX) {
        _ = writeln!(text, "… and {}", counted(more as u64, "more record"));
    }
    text
}

/// Returns the rows and rejects of an outcome as text. Those that `other` lacks come first, marked with `>`.
fn outcome_text(outcome: &StepOutcome, other: &StepOutcome) -> String {
    if let Some(failure) = &outcome.failure {
        return format!("it fails: {}\n", printable(failure));
    }
    let lines = |outcome: &StepOutcome| -> Vec<String> {
        let rows = outcome.rows.iter().map(|row| serde_json::Value::from(row.clone()).to_string());
        rows.chain(outcome.rejects.iter().cloned()).collect()
    };
    let (mine, others) = (lines(outcome), lines(other));
    let (mut only, mut both) = (Vec::new(), Vec::new());
    for line in mine {
        if others.contains(&line) { both.push(format!("  {line}")) } else { only.push(format!("> {line}")) }
    }
    only.append(&mut both);
    if only.is_empty() {
        return "no rows\n".to_owned();
    }
    let more = only.len().saturating_sub(ROWS_SHOWN_MAX);
    let mut text: String =
        only.iter().take(ROWS_SHOWN_MAX).map(|line| printable(&line.replace('\n', "\\n")) + "\n").collect();
    if more > 0 {
        _ = writeln!(text, "… and {}", counted(more as u64, "more row"));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Returns the hint on what to do about a law that is broken on purpose.
fn hint(law: Law) -> &'static str {
    match law {
        Law::Shards => "If the mapper counts within a shard, `--reduce` compares the reducer's results instead.\n",
        Law::Order => "If the order is meant to matter, `--skip order` leaves the law out.\n",
        Law::Combine => "Without `combine = true` the law need not hold: `--skip combine` leaves it out.\n",
        Law::Batches | Law::Deterministic | Law::Complete => "",
    }
}
