//! Samples of the records that a run has set aside.

use std::collections::HashMap;

use etl_core::model::{error::Result, reject::Reject};
use etl_store::{Listed, Store};
use futures::TryStreamExt;

use crate::run_store::{layout::RunLayout, manifest::Manifest, plan::Plan};

/// The most samples in all, and the most of one step and reason.
const SAMPLES_MAX: (usize, usize) = (40, 5);

/// The most files that are read, and the most bytes of each that are read.
const FILES_MAX: usize = 8;
const FILE_BYTES_MAX: u64 = 256 << 10;

/// The most characters of a record that are kept.
const RECORD_CHARACTERS_MAX: usize = 500;

/// Records that were set aside, a few of each kind.
pub type RejectSamples = Vec<Reject>;

/// Reads a few rejects of a run. If the run is complete, only the rejects that its commits name count; if not, those of
/// all attempts do.
///
/// # Errors
/// When the store fails.
pub(super) async fn samples(
    store: &Store,
    layout: &RunLayout,
    plan: Option<&Plan>,
    manifest: Option<&Manifest>,
) -> Result<RejectSamples> {
    let Some(plan) = plan.filter(|_| manifest.is_none_or(|manifest| !manifest.rejects.is_empty())) else {
        return Ok(Vec::new());
    };
    let counts = |key: &String| manifest.is_none_or(|manifest| manifest.rejects.contains(key));
    let mut files: Vec<Listed> = store.list(&layout.of_plan(&plan.id).all_rejects()).try_collect().await?;
    files.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let (mut samples, mut of_kind) = (Vec::new(), HashMap::new());
    for file in files.into_iter().filter(|file| file.size > 0 && counts(&file.key)).take(FILES_MAX) {
        let text = store.get_range(&file.key, 0..file.size.min(FILE_BYTES_MAX), None).await?;
        for reject in text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Reject>(line).ok()) {
            let kept: &mut usize = of_kind.entry((reject.step.clone(), reject.reason.clone())).or_default();
            if samples.len() < SAMPLES_MAX.0 && *kept < SAMPLES_MAX.1 {
                *kept += 1;
                samples.push(shortened(reject));
            }
        }
    }
    Ok(samples)
}

fn shortened(mut reject: Reject) -> Reject {
    for record in [&mut reject.record, &mut reject.record_hex].into_iter().flatten() {
        if let Some((end, _)) = record.char_indices().nth(RECORD_CHARACTERS_MAX) {
            record.truncate(end);
            reject.truncated = true;
        }
    }
    reject
}
