//! `etl-host explain`: what an exit code, or the kind of an error, means and what to do about it.

use clap::Args;

use super::print;
use crate::{
    error::{Error, Result},
    nearest::did_you_mean,
};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// An exit code, such as `42`, or the kind of an error as events call it, such as `sandbox` [default: all of them]
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// An exit code, or one of several kinds of errors that share one.
struct Explanation {
    /// The exit code.
    code: u8,
    /// What events call it, if it is an error.
    kind: Option<&'static str>,
    /// What happened.
    meaning: &'static str,
    /// What to do.
    advice: &'static str,
}

const EXPLANATIONS: [Explanation; 12] = [
    Explanation {
        code: 0,
        kind: None,
        meaning: "The run is done, or was done before: the result is complete.",
        advice: "Nothing. The summary says where the result is; `latest.json` beside it points to the newest.",
    },
    Explanation {
        code: 1,
        kind: None,
        meaning: "Of `diff --exit-code` only: the two versions of the step do not make the same of the shards compared.",
        advice: "Nothing failed. What was printed shows the first rows and rejects that differ.",
    },
    Explanation {
        code: 2,
        kind: Some("config"),
        meaning: "The command line, `pipeline.toml`, a plugin, or how they fit together is wrong. No record was lost; mostly none was read.",
        advice: "Fix what the message names: it has the file, the line and the choices. `etl-host check pipeline.toml` finds such \
                 mistakes without running anything. If a run was refused because something changed since it was planned, put it \
                 back, or start another run with `--new`.",
    },
    Explanation {
        code: 3,
        kind: None,
        meaning: "The run is done, but shards that failed for good were left out, no more than `run.tolerated_failures` allows. The \
                  result does not hold their records; the manifest lists them.",
        advice: "`etl-host show` says why each failed. Fix the plugin or the data, then run again with `--redrive`: only \
                 what failed is mapped again.",
    },
    Explanation {
        code: 42,
        kind: Some("input"),
        meaning: "The data is wrong: a source object that is gone, changed or cannot be decompressed, a record that is too long, or more \
                  rejected records than `max_rejects` allows.",
        advice: "The message names the object and the byte. Fix the data, or raise `max_rejects`; rejected records are kept in the run \
                 store under `rejects/`. Then run again with `--resume`.",
    },
    Explanation {
        code: 42,
        kind: Some("damaged"),
        meaning: "A run file in the run store is truncated, changed or gone, and was so again after its map task was run again.",
        advice: "Something writes or deletes in the run store, or the store is failing. Find out what, then run again with `--resume`.",
    },
    Explanation {
        code: 42,
        kind: Some("plugin"),
        meaning: "A step said that it cannot go on, or broke the rules of its interface: a wrong batch, another schema than it announced. Of \
                  `laws`: the step breaks one.",
        advice: "The message is the plugin's own, or says what is wrong with what it emitted. `etl-host replay` runs the shard again with \
                 a fixed plugin; then start another run, or finish this one if it may go on.",
    },
    Explanation {
        code: 42,
        kind: Some("sandbox"),
        meaning: "A step trapped, panicked, or went past one of its `limits`, twice, and not because of single records that could be set \
                  aside.",
        advice: "The message names the limit, or the place in the plugin's source. Raise the limit if the work needs it; `etl-host \
                 replay` runs the shard again; `max_rejects` lets a run set aside single records that fail.",
    },
    Explanation {
        code: 70,
        kind: Some("internal"),
        meaning: "A bug in etl-host.",
        advice: "Please report it, with the text of the message and what you ran. What was committed is safe; `--resume` may get past it.",
    },
    Explanation {
        code: 75,
        kind: Some("unavailable"),
        meaning: "A store or a step was in trouble that may pass, and still was after all retries: no answer, throttling, a full disk, \
                  expired credentials.",
        advice: "Run again with `--resume`: committed tasks are skipped. `retry` of a step says how often and how long it is tried.",
    },
    Explanation {
        code: 130,
        kind: Some("interrupted"),
        meaning: "Interrupted by SIGINT (Ctrl-C). What was under way was committed if it ended within `run.grace`.",
        advice: "Run again with `--resume`: the message has the command.",
    },
    Explanation {
        code: 143,
        kind: Some("interrupted"),
        meaning: "Terminated by SIGTERM. What was under way was committed if it ended within `run.grace`.",
        advice: "Run again with `--resume`: the message has the command.",
    },
];

/// Prints what a code means, or what all mean.
pub(super) fn explain(args: &ExplainArgs) -> Result<()> {
    let wanted = args.code.as_deref();
    let is_wanted = |entry: &&Explanation| {
        wanted.is_none_or(|wanted| entry.code.to_string() == wanted || entry.kind == Some(wanted))
    };
    let found: Vec<String> = EXPLANATIONS.iter().filter(is_wanted).map(Explanation::text).collect();
    if found.is_empty() {
        let (choices, wanted) = (choices(), wanted.unwrap_or_default());
        let known: Vec<&str> = choices.iter().map(String::as_str).collect();
        let (meant, choices) = (did_you_mean(wanted, &known), known.join(", "));
        return Err(Error::config(format!(
            "`{wanted}` is no exit code and no kind of error ({meant}choices: {choices})"
        )));
    }
    print(&found.join("\n"));
    Ok(())
}

impl Explanation {
    fn text(&self) -> String {
        let Self { code, kind, meaning, advice } = self;
        let kind = kind.map(|kind| format!(": {kind}")).unwrap_or_default();
        format!("## {code}{kind}\n\n{meaning}\n\n{advice}\n")
    }
}

/// Returns what can be asked for, each once.
fn choices() -> Vec<String> {
    let all = EXPLANATIONS.iter().flat_map(|entry| [Some(entry.code.to_string()), entry.kind.map(str::to_owned)]);
    let mut names: Vec<String> = Vec::new();
    for name in all.flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use crate::{cli::explain::*, error::ErrorKind};

    #[test]
    fn every_kind_of_error_is_explained_with_its_exit_code() {
        let kinds = [
            ErrorKind::Config,
            ErrorKind::Input,
            ErrorKind::Damaged(0),
            ErrorKind::Plugin,
            ErrorKind::Sandbox,
            ErrorKind::Unavailable,
            ErrorKind::Interrupted(2),
            ErrorKind::Interrupted(15),
            ErrorKind::Internal,
        ];
        for kind in kinds {
            let written = serde_json::to_value(kind).expect("a kind is JSON");
            let name = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str));
            let explained = EXPLANATIONS.iter().any(|entry| entry.kind == name && entry.code == kind.exit_code());
            assert!(explained, "{written} ({})", kind.exit_code());
        }
    }

    #[test]
    fn what_cannot_be_explained_names_the_choices() {
        let error = explain(&ExplainArgs { code: Some("41".to_owned()) }).expect_err("no such code").to_string();
        assert_eq!(
            error,
            "`41` is no exit code and no kind of error (choices: 0, 1, 2, config, 3, 42, input, damaged, plugin, sandbox, 70, \
             internal, 75, unavailable, 130, interrupted, 143)"
        );
        let slip = explain(&ExplainArgs { code: Some("sandboxed".to_owned()) }).expect_err("no such kind").to_string();
        assert!(slip.contains("(did you mean `sandbox`? choices: 0, "), "{slip}");
        assert!(explain(&ExplainArgs { code: Some("sandbox".to_owned()) }).is_ok());
    }
}
