//! The JSON documents of the run store: plans, shard pages, commits, rejects, manifests.

use etl_core::model::error::{ErrorKind, Result, ResultExt};
use serde::{Serialize, de::DeserializeOwned};

/// Returns a document as JSON, on one line.
///
/// # Errors
/// [`ErrorKind::Internal`] when it has no JSON form.
pub fn to_json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).or_kind(ErrorKind::Internal, || "cannot write a document as JSON")
}

/// Returns a document as indented JSON for people, ending with a line end.
///
/// # Errors
/// As [`to_json`].
pub fn to_json_pretty(document: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(document);
    Ok(text.or_kind(ErrorKind::Internal, || "cannot write a document as JSON")? + "\n")
}

/// Reads the document at `key`.
///
/// # Errors
/// [`ErrorKind::Input`], naming the key, when the bytes are not such a document.
pub fn from_json<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).or_kind(ErrorKind::Input, || format!("`{key}` in the run store is damaged"))
}
