//! The chain of mappers of one attempt: what one emits is the next one's input, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::DataType;

use crate::{
    error::{Error, ErrorKind, Result, ResultExt},
    output::OutputWriter,
    plugin::{Emit, Mapper, Plugin, Task},
    reject::Reject,
    reject_log::RejectLog,
    schema::Schema,
    source::SourceBatch,
    steps::Steps,
};

/// Something an instance's output callback holds while its owner does too. Never contended: an attempt has one
/// thread.
pub type Shared<T> = Arc<Mutex<T>>;

/// Opened mappers, in order.
pub struct Chain {
    mappers: Vec<Shared<Mapper>>,
    first: String,
    rejects: Shared<RejectLog>,
}

impl Chain {
    /// Opens an instance of each mapper. What the last one emits goes to `output`, what any sets aside to `rejects`.
    ///
    /// # Errors
    /// What an `open` returned, or how it failed.
    pub fn open(
        steps: &Steps,
        task: &Task,
        output: &Shared<OutputWriter>,
        rejects: &Shared<RejectLog>,
    ) -> Result<Self> {
        let output = Arc::clone(output);
        let mut emit: Emit = Box::new(move |batch| lock(&output).write(batch));
        let mut mappers = Vec::new();
        for (index, plugin) in steps.maps.iter().enumerate().rev() {
            let input = if index == 0 { &steps.source } else { &steps.mapped[index - 1] };
            let mapper = plugin.map(task, input, emit)?;
            check_planned(plugin, mapper.schema(), &steps.mapped[index])?;
            let mapper = Arc::new(Mutex::new(mapper));
            emit = emit_to(&mapper, plugin.step(), rejects);
            mappers.push(mapper);
        }
        mappers.reverse();
        let first = steps.maps.first().map(|plugin| plugin.step().to_owned()).unwrap_or_default();
        Ok(Self { mappers, first, rejects: Arc::clone(rejects) })
    }

    /// Maps records of the source.
    ///
    /// # Errors
    /// What a plugin returned or how it failed, too many rejects, or what the output said.
    pub fn process_source(&mut self, batch: &SourceBatch) -> Result<()> {
        for reject in &batch.rejects {
            lock(&self.rejects).push(reject)?;
        }
        for (row, reason) in lock(&self.mappers[0]).process(&batch.batch)? {
            let origin = batch.origin(row as usize);
            let reject = Reject::new(&self.first, &reason).at(origin.object, origin.offset);
            lock(&self.rejects).push(&reject.with_record(origin.record))?;
        }
        Ok(())
    }

    /// Maps records the splitter made.
    ///
    /// # Errors
    /// As [`Chain::process_source`].
    pub fn process(&mut self, batch: &RecordBatch) -> Result<()> {
        process_rows(&self.mappers[0], batch, &self.first, &self.rejects)
    }

    /// Lets every mapper emit what is left, in order, and returns the sums of their counters.
    ///
    /// # Errors
    /// As [`Chain::process_source`].
    pub fn finish(self) -> Result<BTreeMap<String, i64>> {
        let mut counters = BTreeMap::new();
        for mapper in &self.mappers {
            for (name, delta) in lock(mapper).finish()? {
                let total: &mut i64 = counters.entry(name).or_default();
                *total = total.saturating_add(delta);
            }
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
fn emit_to(mapper: &Shared<Mapper>, step: &str, rejects: &Shared<RejectLog>) -> Emit {
    let (mapper, step, rejects) = (Arc::clone(mapper), step.to_owned(), Arc::clone(rejects));
    Box::new(move |batch| process_rows(&mapper, &batch, &step, &rejects))
}

fn process_rows(mapper: &Shared<Mapper>, batch: &RecordBatch, step: &str, rejects: &Shared<RejectLog>) -> Result<()> {
    let rejected = lock(mapper).process(batch)?;
    for (row, reason) in rejected {
        let record = record_of(&batch.slice(row as usize, 1))?;
        lock(rejects).push(&Reject::new(step, &reason).with_record(&record))?;
    }
    Ok(())
}

/// Returns what a reject keeps of a row that does not come straight from the source: the value of its only column, or
/// a JSON object.
pub fn record_of(row: &RecordBatch) -> Result<Vec<u8>> {
    let column = row.column(0);
    match column.data_type() {
        DataType::Binary if row.num_columns() == 1 && column.is_valid(0) => {
            Ok(column.as_binary::<i32>().value(0).to_vec())
        }
        DataType::Utf8 if row.num_columns() == 1 && column.is_valid(0) => {
            Ok(column.as_string::<i32>().value(0).as_bytes().to_vec())
        }
        _ => {
            let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
            let written = writer.write(row).and_then(|()| writer.finish());
            written.or_kind(ErrorKind::Internal, || "cannot write a rejected row as JSON")?;
            Ok(writer.into_inner().trim_ascii_end().to_vec())
        }
    }
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
