//! Tables in plain text.

use std::fmt::Write;

/// Returns rows as lines with their columns aligned: those in `right` to the right, the others to the left. The
/// first column is at least `width_min` characters wide, and there is no space at the end of a line.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], width_min: usize, right: &[usize]) -> String {
    let mut widths = [0; N];
    widths[0] = width_min;
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let separator = if column == 0 { "" } else { "  " };
            _ = match right.contains(&column) {
                true => write!(line, "{separator}{cell:>width$}"),
                false => write!(line, "{separator}{cell:width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["id", "état", "n"], ["a", "x", "1,000"], ["b", "yyyyy", ""]].map(|row| row.map(str::to_owned));
        let expected = "id   état       n\na    x      1,000\nb    yyyyy\n";
        assert_eq!(table(&rows, 3, &[2]), expected);
    }
}
