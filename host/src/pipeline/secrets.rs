//! The environment variables whose values are secret: nothing that the host writes may show them.
//!
//! Owns which variables these are: those that the key `secrets` names, those in `[store_options]`, and those that are
//! the user or the password of a URL. [`Mask`] takes their values out of texts.

use std::borrow::Cow;

use etl_core::{
    model::redact::{MASKED_CHARACTERS_MIN, Mask},
    text::variables::in_text,
};
use toml::Value;

use super::{expansion::is_variable, key::KeyPath};

/// Options of a store that say which store it is, and not who asks.
const PLAIN_OPTIONS: [&str; 3] = ["endpoint", "region", "allow_http"];

/// The values of a pipeline's secret variables.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    names: Vec<String>,
    mask: Mask,
}

impl Secrets {
    /// Finds the secrets of a document in which `${NAME}` is left in place. A variable that is not set has no value to
    /// hide.
    ///
    /// # Errors
    /// The item of `secrets` that is wrong, and what is wrong with it.
    pub(super) fn of(document: &Value, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, (KeyPath, String)> {
        let mut found = named(document, env)?;
        collect(document, &KeyPath::default(), env, &mut found);
        let mask = Mask::new(found.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Ok(Self { names: found.into_iter().map(|(name, _)| name).collect(), mask })
    }

    /// Returns `text` with every secret replaced by its `${NAME}`, as [`Mask::apply`] does.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.mask.apply(text)
    }

    /// Returns [`Secrets::redact`] as a function that owns a copy of the values.
    pub fn redactor(&self) -> impl Fn(&str) -> String + Clone + Send + Sync + 'static {
        let mask = self.mask.clone();
        move |text| mask.apply(text).into_owned()
    }

    /// Returns what takes the secrets out of texts.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Returns whether the value of a variable is secret.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.names.iter().any(|secret| secret == name)
    }
}

/// Names and values of variables.
type Values = Vec<(String, String)>;

/// Returns the variables that the key `secrets` names. A key of another type is left to those who read the document.
fn named(document: &Value, env: &dyn Fn(&str) -> Option<String>) -> Result<Values, (KeyPath, String)> {
    let mut found = Values::new();
    for (index, name) in document.get("secrets").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(name) = name.as_str() else { continue };
        let wrong = |what: String| (KeyPath::default().key("secrets").index(index), what);
        if !is_variable(name) {
            return Err(wrong(format!(
                "is `{name}`, which names no environment variable (write `NAME`, without `${{}}`)"
            )));
        }
        let Some(value) = env(name).filter(|value| !value.is_empty()) else { continue };
        if value.chars().count() < MASKED_CHARACTERS_MIN {
            return Err(wrong(format!(
                "is `{name}`, whose value is too short to be taken out of texts (at least {MASKED_CHARACTERS_MIN} \
                 characters)"
            )));
        }
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

/// Adds the variables that are secret because of where they stand.
fn collect(value: &Value, at: &KeyPath, env: &dyn Fn(&str) -> Option<String>, found: &mut Values) {
    match value {
        Value::String(text) => {
            let by_key =
                if is_secret_option(at) { in_text(text) } else { credentials(text).flat_map(in_text).collect() };
            found.extend(by_key.into_iter().filter_map(|name| Some((name.to_owned(), env(name)?))));
            for name in in_text(text) {
                let value = env(name).unwrap_or_default();
                found.extend(credentials(&value).flat_map(parts).map(|part| (name.to_owned(), part.to_owned())));
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| collect(item, &at.index(i), env, found)),
        Value::Table(table) => table.iter().for_each(|(key, item)| collect(item, &at.key(key), env, found)),
        _ => {}
    }
}

fn is_secret_option(at: &KeyPath) -> bool {
    let names: Vec<&str> = at.keys().collect();
    matches!(names[..], ["store_options", option] if !PLAIN_OPTIONS.contains(&option))
}

/// Returns what stands before the `@` of each URL in a text: `user`, or `user:password`.
fn credentials(text: &str) -> impl Iterator<Item = &str> {
    text.split("://").skip(1).filter_map(|behind| {
        let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').map(|(credentials, _)| credentials)
    })
}

/// Returns credentials as a whole, and the user and the password.
fn parts(credentials: &str) -> impl Iterator<Item = &str> {
    [credentials].into_iter().chain(credentials.splitn(2, ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("hunter2".to_owned()),
            "DAY" => Some("2026-11-28".to_owned()),
            "PIN" => Some("123".to_owned()),
            "EMPTY" => Some(String::new()),
            "DATABASE" => Some("postgres://admin:correct@db/horses".to_owned()),
            _ => None,
        }
    }

    fn secrets(text: &str) -> Result<Secrets, String> {
        let document = Value::Table(toml::from_str(text).expect("TOML"));
        Secrets::of(&document, &env).map_err(|(key, what)| format!("{key} {what}"))
    }

    #[test]
    fn only_variables_that_are_secret_by_their_place_or_by_name_are_masked() {
        for (document, masked) in [
            ("config.a = '${KEY} ${DAY}'", "hunter2 2026-11-28"),
            ("secrets = ['KEY']\nconfig.a = '${KEY} ${DAY}'", "${KEY} 2026-11-28"),
            ("secrets = ['KEY', 'EMPTY', 'UNSET']", "${KEY} 2026-11-28"),
            ("store_options.access_key_id = '${KEY}'", "${KEY} 2026-11-28"),
            ("store_options.region = '${KEY}'", "hunter2 2026-11-28"),
            ("store_options.endpoint = 'http://u:${KEY}@proxy/${DAY}'", "${KEY} 2026-11-28"),
            ("list = ['https://${KEY}@host/${DAY}']", "${KEY} 2026-11-28"),
            ("url = 's3://${KEY}/a@${DAY}'", "hunter2 2026-11-28"),
        ] {
            assert_eq!(secrets(document).expect(document).redact("hunter2 2026-11-28"), masked, "{document}");
        }
    }

    #[test]
    fn a_password_in_the_url_that_a_variable_holds_is_masked() {
        let secrets = secrets("config.url = '${DATABASE}'").expect("valid");
        let shown = secrets.redact("cannot open postgres://admin:correct@db/horses, as admin: wrong password correct");
        let expected = "cannot open postgres://${DATABASE}@db/horses, as ${DATABASE}: wrong password ${DATABASE}";
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_that_are_none_and_values_that_cannot_be_masked_are_refused() {
        let message = |document| secrets(document).expect_err("refused");
        assert_eq!(
            message("secrets = ['KEY', '${KEY}']"),
            "secrets[1] is `${KEY}`, which names no environment variable (write `NAME`, without `${}`)"
        );
        assert_eq!(
            message("secrets = ['PIN']"),
            "secrets[0] is `PIN`, whose value is too short to be taken out of texts (at least 4 characters)"
        );
    }
}
