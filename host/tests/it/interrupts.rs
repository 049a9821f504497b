//! Interrupts, with real signals: the first stops a run, which can be finished later; the second ends it at once.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use crate::{
    guests::{CRIMES, SPLIT_CRIMES, SUM, WORD_COUNT},
    support::{Project, etl_host_command, shell, succeed},
};

/// A text that is in all events of map tasks.
const MAP: &str = r#""stage":"map""#;

/// A running process of the binary; killed when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the pipeline of a project, with events on standard output.
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let mut command = etl_host_command();
        command.arg(project.path("pipeline.toml")).args(["--events", "json"]).args(arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        let (sender, lines) = channel();
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Self { child, lines }
    }

    /// Waits until a line with all these texts is printed.
    #[track_caller]
    fn wait_for(&self, texts: &[&str]) {
        let found = self.lines.iter().any(|line| texts.iter().all(|text| line.contains(text)));
        assert!(found, "it ended before it printed {texts:?}");
    }

    fn signal(&self, name: &str) {
        succeed(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]));
    }

    /// Waits for the end, and returns the exit code and all lines that were not waited for.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().expect("it ends").code();
        (code, self.lines.iter().collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Makes a project in which one shard ends and the other never does.
fn endless() -> Project {
    let step = format!("plugin = {CRIMES}, config = {{ crime = \"spin\", task = 1 }}");
    let limits = "limits = { timeout = \"1day\", batch_timeout = \"1day\" }";
    Project::of(&format!("map = [{{ {step}, {limits} }}]\nsplit.target_size = 4\nsink.format = \"lines\""))
        .file("input/a.txt", "one\ntwo\n")
}

#[test]
fn the_first_signal_ends_the_run_after_its_grace_and_says_how_to_finish_it() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let project = endless();
        let run = Running::start(&project, &["--run-id", "r", "--set", "run.grace=1ms"]);
        run.wait_for(&["attempt_finished", MAP]);
        run.signal(signal);
        let (ended, lines) = run.end();
        assert_eq!(ended, Some(code), "{lines:#?}");
        let told = ["stopping: ", "error: interrupted", "this finishes the run:", " --run-id r "];
        assert!(told.iter().all(|text| lines.iter().any(|line| line.contains(text))), "{lines:#?}");
        assert!(project.path(&format!("{}/map/000000/commit.json", project.of_plan("r"))).exists());
        assert!(!project.path("result/r/_SUCCESS").exists());
    }
}

#[test]
fn a_run_that_is_interrupted_before_it_is_planned_has_nothing_to_finish_and_starts_over() {
    let split = format!(
        "split = {{ plugin = {SPLIT_CRIMES}, config = {{ mode = \"spin\" }}, limits.batch_timeout = \"1day\", \
         limits.timeout = \"1day\" }}\nmap = [{{ plugin = {CRIMES}, config = {{}} }}]\nsink.format = \"lines\""
    );
    let project = Project::of(&split).file("input/a.txt", "one\ntwo\n");
    let run = Running::start(&project, &["--run-id", "r", "--set", "run.grace=1ms"]);
    run.wait_for(&["attempt_started", r#""stage":"split""#]);
    run.signal("INT");
    let (ended, lines) = run.end();
    assert_eq!(ended, Some(130), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("this finishes the run")), "{lines:#?}");
    assert!(!project.path("runs/test/r/plan.json").exists());
    let parts = project.result(["--run-id", "r", "--set", "split.config.mode=whole"]);
    assert_eq!(parts, [("part-00000.txt".to_owned(), "one\ntwo\n".to_owned())]);
}

#[test]
fn the_second_signal_does_not_wait_for_the_grace() {
    let project = endless();
    let run = Running::start(&project, &["--set", "run.grace=1day"]);
    run.wait_for(&["attempt_started", MAP]);
    run.signal("INT");
    run.wait_for(&["stopping: "]);
    run.signal("TERM");
    assert_eq!(run.end().0, Some(143));
}

#[test]
fn an_interrupted_run_is_finished_by_the_command_it_prints() {
    let pipeline = format!(
        "map = [{{ plugin = {WORD_COUNT} }}]\nreduce = {{ plugin = {SUM}, partitions = 2 }}\n\
         split.target_size = \"2KiB\""
    );
    let words: String = (0..30_000_u32).map(|n| format!("w{}\n", n.wrapping_mul(7_919) % 1_009)).collect();
    let project = Project::of(&pipeline).file("input/a.txt", words);
    let expected = project.result(["--run-id", "undisturbed"]);
    let run = Running::start(&project, &["--run-id", "r", "--set", "run.grace=1h"]);
    run.wait_for(&["attempt_finished", MAP]);
    run.signal("TERM");
    let (code, lines) = run.end();
    assert_eq!(code, Some(143), "{lines:#?}");
    let command = lines.iter().find(|line| line.contains(" --run-id r ")).expect("a command");
    succeed(&mut shell(command));
    assert_eq!(project.latest(), expected);
    let events = project
        .files("runs/test/r/events")
        .into_iter()
        .map(|file| std::fs::read_to_string(project.path("runs/test/r/events").join(file)).expect("events"));
    let events: Vec<String> = events.collect();
    assert_eq!(events.len(), 2, "each process has its own");
    let events = events.concat();
    let finished = |event: &&str| event.contains("attempt_finished") && event.contains(MAP);
    let plan = project.json("runs/test/r/plan.json");
    // The attempts that were running at the signal ended within the grace period, so no shard was mapped twice.
    assert_eq!(events.lines().filter(finished).count() as u64, plan["shards"].as_u64().expect("a number"));
}
