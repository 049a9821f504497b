//! A campaign of kills: on disk and on S3, with and without a reducer, with tolerated failures and their redrive, one
//! process and two, with `clean` in between. However a run was disturbed, it ends with the same bytes and leaves nothing.
//!
//! `ETL_HOST_LONG_TESTS=1` makes it a thousand kills.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES, SUM},
    stores::S3,
    support::{Ended, Project, etl_host_command},
};

/// One way in which runs are disturbed.
struct Campaign<'a> {
    project: Project,
    /// The server of the run store and the sink; on disk without one.
    s3: Option<&'a S3>,
    processes: usize,
    /// Whether shards fail that are tolerated, and a redrive completes the run.
    redrives: bool,
    random: RandomState,
    rolls: u64,
    killed: usize,
}

/// The parts of a result, by name.
type Parts = BTreeMap<String, String>;

const RUN: &[&str] = &["--run-id", "r", "--set", "run.tolerated_failures=2"];
/// The run that a redrive makes.
const REDRIVEN: &str = "r-redrive-1";
const REDRIVE: &[&str] = &["--redrive", "--run-id", "r", "--set", "map.0.config.text=nothing like it"];

fn project(s3: Option<&S3>, reduces: bool) -> Project {
    let stores = match s3 {
        None => "sink.url = \"result/\"\nrun.store = \"runs/\"\n".to_owned(),
        Some(_) => "sink.url = \"s3://bucket/result/\"\nrun.store = \"s3://bucket/runs/\"\n".to_owned(),
    };
    let trips = format!(
        "{{ plugin = {CRIMES}, config = {{ crime = \"panic-on-line\", text = \"bad\" }}, retry.attempts = 1 }}"
    );
    let steps = if reduces {
        format!("map = [{trips}, {{ plugin = {COUNT_BY_TYPE} }}]\nreduce = {{ plugin = {SUM}, partitions = 2 }}\n")
    } else {
        format!("map = [{trips}]\nsink.format = \"lines\"\n")
    };
    let options = s3.map(S3::section).unwrap_or_default();
    let pipeline = format!(
        "name = \"test\"\nsource.url = \"input/\"\n{stores}split.target_size = 40\nrun.fsync = false\n{steps}{options}"
    );
    Project::new(&pipeline)
}

fn lines(fails: bool) -> String {
    let line = |n: u32| if fails && n.is_multiple_of(31) { "bad\n".to_owned() } else { format!("t{}\n", n * 7 % 23) };
    (1..=60).map(line).collect()
}

impl<'a> Campaign<'a> {
    fn new(s3: Option<&'a S3>, reduces: bool, redrives: bool, processes: usize) -> Self {
        let project = project(s3, reduces).file("input/a.txt", lines(redrives));
        Self { project, s3, processes, redrives, random: RandomState::new(), rolls: 0, killed: 0 }
    }

    fn roll(&mut self) -> f64 {
        self.rolls += 1;
        self.random.hash_one(self.rolls) as f64 / u64::MAX as f64
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = etl_host_command();
        command.arg(self.project.path("pipeline.toml")).arg("--quiet").args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    }

    fn clean(&self) -> Command {
        let mut command = etl_host_command();
        command.arg("clean").arg(self.project.path("pipeline.toml")).arg("r");
        command
    }

    /// Runs to the end undisturbed, and returns the result and how long it took.
    fn undisturbed(&self, arguments: &[&str], run_id: &str) -> (Parts, Duration) {
        let started = Instant::now();
        let code = self.start(arguments).wait().expect("it ends").code();
        assert!(matches!(code, Some(0 | 3)), "{code:?}");
        (self.result(run_id), started.elapsed())
    }

    /// Starts processes and kills them, again and again, until one ends by itself. Returns whether the run store still
    /// has the run: a `clean` after the result was complete, and before the run was, leaves the result alone.
    fn disturbed(&mut self, arguments: &[&str], undisturbed: Duration, may_clean: bool) -> bool {
        for round in 0_u32.. {
            let mut children: Vec<Child> = (0..self.processes).map(|_| self.start(arguments)).collect();
            // Give them longer each time: on a busy machine, the time of an undisturbed run may not be enough.
            thread::sleep(undisturbed.mul_f64(self.roll() * (1.0 + f64::from(round) / 8.0)));
            children.iter_mut().for_each(|child| child.kill().expect("it can be killed"));
            let ended: Vec<Output> =
                children.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
            let (mut done, mut refused) = (false, None);
            for Output { status, stderr, .. } in ended {
                match status.code() {
                    Some(0 | 3) => done = true,
                    Some(2) if may_clean => refused = Some(stderr),
                    _ => assert_eq!(status.signal(), Some(9), "{status}: {}", String::from_utf8_lossy(&stderr)),
                }
                self.killed += usize::from(status.signal() == Some(9));
            }
            if let Some(stderr) = refused {
                // A `clean` that was killed may leave a claim without a plan, which another `clean` takes away.
                let cleaned = Ended::of(&mut self.clean());
                if cleaned.code != Some(0) {
                    cleaned.expect_error(2, &["there are no runs of `test`"]);
                    assert!(self.is_there("result/r/_SUCCESS"), "{}", String::from_utf8_lossy(&stderr));
                    return false;
                }
            }
            if done {
                // Whoever was killed last may have left something behind after the end of the other.
                let code = self.start(arguments).wait().expect("it ends").code();
                assert!(matches!(code, Some(0 | 3)), "{code:?}");
                return true;
            }
            // Of a complete run, `clean` deletes what a redrive needs.
            if may_clean && self.roll() < 0.2 && !self.is_there("runs/test/r/_SUCCESS") {
                let mut clean = self.clean().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
                thread::sleep(undisturbed.mul_f64(self.roll() / 4.0));
                clean.kill().expect("it can be killed");
                clean.wait().expect("it ends");
            }
        }
        unreachable!("some process lives long enough")
    }

    fn is_there(&self, key: &str) -> bool {
        self.s3.map_or_else(|| self.project.path(key).exists(), |s3| s3.keys("").iter().any(|found| found == key))
    }

    /// Returns the parts of the result of a run.
    fn result(&self, run_id: &str) -> Parts {
        let directory = format!("result/{run_id}");
        let names = match self.s3 {
            None => self.project.files(&directory),
            Some(s3) => {
                let keys = s3.keys(&directory).into_iter();
                keys.map(|key| key.rsplit('/').next().expect("a name").to_owned()).collect()
            }
        };
        let read = |name: String| {
            let key = format!("{directory}/{name}");
            let text = self.s3.map_or_else(
                || std::fs::read_to_string(self.project.path(&key)).expect("the part is there"),
                |s3| s3.get(&key),
            );
            (name, text)
        };
        names.into_iter().filter(|name| name.starts_with("part-")).map(read).collect()
    }

    /// Checks that nothing is left of processes that were killed.
    fn check_left(&self) {
        let keys = match self.s3 {
            None => [self.project.files("runs"), self.project.files("result")].concat(),
            Some(s3) => {
                assert_eq!(s3.uploads(), 0);
                s3.keys("")
            }
        };
        let is_left = |key: &&String| ["/_attempts/", "/uploads/", "#"].iter().any(|part| key.contains(part));
        assert_eq!(keys.iter().find(is_left), None);
    }

    fn forget(&self) {
        match self.s3 {
            None => ["runs", "result"].iter().for_each(|name| drop(std::fs::remove_dir_all(self.project.path(name)))),
            Some(s3) => s3.keys("").iter().for_each(|key| s3.delete(key)),
        }
    }

    /// Disturbs runs until this many processes were killed.
    fn fight(&mut self, kills: usize) {
        let (partial, took) = self.undisturbed(RUN, "r");
        let (whole, redrive_took) =
            if self.redrives { self.undisturbed(REDRIVE, REDRIVEN) } else { (partial.clone(), took) };
        self.forget();
        while self.killed < kills {
            let is_there = self.disturbed(RUN, took, true);
            assert_eq!(self.result("r"), partial, "after {} kills", self.killed);
            if is_there {
                self.check_left();
            }
            if self.redrives && is_there {
                self.disturbed(REDRIVE, redrive_took, false);
                assert_eq!(self.result(REDRIVEN), whole, "after {} kills, redriven", self.killed);
                self.check_left();
            }
            self.forget();
        }
    }
}

/// Fights on one kind of store, in all the other ways, and returns the number of kills.
fn fight(s3: Option<&S3>) -> usize {
    let kills = if std::env::var_os("ETL_HOST_LONG_TESTS").is_some() { 63 } else { 3 };
    let ways = [false, true].into_iter().flat_map(|reduces| [(reduces, false), (reduces, true)]);
    let ways = ways.flat_map(|(reduces, redrives)| [(reduces, redrives, 1), (reduces, redrives, 2)]);
    let fought = ways.map(|(reduces, redrives, processes)| {
        let mut campaign = Campaign::new(s3, reduces, redrives, processes);
        campaign.fight(kills);
        campaign.killed
    });
    fought.sum()
}

#[test]
fn killed_on_disk_in_many_ways_runs_end_with_the_same_bytes() {
    assert!(fight(None) >= 24);
}

#[test]
fn killed_on_s3_in_many_ways_runs_end_with_the_same_bytes() {
    assert!(fight(Some(&S3::start())) >= 24);
}
