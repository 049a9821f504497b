//! The laws of splitters, which concern the shards that a splitter makes of a source.

use std::sync::Arc;

use etl_core::model::{
    error::{Error, Result},
    event::Events,
    ids::TaskId,
};
use etl_plugin::{DraftShard, Plugin};

use super::{Law, Verdict};
use crate::{
    connector::Source,
    workbench::trial::{self, SplitTrial},
};

use etl_format::SourceFormat;

/// Checks a law of splitters on a source of this format. Must be called on the async runtime.
///
/// # Errors
/// Returns the error of the source or the splitter, such as a slice that lies outside of its object or overlaps
/// another.
pub(crate) async fn check_splitter(
    plugin: &Arc<Plugin>,
    law: Law,
    format: &SourceFormat,
    source: &Arc<dyn Source>,
) -> Result<Verdict> {
    let split = || {
        let task = trial::task(TaskId(0), &Events::silent());
        trial::split(Arc::clone(plugin), task, format.clone(), Arc::clone(source))
    };
    match law {
        Law::Deterministic => Ok(deterministic(&split().await?.shards, &split().await?.shards)),
        Law::Complete => Ok(complete(&split().await?)),
        Law::Batches | Law::Shards | Law::Order | Law::Combine => {
            Err(Error::internal(format!("`{}` is not a law of splitters", law.name())))
        }
    }
}

fn deterministic(first: &[DraftShard], second: &[DraftShard]) -> Verdict {
    if first.len() != second.len() {
        return Verdict::BrokenBy(format!("{} shards the first time, {} the second", first.len(), second.len()));
    }
    let different = first.iter().zip(second).position(|(first, second)| first != second);
    different.map_or(Verdict::Holds, |number| {
        let [first, second] = [first, second].map(|shards| told(&shards[number]));
        Verdict::BrokenBy(format!("shard {number} is {first} the first time, {second} the second"))
    })
}

fn complete(split: &SplitTrial) -> Verdict {
    let made = split.shards.iter().position(|shard| matches!(shard, DraftShard::Records(_)));
    match (made, &split.left_out) {
        (Some(number), _) => Verdict::NotApplicable(format!("the splitter makes the records of shard {number} itself")),
        (None, Some(left_out)) => Verdict::BrokenBy(left_out.clone()),
        (None, None) => Verdict::Holds,
    }
}

/// Describes a shard in a few words.
fn told(shard: &DraftShard) -> String {
    match shard {
        DraftShard::Records(batch) => format!("{} records", batch.num_rows()),
        DraftShard::Slices(slices) => match slices.as_slice() {
            [] => "empty".to_owned(),
            [slice] => format!("`{}` at {} of {} bytes", slice.object, slice.offset, slice.length),
            [slice, ..] => {
                format!(
                    "`{}` at {} of {} bytes and {} more slices",
                    slice.object,
                    slice.offset,
                    slice.length,
                    slices.len() - 1
                )
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::object::Slice;

    fn shard(slices: &[(&str, u64, u64)]) -> DraftShard {
        let slice = |(object, offset, length): &(&str, u64, u64)| Slice {
            object: (*object).to_owned(),
            offset: *offset,
            length: *length,
        };
        DraftShard::Slices(slices.iter().map(slice).collect())
    }

    #[test]
    fn the_first_shard_that_differs_is_named() {
        let (one, other) =
            ([shard(&[("a", 0, 4)]), shard(&[("a", 4, 6)])], [shard(&[("a", 0, 4)]), shard(&[("a", 4, 5)])]);
        assert!(matches!(deterministic(&one, &one), Verdict::Holds));
        let Verdict::BrokenBy(why) = deterministic(&one, &other) else { panic!("it holds") };
        assert_eq!(why, "shard 1 is `a` at 4 of 6 bytes the first time, `a` at 4 of 5 bytes the second");
        let Verdict::BrokenBy(why) = deterministic(&one, &other[..1]) else { panic!("it holds") };
        assert_eq!(why, "2 shards the first time, 1 the second");
    }
}
