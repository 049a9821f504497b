//! The plan: what a run will do, frozen before it starts, so that it can be taken up again.
//!
//! Owns `plan.json` and the pages of shards. The plan is created once; a process that comes later, or loses the race
//! to create it, works by the plan that is there. Whether it may is [`crate::resume`]'s.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    event::unix_ms,
    json::{from_json, to_json},
    layout::{AttemptId, RunLayout},
    source::{Object, Slice, digest, find},
    store::{Created, Store},
};

/// The version of `plan.json`'s shape.
const FORMAT: u32 = 1;

/// How many shards a page holds.
const PAGE_SHARDS: usize = 1000;

/// What a run will do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this document's shape.
    pub format: u32,
    /// The version of the host that made it.
    pub host: String,
    /// When it was made, in milliseconds since the Unix epoch: what plugins take for the time.
    pub planned_at_ms: u64,
    /// `pipeline.toml`, with `--set` applied and `${NAME}` left in place.
    pub pipeline: serde_json::Value,
    /// What decides the result, besides the source's objects.
    pub recipe: Recipe,
    /// The digest of the source's listing.
    pub listing: String,
    /// Source objects.
    pub objects: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
    /// Shards.
    pub shards: u64,
    /// The attempt at the plan whose pages hold the shards.
    pub attempt: AttemptId,
}

/// What decides the bytes of a result, besides the source's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The keys of `pipeline.toml` that do, by name: [`crate::pipeline::Pipeline::deciding`].
    pub keys: BTreeMap<String, serde_json::Value>,
    /// The steps and their plugins, in order.
    pub steps: Vec<PlannedStep>,
    /// What the source's records look like.
    pub records: String,
}

/// A step as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What messages call it: `map 2`.
    pub step: String,
    /// Its plugin's SHA-256 digest.
    pub digest: String,
}

/// The unit of map work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shard {
    /// Slices of source objects, in order.
    Slices(Vec<Slice>),
    /// Records the splitter made.
    Records {
        /// The key of the Arrow IPC file that holds them, below the run store.
        key: String,
        /// How many.
        rows: u64,
    },
}

/// Some shards, and the source objects they are slices of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPage {
    /// Sorted by name.
    pub objects: Vec<Object>,
    /// In order.
    pub shards: Vec<Shard>,
}

/// A plan and its shards.
#[derive(Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    pages: Arc<Vec<ShardPage>>,
}

impl Planned {
    /// Returns a shard, and the objects its slices are of.
    pub fn shard(&self, shard: u32) -> (&Shard, &[Object]) {
        let page = &self.pages[shard as usize / PAGE_SHARDS];
        (&page.shards[shard as usize % PAGE_SHARDS], &page.objects)
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> u32 {
        // `freeze` and `load` have checked it.
        u32::try_from(self.plan.shards).expect("fewer than 2^32 shards")
    }

    /// Reads the plan of a run, if it has one.
    ///
    /// # Errors
    /// When the store fails, or the plan is damaged or of a later version.
    pub async fn load(store: &Store, layout: &RunLayout) -> Result<Option<Self>> {
        let Some(bytes) = store.get(&layout.plan()).await? else { return Ok(None) };
        Self::read(store, layout, &bytes).await.map(Some)
    }

    async fn read(store: &Store, layout: &RunLayout, plan: &[u8]) -> Result<Self> {
        let plan: Plan = from_json(&layout.plan(), plan)?;
        if plan.format != FORMAT {
            let (found, host) = (plan.format, &plan.host);
            return Err(Error::config(format!(
                "the run was planned by etl-host {host} in format {found}, but this version reads format {FORMAT}: \
                 resume it with that version, or start another run"
            )));
        }
        let mut pages = Vec::new();
        for page in 0..usize::try_from(plan.shards).unwrap_or(usize::MAX).div_ceil(PAGE_SHARDS) {
            let key = layout.shard_page(&plan.attempt, page);
            let bytes =
                store.get(&key).await?.ok_or_else(|| Error::input(format!("`{key}` is gone from the run store")))?;
            pages.push(from_json(&key, &bytes)?);
        }
        Ok(Self { plan, pages: Arc::new(pages) })
    }

    /// Writes the shards, then creates the plan. Returns the plan that counts: this one, or that of another process.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn freeze(store: &Store, layout: &RunLayout, draft: Draft) -> Result<Self> {
        let Draft { pipeline, recipe, objects, shards, attempt } = draft;
        let plan = Plan {
            format: FORMAT,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            planned_at_ms: unix_ms(),
            pipeline,
            recipe,
            listing: digest(&objects),
            objects: objects.len() as u64,
            bytes: objects.iter().map(|object| object.size).sum(),
            shards: shards.len() as u64,
            attempt,
        };
        let pages: Vec<ShardPage> = shards.chunks(PAGE_SHARDS).map(|shards| page(&objects, shards)).collect();
        for (number, page) in pages.iter().enumerate() {
            store.put(&layout.shard_page(&plan.attempt, number), to_json(page)?).await?;
        }
        match store.create(&layout.plan(), to_json(&plan)?).await? {
            Created::Won => Ok(Self { plan, pages: Arc::new(pages) }),
            Created::Lost(winner) => Self::read(store, layout, &winner).await,
        }
    }

    /// Returns the objects that the shards are slices of; one may come twice.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.pages.iter().flat_map(|page| &page.objects)
    }
}

/// What a plan is made of.
pub struct Draft {
    /// `pipeline.toml` as planned.
    pub pipeline: serde_json::Value,
    /// What decides the result, besides the source's objects.
    pub recipe: Recipe,
    /// The source's objects, sorted by name.
    pub objects: Vec<Object>,
    /// The shards, in order.
    pub shards: Vec<Shard>,
    /// This attempt at the plan.
    pub attempt: AttemptId,
}

fn page(objects: &[Object], shards: &[Shard]) -> ShardPage {
    let slices = shards.iter().flat_map(|shard| match shard {
        Shard::Slices(slices) => slices.as_slice(),
        Shard::Records { .. } => &[],
    });
    let mut objects: Vec<Object> = slices.filter_map(|slice| find(objects, &slice.object)).cloned().collect();
    objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    objects.dedup();
    ShardPage { objects, shards: shards.to_vec() }
}
