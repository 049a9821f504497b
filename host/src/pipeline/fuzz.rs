//! The fuzz target for `pipeline.toml`.
//!
//! Each function takes arbitrary bytes, and panics when a promise is broken. The targets in `host/fuzz` call it with
//! bytes that are made to reach every branch, the tests here with the seeds of those targets. Not part of the program.

use std::path::Path;

use etl_core::model::error::ErrorKind;

use super::Pipeline;

/// The value of `${SECRET}` in a fuzzed pipeline.
const SECRET: &str = "correct-horse-battery";

/// Checks `pipeline.toml`: every text is either a pipeline or an error of the configuration. The document that is kept
/// does not hold the value of a `${NAME}`, and the error does not hold that of a secret.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.contains(SECRET) {
        return;
    }
    let env = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    match Pipeline::parse(Path::new("pipeline.toml"), text, env) {
        Ok(pipeline) => {
            let kept = pipeline.document.to_string();
            assert!(!kept.contains(SECRET), "a secret is kept");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config);
            let is_secret = text.contains("secrets = [\"SECRET\"]");
            assert!(!is_secret || !error.to_string().contains(SECRET), "a secret is shown");
        }
    }
}

#[cfg(test)]
mod tests {
    use etl_core::testing::check_target;

    use super::*;

    #[test]
    fn pipelines() {
        check_target("pipeline", Vec::new(), pipeline);
    }
}
