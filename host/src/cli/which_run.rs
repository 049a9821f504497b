//! The pipeline file and the run that a command is about.
//!
//! Owns how `show`, `replay`, `report` and `clean` read the words `PIPELINE RUN`, either of which may be left out.

use std::path::{Path, PathBuf};

use clap::Args;
use etl_core::{
    model::error::{Error, Result},
    text::command::PIPELINE_FILE,
};

/// The words of the command line that name a run. A command with other defaults replaces their help texts, as `clean`
/// does.
#[derive(Debug, Args)]
pub(super) struct RunWords {
    /// The pipeline file [default: pipeline.toml]
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<PathBuf>,
    /// The run's id; without PIPELINE, a run of pipeline.toml [default: the newest run]
    #[arg(value_name = "RUN")]
    run_id: Option<String>,
}

/// The pipeline file and the run that the words name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WhichRun {
    /// The pipeline file.
    pub file: PathBuf,
    /// The run's id; absent when no run is named.
    pub run_id: Option<String>,
}

impl RunWords {
    /// Returns the pipeline file and the run that the words name. A single word is a pipeline file if such a file
    /// exists or the word looks like a path; otherwise it is a run of the `pipeline.toml` in the working directory.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when no pipeline is named and there is no
    /// `pipeline.toml`.
    pub(super) fn which(&self) -> Result<WhichRun> {
        self.which_of(|file| file.exists() && !file.is_dir())
    }

    fn which_of(&self, is_file: impl Fn(&Path) -> bool) -> Result<WhichRun> {
        let here = Path::new(PIPELINE_FILE);
        let (file, run_id) = match (&self.pipeline, &self.run_id) {
            (Some(file), run_id @ Some(_)) => (file.as_path(), run_id.clone()),
            (Some(word), None) => match word.to_str() {
                Some(run_id) if !looks_like_a_path(run_id) && !is_file(word) => {
                    if !is_file(here) {
                        return Err(Error::config(format!(
                            "there is no pipeline file `{run_id}`, and no `{PIPELINE_FILE}` in this directory that \
                             `{run_id}` could be a run of: name the pipeline file, then the run"
                        )));
                    }
                    (here, Some(run_id.to_owned()))
                }
                _ => (word.as_path(), None),
            },
            (None, _) if is_file(here) => (here, None),
            (None, _) => {
                return Err(Error::config(format!(
                    "there is no `{PIPELINE_FILE}` in this directory: name the pipeline file"
                )));
            }
        };
        Ok(WhichRun { file: file.to_owned(), run_id })
    }
}

/// Returns whether a word can only be a path: it has a slash or ends with `.toml`. A run's id may have dots, but no
/// slash.
fn looks_like_a_path(word: &str) -> bool {
    word.contains('/') || word.ends_with(".toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pipeline file and the run that `words` name in a directory with these `files`.
    fn which(words: &[&str], files: &[&str]) -> Result<(String, Option<String>), String> {
        let words = RunWords {
            pipeline: words.first().map(PathBuf::from),
            run_id: words.get(1).map(|run_id| (*run_id).to_owned()),
        };
        let which = words.which_of(|file| files.iter().any(|there| Path::new(there) == file));
        which.map(|WhichRun { file, run_id }| (file.display().to_string(), run_id)).map_err(|error| error.to_string())
    }

    fn run(file: &str, run_id: Option<&str>) -> Result<(String, Option<String>), String> {
        Ok((file.to_owned(), run_id.map(str::to_owned)))
    }

    #[test]
    fn a_word_alone_is_a_file_if_it_can_be_one_and_else_a_run() {
        let here = ["pipeline.toml", "nightly"];
        assert_eq!(which(&[], &here), run("pipeline.toml", None));
        assert_eq!(which(&["r-1"], &here), run("pipeline.toml", Some("r-1")));
        assert_eq!(which(&["v1.2"], &here), run("pipeline.toml", Some("v1.2")));
        assert_eq!(which(&["pipeline.toml"], &here), run("pipeline.toml", None));
        assert_eq!(which(&["nightly"], &here), run("nightly", None), "there is such a file");
        assert_eq!(which(&["other.toml"], &here), run("other.toml", None), "it will be missed by this name");
        assert_eq!(which(&["jobs/other"], &here), run("jobs/other", None));
    }

    #[test]
    fn two_words_are_a_file_and_a_run_whatever_is_there() {
        assert_eq!(which(&["nightly", "pipeline.toml"], &[]), run("nightly", Some("pipeline.toml")));
    }

    #[test]
    fn without_a_pipeline_here_one_must_be_named() {
        let error = which(&[], &["other.toml"]).expect_err("no pipeline");
        assert_eq!(error, "there is no `pipeline.toml` in this directory: name the pipeline file");
        let error = which(&["r-1"], &[]).expect_err("no pipeline");
        assert!(
            error.starts_with("there is no pipeline file `r-1`, and no `pipeline.toml` in this directory"),
            "{error}"
        );
    }
}
