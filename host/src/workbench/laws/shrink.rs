//! Shrinking: makes a sample that breaks a law smaller.

use etl_core::model::error::Result;

use crate::workbench::trial::Sample;

/// The most smaller samples that are tried.
const TRIES_MAX: usize = 300;

/// Removes records from a sample as long as the remaining ones still break the law, which `breaks` tells. Tries to
/// remove halves first, then quarters, and single records at last. Ends after [`TRIES_MAX`] tries.
///
/// # Errors
/// Fails when rows cannot be taken, which is a bug.
pub(super) fn shrink(sample: &Sample, breaks: impl Fn(&Sample) -> bool) -> Result<Sample> {
    let mut smallest = sample.slice(0..sample.len());
    let (mut piece, mut tries) = (sample.len().div_ceil(2), 0);
    while piece > 0 {
        let (mut start, mut shrunk) = (0, false);
        while start < smallest.len() && tries < TRIES_MAX {
            tries += 1;
            let rows: Vec<usize> = (0..smallest.len()).filter(|row| !(start..start + piece).contains(row)).collect();
            let smaller = smallest.take(&rows)?;
            if !rows.is_empty() && breaks(&smaller) {
                (smallest, shrunk) = (smaller, true);
            } else {
                start += piece;
            }
        }
        // Repeat the pass over single records until it removes none: a record may become dispensable once another one
        // is removed.
        piece = if piece == 1 { usize::from(shrunk) } else { piece.div_ceil(2) };
        if tries == TRIES_MAX {
            break;
        }
    }
    Ok(smallest)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use etl_format::SourceFormat;

    use crate::workbench::trial::Sample;

    fn sample(lines: usize) -> Sample {
        let text: String = (0..lines).map(|number| format!("{number}\n")).collect();
        Sample::read("a.txt", text.as_bytes(), &SourceFormat::lines(), lines).expect("lines")
    }

    fn offsets(sample: &Sample) -> Vec<String> {
        (0..sample.len()).map(|row| sample.place(row).to_string()).collect()
    }

    #[test]
    fn only_the_records_that_matter_are_left() {
        let whole = sample(100);
        let wanted = [whole.place(7).to_string(), whole.place(80).to_string()];
        let smallest = shrink(&whole, |sample| wanted.iter().all(|place| offsets(sample).contains(place)));
        assert_eq!(offsets(&smallest.expect("rows")), wanted);
    }

    #[test]
    fn it_ends_after_so_many_tries() {
        let tries = Cell::new(0);
        let never = |_: &Sample| {
            tries.set(tries.get() + 1);
            false
        };
        assert_eq!(shrink(&sample(2000), never).expect("rows").len(), 2000);
        assert_eq!(tries.get(), TRIES_MAX);
    }
}
