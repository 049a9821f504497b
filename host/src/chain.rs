//! The chain of mappers of one attempt: what one emits is the next one's input, in memory.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    error::{Error, ErrorKind, Result},
    event::add_counters,
    plugin::{Emit, Mapper, Plugin, Task},
    records::{Records, record_of},
    reject::Reject,
    schema::Schema,
    steps::Steps,
};

/// Something an instance's output callback holds while its owner does too. Never contended: an attempt has one
/// thread.
pub type Shared<T> = Arc<Mutex<T>>;

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
        let rejects = Arc::new(Mutex::new(rejects));
        let given = Arc::new(Mutex::new(Reject::new("", "")));
        let mut mappers = Vec::new();
        for (index, plugin) in steps.maps.iter().enumerate().rev() {
            let input = if index == 0 { &steps.source } else { &steps.mapped[index - 1] };
            let mapper = plugin.map(task, input, emit)?;
            check_planned(plugin, mapper.schema(), &steps.mapped[index])?;
            let mapper = Arc::new(Mutex::new(mapper));
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
        rejects.iter().try_for_each(|reject| (lock(&self.rejects))(reject))
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
            *lock(&self.given) = records.locate(rows.start, Reject::new("", "")).made_of_batch();
        }
        let rejected = lock(&self.mappers[0]).process(&records.rows().slice(rows.start, rows.len()))?;
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
            add_counters(&mut counters, &lock(mapper).finish()?);
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
    let (mapper, step) = (Arc::clone(mapper), step.to_owned());
    let (rejects, given) = (Arc::clone(rejects), Arc::clone(given));
    Box::new(move |batch| {
        let rejected = lock(&mapper).process(&batch)?;
        for (row, reason) in rejected {
            let record = record_of(&batch.slice(row as usize, 1))?;
            let reject = lock(&given).clone().by(&step, &reason).with_record(&record);
            (lock(&rejects))(&reject)?;
        }
        Ok(())
    })
}

/// Takes what is shared; a panic while it was held has ended the attempt already.
pub fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes what was shared back, when everyone else is done with it.
///
/// # Errors
/// [`ErrorKind::Internal`] when someone is not.
pub fn unshare<T>(shared: Shared<T>) -> Result<T> {
    let inner = Arc::into_inner(shared).ok_or_else(|| Error::internal("an attempt's output is still in use"))?;
    Ok(inner.into_inner().unwrap_or_else(PoisonError::into_inner))
}
