//! What the host and the compiler's process say to each other.
//!
//! The host names the job in an argument and hands over the component as standard input. The process answers on
//! standard output: the length of a JSON document as four bytes, least significant first, the document, and after it the
//! compiled code.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::component::{Facts, Interface};

/// Largest document of an answer, in bytes.
const DOCUMENT_BYTES_MAX: usize = 8 << 20;
/// Largest answer, in bytes: the document and the code.
pub(super) const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A job for the compiler's process, and its limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) task: Task,
    /// Memory that the process may take, besides the component itself.
    pub(super) memory_bytes: u64,
    /// Seconds of time for the job, from which the limit of its processor time follows.
    pub(super) time_s: u64,
}

/// What is to be done with the component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Read its facts.
    Inspect,
    /// Read its facts, check that the step named `step` can use it as `interface`, and compile it.
    Compile { step: String, interface: Interface },
    /// Find the places in its source that belong to addresses in the file.
    Locate { addresses: Vec<u64> },
}

/// The answer to a job.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// SHA-256 digest of the component that was read, in hexadecimal.
    pub(super) digest: String,
    pub(super) outcome: Outcome,
}

/// The outcome of a job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The component's facts; if it was to be compiled, its code follows.
    Facts(Facts),
    /// The places that belong to each address, innermost first.
    Places(Vec<Vec<Place>>),
    /// What is wrong with the component, as the end of a sentence that begins with the plugin.
    Refused(String),
}

/// A place in the source of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Name of the function.
    pub(crate) function: Option<String>,
    /// Path of the source file, as the plugin was built.
    pub(crate) file: Option<String>,
    /// Number of the line in that file.
    pub(crate) line: Option<u32>,
}

impl Answer {
    /// Writes the answer, followed by `code`.
    ///
    /// # Errors
    /// Those of `output`.
    pub(super) fn write(&self, code: &[u8], mut output: impl Write) -> io::Result<()> {
        let document = serde_json::to_vec(self)?;
        let length = u32::try_from(document.len()).map_err(io::Error::other)?;
        output.write_all(&length.to_le_bytes())?;
        output.write_all(&document)?;
        output.write_all(code)?;
        output.flush()
    }

    /// Reads an answer and the code that follows it. Returns `None` if the bytes are not an answer.
    pub(super) fn read(mut bytes: Vec<u8>) -> Option<(Self, Vec<u8>)> {
        let length = u32::from_le_bytes(bytes.first_chunk().copied()?) as usize;
        let end = 4 + Some(length).filter(|length| *length <= DOCUMENT_BYTES_MAX)?;
        let answer = serde_json::from_slice(bytes.get(4..end)?).ok()?;
        bytes.drain(..end);
        Some((answer, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written_and_nothing_else_is_one() {
        let place = Place { function: Some("map".to_owned()), file: None, line: Some(7) };
        let answer = Answer { digest: "d".to_owned(), outcome: Outcome::Places(vec![vec![place.clone()], vec![]]) };
        let mut written = Vec::new();
        answer.write(b"code", &mut written).expect("written");
        let (read, code) = Answer::read(written.clone()).expect("an answer");
        assert_eq!(code, b"code");
        let Outcome::Places(places) = read.outcome else { panic!("{read:?}") };
        assert_eq!(places, [vec![place], vec![]]);
        for cut in [0, 3, 4, written.len() - 5] {
            assert!(Answer::read(written[..cut].to_vec()).is_none(), "{cut} bytes are an answer");
        }
        assert!(Answer::read(vec![255; 64]).is_none());
    }
}
