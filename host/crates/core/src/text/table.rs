//! Tables in plain text.

use std::fmt::Write;

/// Returns rows as lines with aligned columns: the columns in `right` to the right, the others to the left. The first
/// column is at least `width_min` characters wide. No line ends with a space. All rows must have the same number of
/// columns.
pub fn table<R: AsRef<[String]>>(rows: &[R], width_min: usize, right: &[usize]) -> String {
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row.as_ref()[column].chars().count()).max().unwrap_or_default();
        if column == 0 { widest.max(width_min) } else { widest }
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, |row| row.as_ref().len())).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.as_ref().iter().zip(&widths).enumerate() {
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
