//! `report.html`: a page about a run, in one file that loads nothing from the network.
//!
//! Owns what the page shows and how the page is put together: the data of a run, reduced here to a bounded size, as
//! JSON in a page whose script draws it. Data of a run can never become markup: `<` is escaped in the file, and the
//! script inserts everything as text. The page's content security policy lets nothing run or load except what is in the
//! page from the start.

mod data;
mod spread;
#[cfg(test)]
mod tests;
mod timeline;

use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    hex::hex,
};
use etl_store::Store;
use sha2::{Digest, Sha256};

use crate::{
    history::Account,
    run_store::{journal::redact_texts, layout::RunLayout},
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the report of a run to the run store, from what the run store holds about the run, and returns the report's
/// location.
///
/// # Errors
/// The errors of [`Account::read`], and those of the store.
pub(crate) async fn write(
    store: &Store,
    pipeline: &str,
    run_id: &str,
    redact: impl Fn(&str) -> String + Send + 'static,
) -> Result<String> {
    let account = Account::read(store, pipeline, run_id).await?;
    let key = RunLayout::new(pipeline, run_id).report();
    store.put(&key, page(&account, redact)?).await?;
    Ok(store.locate(&key))
}

/// Returns the report of a run, with texts redacted by `redact`. The report has a few MiB at most, however large the
/// run.
///
/// # Errors
/// [`ErrorKind::Internal`] when the data has no JSON form.
pub(crate) fn page(account: &Account, redact: impl Fn(&str) -> String + Send + 'static) -> Result<String> {
    let data = serde_json::to_value(data::Data::of(account));
    let mut data = data.or_kind(ErrorKind::Internal, || "cannot write a report as JSON")?;
    redact_texts(&mut data, &(Box::new(redact) as etl_core::model::redact::Redact));
    // In a script element, only `<` can begin something other than text.
    let data = data.to_string().replace('<', "\\u003c");
    // The nonce is a digest of all the data: the author of a part of the data does not know the rest, and so cannot
    // guess it.
    let nonce = hex(&Sha256::digest(&data)[..16]);
    Ok(fill(PAGE, &[("nonce", &nonce), ("style", STYLE), ("script", SCRIPT), ("data", &data)]))
}

/// Replaces each `{{name}}` in a template with its value. A `{{name}}` within a value is not replaced.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").expect("the template closes what it opens");
        let (_, value) = values.iter().find(|(known, _)| *known == name).expect("the template names only known values");
        text.push_str(value);
        text.push_str(rest);
    }
    text
}
