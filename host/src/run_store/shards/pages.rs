//! Pages: how shards are written to them and read back.

use std::{collections::VecDeque, mem, ops::Range, sync::Arc};

use etl_core::{
    model::{
        error::{Error, Result},
        ids::{ShardId, TaskId},
        object::Object,
    },
    runtime::fail_point,
};
use etl_store::Store;
use tokio::sync::Mutex;

use super::{Shard, ShardPage, ShardTable, table::LITTLE_BYTES};
use crate::run_store::{
    document::{seal, unseal},
    layout::PlanLayout,
};

/// The most shards that a page holds.
const PAGE_SHARDS: usize = 1024;

/// A page that holds this many slices takes no more shards.
const PAGE_SLICES: usize = 8192;

/// Number of pages that are kept in memory for the tasks that follow.
const PAGES_KEPT: usize = 16;

/// Writes the shards of a plan, in order.
pub struct ShardWriter {
    store: Store,
    layout: PlanLayout,
    table: ShardTable,
    page: ShardPage,
    slices: usize,
}

impl ShardWriter {
    /// Creates a writer of the pages of a plan.
    pub fn new(store: &Store, layout: PlanLayout) -> Self {
        let (table, page) = (ShardTable::default(), ShardPage::default());
        Self { store: store.clone(), layout, table, page, slices: 0 }
    }

    /// Returns the number of shards so far, which is the number of the next one.
    pub fn count(&self) -> u32 {
        self.table.shards()
    }

    /// Adds a shard, and the objects that its slices are of. Call this only on a thread that may block.
    ///
    /// # Errors
    /// When the store fails.
    pub fn push(&mut self, shard: Shard, objects: impl IntoIterator<Item = Object>) -> Result<()> {
        if self.page.shards.len() >= PAGE_SHARDS || self.slices >= PAGE_SLICES {
            self.write_page()?;
        }
        if self.page.shards.is_empty() {
            self.table.begin_page();
        }
        self.table.add(work(&shard));
        self.slices += shard.slices().len();
        for object in objects {
            // Slices of one object mostly follow each other, so comparing with the last object drops most duplicates.
            if self.page.objects.last() != Some(&object) {
                self.page.objects.push(object);
            }
        }
        self.page.shards.push(shard);
        Ok(())
    }

    /// Writes the last page, and returns the table of all shards.
    ///
    /// # Errors
    /// When the store fails.
    pub fn finish(mut self) -> Result<ShardTable> {
        if !self.page.shards.is_empty() {
            self.write_page()?;
        }
        Ok(self.table)
    }

    fn write_page(&mut self) -> Result<()> {
        let mut page = mem::take(&mut self.page);
        self.slices = 0;
        page.objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        page.objects.dedup();
        let key = self.layout.shard_page(self.table.pages() - 1);
        self.store.wait(self.store.put(&key, seal(&page)?))?;
        fail_point::reach("plan.page");
        Ok(())
    }
}

/// Returns the work that a shard is counted with: its bytes to read, or more if the splitter made its records. Such
/// records may make a plugin do any amount of work, so a shard of them never counts as small.
fn work(shard: &Shard) -> u64 {
    match shard {
        Shard::Slices(_) => shard.bytes(),
        Shard::Records { bytes, .. } => LITTLE_BYTES.saturating_add(*bytes),
    }
}

/// Reads the shards of a plan.
pub struct ShardReader {
    store: Store,
    layout: PlanLayout,
    table: ShardTable,
    /// The pages read last. Locked while a page is read, because the tasks that wait mostly want the same page.
    kept: Mutex<VecDeque<(usize, Arc<ShardPage>)>>,
}

impl ShardReader {
    /// Creates a reader of the pages of a plan.
    pub fn new(store: &Store, layout: PlanLayout, table: ShardTable) -> Self {
        Self { store: store.clone(), layout, table, kept: Mutex::default() }
    }

    /// Returns the shards of a task.
    ///
    /// # Errors
    /// When the store fails, or a page is gone or damaged.
    pub async fn of_task(&self, task: TaskId) -> Result<TaskShards> {
        self.read(self.table.of_task(task)).await
    }

    /// Returns a single shard.
    ///
    /// # Errors
    /// As [`ShardReader::of_task`].
    pub async fn shard(&self, shard: ShardId) -> Result<TaskShards> {
        self.read(shard.0..shard.0 + 1).await
    }

    async fn read(&self, mut shards: Range<u32>) -> Result<TaskShards> {
        let mut pieces = Vec::new();
        while !shards.is_empty() {
            let number = self.table.page_of(shards.start);
            let of_page = self.table.of_page(number);
            let piece = shards.start..shards.end.min(of_page.end);
            shards.start = piece.end;
            let places = (piece.start - of_page.start) as usize..(piece.end - of_page.start) as usize;
            pieces.push((piece.start, self.page(number).await?, places));
        }
        Ok(TaskShards { pieces })
    }

    async fn page(&self, number: usize) -> Result<Arc<ShardPage>> {
        let mut kept = self.kept.lock().await;
        if let Some((_, page)) = kept.iter().find(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(page));
        }
        let page = Arc::new(self.read_page(number).await?);
        kept.truncate(PAGES_KEPT - 1);
        kept.push_front((number, Arc::clone(&page)));
        Ok(page)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When the store fails, or the page is gone or damaged.
    pub async fn read_page(&self, number: usize) -> Result<ShardPage> {
        let key = self.layout.shard_page(number);
        let gone = || Error::changed(format!("`{key}` is gone from the run store"));
        let page: ShardPage = unseal(&key, &self.store.get(&key).await?.ok_or_else(gone)?)?;
        let shards = self.table.of_page(number);
        if page.shards.len() != shards.len() {
            return Err(Error::changed(format!(
                "`{key}` in the run store has {} shards, not {}",
                page.shards.len(),
                shards.len()
            )));
        }
        Ok(page)
    }
}

/// The shards of one task.
pub struct TaskShards {
    /// For each piece, the number of its first shard, the page that holds it, and its range in the page.
    pieces: Vec<(u32, Arc<ShardPage>, Range<usize>)>,
}

impl TaskShards {
    /// Returns the shards in order: the number, the shard, and the objects of its page, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, &Shard, &[Object])> {
        self.pieces.iter().flat_map(|(first, page, places)| {
            let shards = page.shards[places.clone()].iter();
            (*first..).zip(shards).map(|(number, shard)| (ShardId(number), shard, page.objects.as_slice()))
        })
    }

    /// Adds the shard in which an error came up, if the task has several shards.
    pub fn name(&self, shard: ShardId, error: Error) -> Error {
        let alone = self.iter().nth(1).is_none();
        if alone { error } else { error.in_shard(shard) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use etl_core::{
        model::{
            ids::{AttemptId, PlanId, Try},
            object::{Compression, Slice},
        },
        runtime::threads,
    };
    use etl_store::testing::counting::{Requests, counting};

    use crate::run_store::layout::RunLayout;

    /// Writes a plan of `shards` shards of `objects` objects each, and returns a reader of it.
    async fn written(shards: u32, objects: u32) -> (ShardReader, Arc<Requests>) {
        let (store, requests) = counting();
        let layout = RunLayout::new("p", "r").of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "a")));
        let mut writer = ShardWriter::new(&store, layout.clone());
        let write = move || {
            for shard in 0..shards {
                let objects: Vec<Object> = (0..objects).map(|number| object(shard, number)).collect();
                writer.push(Shard::Slices(objects.iter().map(slice).collect()), objects).expect("writes");
            }
            writer.finish().expect("writes")
        };
        let table = threads::run(write).await.expect("no panic");
        (ShardReader::new(&store, layout, table), requests)
    }

    fn object(shard: u32, number: u32) -> Object {
        Object { name: format!("{shard:07}-{number}"), size: 5, e_tag: None, compression: Compression::None }
    }

    fn slice(object: &Object) -> Slice {
        Slice { object: object.name.clone(), offset: 0, length: object.size }
    }

    /// Reads the tasks in this order, checks their contents, and returns the numbers of their shards.
    async fn check(reader: &ShardReader, tasks: impl IntoIterator<Item = TaskId>, objects: u32) -> Vec<ShardId> {
        let mut seen = Vec::new();
        for task in tasks {
            let shards = reader.of_task(task).await.expect("reads");
            for (number, shard, of_page) in shards.iter() {
                let expected: Vec<Object> = (0..objects).map(|index| object(number.0, index)).collect();
                assert_eq!(shard, &Shard::Slices(expected.iter().map(slice).collect()));
                assert!(
                    expected.iter().all(|object| etl_core::model::object::find(of_page, &object.name) == Some(object))
                );
                seen.push(number);
            }
        }
        seen
    }

    #[tokio::test]
    async fn shards_read_back_in_tasks_and_a_page_is_read_once_for_all_its_tasks() {
        for (shards, objects) in [(0, 1), (1, 1), (1024, 1), (5000, 2), (20_001, 1), (30, 9000)] {
            let (reader, requests) = written(shards, objects).await;
            let pages = reader.table.pages();
            assert_eq!(requests.puts.load(SeqCst), pages);
            assert!(pages >= (shards * objects) as usize / (PAGE_SLICES + 9000), "{shards} shards on {pages} pages");
            let mut tasks = reader.table.longest_first();
            tasks.sort_unstable();
            assert_eq!(check(&reader, tasks, objects).await, (0..shards).map(ShardId).collect::<Vec<_>>());
            assert_eq!(requests.gets.load(SeqCst), pages);
        }
    }

    #[tokio::test]
    async fn a_page_that_is_gone_or_another_is_named() {
        let (reader, _) = written(2000, 1).await;
        let key = reader.layout.shard_page(1);
        reader.store.put(&key, seal(&ShardPage::default()).expect("is JSON")).await.expect("writes");
        let other = reader.of_task(TaskId(1999)).await.map(drop).expect_err("another page").to_string();
        assert_eq!(other, format!("`{key}` in the run store has 0 shards, not 976"));
        reader.store.delete(&key).await.expect("deletes");
        let gone = reader.of_task(TaskId(1999)).await.map(drop).expect_err("no page").to_string();
        assert_eq!(gone, format!("`{key}` is gone from the run store"));
    }
}
