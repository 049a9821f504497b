//! Laws: promises about the output of a step, such as that batch sizes do not change it, checked on a sample.
//!
//! Owns which laws there are, how each is checked, and how the smallest sample that breaks a law is found.
//! [`crate::workbench::trial`] runs the steps. Called by `etl-host laws`.

mod law;
mod outcome;
mod shrink;
mod split;
mod ways;

use std::{path::PathBuf, sync::Arc};

pub(crate) use self::{law::Law, outcome::StepOutcome, split::check_splitter};
use self::{
    shrink::shrink,
    ways::{map_ways, reduce_ways},
};
use etl_core::{
    model::error::{Error, ErrorKind, Result},
    text::nearest::listed,
};
use etl_plugin::{Interface, Plugin};

use crate::{task::steps::combined_schema, workbench::trial::Sample};

/// A step whose laws are checked.
pub(crate) struct Subject {
    /// The step's plugin.
    pub plugin: Arc<Plugin>,
    /// The kind of step that the plugin implements.
    pub interface: Interface,
    /// The reducer that takes what a mapper emits, if outcomes are to be compared after it.
    pub reducer: Option<Plugin>,
    /// Directory for rows that do not fit into memory.
    pub scratch: PathBuf,
}

/// The result of checking a law.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Every way of running the step gave the same outcome.
    Holds,
    /// The rows that the mapper emits differ, but the reducer's output does not.
    HoldsReduced,
    /// The law does not apply to the step, for this reason.
    NotApplicable(String),
    /// Two ways of running the step gave different outcomes.
    Broken(Box<Counterexample>),
    /// The law is broken in this way, which no sample of records shows.
    BrokenBy(String),
}

/// The smallest sample found that breaks a law.
#[derive(Debug, Clone)]
pub(crate) struct Counterexample {
    /// The records of the sample.
    pub sample: Sample,
    /// The two ways of running the step that differ on it.
    pub difference: Difference,
}

/// Two ways to run a step on one sample that give different outcomes.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// The two ways, in words: ``as one shard``, ``as 2 shards``.
    pub ways: [String; 2],
    /// The outcome of each way.
    pub outcomes: [StepOutcome; 2],
}

/// Checks a law on a sample. If the law is broken, looks for the smallest sample that breaks it.
///
/// # Errors
/// Returns the error of the step when it fails on the sample as it is.
pub(crate) fn check(subject: &Subject, law: Law, sample: &Sample) -> Result<Verdict> {
    if let Some(why) = not_applicable(subject, law, sample)? {
        return Ok(Verdict::NotApplicable(why));
    }
    let Some(mut difference) = try_out(subject, law, sample, false)? else { return Ok(Verdict::Holds) };
    let reduced = subject.reducer.is_some();
    if reduced {
        match try_out(subject, law, sample, true)? {
            Some(after) => difference = after,
            None => return Ok(Verdict::HoldsReduced),
        }
    }
    // A smaller sample may make the step fail although the whole does not; that is no difference, so ignore it.
    let differs = |sample: &Sample| try_out(subject, law, sample, reduced).ok().flatten();
    let smallest = shrink(sample, |sample| differs(sample).is_some())?;
    let difference = differs(&smallest).unwrap_or(difference);
    Ok(Verdict::Broken(Box::new(Counterexample { sample: smallest, difference })))
}

fn not_applicable(subject: &Subject, law: Law, sample: &Sample) -> Result<Option<String>> {
    if law != Law::Combine {
        return Ok(None);
    }
    let emitted = combined_schema(&subject.plugin, &sample.schema)?;
    Ok((emitted != sample.schema)
        .then(|| format!("the reducer is not a combiner: it is given `{}` and emits `{emitted}`", sample.schema)))
}

/// Runs the step in a first way and then in every other way that must make no difference under the law. Returns the
/// first difference. With `reduced`, the reducer's outputs are compared.
fn try_out(subject: &Subject, law: Law, sample: &Sample, reduced: bool) -> Result<Option<Difference>> {
    let (first, ways) = match subject.interface {
        Interface::Mapper => map_ways(subject, law, sample, reduced),
        _ => reduce_ways(subject, law, sample)?,
    };
    let expected = first.run()?;
    for way in ways {
        let outcome = way.run().unwrap_or_else(|error| StepOutcome::failed(&error));
        if !expected.equals(&outcome, law == Law::Deterministic) {
            return Ok(Some(Difference { ways: [first.name, way.name], outcomes: [expected, outcome] }));
        }
    }
    Ok(None)
}

/// Checks that none of the `tried` laws is broken.
///
/// # Errors
/// [`ErrorKind::Plugin`], naming the broken laws, when there are some.
pub(crate) fn sum_up(broken: &[Law], tried: usize) -> Result<()> {
    if broken.is_empty() {
        return Ok(());
    }
    let names = listed(broken.iter().map(|law| law.name()));
    let what = anyhow::anyhow!("{} of {tried} laws are broken: {names}", broken.len());
    Err(Error::new(ErrorKind::Plugin, what))
}
