//! `${NAME}` in texts: where variables stand.
//!
//! Owns the syntax. The values of variables are `pipeline`'s business.

use serde_json::{Number, Value};

/// Returns the names of the variables that the value of a deciding key depends on, by `${NAME}` or by a grant.
pub fn names<'v>(key: &str, value: &'v Value) -> Vec<&'v str> {
    match value {
        Value::String(text) if key.ends_with(".grants") => text.strip_prefix("env:").into_iter().collect(),
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().flat_map(|item| names(key, item)).collect(),
        Value::Object(table) => table.values().flat_map(|item| names(key, item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Returns the names of the variables that a text names by `${NAME}`.
pub fn in_text(text: &str) -> Vec<&str> {
    let variable = |piece| if let Piece::Variable(name) = piece { Some(name) } else { None };
    pieces(text).filter_map(variable).collect()
}

/// Returns the name of the variable that is all of a text: `NAME` of `${NAME}`.
pub fn whole(text: &str) -> Option<&str> {
    let mut pieces = pieces(text);
    match (pieces.next(), pieces.next()) {
        (Some(Piece::Variable(name)), None) => Some(name),
        _ => None,
    }
}

/// Returns the boolean or the number that a text spells, as it would be written without quotes.
pub fn scalar(text: &str) -> Option<Value> {
    let whole = || text.parse::<i64>().ok().map(Value::from);
    let number = || Some(Value::Number(Number::from_f64(text.parse().ok()?)?));
    text.parse::<bool>().ok().map(Value::from).or_else(whole).or_else(number)
}

/// A part of a text that may contain `${NAME}`.
pub enum Piece<'t> {
    /// Literal text. The escape `$${` becomes the text `${`.
    Text(&'t str),
    /// The name between `${` and `}`.
    Variable(&'t str),
    /// A `${` without `}`; always the last piece.
    Unclosed,
}

/// Cuts a text into its pieces. No piece is an empty text.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, behind) = if let Some(behind) = rest.strip_prefix("$${") {
            (Piece::Text("${"), behind)
        } else if let Some(inside) = rest.strip_prefix("${") {
            inside.split_once('}').map_or((Piece::Unclosed, ""), |(name, behind)| (Piece::Variable(name), behind))
        } else {
            let start = rest.find("${").unwrap_or(rest.len());
            // A `$` before `${` is part of the escape `$${` and belongs to the next piece.
            let start = start - usize::from(start < rest.len() && rest[..start].ends_with('$'));
            (Piece::Text(&rest[..start]), &rest[start..])
        };
        (!std::mem::replace(&mut rest, behind).is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_is_all_of_a_text_or_a_part_of_it() {
        assert_eq!(whole("${N}"), Some("N"));
        assert_eq!(["", "N", "$${N}", "${N}0", "0${N}", "${N}${N}", "${N"].map(whole), [None; 7]);
        assert_eq!(in_text("${A}/$${B}${C}"), ["A", "C"]);
    }

    #[test]
    fn booleans_and_numbers_are_spelled_as_they_are_written() {
        for (text, value) in [("true", json!(true)), ("-7", json!(-7)), ("2.50", json!(2.5)), ("1e3", json!(1000.0))] {
            assert_eq!(scalar(text), Some(value), "{text}");
        }
        assert_eq!(["", "True", "yes", "1 ", "0x10", "nan", "inf", "64MiB"].map(scalar), [const { None }; 8]);
    }
}
