//! The command line as clap parses it, and its help. The arguments of each command are in that command's module.

use clap::{Parser, Subcommand};

use super::{
    build::BuildArgs,
    check::CheckArgs,
    clean::CleanArgs,
    completions::CompletionsArgs,
    diff::DiffArgs,
    explain::ExplainArgs,
    fields::FieldsArgs,
    inspect::InspectArgs,
    laws::LawsArgs,
    man::ManArgs,
    manifests::ManifestsArgs,
    new::NewArgs,
    replay::ReplayArgs,
    report::ReportArgs,
    run::RunArgs,
    runs::RunsArgs,
    show::ShowArgs,
    slurm::SlurmArgs,
    stages::{FinalizeArgs, MapArgs, PlanArgs, ReduceArgs, WorkerArgs},
    status::StatusArgs,
    try_step::TryArgs,
};

const EXAMPLES: &str = "\
Write a plugin:
  etl-host new ../my-step --step map                Make a project
  etl-host build                                    Build it, in the project
  etl-host try my_step.wasm --input orders.csv      Run the step on a sample
  etl-host laws my_step.wasm --input orders.csv     Test the laws of the step
  etl-host diff pipeline.toml --map new.wasm        Show what a version changes
  etl-host inspect my_step.wasm                     Show what a plugin is

Run it:
  etl-host pipeline.toml                            Run a pipeline
  etl-host fields orders.csv                        Print a source's fields
  etl-host check pipeline.toml                      Check it, before it runs
  etl-host pipeline.toml --build                    Build its plugins first
  etl-host pipeline.toml --set run.concurrency=8    Change a key for this run
  etl-host pipeline.toml --set map.0.plugin=b.wasm  Swap the first map step
  etl-host pipeline.toml --run-id nightly-07        Name the run, or finish it
  etl-host pipeline.toml --resume                   Finish the newest run
  etl-host pipeline.toml --redrive                  Run the shards left out

Share it among machines:
  etl-host plan pipeline.toml --run-id daily-7      Plan it
  etl-host worker pipeline.toml --run-id daily-7    Do what is left of it
  etl-host status daily-7 --watch                   Watch its processes

See what happened:
  etl-host runs                                     List the runs
  etl-host show nightly-07                          Show a run, failures first
  etl-host replay nightly-07 --shard 7              Run a failed shard again
  etl-host show jobs/orders.toml nightly-07         Show another pipeline's run
  etl-host explain 42                               Explain an exit code

Exit codes:
  0    done, or already done
  3    done, except for failed shards: run those again with --redrive
  2    the pipeline, a plugin or the command line is wrong: fix it
  42   failed for good: bad data, or a step that fails or breaks its limits
  75   a store or a step has trouble that may pass: run again with --resume
  70   a bug in etl-host: please report it
  130  interrupted (143: terminated): run again with --resume
";

/// Runs ETL steps, compiled to WebAssembly components, over data in object stores.
///
/// A pipeline.toml names a source, the plugins that split, map and reduce it, and where the result goes. Each step
/// runs in a sandbox: it sees its records and its configuration, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "etl-host", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Option<RunArgs>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a pipeline, or finish a run that was interrupted
    Run(RunArgs),
    /// Build the plugins of a pipeline, and show the interface, size and digest of each
    Build(BuildArgs),
    /// Check all that can be checked before a run: keys, plugins, configuration, schemas, source, a sample of records
    Check(CheckArgs),
    /// Delete data of runs that is no longer needed; results only with `--results`
    Clean(CleanArgs),
    /// Print the script with which a shell completes commands and options
    Completions(CompletionsArgs),
    /// Run the old and the new version of a map step on some shards, and show what differs
    Diff(DiffArgs),
    /// Explain an exit code or a kind of error: what it means, and what to do
    Explain(ExplainArgs),
    /// Publish the result of a run whose tasks are all committed, and mark the run complete
    Finalize(FinalizeArgs),
    /// Print the fields of a source as pipeline.toml has them, inferred from its first records
    Fields(FieldsArgs),
    /// Show what a plugin is: its step, interface version, imports, digest and size
    Inspect(InspectArgs),
    /// Test the laws of a step: batches, shards, order and combining must not change its result
    Laws(LawsArgs),
    /// Print the manifests with which a cluster runs a pipeline
    Manifests(ManifestsArgs),
    /// Run map tasks of a run that is planned
    Map(MapArgs),
    /// Write manual pages, one for each command
    Man(ManArgs),
    /// Create a project for a plugin, with code that builds, a test, sample records and a pipeline
    New(NewArgs),
    /// Plan a run, so that several processes can work on it
    Plan(PlanArgs),
    /// Reduce partitions of a run whose map tasks are all committed
    Reduce(ReduceArgs),
    /// Run a shard, one of its records or a partition of an earlier run again as it was, without writing anything
    Replay(ReplayArgs),
    /// Write the HTML report of a run again
    Report(ReportArgs),
    /// List the runs of a pipeline, newest first
    Runs(RunsArgs),
    /// Print the JSON Schema of pipeline.toml, which editors use to complete it
    Schema,
    /// Show what happened in a run: failures first, with the commands that replay them
    Show(ShowArgs),
    /// Print a script that runs a pipeline as jobs of Slurm
    Slurm(SlurmArgs),
    /// Show how far a run is and what its processes do, from any machine
    Status(StatusArgs),
    /// Run one step on sample records, in the sandbox, and print what it emits
    Try(TryArgs),
    /// Do whatever is left of a run, together with other processes
    Worker(WorkerArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_can_be_left_out() {
        let short = parse("etl-host p.toml --set a=1 --set b=2 --run-id r --quiet").expect("valid");
        let long = parse("etl-host run p.toml --set a=1 --set b=2 --run-id r --quiet").expect("valid");
        let Some(Command::Run(long)) = long.command else { panic!("not a run") };
        let short = short.run.expect("a run");
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert_eq!(short.set, ["a=1", "b=2"]);
        assert!(parse("etl-host p.toml").expect("valid").run.is_some());
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in ["etl-host", "etl-host try", "etl-host p.toml --events xml", "etl-host p.toml --nope"] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert!(parse("etl-host check p.toml --set a=1 --build").is_ok());
        assert!(parse("etl-host p.toml --events json").is_ok());
        assert!(parse("etl-host check p.toml --quiet").is_err());
        assert!(parse("etl-host p.toml --quiet --verbose").is_err());
        assert!(parse("etl-host p.toml --resume --run-id r").is_err());
        assert!(parse("etl-host p.toml --resume --new").is_err());
        assert!(parse("etl-host p.toml --redrive --resume").is_err());
        assert!(parse("etl-host p.toml --redrive --run-id r").is_ok());
    }

    #[test]
    fn every_example_in_the_help_is_valid() {
        let help = Cli::command().term_width(80).render_long_help().to_string();
        assert!(help.contains(EXAMPLES.trim_end()), "{help}");
        let examples = EXAMPLES.lines().filter_map(|line| line.trim().strip_prefix("etl-host ")?.split("  ").next());
        let examples: Vec<&str> = examples.collect();
        assert_eq!(examples.len(), 23);
        for example in examples {
            parse(&format!("etl-host {example}")).expect(example);
        }
    }
}
