//! The other processes that work on the run, as far as this one has to know: which of them are still at work.
//!
//! A process is at work while its heartbeat goes on. No clock of another machine is believed: what counts is how long,
//! by the clock of this process, a heartbeat has not changed. A process of the same machine is looked up there, so that
//! nobody waits for one that was killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use etl_core::model::{error::Result, event::Stage, ids::TaskId, shared::Shared};
use etl_store::Store;
use tokio::time::Instant;

use crate::run_store::{
    beats::{self, Beat},
    layout::RunLayout,
};

/// A heartbeat that has not changed for this many beats has stopped.
const BEATS_MISSED: u32 = 3;

/// A heartbeat that has changed as often as this since a task was claimed names the task, if the process works at it.
const BEATS_TO_NAME: u32 = 2;

/// The other processes that work on a run.
#[derive(Debug)]
pub(super) struct Colleagues {
    store: Store,
    layout: RunLayout,
    /// Time between two beats.
    every: Duration,
    seen: Shared<BTreeMap<String, Seen>>,
}

/// What was seen of a process.
#[derive(Debug)]
struct Seen {
    e_tag: Option<String>,
    beat: Beat,
    changed_at: Instant,
    changes: u32,
}

impl Colleagues {
    /// Creates the colleagues of a process, of which none has been seen.
    pub(super) fn new(store: &Store, layout: &RunLayout, every: Duration) -> Self {
        Self { store: store.clone(), layout: layout.clone(), every, seen: Shared::new(BTreeMap::new()) }
    }

    /// Looks at the heartbeats of these processes. Lists all beats once, and reads those that have changed.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn look(&self, processes: &BTreeSet<String>) -> Result<()> {
        if processes.is_empty() {
            return Ok(());
        }
        let listed = beats::list(&self.store, &self.layout).await?;
        let there: BTreeSet<&str> = listed.iter().filter_map(|found| self.layout.parse_process(&found.key)).collect();
        self.seen.lock().retain(|process, _| there.contains(process.as_str()));
        for found in &listed {
            let process = self.layout.parse_process(&found.key).filter(|process| processes.contains(*process));
            let Some(process) = process.filter(|process| !self.is_known(process, found.e_tag.as_deref())) else {
                continue;
            };
            if let Some(beat) = beats::read(&self.store, &found.key).await? {
                self.saw(process, found.e_tag.clone(), beat);
            }
        }
        Ok(())
    }

    fn is_known(&self, process: &str, e_tag: Option<&str>) -> bool {
        e_tag.is_some() && self.seen.lock().get(process).is_some_and(|seen| seen.e_tag.as_deref() == e_tag)
    }

    fn saw(&self, process: &str, e_tag: Option<String>, beat: Beat) {
        let (mut seen, now) = (self.seen.lock(), Instant::now());
        match seen.get_mut(process) {
            None => _ = seen.insert(process.to_owned(), Seen { e_tag, beat, changed_at: now, changes: 0 }),
            Some(seen) if seen.beat.number == beat.number => seen.e_tag = e_tag,
            Some(seen) => *seen = Seen { e_tag, beat, changed_at: now, changes: seen.changes + 1 },
        }
    }

    /// Returns how often the heartbeat of a process has changed since it was first looked at.
    pub(super) fn changes(&self, process: &str) -> u32 {
        self.seen.lock().get(process).map_or(0, |seen| seen.changes)
    }

    /// Returns whether a process is at work at a task that it has claimed, as it was last looked at. `before` are the
    /// changes of its heartbeat when this process learned of the claim.
    pub(super) fn is_at(&self, process: &str, (stage, task): (Stage, TaskId), before: u32) -> bool {
        let seen = self.seen.lock();
        let Some(Seen { beat, changed_at, changes, .. }) = seen.get(process) else { return false };
        let goes_on = changed_at.elapsed() < self.every * BEATS_MISSED;
        let is_at_work = match &beat.id {
            Some(id) => goes_on && id.has_ended() != Some(true),
            None => goes_on && *changes > 0,
        };
        let names = changes.saturating_sub(before) < BEATS_TO_NAME || beat.under_way.contains(&(stage, task));
        is_at_work && names
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use etl_core::{
        model::event::{Event, Listener, Stamped},
        runtime::process::ProcessId,
    };
    use object_store::{memory::InMemory, path::Path};

    const TASK: (Stage, TaskId) = (Stage::Map, TaskId(7));

    struct Other {
        store: Store,
        layout: RunLayout,
        beat: Beat,
    }

    impl Other {
        fn new(id: Option<ProcessId>) -> Self {
            let store = Store::from_object_store(Arc::new(InMemory::new()), Path::default(), "memory");
            Self { store, layout: RunLayout::new("p", "r"), beat: Beat::new("other", id, 0) }
        }

        async fn beats(&mut self) {
            self.beat.number += 1;
            let text = serde_json::to_vec(&self.beat).expect("JSON");
            self.store.put(&self.layout.process("other"), text).await.expect("writes");
        }

        fn starts(&mut self, (stage, task): (Stage, TaskId)) {
            let event = Event::AttemptStarted { stage, task, attempt: etl_core::model::ids::Try::FIRST };
            self.beat.on_event(&Stamped { at_ms: 0, event });
        }

        fn colleagues(&self) -> Colleagues {
            Colleagues::new(&self.store, &self.layout, Duration::from_secs(5))
        }
    }

    async fn is_at(colleagues: &Colleagues, before: u32) -> bool {
        colleagues.look(&["other".to_owned()].into()).await.expect("looks");
        colleagues.is_at("other", TASK, before)
    }

    /// Returns the id of a process of a machine that is not this one.
    fn elsewhere() -> Option<ProcessId> {
        let id = r#"{ "host": "node-7", "pid": 1, "machine": "another", "started": 0 }"#;
        Some(serde_json::from_str(id).expect("an id"))
    }

    /// Returns the id of a process of this machine that has ended.
    fn killed() -> Option<ProcessId> {
        let mut id = serde_json::to_value(ProcessId::this()?).expect("JSON");
        id["started"] = 0.into();
        Some(serde_json::from_value(id).expect("an id"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_of_another_machine_is_at_work_while_its_heartbeat_changes() {
        let mut other = Other::new(elsewhere());
        let colleagues = other.colleagues();
        assert!(!is_at(&colleagues, 0).await, "it has no heartbeat");
        other.starts(TASK);
        other.beats().await;
        for _ in 0..10 {
            assert!(is_at(&colleagues, 0).await);
            tokio::time::advance(Duration::from_secs(14)).await;
            assert!(is_at(&colleagues, 0).await, "one or two beats may be late");
            other.beats().await;
        }
        assert!(is_at(&colleagues, 0).await);
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!(!is_at(&colleagues, 0).await);
        other.beats().await;
        assert!(is_at(&colleagues, 0).await, "it was asleep");
        other.store.delete(&other.layout.process("other")).await.expect("deletes");
        assert!(!is_at(&colleagues, 0).await, "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_does_not_name_a_task_any_more_is_not_at_it() {
        let mut other = Other::new(elsewhere());
        let colleagues = other.colleagues();
        for claimed_after in [0, 2] {
            for _ in 0..BEATS_TO_NAME {
                other.beats().await;
                assert!(is_at(&colleagues, claimed_after).await, "the claim may be newer than the beat");
            }
        }
        other.beats().await;
        assert!(!is_at(&colleagues, 2).await);
        other.starts(TASK);
        other.beats().await;
        assert!(is_at(&colleagues, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_of_this_machine_is_looked_up_and_one_without_a_name_must_show_itself() {
        let mut this = Other::new(ProcessId::this());
        this.starts(TASK);
        this.beats().await;
        let colleagues = this.colleagues();
        assert!(is_at(&colleagues, 0).await);
        this.beat.id = killed();
        this.beats().await;
        assert!(!is_at(&colleagues, 0).await, "it has ended, and nobody waits to miss it");
        let mut nameless = Other::new(None);
        nameless.starts(TASK);
        nameless.beats().await;
        let colleagues = nameless.colleagues();
        assert!(!is_at(&colleagues, 0).await);
        nameless.beats().await;
        assert!(is_at(&colleagues, 0).await);
    }
}
