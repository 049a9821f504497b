//! The fields of a source whose pipeline names none: those of an earlier plan, or those of a sample.
//!
//! Owns where they are taken from. Fields are inferred when a run is planned, and its plan keeps them, so whatever goes
//! on with the run has the same.

use std::sync::Arc;

use etl_core::{
    model::{
        error::Result,
        event::Event,
        ids::check_run_id,
        object::{Object, digest},
    },
    text::numbers::counted,
};
use etl_format::Inferred;

use crate::{
    connector::{Source, sample},
    history::{redrives, unfinished},
    pipeline::{Pipeline, field_line},
    run::{Start, check::list_source},
    run_store::{
        layout::RunLayout,
        plan::{Plan, Planned},
    },
    task::stores::Stores,
};

/// Fields that the pipeline does not name.
#[derive(Debug, Clone)]
pub struct Found {
    /// The fields, as `pipeline.toml` would have them: `fields = { city = "text" }`.
    pub fields: String,
    /// What they are from, in words.
    pub from: String,
}

impl Found {
    fn new(pipeline: &Pipeline, from: String) -> Self {
        let wanted = pipeline.source.format.reading().fields.wanted();
        let fields: Vec<String> = wanted.iter().map(field_line).collect();
        Self { fields: format!("fields = {{ {} }}", fields.join(", ")), from }
    }

    /// Returns the event that says so.
    pub(super) fn event(&self) -> Event {
        Event::FieldsInferred { fields: self.fields.clone(), from: self.from.clone() }
    }
}

/// Returns the pipeline with the fields of its source, and how they were found unless it names them. If a run is to be
/// gone on with or redriven, they are those of its plan.
///
/// # Errors
/// When the fields cannot be inferred; when a store fails.
pub(super) async fn of_start(pipeline: &Pipeline, stores: &Stores, start: &Start) -> Result<(Pipeline, Option<Found>)> {
    if !pipeline.source.format.lacks_fields() {
        return Ok((pipeline.clone(), None));
    }
    if let Some(plan) = plan_of(pipeline, stores, start).await?
        && let Some(planned) = &plan.fields
    {
        let pipeline = pipeline.with_fields(&planned.fields, true)?;
        let found = Found::new(&pipeline, "the first records when it was planned".to_owned());
        return Ok((pipeline, Some(found)));
    }
    let objects = list_source(&pipeline.source, &*stores.source).await?;
    let (pipeline, found) = infer(pipeline, &stores.source, &objects).await?;
    Ok((pipeline, Some(found)))
}

/// Returns the pipeline with the fields of a sample of its source.
///
/// # Errors
/// When the fields cannot be inferred, or are not valid; when an object cannot be read.
pub async fn infer(pipeline: &Pipeline, source: &Arc<dyn Source>, objects: &[Object]) -> Result<(Pipeline, Found)> {
    let inferred = sample::infer(source, objects, &pipeline.source.format).await?;
    let pipeline = pipeline.with_inferred(&inferred)?;
    let found = Found::new(&pipeline, extent(&inferred));
    Ok((pipeline, found))
}

/// Returns what fields were inferred from, in words: `the first 10,000 records of 3 objects`.
pub fn extent(inferred: &Inferred) -> String {
    let first = if inferred.has_more { "the first " } else { "" };
    if inferred.records == 0 {
        return format!("the schema of {first}{}", counted(inferred.objects, "object"));
    }
    format!("{first}{} of {}", counted(inferred.records, "record"), counted(inferred.objects, "object"))
}

/// Returns the plan of the run that is gone on with or redriven, if there is one.
async fn plan_of(pipeline: &Pipeline, stores: &Stores, start: &Start) -> Result<Option<Arc<Plan>>> {
    let (run_store, name) = (&stores.run_store, &pipeline.name);
    Ok(match start {
        Start::Default | Start::New => None,
        Start::Id(run_id) => {
            check_run_id(run_id)?;
            Planned::load(run_store, &RunLayout::new(name, run_id)).await?.map(|planned| planned.plan)
        }
        Start::Resume => {
            // If no run of these objects is unfinished, a new one is planned.
            let listing = digest(&list_source(&pipeline.source, &*stores.source).await?);
            let unfinished = unfinished::unfinished(run_store, name, usize::MAX).await?;
            unfinished.into_iter().find(|run| run.plan.listing == listing).map(|run| Arc::new(run.plan))
        }
        Start::Redrive(run_id) => Some(redrives::base(run_store, name, run_id.as_deref()).await?.1.plan),
    })
}
