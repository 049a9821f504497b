//! `etl-host manifests`: prints what a cluster needs to run a pipeline.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use etl_core::model::error::{Error, Result};
use serde_json::{Value, json};

use super::{load_places, print_exact};
use crate::{pipeline::Places, run_store::document::to_json_pretty};

/// Where the image has the pipeline file, with its plugins beside it.
const FILE: &str = "/etl/pipeline.toml";

#[derive(Debug, Args)]
pub(super) struct ManifestsArgs {
    /// The kind of cluster
    #[arg(value_name = "CLUSTER")]
    pub cluster: Cluster,
    /// The pipeline file
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,
    /// The run's id, in lowercase
    #[arg(long, value_name = "ID")]
    pub run_id: String,
    /// The image, with `etl-host` and, in `/etl`, the plugins as the pipeline names them
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// Set a key of the pipeline, such as `run.concurrency=8`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The number of workers
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub workers: u32,
    /// The number of processors of each worker
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: u32,
    /// The memory of each worker, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub memory: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Cluster {
    /// An Indexed Job of workers and a ConfigMap with the pipeline, as JSON that `kubectl apply --filename -` takes
    Kubernetes,
}

/// Prints the manifests.
pub(super) fn manifests(args: &ManifestsArgs) -> Result<()> {
    let places = load_places(&args.file, &args.set)?;
    check_shared(&places)?;
    let text = fs::read_to_string(&args.file);
    let text = text.map_err(|error| Error::from_io(error).context(format!("cannot read `{}`", args.file.display())))?;
    match args.cluster {
        Cluster::Kubernetes => print_exact(&to_json_pretty(&kubernetes(args, &name(&places, args)?, &text))?),
    }
}

/// Checks that the workers, each on a disk of its own, meet in one run store.
fn check_shared(places: &Places) -> Result<()> {
    for (role, place) in [("run store", &places.run_store), ("sink", &places.sink)] {
        let scheme = place.url.split(':').next().unwrap_or_default();
        if ["file", "memory"].contains(&scheme) {
            return Err(Error::config(format!(
                "{role} `{}` is one that each worker would have of its own: use a store that all of them reach, such as \
                 `s3://bucket/prefix/`",
                place.written
            )));
        }
    }
    Ok(())
}

/// Returns the name of the job: letters, digits and hyphens, in lowercase.
fn name(places: &Places, args: &ManifestsArgs) -> Result<String> {
    let name = format!("etl-{}-{}", places.name, args.run_id).replace(['_', '.'], "-").to_lowercase();
    if name.len() <= 63 && name.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        return Ok(name);
    }
    Err(Error::config(format!(
        "`{name}` cannot be the name of a job, which has at most 63 characters and ends with a letter or a digit: use \
         another `--run-id`"
    )))
}

fn kubernetes(args: &ManifestsArgs, name: &str, pipeline: &str) -> Value {
    let ManifestsArgs { run_id, image, set, workers, cpus, memory, .. } = args;
    let mut command =
        ["etl-host", "worker", FILE, "--run-id", run_id, "--of", &workers.to_string()].map(str::to_owned).to_vec();
    let memory_set = format!("run.memory={}MiB", u64::from(*memory) * 1024 * 3 / 4);
    let set = [format!("run.concurrency={cpus}"), memory_set].into_iter().chain(set.iter().cloned());
    command.extend(set.flat_map(|set| ["--set".to_owned(), set]));
    let size = json!({ "cpu": cpus.to_string(), "memory": format!("{memory}Gi") });
    let container = json!({
        "name": "etl-host",
        "image": image,
        "command": command,
        // Variables that the pipeline names, and the credentials of its stores.
        "envFrom": [{ "secretRef": { "name": name, "optional": true } }],
        "resources": { "requests": size, "limits": size },
        "volumeMounts": [
            { "name": "pipeline", "mountPath": FILE, "subPath": "pipeline.toml", "readOnly": true },
            { "name": "scratch", "mountPath": "/tmp" },
        ],
    });
    let pod = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [{ "name": "pipeline", "configMap": { "name": name } }, { "name": "scratch", "emptyDir": {} }],
    });
    let exits = |action: &str, codes: Value| json!({ "action": action, "onExitCodes": { "containerName": "etl-host", "operator": "In", "values": codes } });
    let disrupted =
        json!({ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] });
    let job = json!({
        "completionMode": "Indexed",
        "completions": workers,
        "parallelism": workers,
        "backoffLimitPerIndex": 5,
        "podFailurePolicy": { "rules": [disrupted, exits("FailJob", json!([2, 70])), exits("FailIndex", json!([42]))] },
        "template": { "spec": pod },
    });
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "pipeline.toml": pipeline } },
            { "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name }, "spec": job },
        ],
    })
}
