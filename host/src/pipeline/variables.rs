//! The environment variables that decide a result, and what a plan keeps of their values.
//!
//! A value may be a secret; whoever reads the run store reads plans. So a plan keeps a mark of 16 bits of each: part of a
//! digest of the variable's name and value, and of nothing else. All the plans there are of all pipelines tell no more of
//! a value than these bits, too few to find it by trying. In return, one of 65,536 changes goes unnoticed.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Pipeline;
use crate::hex::hex;

impl Pipeline {
    /// Returns the marks of the variables in [`Pipeline::deciding`], by name. Others, such as credentials of a store, may
    /// have other values when a run is taken up again.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let keys = self.deciding();
        let names = keys.iter().flat_map(|(key, value)| names(key, value));
        names.filter_map(|name| Some((name.to_owned(), self.marks.get(name)?.clone()))).collect()
    }
}

/// Returns the mark of a variable's value.
pub(super) fn mark(name: &str, value: &str) -> String {
    hex(&Sha256::digest(format!("{name}\0{value}"))[..2])
}

/// Returns the variables whose values are behind the value of a deciding key: by `${NAME}`, or by a grant.
pub fn names<'v>(key: &str, value: &'v Value) -> Vec<&'v str> {
    match value {
        Value::String(text) if key.ends_with(".grants") => text.strip_prefix("env:").into_iter().collect(),
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().flat_map(|item| names(key, item)).collect(),
        Value::Object(table) => table.values().flat_map(|item| names(key, item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn in_text(text: &str) -> Vec<&str> {
    let variable = |piece| if let Piece::Variable(name) = piece { Some(name) } else { None };
    pieces(text).filter_map(variable).collect()
}

/// A part of a text in which `${NAME}` stands for a variable.
pub(super) enum Piece<'t> {
    /// What stands for itself; of `$${`, the `${`.
    Text(&'t str),
    /// What is between `${` and `}`.
    Variable(&'t str),
    /// `${` without `}`, the last piece.
    Unclosed,
}

/// Cuts a text into its pieces, none of them an empty text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, behind) = if let Some(behind) = rest.strip_prefix("$${") {
            (Piece::Text("${"), behind)
        } else if let Some(inside) = rest.strip_prefix("${") {
            inside.split_once('}').map_or((Piece::Unclosed, ""), |(name, behind)| (Piece::Variable(name), behind))
        } else {
            let start = rest.find("${").unwrap_or(rest.len());
            // The `$` that makes a `$${` of it belongs to that.
            let start = start - usize::from(start < rest.len() && rest[..start].ends_with('$'));
            (Piece::Text(&rest[..start]), &rest[start..])
        };
        (!std::mem::replace(&mut rest, behind).is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn variables_are_found_wherever_they_decide() {
        let text = "name = 'p'\nsource.url = '${BUCKET}/in-${DAY}/'\nsink.url = 'out$${NOT}/'\n\
                    map = [{ plugin = 'a.wasm', config = { list = ['${DEEP}'], table.er = '${DAY}' }, grants = ['env:GRANTED'] }]\n\
                    store_options = { token = '${CREDENTIAL}' }\nrun.store = '${ELSEWHERE}/'\n";
        let load = |changed: &'static str| {
            let env = move |name: &str| Some(if name == changed { "other" } else { "value" }.to_owned());
            Pipeline::parse(Path::new("p.toml"), text, env).expect("valid").variables()
        };
        let usual = load("");
        assert!(usual.keys().eq(["BUCKET", "DAY", "DEEP", "GRANTED"]), "{usual:?}");
        assert!(usual.values().all(|mark| mark.len() == 4), "{usual:?}");
        for changed in ["BUCKET", "DAY", "DEEP", "GRANTED", "CREDENTIAL", "ELSEWHERE"] {
            let now = load(changed);
            let differ: Vec<&String> = now.keys().filter(|name| usual[*name] != now[*name]).collect();
            let expected = if usual.contains_key(changed) { vec![changed] } else { vec![] };
            assert_eq!(differ, expected);
        }
    }
}
