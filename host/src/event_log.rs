//! `events/<process>.jsonl`: what happened in a run as one process saw it, kept in the run store.
//!
//! Each process that works on a run, at the same time or later, has a log of its own, so none writes over another's.
//! Object stores cannot append, so the log is kept in memory and written as a whole: again each time it has grown by
//! half, and at the end. What is written stays within twice the log's size, and a process that is killed leaves
//! most of what it did.

use std::time::Duration;

use crate::{error::Result, event::Events, report::Journal, shared::Shared, store::Store};

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// The log of one process.
pub struct EventLog {
    store: Store,
    key: String,
    journal: Shared<Journal>,
}

impl EventLog {
    /// Keeps every event from now on, without what `redact` takes out, to be written at `key`.
    pub fn open(store: &Store, key: String, events: &Events, redact: impl Fn(&str) -> String + Send + 'static) -> Self {
        let journal = Shared::new(Journal::new(redact));
        events.listen(journal.clone());
        Self { store: store.clone(), key, journal }
    }

    /// Writes the log whenever it has grown enough. Ends only when dropped.
    pub async fn keep(&self) -> std::convert::Infallible {
        let mut written = 0;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let text = self.text();
            let size = text.len();
            if size > written + written / 2 && self.store.put(&self.key, text).await.is_ok() {
                written = size;
            }
        }
    }

    /// Writes the log.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self) -> Result<()> {
        self.store.put(&self.key, self.text()).await
    }

    fn text(&self) -> String {
        self.journal.lock().text()
    }
}
