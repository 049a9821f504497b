//! The check of a pipeline: everything about it that can be known from its plugins, its source's listing and a sample of
//! its records.

use etl_core::model::{
    error::{Error, Result},
    object::Object,
};
use etl_plugin::{Compiler, Engine, Plugin};

use crate::{
    connector::{
        Source,
        objects::split::{count_shards, look_at_cut},
        sample,
    },
    pipeline::{Pipeline, PipelineSource, Split, Step},
    run::{
        budget::Slots,
        fields::{self, Found},
    },
    task::{split::check_splitter, steps::Steps, stores::Stores},
};

/// The findings of a check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The steps, in order.
    pub steps: Vec<CheckedStep>,
    /// Schema of the source's records.
    pub source_schema: String,
    /// Number of source objects.
    pub objects: u64,
    /// Total size of the source objects in bytes, as stored.
    pub bytes: u64,
    /// Number of shards that a run would have, if the names of objects say which of them are compressed; absent when a
    /// splitter decides it.
    pub shards: Option<u64>,
    /// The fields that were inferred, if the pipeline names none.
    pub inferred: Option<Found>,
}

/// A step that was checked.
#[derive(Debug, Clone)]
pub struct CheckedStep {
    /// Name of the step in messages, such as `map 2`.
    pub name: String,
    /// Path of the component file.
    pub plugin: String,
    /// SHA-256 digest of the component file.
    pub digest: String,
    /// Names of what the step is granted.
    pub grants: Vec<String>,
    /// Names of the plugin's imports that can be granted.
    pub grantable: Vec<&'static str>,
    /// Schema of the rows that the step emits; absent for a splitter.
    pub output: Option<String>,
}

/// Loads the plugins, chains their schemas, opens the stores and lists the source. Plugins are
/// compiled with `compiler`.
///
/// # Errors
/// The first problem that would keep the pipeline from running.
pub async fn check(pipeline: &Pipeline, compiler: Compiler) -> Result<Checked> {
    let engine = Engine::new(1, compiler)?;
    if pipeline.source.format.lacks_fields() {
        return check_inferred(pipeline, &engine).await;
    }
    let steps = load_steps(pipeline, &engine)?;
    let Stores { source, .. } = Stores::open(pipeline).await?;
    let objects = list_source(&pipeline.source, &*source).await?;
    if let Some((field, why)) = sample::lacking(&source, &objects, &pipeline.source.format).await? {
        return Err(pipeline.wrong_field(&field, &why));
    }
    checked(pipeline, &steps, &objects, None)
}

/// Checks a pipeline whose fields are inferred from its source, which is listed before the plugins are loaded.
async fn check_inferred(pipeline: &Pipeline, engine: &Engine) -> Result<Checked> {
    let Stores { source, .. } = Stores::open(pipeline).await?;
    let objects = list_source(&pipeline.source, &*source).await?;
    let (pipeline, found) = fields::infer(pipeline, &source, &objects).await?;
    let steps = load_steps(&pipeline, engine)?;
    checked(&pipeline, &steps, &objects, Some(found))
}

fn load_steps(pipeline: &Pipeline, engine: &Engine) -> Result<Steps> {
    let steps = Steps::load(pipeline, engine)?;
    Slots::new(pipeline)?;
    if let Some(splitter) = &steps.split {
        check_splitter(splitter, &steps.source)?;
    }
    Ok(steps)
}

fn checked(pipeline: &Pipeline, steps: &Steps, objects: &[Object], inferred: Option<Found>) -> Result<Checked> {
    let shards = match &pipeline.split {
        Split::BuiltIn { target_size } => Some(count_shards(objects, pipeline.source.format.cuts(), *target_size)?),
        Split::Plugin(_) => None,
    };
    Ok(Checked {
        steps: checked_steps(pipeline, steps),
        source_schema: steps.source.to_string(),
        objects: objects.len() as u64,
        bytes: objects.iter().map(|object| object.size).sum(),
        shards,
        inferred,
    })
}

/// Returns the source's objects, sorted by name.
///
/// # Errors
/// When the source does not exist, cannot be reached, or has no objects.
pub async fn list_source(settings: &PipelineSource, source: &dyn Source) -> Result<Vec<Object>> {
    let objects = source.list().await?;
    if objects.is_empty() {
        let location = &settings.location.written;
        let include = match settings.include.as_slice() {
            [] => String::new(),
            patterns => format!(" that match `include` {patterns:?}"),
        };
        return Err(Error::input(format!("source `{location}` has no objects{include}")));
    }
    Ok(objects)
}

/// Finds out which of the objects that a run would cut are compressed although their names do not say so. A splitter's
/// cuts are looked at as it makes them.
///
/// # Errors
/// When an object cannot be read, or has changed.
pub async fn look_at_cut_objects(pipeline: &Pipeline, source: &dyn Source, objects: &mut [Object]) -> Result<()> {
    match pipeline.split {
        Split::BuiltIn { target_size } => {
            look_at_cut(source, objects, pipeline.source.format.cuts(), target_size).await
        }
        Split::Plugin(_) => Ok(()),
    }
}

fn checked_steps(pipeline: &Pipeline, steps: &Steps) -> Vec<CheckedStep> {
    let maps = steps.mapped.iter().map(|schema| Some(schema.to_string()));
    let reduce = steps.reduce.iter().map(|_| Some(steps.output.to_string()));
    let outputs = steps.split.iter().map(|_| None).chain(maps).chain(reduce);
    let checked = |((step, plugin), output): ((&Step, &Plugin), Option<String>)| CheckedStep {
        name: step.plugin.name.clone(),
        plugin: step.plugin.path.display().to_string(),
        digest: plugin.digest().to_owned(),
        grants: step.plugin.grants.names(),
        grantable: plugin.grantable().to_vec(),
        output,
    };
    pipeline.steps().zip(steps.plugins()).zip(outputs).map(checked).collect()
}
