//! Stores: a real S3 server over HTTP gives the same bytes as local disk, and run files open in another Arrow reader.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use crate::support::{NONE, Project, repository, succeed};

/// Returns the Python of a virtual environment with the tools the tests need, made once per checkout.
fn python() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    MADE.get_or_init(|| {
        let tools = repository().join("target/test-tools");
        let python = tools.join("bin/python");
        if !tools.join("complete").exists() {
            succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&tools));
            let packages = ["moto[server]==5.*", "pyarrow"];
            succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
            fs::write(tools.join("complete"), "").expect("the directory was just made");
        }
        python
    })
    .clone()
}

/// An S3 server on a port of its own, stopped when dropped.
struct S3 {
    server: Child,
    port: u16,
}

impl S3 {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new(python().with_file_name("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let s3 = Self { server: command.spawn().expect("the server starts"), port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        s3.request("PUT", "/bucket", b"");
        s3
    }

    /// Sends a request without credentials, which this server does not check.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("the server answers");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        connection.write_all(&[head.as_bytes(), body].concat()).expect("the server reads");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("the server writes");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    fn options(&self) -> String {
        format!(
            "[store_options]\nendpoint = \"http://127.0.0.1:{}\"\nallow_http = \"true\"\nregion = \"us-east-1\"\n\
             access_key_id = \"test\"\nsecret_access_key = \"test\"\n",
            self.port
        )
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

const WORD_COUNT: &str = r#"
split.target_size = "16KiB"
map = [{ plugin = "plugin:word_count" }]
reduce = { plugin = "plugin:sum", combine = true, partitions = 2 }
"#;

fn words() -> String {
    (0..20_000_u64).map(|n| format!("w{} w{}\n", n.wrapping_mul(7_919) % 3_001, n % 10)).collect()
}

#[test]
fn s3_gives_the_same_bytes_as_local_disk() {
    let s3 = S3::start();
    let local = Project::of(WORD_COUNT).file("input/a.txt", words()).file("input/b.txt", "last words");
    let expected = local.result(["--run-id", "r"]);
    s3.request("PUT", "/bucket/input/a.txt", words().as_bytes());
    s3.request("PUT", "/bucket/input/b.txt", b"last words");
    let remote = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/input/\"\nsink.url = \"s3://bucket/result/\"\n\
         run.store = \"s3://bucket/runs/\"\n{WORD_COUNT}{}",
        s3.options()
    ));
    for _ in 0..2 {
        // The second time it is done already.
        remote.run(["--run-id", "r"]).expect_success();
        for (name, text) in &expected {
            assert_eq!(&s3.request("GET", &format!("/bucket/result/r/{name}"), b""), text, "{name}");
        }
    }
    let listing = s3.request("GET", "/bucket?list-type=2&prefix=result/", b"");
    assert!(!listing.contains("_attempts"), "{listing}");
    assert!(listing.contains("result/r/_SUCCESS") && listing.contains("result/latest.json"), "{listing}");
}

#[test]
fn source_run_store_and_sink_may_be_of_different_kinds() {
    let s3 = S3::start();
    let local = Project::of(WORD_COUNT).file("input/a.txt", words());
    let expected = local.result(NONE);
    let mixed = Project::new(&format!(
        "name = \"test\"\nsource.url = \"input/\"\nsink.url = \"result/\"\nrun.store = \"s3://bucket/runs/\"\n{WORD_COUNT}{}",
        s3.options()
    ));
    assert_eq!(mixed.file("input/a.txt", words()).result(NONE), expected);
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let s3 = S3::start();
    let project = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://nowhere/input/\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n{WORD_COUNT}{}",
        s3.options()
    ));
    project.run(NONE).expect_error(2, &["s3://nowhere/input/"]);
}

#[test]
fn run_files_open_in_another_arrow_reader() {
    let project = Project::of(WORD_COUNT).file("input/a.txt", "b a\na c a\n");
    project.result(["--run-id", "r", "--set", "reduce.partitions=1"]);
    let map = project.files("runs/test/r/map");
    let file = map.iter().find(|file| file.ends_with(".arrow")).expect("a run file");
    let script = "import sys, json, pyarrow as pa\n\
                  table = pa.ipc.open_file(sys.argv[1]).read_all()\n\
                  print(json.dumps([table.schema.names, table.to_pylist()]))";
    let path = project.path("runs/test/r/map").join(file);
    let shown = succeed(Command::new(python()).args(["-c", script]).arg(path));
    let rows =
        r#"[["word", "count"], [{"word": "a", "count": 3}, {"word": "b", "count": 1}, {"word": "c", "count": 1}]]"#;
    assert_eq!(shown.trim(), rows);
}
