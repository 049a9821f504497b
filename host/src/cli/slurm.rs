//! `etl-host slurm`: prints a script that runs a pipeline as jobs of Slurm.

use std::path::PathBuf;

use clap::Args;
use etl_core::{
    model::error::Result,
    text::command::{quoted, shell},
};

use super::{load_places, print_exact};

#[derive(Debug, Args)]
pub(super) struct SlurmArgs {
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,
    /// Set a key of the pipeline, such as `run.concurrency=8`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The number of workers
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub workers: u32,
    /// The number of processors of each worker
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: u32,
}

/// The script, without its first part, in which the variables are set.
const SCRIPT: &str = r#"
# A task that another try may help is put into the queue again, and so is one whose node was lost.
attempt='etl-host "$@"; code=$?
if [ "$code" = 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"'

# Writes a job that runs one command of etl-host.
job() {
  printf '#!/bin/sh\nset -- %s\n%s\n' "$1" "$attempt"
}

plan=$(job "plan $pipeline --run-id $run" | sbatch --parsable --job-name="$name-plan" --requeue $options)
job "worker $pipeline --run-id $run" | sbatch --parsable --job-name="$name" --requeue \
  --dependency="afterok:$plan" --kill-on-invalid-dep=yes --array="0-$last" --cpus-per-task="$cpus" $options
"#;

/// Prints the script.
pub(super) fn slurm(args: &SlurmArgs) -> Result<()> {
    let places = load_places(&args.file, &args.set)?;
    let set = args.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]);
    let pipeline = shell([args.file.display().to_string()].into_iter().chain(set));
    let SlurmArgs { workers, cpus, .. } = args;
    print_exact(&format!(
        "#!/bin/sh\n\
         # Runs the pipeline {name} on Slurm with {workers} workers: sh THIS-FILE RUN-ID [OPTION-OF-SBATCH]...\n\
         # All nodes must see the pipeline file, its plugins, its source, its sink and its run store.\n\
         # The same RUN-ID again finishes a run that has failed.\n\
         set -eu\n\
         run=${{1:?name the run}}\n\
         shift\n\
         options=\"$*\"\n\
         name={quoted}\n\
         pipeline={pipeline}\n\
         last={last}\n\
         cpus={cpus}\n{SCRIPT}",
        name = places.name,
        quoted = quoted(&places.name),
        pipeline = quoted(&pipeline),
        last = workers - 1,
    ))
}
