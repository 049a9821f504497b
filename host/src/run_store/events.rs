//! The event log of a process: what it saw happen in a run, kept in the run store as `events/<time>-<process>.jsonl`.
//!
//! Each process that works on a run, at the same time or later, has a log of its own, so no process overwrites the log
//! of another. Object stores cannot append, so the log is kept in memory and written as a whole: each time it has grown
//! by half, and at the end. The writes before the end add up to at most three times the log's size, and a process that
//! is killed leaves most of its log behind.

use std::time::Duration;

use etl_core::model::{error::Result, event::Events, shared::Shared};
use etl_store::Store;
use tokio_util::sync::CancellationToken;

use crate::run_store::journal::Journal;

/// Time between two checks of how much the log has grown.
const INTERVAL: Duration = Duration::from_secs(5);

/// The log of one process.
pub struct EventLog {
    store: Store,
    key: String,
    journal: Shared<Journal>,
    closed: CancellationToken,
}

impl EventLog {
    /// Opens a log that keeps every event from now on and is written at `key`. `redact` takes secrets out of its texts.
    pub fn open(store: &Store, key: String, events: &Events, redact: impl Fn(&str) -> String + Send + 'static) -> Self {
        let journal = Shared::new(Journal::new(redact));
        events.listen(journal.clone());
        Self { store: store.clone(), key, journal, closed: CancellationToken::new() }
    }

    /// Writes the log each time it has grown by half, until it is closed.
    pub async fn keep(&self) {
        let mut written = 0;
        while self.closed.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            let text = self.text();
            let size = text.len();
            if size > written + written / 2 && self.store.put(&self.key, text).await.is_ok() {
                written = size;
            }
        }
    }

    /// Ends [`EventLog::keep`], after the write that is under way: a write that is abandoned may land later and replace
    /// the last one.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Writes the whole log as it is now.
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

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering::SeqCst, time::UNIX_EPOCH};

    use super::*;
    use etl_core::model::event::Event;
    use etl_store::testing::counting::counting;

    #[tokio::test(start_paused = true)]
    async fn a_log_is_written_as_it_grows_and_no_more_once_it_is_closed() {
        let (store, requests) = counting();
        let events = Events::new(|| UNIX_EPOCH);
        let log = EventLog::open(&store, "log".to_owned(), &events, str::to_owned);
        let say = || events.emit(Event::Warning { message: "one".to_owned() });
        say();
        let work = async {
            tokio::time::sleep(INTERVAL * 7 / 2).await;
            assert_eq!(requests.puts.load(SeqCst), 1, "it has not grown since");
            say();
            tokio::time::sleep(INTERVAL * 2).await;
            log.close();
            say();
        };
        tokio::join!(work, log.keep());
        assert_eq!(requests.puts.load(SeqCst), 2);
        let text = store.get("log").await.expect("reads").expect("is there");
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
