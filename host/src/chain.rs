//! The chain of mappers of one attempt: what one emits is the next one's input, in memory.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    error::{Error, ErrorKind, Result},
    event::add_counters,
    plugin::{Emit, Mapper, Plugin, Task},
    records::{Records, record_of},
    reject::Reject,
    schema::Schema,
    shared::Shared,
    steps::Steps,
};

/// Where the records go that a chain sets aside. An error ends the attempt.
pub type SetAside = Box<dyn FnMut(&Reject) -> Result<()> + Send>;

/// Opened mappers, in order.
pub struct Chain {
    mappers: Vec<Shared<Mapper>>,
    first: String,
    rejects: Shared<SetAside>,
    /// A reject that says where the batch is from that the first mapper was given last.
    given: Shared<Reject>,
}

impl Chain {
    /// Opens an instance of each mapper. What the last one emits goes to `emit`, what any sets aside to `rejects`.
    ///
    /// # Errors
    /// What an `open` returned, or how it failed.
    pub fn open(steps: &Steps, task: &Task, mut emit: Emit, rejects: SetAside) -> Result<Self> {
        let rejects = Shared::new(rejects);
        let given = Shared::new(Reject::new("", ""));
        let mut mappers = Vec::new();
        for (index, plugin) in steps.maps.iter().enumerate().rev() {
            let input = if index == 0 { &steps.source } else { &steps.mapped[index - 1] };
            let mapper = plugin.map(task, input, emit)?;
            check_planned(plugin, mapper.schema(), &steps.mapped[index])?;
            let mapper = Shared::new(mapper);
            emit = emit_to(&mapper, plugin.step(), &rejects, &given);
            mappers.push(mapper);
        }
        mappers.reverse();
        let first = steps.maps.first().map(|plugin| plugin.step().to_owned()).unwrap_or_default();
        Ok(Self { mappers, first, rejects, given })
    }

    /// Sets records aside.
    ///
    /// # Errors
    /// When there are too many, or they cannot be kept.
    pub fn set_aside(&mut self, rejects: &[Reject]) -> Result<()> {
        rejects.iter().try_for_each(|reject| (self.rejects.lock())(reject))
    }

    /// Maps some rows of a batch. None are no call.
    ///
    /// # Errors
    /// What a plugin returned or how it failed, too many rejects, or what the output said.
    pub fn process(&mut self, records: &Records, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.mappers.len() > 1 {
            *self.given.lock() = records.locate(rows.start, Reject::new("", "")).made_of_batch();
        }
        let rejected = self.mappers[0].lock().process(&records.rows().slice(rows.start, rows.len()))?;
        for (row, reason) in rejected {
            let reject = records.reject(rows.start + row as usize, &self.first, &reason)?;
            self.set_aside(&[reject])?;
        }
        Ok(())
    }

    /// Lets every mapper emit what is left, in order, and returns the sums of their counters.
    ///
    /// # Errors
    /// As [`Chain::process`].
    pub fn finish(&mut self) -> Result<BTreeMap<String, i64>> {
        let mut counters = BTreeMap::new();
        for mapper in &self.mappers {
            add_counters(&mut counters, &mapper.lock().finish()?);
        }
        Ok(counters)
    }
}

/// Checks that an instance emits what the plan was made for.
///
/// # Errors
/// [`ErrorKind::Plugin`], with both schemas.
pub fn check_planned(plugin: &Plugin, now: &Schema, then: &Schema) -> Result<()> {
    if now == then {
        return Ok(());
    }
    let what = format!(
        "{} returned another schema from `open` than when the run was planned (`{now}`, was `{then}`): it must depend \
         on the configuration and the input's schema only",
        plugin.name()
    );
    Err(Error::new(ErrorKind::Plugin, anyhow::anyhow!(what)))
}

/// Returns the output callback of the mapper before `mapper`.
fn emit_to(mapper: &Shared<Mapper>, step: &str, rejects: &Shared<SetAside>, given: &Shared<Reject>) -> Emit {
    let (mapper, step) = (mapper.clone(), step.to_owned());
    let (rejects, given) = (rejects.clone(), given.clone());
    Box::new(move |batch| {
        let rejected = mapper.lock().process(&batch)?;
        for (row, reason) in rejected {
            let record = record_of(&batch.slice(row as usize, 1))?;
            let reject = given.lock().clone().by(&step, &reason).with_record(&record);
            (rejects.lock())(&reject)?;
        }
        Ok(())
    })
}
