//! The environment variables that decide a result, and the fingerprints of their values that a plan keeps.
//!
//! A value may be a secret, and anyone who can read the run store can read its plans. A plan therefore keeps only a
//! fingerprint of each value: 16 bits of a digest of the variable's name and value, and of nothing else. All plans of
//! all pipelines together reveal no more of a value than these bits, which are too few to find it by guessing. In
//! return, one change in 65,536 goes unnoticed.

use std::collections::BTreeMap;

use etl_core::{model::hex::hex, text::variables::names};
use sha2::{Digest, Sha256};

use super::Pipeline;

impl Pipeline {
    /// Returns the fingerprints of the variables in [`Pipeline::result_keys`], by name. Other variables, such as
    /// credentials of a store, may change before a run is resumed.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let keys = self.result_keys();
        let names = keys.iter().flat_map(|(key, value)| names(key, value));
        names.filter_map(|name| Some((name.to_owned(), self.fingerprints.get(name)?.clone()))).collect()
    }
}

/// Returns the fingerprint of a variable's value: 4 hexadecimal digits of a SHA-256 digest.
pub(super) fn fingerprint(name: &str, value: &str) -> String {
    hex(&Sha256::digest(format!("{name}\0{value}"))[..2])
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
        assert!(usual.values().all(|fingerprint| fingerprint.len() == 4), "{usual:?}");
        for changed in ["BUCKET", "DAY", "DEEP", "GRANTED", "CREDENTIAL", "ELSEWHERE"] {
            let now = load(changed);
            let differ: Vec<&String> = now.keys().filter(|name| usual[*name] != now[*name]).collect();
            let expected = if usual.contains_key(changed) { vec![changed] } else { vec![] };
            assert_eq!(differ, expected);
        }
    }
}
