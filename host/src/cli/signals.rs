//! SIGINT and SIGTERM during a run: the first signal asks the run to stop, the second ends the process.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use etl_core::model::error::{ErrorKind, Result, ResultExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::say;

/// A watch for SIGINT and SIGTERM.
pub(super) struct Interrupts {
    /// Cancelled by the first signal.
    pub cancel: CancellationToken,
    signal: Arc<AtomicI32>,
}

impl Interrupts {
    /// Starts to watch for signals. Must be called within a tokio runtime; the watch ends with that runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the system refuses a handler.
    pub(super) fn watch() -> Result<Self> {
        let install = |kind| signal(kind).or_kind(ErrorKind::Internal, || "cannot watch for signals");
        let mut interrupt = install(SignalKind::interrupt())?;
        let mut terminate = install(SignalKind::terminate())?;
        let interrupts = Self { cancel: CancellationToken::new(), signal: Arc::default() };
        let (cancel, received) = (interrupts.cancel.clone(), Arc::clone(&interrupts.signal));
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                };
                if cancel.is_cancelled() {
                    process::exit(ErrorKind::Interrupted(signal).exit_code().into());
                }
                received.store(signal, Ordering::Relaxed);
                say("stopping: no more tasks start; tasks under way may end within `run.grace` (signal again to stop \
                     at once)");
                cancel.cancel();
            }
        });
        Ok(interrupts)
    }

    /// Returns the number of the first signal, if there was one.
    pub(super) fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}
