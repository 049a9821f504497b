//! Patterns on names, and what is wrong with one that can match none.

/// Returns what is wrong with a pattern of `include`, for a message that names the pattern first, if it is no pattern
/// or can match no name. A name is relative to the location of the source, and no part of it is empty, `.` or `..`.
pub(super) fn flaw(pattern: &str) -> Option<String> {
    if let Err(error) = globset::Glob::new(pattern) {
        return Some(format!("which is not a glob pattern: {}", error.kind()));
    }
    let instead = plain(pattern);
    let write = if instead.is_empty() { String::new() } else { format!(": write `{instead}`") };
    let part = |wanted: &str| pattern.split('/').any(|part| part == wanted);
    let why = if pattern.is_empty() {
        "names are not empty: write `**` for all".to_owned()
    } else if let Some(rest) = pattern.strip_prefix('!') {
        format!(
            "patterns only add names, and `!` takes none away: name what to take (`\\!{rest}` for names with a `!`)"
        )
    } else if pattern.contains("://") {
        "names are relative to `source.url`: leave out the URL".to_owned()
    } else if part("..") {
        "names are below `source.url`, and no part of one is `..`: change the URL".to_owned()
    } else if pattern.starts_with('/') {
        format!("names are relative to `source.url`{write}")
    } else if pattern.ends_with('/') {
        let instead = if instead.is_empty() { "**".to_owned() } else { format!("{instead}/**") };
        format!("names of objects do not end with `/`: write `{instead}`")
    } else if part(".") {
        format!("no part of a name is `.`{write}")
    } else if part("") {
        format!("no part of a name is empty{write}")
    } else {
        return None;
    };
    Some(format!("which matches nothing, because {why}"))
}

/// Returns a pattern without the parts that no name has.
fn plain(pattern: &str) -> String {
    pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_can_match_nothing_is_told_what_to_write_instead() {
        for (pattern, end) in [
            ("", "write `**` for all"),
            ("!*.tmp", r"name what to take (`\!*.tmp` for names with a `!`)"),
            ("./b.txt", "because no part of a name is `.`: write `b.txt`"),
            ("a/./b.txt", "write `a/b.txt`"),
            (".", "because no part of a name is `.`"),
            ("/abs/x", "relative to `source.url`: write `abs/x`"),
            ("/", "because names are relative to `source.url`"),
            ("..", "no part of one is `..`: change the URL"),
            ("a/../b", "change the URL"),
            ("a//b", "because no part of a name is empty: write `a/b`"),
            ("s3://bucket/x", "relative to `source.url`: leave out the URL"),
            ("a/", "do not end with `/`: write `a/**`"),
            ("[a", "which is not a glob pattern: unclosed character class; missing ']'"),
        ] {
            let flaw = flaw(pattern).unwrap_or_else(|| panic!("`{pattern}` was taken"));
            assert!(flaw.ends_with(end), "`{pattern}`: {flaw}");
        }
        for pattern in ["*", "**", "*.txt", "a/**/b", r"\!a", "a!b", "..a", "a..", ".hidden", "{a,b}/*", "[!a]b"] {
            assert_eq!(flaw(pattern), None, "{pattern}");
        }
    }
}
