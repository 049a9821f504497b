//! `etl-host explain`: what an exit code or a kind of error means, and what to do about it.

use clap::Args;
use etl_core::{
    model::error::{Error, Result},
    text::nearest::did_you_mean,
};

use super::print;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// An exit code, such as `42`, or a kind of error as it is named in events, such as `sandbox` [default: all of
    /// them]
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// The explanation of an exit code, or of one kind of error where several kinds share a code.
struct Explanation {
    code: u8,
    /// Name of the error kind in events; absent for a code that is not an error.
    kind: Option<&'static str>,
    meaning: &'static str,
    advice: &'static str,
}

const EXPLANATIONS: [Explanation; 13] = [
    Explanation {
        code: 0,
        kind: None,
        meaning: "The run is done, or was done before: the result is complete.",
        advice: "Nothing. The summary says where the result is; `latest.json` beside it points to the newest.",
    },
    Explanation {
        code: 1,
        kind: None,
        meaning: "Only `diff --exit-code` ends with this code: the two versions of the step differ on the compared \
                  shards.",
        advice: "Nothing failed. The output shows the first rows and rejects that differ.",
    },
    Explanation {
        code: 2,
        kind: Some("config"),
        meaning: "The command line, `pipeline.toml` or a plugin is wrong, or they do not fit together. No record was \
                  lost; in most cases, none was read.",
        advice: "Fix what the message names: it has the file, the line and the choices. `etl-host check pipeline.toml` \
                 finds such mistakes without running anything. If a run was refused because something changed since it \
                 was planned, undo the change, or start another run with `--new`.",
    },
    Explanation {
        code: 3,
        kind: None,
        meaning: "The run is done, but shards that failed for good were left out, as `run.tolerated_failures` allows. \
                  The result does not contain their records; the manifest lists these shards.",
        advice: "`etl-host show` says why each failed. Fix the plugin or the data, then run again with `--redrive`: \
                 only the failed shards are mapped again.",
    },
    Explanation {
        code: 42,
        kind: Some("input"),
        meaning: "The data is wrong: a source object cannot be decompressed, a record is too long, or more records were \
                  rejected than `max_rejects` allows.",
        advice: "The message names the object and the byte. Fix the data, or raise `max_rejects`; rejected records are \
                 kept in the run store under `rejects/`. Then run again with `--resume`.",
    },
    Explanation {
        code: 42,
        kind: Some("changed"),
        meaning: "Something that the run was planned with, or had made, is gone or is another by now: a source object, \
                  the plan or its shards in the run store, or parts of a complete result.",
        advice: "The message names the object. If parts of a complete result are gone, run again with `--run-id` and \
                 `--repair`. Otherwise bring the object back as it was, or start another run with `--new`.",
    },
    Explanation {
        code: 42,
        kind: Some("damaged"),
        meaning: "A shuffle file in the run store is truncated, changed or gone. Its map task was run again, and the \
                  new file was damaged too.",
        advice: "Another program changes or deletes objects in the run store, or the store is failing. Find the cause, \
                 then run again with `--resume`.",
    },
    Explanation {
        code: 42,
        kind: Some("plugin"),
        meaning: "A step reported that it cannot continue, or broke the rules of its interface: it emitted an invalid \
                  batch, or a schema other than the one it announced. From `laws`: the step breaks a law.",
        advice: "The message comes from the plugin, or says what is wrong with what the plugin emitted. `etl-host \
                 replay` runs the shard again with a fixed plugin. Then start a new run with it: a run is only \
                 finished with the plugins and the configuration it was planned with.",
    },
    Explanation {
        code: 42,
        kind: Some("sandbox"),
        meaning: "A step trapped, panicked, or exceeded one of its `limits`, and so did the second attempt, if `retry` \
                  allows one. Setting single records aside did not help or was not allowed.",
        advice: "The message names the limit, or the place in the plugin's source. Raise the limit if the work needs \
                 it; `etl-host replay` runs the shard again; `max_rejects` lets a run set aside single records that \
                 fail.",
    },
    Explanation {
        code: 70,
        kind: Some("internal"),
        meaning: "A bug in etl-host.",
        advice: "Please report it, with the text of the message and the command you ran. What was committed is safe; \
                 `--resume` may get past the bug.",
    },
    Explanation {
        code: 75,
        kind: Some("unavailable"),
        meaning: "A store or a step had trouble that may pass, and still had it after all retries: no answer, \
                  throttling, a full disk, expired credentials.",
        advice: "Run again with `--resume`: committed tasks are skipped. The `retry` key of a step sets how often \
                 it is tried again, and the waits in between.",
    },
    Explanation {
        code: 130,
        kind: Some("interrupted"),
        meaning: "Interrupted by SIGINT (Ctrl-C). Tasks under way were committed if they ended within `run.grace`.",
        advice: "Run again with `--resume`: the message has the command.",
    },
    Explanation {
        code: 143,
        kind: Some("interrupted"),
        meaning: "Terminated by SIGTERM. Tasks under way were committed if they ended within `run.grace`.",
        advice: "Run again with `--resume`: the message has the command.",
    },
];

/// Prints the explanations of an exit code or a kind of error, or all explanations.
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
    print(&found.join("\n"))
}

impl Explanation {
    fn text(&self) -> String {
        let Self { code, kind, meaning, advice } = self;
        let kind = kind.map(|kind| format!(": {kind}")).unwrap_or_default();
        format!("## {code}{kind}\n\n{meaning}\n\n{advice}\n")
    }
}

/// Returns all exit codes and kinds of errors, each once.
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
    use super::*;
    use etl_core::model::{error::ErrorKind, ids::TaskId};

    #[test]
    fn every_kind_of_error_is_explained_with_its_exit_code() {
        let kinds = [
            ErrorKind::Config,
            ErrorKind::Input,
            ErrorKind::Changed,
            ErrorKind::Damaged(TaskId(0)),
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
            "`41` is no exit code and no kind of error (choices: 0, 1, 2, config, 3, 42, input, changed, damaged, plugin, \
             sandbox, 70, internal, 75, unavailable, 130, interrupted, 143)"
        );
        let slip = explain(&ExplainArgs { code: Some("sandboxed".to_owned()) }).expect_err("no such kind").to_string();
        assert!(slip.contains("(did you mean `sandbox`? choices: 0, "), "{slip}");
        assert!(explain(&ExplainArgs { code: Some("sandbox".to_owned()) }).is_ok());
    }
}
