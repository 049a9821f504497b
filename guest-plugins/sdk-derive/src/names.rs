//! Writes names: in the cases of serde's `rename_all`, and as JSON text.

/// A case of serde's `rename_all`.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    /// Returns the case that serde calls `name`; `None` if there is no such case.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Some(match name {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            _ => return None,
        })
    }

    /// Writes the name of a field, which is `snake_case` in Rust.
    pub(crate) fn of_field(self, name: &str) -> String {
        // Serde does not change a field's name in these two cases.
        if matches!(self, Self::Lower | Self::Snake) {
            return name.to_owned();
        }
        self.write(&name.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>(), "_")
    }

    /// Writes the name of a variant, which is `PascalCase` in Rust.
    pub(crate) fn of_variant(self, name: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        for character in name.chars() {
            match words.last_mut() {
                Some(word) if !character.is_uppercase() => word.push(character),
                _ => words.push(character.to_string()),
            }
        }
        self.write(&words, "")
    }

    /// Joins words. `between` is used where serde changes the letters only and keeps what is between the words.
    fn write(self, words: &[String], between: &str) -> String {
        let lower = || words.iter().map(|word| word.to_lowercase()).collect::<Vec<_>>();
        let upper = || words.iter().map(|word| word.to_uppercase()).collect::<Vec<_>>();
        match self {
            Self::Lower => lower().join(between),
            Self::Upper => upper().join(between),
            Self::Pascal => words.iter().map(|word| capital(word)).collect(),
            Self::Camel => {
                let rest = words.iter().skip(1).map(|word| capital(word)).collect::<String>();
                words.first().map(|word| word.to_lowercase()).unwrap_or_default() + &rest
            }
            Self::Snake => lower().join("_"),
            Self::ScreamingSnake => upper().join("_"),
            Self::Kebab => lower().join("-"),
            Self::ScreamingKebab => upper().join("-"),
        }
    }
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Returns a text as a JSON string.
pub(crate) fn json(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if control < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_serde_does() {
        let written = |case: &str| {
            let case = Case::new(case).expect("a case");
            (case.of_field("max_row_count"), case.of_variant("FirstRow"))
        };
        let expect =
            |case, field: &str, variant: &str| assert_eq!(written(case), (field.to_owned(), variant.to_owned()));
        expect("lowercase", "max_row_count", "firstrow");
        expect("UPPERCASE", "MAX_ROW_COUNT", "FIRSTROW");
        expect("PascalCase", "MaxRowCount", "FirstRow");
        expect("camelCase", "maxRowCount", "firstRow");
        expect("snake_case", "max_row_count", "first_row");
        expect("SCREAMING_SNAKE_CASE", "MAX_ROW_COUNT", "FIRST_ROW");
        expect("kebab-case", "max-row-count", "first-row");
        expect("SCREAMING-KEBAB-CASE", "MAX-ROW-COUNT", "FIRST-ROW");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(json("a \"b\" \\ \n é"), r#""a \"b\" \\ \u000a é""#);
    }
}
