//! Translates errors of serde into messages that use the words of `pipeline.toml`.

use etl_core::text::nearest::did_you_mean;

use super::key::{KeyPath, Segment};

/// Returns the key that is wrong, and the fault as the end of a sentence that starts with the key.
pub(super) fn explain(error: &serde_path_to_error::Error<toml::de::Error>) -> (KeyPath, String) {
    let key = KeyPath::from(error.path());
    let text = error.inner().message();
    if let Some((name, known)) = split_choices(text, "unknown field `") {
        return (key, format!("is not a known key ({}known keys: {})", did_you_mean(name, &known), known.join(", ")));
    }
    if let Some((name, known)) = split_choices(text, "unknown variant `") {
        return (key, format!("is `{name}` ({}choices: {})", did_you_mean(name, &known), known.join(", ")));
    }
    if let Some(name) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let missing = key.key(name);
        let what = format!("is missing{}", what_to_add(&missing));
        return (missing, what);
    }
    let mismatch = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    match mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => (key, format!("must be {}, not {}", toml_words(expected), toml_words(found))),
        None => (key, format!("cannot be read: {text}")),
    }
}

/// Returns whether a value is text where a value of another type, or another text, is wanted.
pub(super) fn wants_no_text(error: &serde_path_to_error::Error<toml::de::Error>) -> bool {
    let text = error.inner().message();
    text.starts_with("invalid type: string") || text.starts_with("invalid value: string")
}

/// Splits ``{start}name`, expected one of `a`, `b` `` into the name and the choices.
fn split_choices<'t>(text: &'t str, start: &str) -> Option<(&'t str, Vec<&'t str>)> {
    let (name, expected) = text.strip_prefix(start)?.rsplit_once("`, expected ")?;
    Some((name, expected.split('`').skip(1).step_by(2).collect()))
}

fn what_to_add(missing: &KeyPath) -> &'static str {
    let [Segment::Key(name)] = missing.segments() else { return "" };
    match name.as_str() {
        "name" => " (add `name = \"…\"`; it becomes a part of object names)",
        "source" => " (add `[source]` with a `url`: where records come from)",
        "sink" => " (add `[sink]` with a `url`: where results go)",
        _ => "",
    }
}

/// Replaces serde's name of a type or value by the one TOML uses.
fn toml_words(text: &str) -> String {
    match text {
        "map" | "a map" => "a table".to_owned(),
        "sequence" => "an array".to_owned(),
        "a sequence" => "an array (of tables: `[[…]]`)".to_owned(),
        "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other => other.replace("floating point", "number"),
    }
}
