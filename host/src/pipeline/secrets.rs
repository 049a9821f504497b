//! Values of `${NAME}`: they come from the environment, and nothing the host writes may show them.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, fmt};

use etl_core::text::variables::{Piece, pieces};
use toml::Value;

use super::{key::KeyPath, variables::fingerprint};

/// Shortest value that is redacted, in characters. Shorter values would be found inside ordinary words.
const REDACTED_CHARACTERS_MIN: usize = 4;

/// The values of a pipeline's environment variables, which are secret, and their fingerprints, which are not.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Names and values of the variables whose values are redacted.
    values: Vec<(String, String)>,
    /// Fingerprint of the value of each variable, by name; see [`fingerprint`].
    fingerprints: BTreeMap<String, String>,
}

impl Secrets {
    /// Returns `text` with every value of at least 4 characters replaced by its `${NAME}`. Of two values that start at
    /// the same place, the longer one is replaced.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut redacted = String::new();
        let mut rest = text;
        while let Some((start, name, value)) = self.first_in(rest) {
            redacted.push_str(&rest[..start]);
            redacted.push_str(&format!("${{{name}}}"));
            rest = &rest[start + value.len()..];
        }
        if redacted.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(redacted + rest) }
    }

    /// Returns [`Secrets::redact`] as a function that owns a copy of the values.
    pub fn redactor(&self) -> impl Fn(&str) -> String + Clone + Send + Sync + 'static {
        let secrets = self.clone();
        move |text| secrets.redact(text).into_owned()
    }

    fn first_in(&self, text: &str) -> Option<(usize, &str, &str)> {
        let found = self.values.iter().filter_map(|(name, value)| Some((text.find(value)?, &**name, &**value)));
        found.min_by_key(|(start, _, value)| (*start, Reverse(value.len())))
    }

    /// Returns the fingerprint of a variable's value.
    pub(super) fn fingerprint(&self, name: &str) -> Option<&str> {
        self.fingerprints.get(name).map(String::as_str)
    }

    /// Adds the value of a variable. A value that is too short is not redacted, nor is a second value of the same name.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.fingerprints.insert(name.to_owned(), fingerprint(name, value));
        let known = self.values.iter().any(|(known, _)| known == name);
        if value.chars().count() >= REDACTED_CHARACTERS_MIN && !known {
            self.values.push((name.to_owned(), value.to_owned()));
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_tuple("Secrets").field(&names).finish()
    }
}

/// Replaces `${NAME}` by the value of the variable, and records the values.
pub(super) struct Expansion<E> {
    env: E,
    secrets: Secrets,
}

impl<E: Fn(&str) -> Option<String>> Expansion<E> {
    /// Makes an expansion that takes values from `env`.
    pub(super) fn new(env: E) -> Self {
        Self { env, secrets: Secrets::default() }
    }

    /// Returns the values that were inserted.
    pub(super) fn into_secrets(self) -> Secrets {
        self.secrets
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
        self.secrets.add(name, &value);
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

    fn expansion() -> Expansion<impl Fn(&str) -> Option<String>> {
        Expansion::new(|name| match name {
            "KEY" => Some("hunter2".to_owned()),
            "LONG" => Some("hunter2000".to_owned()),
            "SHORT" => Some("abc".to_owned()),
            "NESTED" => Some("${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_expanded_once_and_dollars_can_be_escaped() {
        for (written, expanded) in [
            ("plain", "plain"),
            ("a${KEY}b${SHORT}", "ahunter2babc"),
            ("${NESTED}", "${KEY}"),
            ("${EMPTY}", ""),
            ("$${KEY} costs $5", "${KEY} costs $5"),
            ("$$${KEY}", "$${KEY}"),
        ] {
            assert_eq!(expansion().expand_text(written).as_deref(), Ok(expanded), "{written}");
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
            assert_eq!(expansion().expand_text(written), Err(message.to_owned()), "{written}");
        }
    }

    #[test]
    fn values_are_taken_out_of_texts_longest_first() {
        let mut expansion = expansion();
        expansion.expand_text("${KEY}${LONG}${SHORT}${KEY}").expect("all are set");
        let secrets = expansion.into_secrets();
        assert_eq!(secrets.redact("hunter2 and hunter2000, abc"), "${KEY} and ${LONG}, abc");
        assert_eq!(secrets.redactor()("hunter2"), "${KEY}");
        assert!(matches!(secrets.redact("nothing here"), Cow::Borrowed("nothing here")));
        assert_eq!(format!("{secrets:?}"), r#"Secrets(["KEY", "LONG"])"#);
    }
}
