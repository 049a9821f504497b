//! The sandbox: a plugin gets nothing of the real world.

use std::{collections::BTreeMap, net::TcpListener};

use crate::{
    guests::PROBE_WORLD,
    support::{NONE, Project},
};

/// Sends lines to `probe_world`, and returns the result of each line.
fn probe(lines: &[&str]) -> BTreeMap<String, String> {
    let project = Project::of(&format!("map = [{{ plugin = {PROBE_WORLD} }}]\nsink.format = \"lines\""))
        .file("input/a.txt", lines.join("\n"));
    let result = project.result(NONE).remove(0).1;
    let pairs = result.lines().map(|line| line.split_once(" -> ").expect("a probe emits its result"));
    pairs.map(|(probe, found)| (probe.to_owned(), found.to_owned())).collect()
}

#[test]
fn a_plugin_sees_no_files_no_environment_no_arguments_and_no_input() {
    let found = probe(&[
        "file /etc/passwd",
        "file pipeline.toml",
        "dir /",
        "dir .",
        "write /tmp/x",
        "env PATH",
        "env",
        "args",
        "stdin",
        "thread",
    ]);
    for denied in ["file /etc/passwd", "file pipeline.toml", "dir /", "dir .", "write /tmp/x", "env PATH"] {
        assert!(found[denied].starts_with("error: "), "{denied}: {}", found[denied]);
    }
    assert!(found["thread"].starts_with("error: "), "{}", found["thread"]);
    assert_eq!((found["env"].as_str(), found["args"].as_str()), ("ok: []", "ok: []"));
    assert!(found["stdin"].contains("0 bytes") || found["stdin"].starts_with("error: "), "{}", found["stdin"]);
}

#[test]
fn a_plugin_reaches_no_network_not_even_a_server_that_listens() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("an address");
    let (socket, udp) = (format!("socket {address}"), format!("udp {address}"));
    let found = probe(&[&socket, &udp, "resolve localhost", "listen 127.0.0.1:0"]);
    assert!(found.values().all(|found| found.starts_with("error: ")), "{found:#?}");
    server.set_nonblocking(true).expect("a socket can be made so");
    assert!(server.accept().is_err(), "a plugin connected");
}

#[test]
fn clock_and_random_numbers_are_the_runs_and_the_same_every_time() {
    let project = Project::of(&format!("map = [{{ plugin = {PROBE_WORLD} }}]\nsink.format = \"lines\""))
        .file("input/a.txt", "random\nclock\nmonotonic\n");
    let text = |run: &str| project.result(["--run-id", run]).remove(0).1;
    let (first, second) = (text("one"), text("two"));
    let line = |text: &str, n: usize| text.lines().nth(n).expect("three lines").to_owned();
    assert_eq!(line(&first, 0), line(&second, 0), "random numbers differ");
    assert_eq!(line(&first, 2), line(&second, 2), "the monotonic clock differs");
    let plan = project.json("runs/test/one/plan.json");
    assert_eq!(line(&first, 1), format!("clock -> ok: {}", plan["planned_at_ms"]));
}

#[test]
fn different_shards_get_different_random_numbers() {
    let project = Project::of(&format!("map = [{{ plugin = {PROBE_WORLD} }}]\nsink.format = \"lines\""))
        .file("input/a.txt", "random\nrandom\n");
    let result = project.result(["--set", "split.target_size=7"]);
    assert_eq!(result.len(), 2);
    assert_ne!(result[0].1, result[1].1);
}

#[test]
fn sleeping_takes_no_time() {
    const TEN_YEARS: &str = "sleep 315360000000";
    let found = probe(&[TEN_YEARS]);
    assert!(found[TEN_YEARS].starts_with("ok: "), "{found:?}");
}
