//! Whether a run is still the one that this process planned or joined, and whether its result is this run's to write.
//!
//! A run can be deleted and planned again while a process works on it, and two pipelines can write to one sink. So a
//! process compares, before it writes what others read: the plan that the run has now, and the claim on the result.
//! Called by the run once it has its plan, and before each step of its end.

use etl_core::model::error::{Error, Result};
use xxhash_rust::xxh3::xxh3_128;

use super::Run;
use crate::{
    connector::{Claim, Sink},
    run_store::plan::{Planned, SinkMark, read_id},
};

impl Run {
    /// Claims the result of the run for its plan, before anything is written there.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when the run has another sink, or the result
    /// belongs to another pipeline or plan; when the sink fails.
    pub(super) async fn claim(&self, planned: &Planned) -> Result<()> {
        let (result, ours) = (&self.context.layouts.result, self.our_claim(planned));
        self.check_sink(planned).await?;
        let holder = result.claim(&ours).await?;
        if holder == ours { Ok(()) } else { Err(self.belongs_to(&holder)) }
    }

    /// Checks that the run has the sink of this pipeline. A directory that was moved, with the claim in it, is still
    /// the run's.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming both sinks.
    pub(super) async fn check_sink(&self, planned: &Planned) -> Result<()> {
        let (then, now) = (&planned.plan.sink, mark(&*self.context.stores.sink));
        if then.mark == now.mark || self.context.layouts.result.claimed().await? == Some(self.our_claim(planned)) {
            return Ok(());
        }
        Err(Error::config(format!(
            "run `{}` was planned to write its result to sink `{}`, and this pipeline's sink `{}` is another place: use \
             the same sink, or start another run (`--new`)",
            self.context.id.run_id, then.name, now.name
        )))
    }

    /// Checks that nobody has claimed the result of a run that has no plan yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config), naming who has.
    pub(super) async fn check_unclaimed(&self) -> Result<()> {
        match self.context.layouts.result.claimed().await? {
            Some(holder) => Err(self.belongs_to(&holder)),
            None => Ok(()),
        }
    }

    /// Checks that the plan this process follows is still the run's, and that the result is still claimed for it.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`](etl_core::model::error::ErrorKind::Changed), saying what happened.
    pub(super) async fn check_ours(&self, planned: &Planned) -> Result<()> {
        let (context, run_id) = (&self.context, &self.context.id.run_id);
        let now = match read_id(&context.stores.run_store, &context.layouts.run).await? {
            Some(now) if now == planned.plan.id => {
                return match context.layouts.result.claimed().await? {
                    Some(holder) if holder == self.our_claim(planned) => Ok(()),
                    Some(holder) => Err(Error::changed(self.belongs_to(&holder))),
                    None => Err(Error::changed(format!(
                        "the result of run `{run_id}` was deleted while the run was under way: start another run (`--new`)"
                    ))),
                };
            }
            now => now,
        };
        Err(Error::changed(match now {
            None => format!("run `{run_id}` was deleted while it was under way: start another run (`--new`)"),
            Some(now) => format!(
                "run `{run_id}` was deleted and planned again while this process worked on it (its plan was {}, is \
                 {now}): this process publishes nothing",
                planned.plan.id
            ),
        }))
    }

    /// Returns the mark of this pipeline's sink.
    pub(super) fn sink_mark(&self) -> SinkMark {
        mark(&*self.context.stores.sink)
    }

    fn our_claim(&self, planned: &Planned) -> Claim {
        Claim { pipeline: self.context.pipeline.name.clone(), plan: planned.plan.id.clone() }
    }

    fn belongs_to(&self, Claim { pipeline, plan }: &Claim) -> Error {
        let (result, run_id) = (self.context.layouts.result.location(), &self.context.id.run_id);
        let whose = if *pipeline == self.context.pipeline.name {
            format!("plan {plan} of the run, which its run store does not have (any more)")
        } else {
            format!("pipeline `{pipeline}`")
        };
        Error::config(format!(
            "`{result}` belongs to {whose}, so this run cannot write there: use another `--run-id` than `{run_id}` or \
             another sink, or delete `{result}`"
        ))
    }
}

fn mark(sink: &dyn Sink) -> SinkMark {
    let place = sink.place().trim_end_matches('/');
    SinkMark { name: sink.name().to_owned(), mark: format!("{:032x}", xxh3_128(place.as_bytes())) }
}
