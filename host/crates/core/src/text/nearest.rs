//! Names in messages: lists of the known names, and the known name that a misspelt one probably means.

use std::fmt::Display;

/// Similarity from which on a name is taken for a misspelt known one: 1 minus the share of letters to change.
const SIMILARITY_MIN: f64 = 0.6;

/// Returns the names in backticks, separated by commas, as messages list them: `` `a`, `b` ``.
pub fn listed<N: Display>(names: impl IntoIterator<Item = N>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns ``did you mean `url`? `` with the known name nearest to `name`, or an empty string when none is close.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    let similar = known.iter().map(|known| (strsim::normalized_damerau_levenshtein(name, known), known));
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN) {
        Some((_, known)) => format!("did you mean `{known}`? "),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slip_is_asked_about() {
        assert_eq!(did_you_mean("seperator", &["key", "separator"]), "did you mean `separator`? ");
        assert_eq!(did_you_mean("colour", &["key", "separator"]), "");
        assert_eq!(did_you_mean("a", &[]), "");
    }
}
