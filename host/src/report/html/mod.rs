//! `report.html`: a run to look at, in one file that asks no network for anything.
//!
//! Owns what the page shows and how it is put together: the data of a run, made small enough here, as JSON in a page
//! whose script draws it. What comes from a run can never become markup: in the file `<` is escaped, on the page
//! everything is text. The page's policy lets nothing run or load but what is in it from the start.

mod data;
mod spread;
#[cfg(test)]
mod tests;
mod timeline;

use sha2::{Digest, Sha256};

use super::json::redact_texts;
use crate::{
    error::{ErrorKind, Result, ResultExt},
    hex::hex,
    history::Account,
    layout::RunLayout,
    store::Store,
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the report of a run, from what the run store says of it, and returns where it lies.
///
/// # Errors
/// As [`Account::read`]; when the store fails.
pub async fn write(
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

/// Returns the report of a run, without what `redact` takes out. At most some MiB, whatever the run.
///
/// # Errors
/// [`ErrorKind::Internal`] when the data has no JSON form.
pub fn page(account: &Account, redact: impl Fn(&str) -> String + Send + 'static) -> Result<String> {
    let data = serde_json::to_value(data::Data::of(account));
    let mut data = data.or_kind(ErrorKind::Internal, || "cannot write a report as JSON")?;
    redact_texts(&mut data, &(Box::new(redact) as super::Redact));
    // In a script element only `<` can begin anything else than text.
    let data = data.to_string().replace('<', "\\u003c");
    // Whoever wrote what is in the data did not know it all, and so cannot know this.
    let nonce = hex(&Sha256::digest(&data)[..16]);
    Ok(fill(PAGE, &[("nonce", &nonce), ("style", STYLE), ("script", SCRIPT), ("data", &data)]))
}

/// Puts values in the place of `{{name}}`. Values are not looked into.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").expect("the template closes what it opens");
        let (_, value) = values.iter().find(|(known, _)| *known == name).expect("the template names what there is");
        text.push_str(value);
        text.push_str(rest);
    }
    text
}
