//! The keys of the run store: the only place that builds or parses them.
//!
//! ```text
//! <run store>/<pipeline>/<run-id>/
//!   plan.json                                  put-if-absent; names the plan's id
//!   <plan-id>/shards/00000.json …              the shards, in pages
//!   <plan-id>/shards/<shard>.arrow             records made by the splitter
//!   <plan-id>/map/<shard>/<attempt>.arrow      one shuffle file per attempt
//!   <plan-id>/map/<shard>/commit.json          put-if-absent: names the winning attempt
//!   <plan-id>/map/<shard>/taken-back           a commit of the task was taken back: its output was damaged or gone
//!   <plan-id>/reduce/<partition>/commit.json
//!   <plan-id>/claims/<stage>-<task>-<number>   put-if-absent: the process that takes the task on
//!   <plan-id>/uploads/<stage>-<task>-<attempt>-<what>.json   an upload that an attempt has begun
//!   <plan-id>/rejects/<stage>/<task>/<attempt>.jsonl  the records that an attempt set aside
//!   events/<time>-<process>.jsonl              what each process that worked on the run saw happen
//!   processes/<process>.json                   what each process that works on the run does at the moment
//!   report.html                                the same, as a page to look at
//!   manifest.json, _SUCCESS
//! ```
//! Everything that is committed belongs to one plan, whose id is in its key and in the commit. So a run that is deleted
//! and planned again takes nothing from the plan before. Below `map/`, `<shard>` is the number of a task's first shard. Numbers are zero-padded, so keys sort in the order of
//! numbers.

use etl_core::model::{
    event::Stage,
    ids::{AttemptId, PlanId, SUCCESS, ShardId, TaskId},
};

/// The prefixes, below a plan's, of the objects that a run needs only until it is complete.
const INTERMEDIATES: [&str; 5] = ["shards", "map", "reduce", CLAIMS, UPLOADS];

/// The keys of one run, relative to the run store's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLayout {
    root: String,
}

impl RunLayout {
    /// Creates the layout of run `run_id` of `pipeline`.
    pub fn new(pipeline: &str, run_id: &str) -> Self {
        Self { root: format!("{pipeline}/{run_id}") }
    }

    /// Returns the layout of another run of the same pipeline.
    #[must_use]
    pub fn of_run(&self, run_id: &str) -> Self {
        let pipeline = self.root.split('/').next().unwrap_or_default();
        Self::new(pipeline, run_id)
    }

    /// Returns the layout of what belongs to one plan of the run.
    pub fn of_plan(&self, plan: &PlanId) -> PlanLayout {
        PlanLayout { root: format!("{}/{plan}", self.root), plan: plan.clone() }
    }

    /// Returns the prefix below which all runs of `pipeline` lie, each under its id.
    pub fn runs(pipeline: &str) -> &str {
        pipeline
    }

    /// Returns the run's prefix.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns the key of the frozen plan.
    pub fn plan(&self) -> String {
        format!("{}/plan.json", self.root)
    }

    /// Returns whether this is the key of something that a run, by whichever plan, needs only until it is complete:
    /// shards, shuffle files, commits, claims, notes of uploads, and what its processes do.
    pub fn is_intermediate(&self, key: &str) -> bool {
        self.below_plan(key).is_some_and(|(_, below)| INTERMEDIATES.contains(&below))
            || self.parse_process(key).is_some()
    }

    /// Returns whether this is the key of a note of an upload, by whichever plan.
    pub fn is_upload(&self, key: &str) -> bool {
        self.below_plan(key).is_some_and(|(_, below)| below == UPLOADS)
    }

    /// Returns the name of the plan that a key belongs to, and the next part of the key.
    fn below_plan<'k>(&self, key: &'k str) -> Option<(&'k str, &'k str)> {
        let mut parts = key.strip_prefix(&self.root)?.strip_prefix('/')?.split('/');
        let (plan, below) = (parts.next()?, parts.next()?);
        parts.next().map(|_| (plan, below))
    }

    /// Returns the key of the events of one process, which started `at_ms` milliseconds after the Unix epoch. Keys sort
    /// by time.
    pub fn events(&self, at_ms: u64, process: &str) -> String {
        format!("{}/{at_ms:013}-{process}.jsonl", self.all_events())
    }

    /// Returns the prefix below which the events of all processes lie.
    pub fn all_events(&self) -> String {
        format!("{}/events", self.root)
    }

    /// Returns the start of a process, in milliseconds since the Unix epoch, and its name, if `key` is the key of the
    /// events of a process of this run.
    pub fn parse_events<'k>(&self, key: &'k str) -> Option<(u64, &'k str)> {
        let name = key.strip_prefix(&self.all_events())?.strip_prefix('/')?.strip_suffix(".jsonl")?;
        let (at_ms, process) = name.split_once('-')?;
        Some((at_ms.parse().ok()?, process))
    }

    /// Returns the key of what a process that works on the run does at the moment.
    pub fn process(&self, process: &str) -> String {
        format!("{}/{process}.json", self.all_processes())
    }

    /// Returns the prefix below which lies what all processes do at the moment.
    pub fn all_processes(&self) -> String {
        format!("{}/processes", self.root)
    }

    /// Returns the name of the process, if `key` is the key of what a process does at the moment.
    pub fn parse_process<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&self.all_processes())?.strip_prefix('/')?.strip_suffix(".json")
    }

    /// Returns the key of the manifest, which lists what the run made.
    pub fn manifest(&self) -> String {
        format!("{}/manifest.json", self.root)
    }

    /// Returns the key of the report, the page that shows what happened.
    pub fn report(&self) -> String {
        format!("{}/report.html", self.root)
    }

    /// Returns the key of the object that says that the run is complete.
    pub fn success(&self) -> String {
        format!("{}/{SUCCESS}", self.root)
    }
}

/// The prefix, below a plan's, of the claims of its tasks.
const CLAIMS: &str = "claims";

/// The prefix, below a plan's, of the notes of its uploads.
const UPLOADS: &str = "uploads";

/// The keys of what belongs to one plan of a run, relative to the run store's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLayout {
    root: String,
    plan: PlanId,
}

impl PlanLayout {
    /// Returns the plan.
    pub fn plan(&self) -> &PlanId {
        &self.plan
    }

    /// Returns the plan's prefix.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns the key of a page of the plan's shards.
    pub fn shard_page(&self, page: usize) -> String {
        format!("{}/shards/{page:05}.json", self.root)
    }

    /// Returns the key of the records that the splitter made for a shard.
    pub fn shard_records(&self, shard: ShardId) -> String {
        format!("{}/shards/{shard:06}.arrow", self.root)
    }

    /// Returns the key of the shuffle file that an attempt at a map task writes.
    pub fn shuffle_file(&self, task: TaskId, attempt: &AttemptId) -> String {
        format!("{}/map/{task:06}/{attempt}.arrow", self.root)
    }

    /// Returns the prefix below which the shuffle files of all attempts lie.
    pub fn shuffle_files(&self) -> String {
        format!("{}/map", self.root)
    }

    /// Returns the key of the note that a commit of a map task was taken back.
    pub fn taken_back(&self, task: TaskId) -> String {
        format!("{}/map/{task:06}/taken-back", self.root)
    }

    /// Returns the prefix below which all commits of a stage lie.
    pub fn commits(&self, stage: Stage) -> String {
        format!("{}/{}", self.root, stage.name())
    }

    /// Returns the key of a task's commit.
    pub fn commit(&self, stage: Stage, task: TaskId) -> String {
        let width = width(stage);
        format!("{}/{}/{task:0width$}/commit.json", self.root, stage.name())
    }

    /// Returns the task whose commit has this key, if it is the key of a commit of this plan and stage.
    pub fn parse_commit(&self, stage: Stage, key: &str) -> Option<TaskId> {
        let task = key.strip_prefix(&self.commits(stage))?.strip_prefix('/')?.strip_suffix("/commit.json")?;
        (task.len() >= width(stage)).then(|| task.parse().ok()).flatten()
    }

    /// Returns the key of a claim of a task: the first has number 0, and one that takes the task over has the next.
    pub fn claim(&self, stage: Stage, task: TaskId, number: u32) -> String {
        format!("{}/{}-{task:06}-{number}", self.all_claims(), stage.name())
    }

    /// Returns the prefix below which all claims lie.
    pub fn all_claims(&self) -> String {
        format!("{}/{CLAIMS}", self.root)
    }

    /// Returns the task and the number of the claim that has this key, if it is the key of a claim of this plan and
    /// stage.
    pub fn parse_claim(&self, stage: Stage, key: &str) -> Option<(TaskId, u32)> {
        let name = key.strip_prefix(&self.all_claims())?.strip_prefix('/')?.strip_prefix(stage.name())?;
        let (task, number) = name.strip_prefix('-')?.split_once('-')?;
        Some((task.parse().ok()?, number.parse().ok()?))
    }

    /// Returns the key of the records that an attempt set aside.
    pub fn rejects(&self, stage: Stage, task: TaskId, attempt: &AttemptId) -> String {
        let width = width(stage);
        format!("{}/{}/{task:0width$}/{attempt}.jsonl", self.all_rejects(), stage.name())
    }

    /// Returns the prefix below which all records lie that were set aside.
    pub fn all_rejects(&self) -> String {
        format!("{}/rejects", self.root)
    }

    /// Returns the key of the note that an attempt at a task has begun to upload `what`.
    pub fn upload(&self, stage: Stage, task: TaskId, attempt: &AttemptId, what: &str) -> String {
        format!("{}/{}-{task:06}-{attempt}-{what}.json", self.all_uploads(), stage.name())
    }

    /// Returns the prefix below which the notes of all uploads lie.
    pub fn all_uploads(&self) -> String {
        format!("{}/{UPLOADS}", self.root)
    }
}

fn width(stage: Stage) -> usize {
    if stage == Stage::Map { 6 } else { 5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etl_core::model::ids::Try;

    #[test]
    fn commits_parse_back_and_sort_by_number() {
        let run = RunLayout::new("p", "r");
        let layout = run.of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "planner")));
        let other = run.of_plan(&PlanId::of(AttemptId::new(Try::FIRST, "other")));
        for stage in [Stage::Map, Stage::Reduce] {
            for task in [0, 9, 10, 99_999, 1_000_000].map(TaskId) {
                assert_eq!(layout.parse_commit(stage, &layout.commit(stage, task)), Some(task));
            }
            assert!(layout.commit(stage, TaskId(9)) < layout.commit(stage, TaskId(10)));
        }
        let attempt = AttemptId::new(Try::FIRST, "a");
        assert_eq!(layout.parse_commit(Stage::Map, &layout.shuffle_file(TaskId(3), &attempt)), None);
        assert_eq!(layout.parse_commit(Stage::Map, &layout.taken_back(TaskId(3))), None);
        assert_eq!(layout.parse_commit(Stage::Reduce, &layout.commit(Stage::Map, TaskId(3))), None);
        assert_eq!(layout.parse_commit(Stage::Map, &other.commit(Stage::Map, TaskId(3))), None);
        let (commit, upload) =
            (other.commit(Stage::Map, TaskId(3)), layout.upload(Stage::Reduce, TaskId(0), &attempt, "part"));
        assert_eq!(
            [&commit, &upload].map(|key| (run.is_intermediate(key), run.is_upload(key))),
            [(true, false), (true, true)]
        );
        let claim = layout.claim(Stage::Map, TaskId(1_000_000), 12);
        assert_eq!(layout.parse_claim(Stage::Map, &claim), Some((TaskId(1_000_000), 12)));
        assert_eq!(layout.parse_claim(Stage::Reduce, &claim), None);
        assert!(run.is_intermediate(&claim) && run.is_intermediate(&run.process("5f3a")));
        assert_eq!(run.parse_process(&run.process("5f3a")), Some("5f3a"));
        for kept in [run.plan(), run.events(1, "a"), layout.rejects(Stage::Map, TaskId(3), &attempt)] {
            assert!(!run.is_intermediate(&kept), "{kept}");
        }
        assert_eq!(run.parse_events(&run.events(1_795_000_000_000, "5f3a")), Some((1_795_000_000_000, "5f3a")));
        assert_eq!(run.parse_events("p/other/events/1795000000000-5f3a.jsonl"), None);
    }
}
