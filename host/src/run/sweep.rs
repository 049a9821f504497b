//! What a run leaves behind when it ends, and who deletes it: attempts that lost or were killed, plans of before.
//!
//! Owns which objects of a complete run belong to nothing. Called when a run is finalised.

use std::collections::BTreeSet;

use etl_core::model::error::Result;
use etl_store::{Pending, Store};

use super::Run;
use crate::{
    connector::CommittedPart,
    run_store::{
        beats,
        layout::RunLayout,
        ledger::Ledger,
        plan::Planned,
        uploads::{self, UploadNote, Uploaded},
    },
    task::context::{Layouts, RunContext},
};

impl Run {
    /// Deletes what losing attempts left, what killed processes left, and what belongs to a plan that the run had
    /// before. Every task is committed by now, so all leftovers of attempts go; of other leftovers, only those older
    /// than this process. What cannot be deleted stays, because the result is complete without the deletion.
    pub(super) async fn sweep(&self, planned: &Planned, mapped: &Ledger, parts: &[CommittedPart]) {
        let RunContext { stores, layouts: Layouts { run: layout, result }, .. } = &*self.context;
        let run_store = &stores.run_store;
        drop(self.abort_uploads(planned, parts).await);
        // All tasks are committed and all parts are published, so no upload that is still open is of use. Those that a
        // process was killed at before it could note them are found only in this way.
        result.abort_all().await;
        drop(run_store.abort_uploads(layout.root()).await);
        drop(delete_rejects(run_store, planned, mapped).await);
        drop(self.delete_other_plans(planned).await);
        drop(beats::delete_all(run_store, layout).await);
        run_store.sweep(planned.layout.root(), None).await;
        let before_this = Some(self.options.started_at);
        run_store.sweep(layout.root(), before_this).await;
        result.sweep(before_this).await;
    }

    /// Aborts the uploads that no commit names, and deletes the notes of all uploads.
    async fn abort_uploads(&self, planned: &Planned, parts: &[CommittedPart]) -> Result<()> {
        let completed: BTreeSet<&str> = parts.iter().filter_map(|part| upload_id(&part.pending)).collect();
        let keys = self.context.stores.run_store.list_keys(&planned.layout.all_uploads()).await?;
        self.abort_noted(keys, &completed).await
    }

    /// Aborts the uploads of these notes except those that are completed, and deletes the notes.
    async fn abort_noted(&self, keys: Vec<String>, completed: &BTreeSet<&str>) -> Result<()> {
        let RunContext { stores, layouts, .. } = &*self.context;
        for (at, UploadNote { what, key, id }) in uploads::read(&stores.run_store, keys).await? {
            if !completed.contains(id.as_str()) {
                match what {
                    Uploaded::Part => layouts.result.abort(&key, &id).await,
                    Uploaded::ShuffleFile | Uploaded::Rejects => drop(stores.run_store.abort_upload(&key, &id).await),
                }
            }
            stores.run_store.delete(&at).await?;
        }
        Ok(())
    }

    /// Deletes what other plans of the run left: the run was deleted while a process worked on it, and planned again.
    async fn delete_other_plans(&self, planned: &Planned) -> Result<()> {
        let RunContext { stores, layouts, .. } = &*self.context;
        let run_store = &stores.run_store;
        for plan in other_plans(run_store, &layouts.run, planned).await? {
            let keys = run_store.list_keys(&plan).await?;
            let (notes, others): (Vec<String>, Vec<String>) =
                keys.into_iter().partition(|key| layouts.run.is_upload(key));
            self.abort_noted(notes, &BTreeSet::new()).await?;
            run_store.delete_all(others).await?;
        }
        Ok(())
    }
}

/// Returns the prefixes of the plans that a run had before.
async fn other_plans(run_store: &Store, layout: &RunLayout, planned: &Planned) -> Result<Vec<String>> {
    let names = run_store.list_prefixes(layout.root()).await?;
    let prefixes = names.iter().map(|name| format!("{}/{name}", layout.root()));
    let ours = [planned.layout.root().to_owned(), layout.all_events(), layout.all_processes()];
    Ok(prefixes.filter(|prefix| !ours.contains(prefix)).collect())
}

/// Deletes the rejects that no commit names.
async fn delete_rejects(run_store: &Store, planned: &Planned, mapped: &Ledger) -> Result<()> {
    let named: BTreeSet<&String> = mapped.rejects.values().collect();
    let mut keys = run_store.list_keys(&planned.layout.all_rejects()).await?;
    keys.retain(|key| !named.contains(key));
    run_store.delete_all(keys).await
}

fn upload_id(pending: &Pending) -> Option<&str> {
    match pending {
        Pending::Upload { id, .. } => Some(id),
        Pending::Staged { .. } => None,
    }
}
