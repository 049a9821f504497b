//! The JSON documents of the run store: plans, shard pages, commits, rejects, manifests.

use etl_core::model::error::{Error, ErrorKind, Result, ResultExt};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::Xxh3;

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

/// The first member of a document, before its checksum.
const CHECKSUM: &[u8] = br#"{"checksum":""#;

/// Number of hexadecimal digits of a checksum.
const CHECKSUM_DIGITS: usize = 32;

/// Returns a document as JSON, on one line, with a checksum of itself as the first member. The checksum is the XXH3-128
/// hash, in hexadecimal, of the JSON without that member.
///
/// # Errors
/// As [`to_json`].
pub fn seal(document: &impl Serialize) -> Result<Vec<u8>> {
    let json = to_json(document)?;
    let members = json.strip_prefix(b"{").ok_or_else(|| Error::internal("a document is not a JSON object"))?;
    let (checksum, comma) = (checksum(members), if members == b"}" { "" } else { "," });
    Ok([CHECKSUM, checksum.as_bytes(), b"\"", comma.as_bytes(), members].concat())
}

/// Reads the document at `key`, which [`seal`] wrote.
///
/// # Errors
/// [`ErrorKind::Changed`], naming the key, when the bytes are not such a document or do not match their checksum.
pub fn unseal<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    let damaged = || format!("`{key}` in the run store is damaged");
    if !matches_checksum(bytes) {
        return Err(Error::changed(format!("{}: it does not match its checksum", damaged())));
    }
    serde_json::from_slice(bytes).or_kind(ErrorKind::Changed, damaged)
}

fn matches_checksum(bytes: &[u8]) -> bool {
    let sealed = bytes.strip_prefix(CHECKSUM).and_then(|rest| rest.split_at_checked(CHECKSUM_DIGITS));
    let Some((found, rest)) = sealed else { return false };
    let Some(rest) = rest.strip_prefix(b"\"") else { return false };
    found == checksum(rest.strip_prefix(b",").unwrap_or(rest)).as_bytes()
}

/// Returns the checksum of the document with these members, which follow its first brace.
fn checksum(members: &[u8]) -> String {
    let mut hash = Xxh3::new();
    hash.update(b"{");
    hash.update(members);
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_sealed_document_reads_back_and_every_changed_byte_is_noticed() {
        for document in [json!({ "a": 1, "b": ["x"] }), json!({})] {
            let sealed = seal(&document).expect("is JSON");
            let mut read: Value = unseal("k", &sealed).expect("as written");
            read.as_object_mut().expect("an object").remove("checksum").expect("the checksum");
            assert_eq!(read, document);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                let error = unseal::<Value>("k", &changed).expect_err("changed");
                assert_eq!(error.kind(), ErrorKind::Changed);
                assert!(error.to_string().starts_with("`k` in the run store is damaged: "), "{error}");
                assert!(unseal::<Value>("k", &sealed[..at]).is_err(), "cut at {at}");
            }
        }
    }
}
