//! The instance of a splitter, its view of the source, and the shards it hands back.

use etl_core::model::{error::Result, schema::Schema};

use super::{
    bindings::exports::etl::plugin::splitter::Guest,
    instance::{Attempt, Instance, InstanceUsage},
    loaded::Plugin,
    source_view::{SourceView, Splitting},
    state::Phase,
};

/// An opened splitter.
pub struct Splitter {
    instance: Instance,
    guest: Guest,
}

impl Plugin {
    /// Creates an instance of a splitter and opens it. `records` is the schema of the source's records.
    ///
    /// # Errors
    /// The error that the plugin's `open` returned, or a description of how the call failed.
    pub fn split(&self, task: &Attempt, records: &Schema, view: Box<dyn SourceView>) -> Result<Splitter> {
        let splitting = Splitting::new(view, records.clone());
        let (mut instance, guest) = Instance::new(self, task, None, Some(splitting), |exports, store, instance| {
            exports.splitter()?.load(store, instance)
        })?;
        instance.with_context(task, records, |instance, context| {
            instance.call("open", Phase::Open, |store| guest.call_open(store, context))
        })?;
        Ok(Splitter { instance, guest })
    }
}

impl Splitter {
    /// Lets the splitter divide the source, and returns the resources it used. The shards go to its [`SourceView`].
    ///
    /// # Errors
    /// The error that the plugin returned, a description of how the call failed, or the view's error about a shard.
    pub fn run(mut self) -> Result<InstanceUsage> {
        self.instance.call("split", Phase::Split, |store| self.guest.call_split(store))?;
        Ok(self.instance.usage())
    }
}
