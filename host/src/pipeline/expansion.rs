//! `${NAME}` in the values of `pipeline.toml`, and what it stands for.
//!
//! Owns the expansion, and notes a fingerprint of each value. Which values are secret is the business of `secrets`.

use std::collections::BTreeMap;

use etl_core::text::variables::{Piece, pieces};
use toml::Value;

use super::{key::KeyPath, variables::fingerprint};

/// Replaces `${NAME}` by the value of the variable, and notes the fingerprints of the values.
pub(super) struct Expansion<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
    fingerprints: BTreeMap<String, String>,
}

impl<'e> Expansion<'e> {
    /// Makes an expansion that takes values from `env`.
    pub(super) fn new(env: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, fingerprints: BTreeMap::new() }
    }

    /// Returns the [fingerprints](fingerprint) of the values that were inserted, by the names of the variables.
    pub(super) fn into_fingerprints(self) -> BTreeMap<String, String> {
        self.fingerprints
    }

    /// Replaces `${NAME}` by its value and `$${` by `${`, in every string in `value`. Keys are not changed.
    ///
    /// # Errors
    /// The key of the first string that cannot be expanded, and the reason as the end of a sentence that starts with
    /// the key.
    pub(super) fn expand(&mut self, value: &mut Value, at: &KeyPath) -> Result<(), (KeyPath, String)> {
        match value {
            Value::String(text) => *text = self.expand_text(text).map_err(|what| (at.clone(), what))?,
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.expand(item, &at.index(index))?;
                }
            }
            Value::Table(table) => {
                for (key, item) in table {
                    self.expand(item, &at.key(key))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn expand_text(&mut self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => expanded.push_str(text),
                Piece::Variable(name) => expanded.push_str(&self.variable(name)?),
                Piece::Unclosed => return Err("has `${` without `}` (write `$${` for a literal `${`)".to_owned()),
            }
        }
        Ok(expanded)
    }

    fn variable(&mut self, name: &str) -> Result<String, String> {
        if !is_variable(name) {
            return Err(format!(
                "has `${{{name}}}`, which names no environment variable (write `$${{` for a literal `${{`)"
            ));
        }
        let Some(value) = (self.env)(name) else {
            return Err(format!("needs the environment variable `{name}`, which is not set"));
        };
        self.fingerprints.insert(name.to_owned(), fingerprint(name, &value));
        Ok(value)
    }
}

/// Returns whether `name` is a valid name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(written: &str) -> Result<String, String> {
        let env = |name: &str| match name {
            "KEY" => Some("hunter2".to_owned()),
            "SHORT" => Some("abc".to_owned()),
            "NESTED" => Some("${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Expansion::new(&env).expand_text(written)
    }

    #[test]
    fn variables_are_expanded_once_and_dollars_can_be_escaped() {
        for (written, text) in [
            ("plain", "plain"),
            ("a${KEY}b${SHORT}", "ahunter2babc"),
            ("${NESTED}", "${KEY}"),
            ("${EMPTY}", ""),
            ("$${KEY} costs $5", "${KEY} costs $5"),
            ("$$${KEY}", "$${KEY}"),
        ] {
            assert_eq!(expanded(written).as_deref(), Ok(text), "{written}");
        }
    }

    #[test]
    fn wrong_variables_are_named() {
        for (written, message) in [
            ("${NOPE}", "needs the environment variable `NOPE`, which is not set"),
            ("${KEY", "has `${` without `}` (write `$${` for a literal `${`)"),
            ("${A B}", "has `${A B}`, which names no environment variable (write `$${` for a literal `${`)"),
            ("${}", "has `${}`, which names no environment variable (write `$${` for a literal `${`)"),
        ] {
            assert_eq!(expanded(written), Err(message.to_owned()), "{written}");
        }
    }
}
