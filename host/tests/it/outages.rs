//! Trouble from outside: servers that go away, lose answers, ignore conditions or refuse credentials, and full disks. A
//! proxy in front of a real S3 server makes the trouble.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::{
    guests::{COUNT_BY_TYPE, SUM, WORD_COUNT},
    stores::{S3, section},
    support::{Project, etl_host_command, shell},
};

/// The way in which a proxy handles a request.
pub(crate) enum Verdict {
    Forward,
    /// Forwards the request without `If-None-Match`.
    Unconditional,
    /// Answers with this status and body.
    Answer(&'static str, &'static str),
    /// Forwards the request, and closes the connection instead of passing on the answer.
    LoseAnswer,
    /// Closes the connection without an answer.
    Drop,
}

/// The parts of a request that rules look at.
pub(crate) struct Request {
    /// `PUT /bucket/…`
    pub(crate) line: String,
    /// Whether the request creates an object only if it does not exist.
    creates: bool,
    /// Whether the request copies an object.
    pub(crate) copies: bool,
}

/// Starts a proxy in front of the server on `upstream` for as long as the test runs, and returns its port.
pub(crate) fn proxy(upstream: u16, rule: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let rule = Arc::new(rule);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let rule = Arc::clone(&rule);
            // Either side may close its connection early, which is the trouble these tests make, so errors are ignored.
            thread::spawn(move || _ = serve(&client, upstream, rule.as_ref()));
        }
    });
    port
}

/// Serves one request, and closes the connection.
fn serve(mut client: &TcpStream, upstream: u16, rule: impl Fn(&Request) -> Verdict) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head: Vec<String> = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header =
        |name: &str| head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
    let length = header("content-length:").and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let Some(line) = head.first().cloned() else { return Ok(()) };
    let (creates, copies) = (header("if-none-match:").is_some(), header("x-amz-copy-source:").is_some());
    let verdict = rule(&Request { line, creates, copies });
    if let Verdict::Answer(status, body) = verdict {
        let length = body.len();
        write!(client, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
        return client.shutdown(Shutdown::Write);
    }
    if matches!(verdict, Verdict::Drop) {
        return Ok(());
    }
    let dropped = |line: &str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("connection:")
            || (matches!(verdict, Verdict::Unconditional) && line.starts_with("if-none-match:"))
    };
    head.retain(|line| !dropped(line));
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    write!(server, "{}\r\nConnection: close\r\n\r\n", head.join("\r\n"))?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if !matches!(verdict, Verdict::LoseAnswer) {
        client.write_all(&answer)?;
    }
    client.shutdown(Shutdown::Write)
}

fn steps() -> String {
    format!(
        "split.target_size = 2000\nmap = [{{ plugin = {WORD_COUNT}, retry = {{ attempts = 1 }} }}]\n\
         reduce = {{ plugin = {SUM}, partitions = 2, retry = {{ attempts = 1 }} }}\n"
    )
}

fn words() -> String {
    (0..3_000_u32).map(|n| format!("w{}\n", n.wrapping_mul(7_919) % 307)).collect()
}

/// Makes a project whose source, sink and run store are on the server behind `port`.
fn project(port: u16) -> Project {
    Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/input/\"\nsink.url = \"s3://bucket/result/\"\n\
         run.store = \"s3://bucket/runs/\"\n{}{}",
        steps(),
        section(port)
    ))
}

fn server() -> S3 {
    let s3 = S3::start();
    s3.put("input/a.txt", words());
    s3
}

/// Checks the result of run `r` against one made on local disk.
#[track_caller]
fn check(s3: &S3) {
    let local = Project::of(&steps()).file("input/a.txt", words());
    for (part, text) in local.result(["--quiet"]) {
        assert_eq!(s3.get(&format!("result/r/{part}")), text, "{part}");
    }
}

#[test]
fn a_store_that_cannot_keep_processes_apart_does_for_one_and_is_refused_for_several() {
    let s3 = server();
    let ignores = proxy(s3.port, |request| if request.creates { Verdict::Unconditional } else { Verdict::Forward });
    let refuses = proxy(s3.port, |request| {
        let answer = Verdict::Answer("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>");
        if request.creates { answer } else { Verdict::Forward }
    });
    for (port, lost) in [(ignores, "ignores the condition"), (refuses, "does not offer to create")] {
        let project = project(port);
        let named = ["run store `s3://bucket/runs/`", lost];
        project.run(["--run-id", "no", "--set", "run.shared=true"]).expect_error(2, &named);
        let worker =
            etl_host_command().arg("worker").arg(project.path("pipeline.toml")).args(["--run-id", "no"]).output();
        let worker = worker.expect("it starts");
        assert_eq!(worker.status.code(), Some(2), "{worker:?}");
        let said = String::from_utf8_lossy(&worker.stderr);
        assert!(said.contains(lost) && said.contains("`etl-host run` as the only process"), "{said}");
        let ended = project.run(["--run-id", "r"]);
        ended.expect_success();
        assert!(named.iter().all(|text| ended.stderr.contains(text)), "{ended:#?}");
        check(&s3);
        // On such a store, too, committed tasks are not repeated.
        assert!(project.run(["--run-id", "r"]).stdout.contains("was done before"));
        for key in s3.keys("runs/test/r").into_iter().chain(s3.keys("result")) {
            s3.delete(&key);
        }
    }
}

#[test]
fn lost_answers_and_a_short_outage_are_not_even_noticed() {
    let s3 = server();
    let count = AtomicUsize::new(0);
    let port = proxy(s3.port, move |request| match count.fetch_add(1, SeqCst) {
        30..33 => Verdict::Drop,
        number if number % 7 == 3 && request.line.starts_with("PUT") => Verdict::LoseAnswer,
        _ => Verdict::Forward,
    });
    project(port).run(["--run-id", "r"]).expect_success();
    check(&s3);
}

#[test]
fn a_server_that_stays_away_ends_the_run_until_it_is_back() {
    let s3 = server();
    let (count, back) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&back);
    let away = move |_: &Request| {
        let away = count.fetch_add(1, SeqCst) > 40 && !seen.load(SeqCst);
        if away { Verdict::Drop } else { Verdict::Forward }
    };
    let project = project(proxy(s3.port, away));
    let ended = project.run(["--run-id", "r"]);
    ended.expect_error(75, &["once the trouble has passed, this finishes the run:"]);
    back.store(true, SeqCst);
    let command = ended.stderr.lines().last().expect("a command");
    crate::support::succeed(&mut shell(command));
    check(&s3);
}

#[test]
fn a_credential_that_expires_ends_the_run_and_a_new_one_finishes_it() {
    let s3 = server();
    let count = AtomicUsize::new(0);
    let port = proxy(s3.port, move |_| match count.fetch_add(1, SeqCst) {
        0..40 => Verdict::Forward,
        _ => Verdict::Answer("403 Forbidden", "<Error><Code>ExpiredToken</Code></Error>"),
    });
    let expired = project(port);
    let texts = ["the credentials have expired", "ExpiredToken", "once the trouble has passed, this finishes the run:"];
    expired.run(["--run-id", "r"]).expect_error(75, &texts);
    // Options of stores may change when a run is resumed: here, the endpoint and the token.
    let endpoint = format!("store_options.endpoint=http://127.0.0.1:{}", s3.port);
    let renewed = ["--run-id", "r", "--set", &endpoint, "--set", "store_options.session_token=new"];
    expired.run(renewed).expect_success();
    check(&s3);
}

#[test]
fn a_request_that_took_too_long_is_made_again() {
    let s3 = server();
    let count = AtomicUsize::new(0);
    let port = proxy(s3.port, move |request| {
        // A read that was due to be answered, a part of the result, and the probe of the sink.
        let takes_long = request.line.contains("/result/") || request.line.contains("/input/a.txt");
        if takes_long && count.fetch_add(1, SeqCst).is_multiple_of(3) {
            Verdict::Answer("400 Bad Request", "<Error><Code>RequestTimeout</Code></Error>")
        } else {
            Verdict::Forward
        }
    });
    project(port).run(["--run-id", "r"]).expect_success();
    check(&s3);
}

#[test]
fn a_sink_that_is_read_only_is_refused_before_anything_is_read() {
    let s3 = server();
    let port = proxy(s3.port, |request| {
        let refused = request.line.starts_with("PUT /bucket/result/");
        if refused {
            Verdict::Answer("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>")
        } else {
            Verdict::Forward
        }
    });
    project(port)
        .run(["--run-id", "r"])
        .expect_error(2, &["sink `s3://bucket/result/` is not writable", "AccessDenied"]);
    let left = s3.keys("runs");
    assert!(left.iter().all(|key| key.contains("/events/") || key.ends_with("/report.html")), "{left:?}");
}

#[test]
fn a_full_scratch_disk_is_named_and_the_run_goes_on_when_there_is_space() {
    let lines: String = (0..60_000_u64).map(|n| format!("key {}\n", n.wrapping_mul(7_919) % 1_000_003)).collect();
    let project = Project::of(&format!(
        "map = [{{ plugin = {COUNT_BY_TYPE}, retry = {{ attempts = 2, interval = \"1ms\" }} }}]\n\
         reduce = {{ plugin = {SUM} }}\nrun.shuffle_memory = \"1MiB\"\n\
         run.scratch = \"scratch/\""
    ));
    let project = project.file("input/a.txt", lines).file("scratch/.keep", "");
    // No file may become larger than 64 KiB (128 KiB in some shells). With the signal ignored, the write fails instead.
    let binary = etl_host_command();
    let line = format!(
        "trap '' XFSZ; ulimit -f 128; exec '{}' '{}' --run-id r",
        binary.get_program().display(),
        project.path("pipeline.toml").display()
    );
    let full = crate::support::Ended::of(&mut shell(&line));
    full.expect_error(75, &["(attempt 2)", "scratch in `", "/scratch` (`[run] scratch` names another place): "]);
    assert_eq!(project.files("scratch"), [".keep"]);
    project.run(["--run-id", "r"]).expect_success();
    assert_eq!(project.latest()[0].1.lines().count(), 60_000);
}
