//! The laws: their names, what they say, and the kinds of steps they apply to.

use etl_plugin::Interface;

/// A law that steps of a kind should obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// The same input gives the same output.
    Deterministic,
    /// How rows are cut into batches makes no difference.
    Batches,
    /// How records are cut into shards makes no difference to what comes out in all.
    Shards,
    /// The order of the rows of a key makes no difference.
    Order,
    /// Combining rows first, once or twice, makes no difference to the output of the reducer.
    Combine,
    /// Every byte of the source is in a shard.
    Complete,
}

impl Law {
    /// Returns the name of the law.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deterministic => "deterministic",
            Self::Batches => "batches",
            Self::Shards => "shards",
            Self::Order => "order",
            Self::Combine => "combine",
            Self::Complete => "complete",
        }
    }

    /// Returns what the law says, as a clause.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::Deterministic => "the same input gives the same output",
            Self::Batches => "how rows are cut into batches makes no difference",
            Self::Shards => "how records are cut into shards makes no difference",
            Self::Order => "the order of the rows of a key makes no difference",
            Self::Combine => "combining first, once or twice, makes no difference",
            Self::Complete => "every byte of the source is in a shard",
        }
    }

    /// Returns the laws that apply to a kind of step.
    pub(crate) fn of(interface: Interface) -> &'static [Self] {
        match interface {
            Interface::Mapper => &[Self::Deterministic, Self::Batches, Self::Shards],
            Interface::Reducer => &[Self::Deterministic, Self::Batches, Self::Order, Self::Combine],
            Interface::Splitter => &[Self::Deterministic, Self::Complete],
        }
    }
}
