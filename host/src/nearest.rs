//! Names in messages: those there are, and the one that a wrong one was meant to be.

use std::fmt::Display;

/// A name that is at least this similar to a known one (1 less the share of letters to change) is taken for a slip.
const SIMILARITY_MIN: f64 = 0.6;

/// Returns names as messages list them: `` `a`, `b` ``.
pub fn listed<N: Display>(names: impl IntoIterator<Item = N>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns the question for a name close to a known one, and nothing for any other: ``did you mean `url`? ``.
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
