//! The fuzz targets for commits, plans and pages of shards.
//!
//! Each function takes arbitrary bytes, and panics when a promise is broken. The targets in `host/fuzz` call it with
//! bytes that are made to reach every branch, the tests here with the seeds of those targets. Not part of the program.

use crate::run_store::{
    commit::Commit,
    document::{seal, unseal},
    layout::RunLayout,
    plan,
    shards::ShardPage,
};

/// Checks commits: a commit that can be read is still the same after it is written and read again.
pub fn commit(data: &[u8]) {
    let Ok(commit) = serde_json::from_slice::<Commit>(data) else { return };
    let written = seal(&commit).expect("a commit is JSON");
    assert_eq!(unseal::<Commit>("commit.json", &written).expect("as written"), commit);
}

/// Checks plans and pages of shards: the tasks of a plan that can be read cover all of its shards, each once.
pub fn plan(data: &[u8]) {
    if let Ok(page) = serde_json::from_slice::<ShardPage>(data) {
        let written = seal(&page).expect("a page is JSON");
        assert_eq!(unseal::<ShardPage>("page", &written).expect("as written"), page);
    }
    let Ok(plan) = serde_json::from_slice(data) else { return };
    let Ok(plan) = plan::check(&RunLayout::new("p", "r"), plan) else { return };
    let mut tasks = plan.shards.longest_first();
    tasks.sort_unstable();
    let covered = tasks.iter().fold(0, |end, task| {
        let shards = plan.shards.of_task(*task);
        assert!(shards.start == end && shards.end > end, "task {task} is {shards:?}");
        shards.end
    });
    assert_eq!(covered, plan.shards.shards());
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use etl_core::testing::check_target;

    use super::*;

    /// Returns the seeds of a target by the names of their files.
    fn seeds(target: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let files = fs::read_dir(seeds).expect("a directory").map(|entry| entry.expect("an entry").path());
        files.map(|file| (file.display().to_string(), fs::read(&file).expect("a file")))
    }

    #[test]
    fn seeds_are_documents_as_they_are_today() {
        for (file, seed) in seeds("commit") {
            serde_json::from_slice::<Commit>(&seed).expect(&file);
        }
        for (file, seed) in seeds("plan") {
            let (page, plan) = (serde_json::from_slice::<ShardPage>(&seed), serde_json::from_slice(&seed));
            let plan = plan.ok().and_then(|plan| plan::check(&RunLayout::new("p", "r"), plan).ok());
            assert!(page.is_ok() || plan.is_some(), "{file}");
        }
    }

    #[test]
    fn commits() {
        check_target("commit", Vec::new(), commit);
    }

    #[test]
    fn plans() {
        check_target("plan", Vec::new(), plan);
    }
}
