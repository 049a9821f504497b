//! Command lines that messages and reports tell their readers to run, quoted for a shell.

use crate::model::{
    event::{Invocation, Stage},
    ids::{ShardId, TaskId},
};

/// Default name of a pipeline file.
pub const PIPELINE_FILE: &str = "pipeline.toml";

/// Returns the words as one command line, each quoted for a shell if it needs quotes.
pub fn shell<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> String {
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// Returns a word quoted for a shell, or unchanged if it needs no quotes.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns the command that replays a task of a run; none for a stage that has no replay. Of a map task with several
/// shards, the command replays `shard`, the one that failed, if that is known.
pub fn replay(
    program: &str,
    invocation: &Invocation,
    run_id: &str,
    stage: Stage,
    task: TaskId,
    shard: Option<ShardId>,
) -> Option<String> {
    let (which, number) = match stage {
        Stage::Map => ("--shard", shard.unwrap_or(task.shard()).to_string()),
        Stage::Reduce => ("--partition", task.partition().to_string()),
        Stage::Split | Stage::Finalize => return None,
    };
    let file = invocation.file.as_deref().unwrap_or(PIPELINE_FILE);
    let set = invocation.set.iter().flat_map(|set| ["--set", set]);
    Some(shell([program, "replay", file, run_id, which, &number].into_iter().chain(set)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_replayed_by_the_shard_that_failed_where_that_is_known() {
        let replay =
            |invocation: &Invocation, stage, shard| replay("etl-host", invocation, "r", stage, TaskId(600), shard);
        let unknown = Invocation::default();
        let command = |words: &str| Some(format!("etl-host replay {words}"));
        assert_eq!(replay(&unknown, Stage::Map, None), command("pipeline.toml r --shard 600"));
        assert_eq!(replay(&unknown, Stage::Map, Some(ShardId(601))), command("pipeline.toml r --shard 601"));
        assert_eq!(replay(&unknown, Stage::Reduce, None), command("pipeline.toml r --partition 600"));
        assert_eq!(replay(&unknown, Stage::Finalize, None), None);
        let known = Invocation { file: Some("my jobs/p.toml".to_owned()), set: vec!["a='$b'".to_owned()] };
        let expected = r"'my jobs/p.toml' r --shard 600 --set 'a='\''$b'\'''";
        assert_eq!(replay(&known, Stage::Map, None), command(expected));
    }
}
