//! Stores: a real S3 server over HTTP gives the same bytes as local disk, and another Arrow reader opens shuffle files.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use etl_store::{Location, Store, testing::conformance};

use crate::{
    guests::{SUM, WORD_COUNT},
    support::{NONE, Project, repository, succeed, wait_for_server},
};

/// Returns the path of Python in a virtual environment with the tools that the tests need, made once per checkout.
pub(crate) fn python() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    MADE.get_or_init(|| {
        let tools = repository().join("target/test-tools");
        let python = tools.join("bin/python");
        let packages = ["moto[server]==5.*", "pyarrow", "duckdb", "fastavro", "avro"];
        if fs::read_to_string(tools.join("complete")).unwrap_or_default() != packages.join(" ") {
            succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&tools));
            succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
            fs::write(tools.join("complete"), packages.join(" ")).expect("the directory was just made");
        }
        python
    })
    .clone()
}

/// The program of the server. It looks for an object and creates it in two steps, which S3 does in one, so it must not
/// put two objects at the same time. It ends an upload that is gone with an error of its own, not with that of S3.
const SERVER: &str = r#"
import threading
from moto.s3.responses import S3Response
from moto.server import main
put, one_at_a_time = S3Response.put_object, threading.Lock()
def put_object(self):
    with one_at_a_time:
        return put(self)
S3Response.put_object = put_object
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
complete = S3Backend.complete_multipart_upload
def complete_multipart_upload(self, bucket_name, multipart_id, body):
    if multipart_id not in self.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(upload_id=multipart_id)
    return complete(self, bucket_name, multipart_id, body)
S3Backend.complete_multipart_upload = complete_multipart_upload
main()
"#;

/// An S3 server on a port of its own, stopped when dropped.
pub(crate) struct S3 {
    server: Child,
    pub(crate) port: u16,
}

impl S3 {
    pub(crate) fn start() -> Self {
        Self::with_pages_of(1_000)
    }

    /// Starts a server that lists this many objects in one page.
    pub(crate) fn with_pages_of(objects: usize) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new(python());
        command
            .env("MOTO_S3_DEFAULT_MAX_KEYS", objects.to_string())
            .args(["-c", SERVER, "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut s3 = Self { server: command.spawn().expect("the server starts"), port };
        wait_for_server(&mut s3.server, port);
        s3.make_bucket();
        s3
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes the bucket, which none of the host's libraries does.
    fn make_bucket(&self) {
        self.put_plainly("", "");
    }

    /// Puts an object under a key that the host's libraries cannot name, or makes the bucket.
    pub(crate) fn put_plainly(&self, key: &str, content: &str) {
        self.ask(&format!("PUT /bucket/{key}"), content);
    }

    /// Returns the number of uploads in the bucket that are neither completed nor aborted.
    pub(crate) fn uploads(&self) -> usize {
        self.ask("GET /bucket?uploads", "").matches("<UploadId>").count()
    }

    /// Makes a plain request, and returns the answer. The server needs no credentials for it.
    fn ask(&self, what: &str, content: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("the server answers");
        let head = format!("{what} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}", content.len());
        write!(connection, "{head}\r\nConnection: close\r\n\r\n{content}").expect("the server reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("the server writes");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Opens the bucket.
    pub(crate) fn store(&self) -> Store {
        store(self.port)
    }

    pub(crate) fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        run(self.store().put(key, content.as_ref().to_vec())).expect("the server takes it");
    }

    pub(crate) fn get(&self, key: &str) -> String {
        String::from_utf8(self.get_bytes(key)).expect("text")
    }

    pub(crate) fn get_bytes(&self, key: &str) -> Vec<u8> {
        run(self.store().get(key)).expect("the server answers").expect("the object is there").into()
    }

    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        run(self.store().list_keys(prefix)).expect("the server answers")
    }

    pub(crate) fn delete(&self, key: &str) {
        run(self.store().delete(key)).expect("the server takes it");
    }

    /// Returns the options as a section of `pipeline.toml`.
    pub(crate) fn section(&self) -> String {
        section(self.port)
    }
}

/// Opens the bucket of a server on a port.
pub(crate) fn store(port: u16) -> Store {
    let written = "s3://bucket/".to_owned();
    Store::open(&Location { url: written.clone(), written }, &options(port).into()).expect("the options are right")
}

/// Returns the options of a server on a port.
fn options(port: u16) -> [(String, String); 5] {
    let endpoint = format!("http://127.0.0.1:{port}");
    [
        ("endpoint", endpoint.as_str()),
        ("allow_http", "true"),
        ("region", "us-east-1"),
        ("access_key_id", "test"),
        ("secret_access_key", "test"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// Returns the options of a server on a port as a section of `pipeline.toml`.
pub(crate) fn section(port: u16) -> String {
    let lines = options(port).map(|(key, value)| format!("{key} = \"{value}\"\n"));
    format!("[store_options]\n{}", lines.concat())
}

pub(crate) fn run<T>(operation: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(operation)
}

impl Drop for S3 {
    fn drop(&mut self) {
        // The server may have ended by itself; in both cases it is gone afterwards.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn word_count() -> String {
    format!(
        "split.target_size = \"16KiB\"\n\
         map = [{{ plugin = {WORD_COUNT} }}]\n\
         reduce = {{ plugin = {SUM}, combine = true, partitions = 2 }}\n"
    )
}

fn words() -> String {
    (0..20_000_u64).map(|n| format!("w{} w{}\n", n.wrapping_mul(7_919) % 3_001, n % 10)).collect()
}

#[test]
fn s3_keeps_the_promises_of_every_store() {
    run(conformance::keeps_all(&S3::start().store()));
}

#[test]
fn s3_gives_the_same_bytes_as_local_disk() {
    let s3 = S3::start();
    let local = Project::of(&word_count()).file("input/a.txt", words()).file("input/b.txt", "last words");
    let expected = local.result(["--run-id", "r"]);
    s3.put("input/a.txt", words());
    s3.put("input/b.txt", "last words");
    let remote = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://bucket/input/\"\nsink.url = \"s3://bucket/result/\"\n\
         run.store = \"s3://bucket/runs/\"\n{}{}",
        word_count(),
        s3.section()
    ));
    for _ in 0..2 {
        // The second time, the run is already done.
        remote.run(["--run-id", "r"]).expect_success();
        for (name, text) in &expected {
            assert_eq!(&s3.get(&format!("result/r/{name}")), text, "{name}");
        }
    }
    let published = ["latest.json", "r/.claim", "r/_SUCCESS", "r/part-00000.json", "r/part-00001.json"];
    let published = published.map(|key| format!("result/{key}"));
    assert_eq!(s3.keys("result"), published);
}

#[test]
fn source_run_store_and_sink_may_be_of_different_kinds() {
    let s3 = S3::start();
    let local = Project::of(&word_count()).file("input/a.txt", words());
    let expected = local.result(NONE);
    let mixed = Project::new(&format!(
        "name = \"test\"\nsource.url = \"input/\"\nsink.url = \"result/\"\nrun.store = \"s3://bucket/runs/\"\n{}{}",
        word_count(),
        s3.section()
    ));
    assert_eq!(mixed.file("input/a.txt", words()).result(NONE), expected);
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let s3 = S3::start();
    let project = Project::new(&format!(
        "name = \"test\"\nsource.url = \"s3://nowhere/input/\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n{}{}",
        word_count(),
        s3.section()
    ));
    project.run(NONE).expect_error(2, &["s3://nowhere/input/"]);
}

/// Counts words, so that the result shows what was read.
fn reading(source: &str, more: &str) -> Project {
    Project::new(&format!(
        "name = \"test\"\nsource.url = \"{source}\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n{}{more}",
        word_count()
    ))
}

#[test]
fn a_key_that_is_no_path_is_named_if_it_is_asked_for() {
    let s3 = S3::start();
    s3.put("in/a.txt", "word");
    s3.put_plainly("in/empty/", "");
    s3.put_plainly("in/sub/", "hello");
    let project = reading("s3://bucket/in/", &s3.section());
    let named = ["cannot read `s3://bucket/in/sub/`, because its key ends with `/`: give the object another key"];
    project.run(NONE).expect_error(2, &named);
    project.run(["--set", "source.include=['*.txt']"]).expect_success();
    // The empty object that marks a directory is no trouble.
    let named = ["because its key has an empty part"];
    s3.put_plainly("odd/x%2F%2Fy.txt", "hello");
    s3.put_plainly("odd/empty/", "");
    project.run(["--new", "--set", "source.url=s3://bucket/odd/"]).expect_error(2, &named);
}

#[cfg(unix)]
#[test]
fn a_local_source_reads_or_names_what_it_is_asked_for_and_nothing_else() {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::symlink},
    };

    let project =
        reading("input/", "").file("input/a.txt", "word").file("input/.cache/x", "").file("input/d.log#7", "");
    fs::write(project.path("input").join(OsStr::from_bytes(b"bytes\xff.dat")), "").expect("writes");
    fs::write(project.path("input/.cache").join(OsStr::from_bytes(b"x\xff")), "").expect("writes");
    symlink("..", project.path("input/.cache/up")).expect("links");
    symlink("nothing", project.path("input/gone")).expect("links");
    project.run(["--set", "source.include=['*.txt']"]).expect_success();
    for (include, named) in [
        ("*#*", ["cannot read `d.log#7` in `", "because a name that ends with `#` and digits"]),
        ("*.dat", ["cannot read `bytes\\xFF.dat` in `", "because its name is not UTF-8: rename it"]),
        ("g*", ["cannot read `gone` in `", "because it is a link to nothing: mend or remove it"]),
        (".cache/**/z", ["cannot read `.cache/up` in `", "because it is a link that leads back to itself"]),
    ] {
        let include = format!("source.include=['{include}']");
        project.run(["--new", "--set", &include]).expect_error(2, &named);
    }
    let one = ["--new", "--set", "source.url=input/d.log#7"];
    project.run(one).expect_error(2, &["that of a file being written: rename it"]);
}

#[test]
fn shuffle_files_open_in_another_arrow_reader() {
    let project = Project::of(&word_count()).file("input/a.txt", "b a\na c a\n");
    project.result(["--run-id", "r", "--set", "reduce.partitions=1"]);
    let map = format!("{}/map", project.of_plan("r"));
    let files = project.files(&map);
    let file = files.iter().find(|file| file.ends_with(".arrow")).expect("a shuffle file");
    let script = "import sys, json, pyarrow as pa\n\
                  table = pa.ipc.open_file(sys.argv[1]).read_all()\n\
                  print(json.dumps([table.schema.names, table.to_pylist()]))";
    let path = project.path(&map).join(file);
    let shown = succeed(Command::new(python()).args(["-c", script]).arg(path));
    let rows =
        r#"[["word", "count"], [{"word": "a", "count": 3}, {"word": "b", "count": 1}, {"word": "c", "count": 1}]]"#;
    assert_eq!(shown.trim(), rows);
}
