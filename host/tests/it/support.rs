//! The parts that the tests share: projects in temporary directories, the real binary, other programs.

use std::{
    ffi::OsStr,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use etl_core::model::event::Events;
use etl_host::run::{RunOptions, Start};
use etl_plugin::{Cache, Compiler};
use tempfile::TempDir;

/// Returns the directory of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host has a parent directory")
}

/// Crimes of the fixtures that only a time limit ends.
const ENDLESS: [&str; 4] = ["spin", "log-flood", "stdout-flood", "stderr-flood"];

/// Returns the `limits.batch_timeout` of a fixture: `short` if only that ends its crime, and otherwise a limit that no
/// machine reaches, however slow.
pub(crate) fn batch_timeout(crime: &str, short: &'static str) -> &'static str {
    if ENDLESS.contains(&crime) { short } else { "1h" }
}

/// Waits until a server that was just started accepts connections on `port`.
///
/// # Panics
/// When the server ends first.
pub(crate) fn wait_for_server(server: &mut Child, port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert_eq!(server.try_wait().expect("it can be asked"), None, "the server ended before it answered");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns a cargo command that runs in the plugins' workspace.
pub(crate) fn cargo_in_guests() -> Command {
    let mut cargo = Command::new("cargo");
    without_cargo(cargo.current_dir(repository().join("guest-plugins")));
    cargo
}

/// Removes cargo's settings of the test run from the environment of a command that builds plugins.
pub(crate) fn without_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") || name == "RUSTFLAGS" {
            command.env_remove(name);
        }
    }
    command
}

/// Removes cargo's settings of the test run from the environment of a command that builds projects. Adds the settings
/// with which the plugins are built, so that the project uses their dependencies, and forbids downloads.
pub(crate) fn with_built_plugins(command: &mut Command) -> &mut Command {
    without_cargo(command)
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_NET_OFFLINE", "true")
}

/// Runs a command, and shows what it printed if it fails.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// A directory with a `pipeline.toml` and its files; deleted when dropped.
pub(crate) struct Project {
    directory: TempDir,
}

/// The exit code and the output of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the command starts");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that the process ended with this exit code, that it printed each of `texts` to standard error, and that
    /// it printed exactly one error.
    #[track_caller]
    pub(crate) fn expect_error(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "no `{text}` in {self:#?}");
        }
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "one error, once: {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn expect_success(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

impl Project {
    /// Makes a project with this `pipeline.toml`.
    pub(crate) fn new(pipeline: &str) -> Self {
        let project = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        project.file("pipeline.toml", pipeline)
    }

    /// Makes a project with these sections, after four lines with the usual name, source, sink and run store.
    pub(crate) fn of(sections: &str) -> Self {
        Self::new(&format!(
            "name = \"test\"\nsource.url = \"input/\"\nsink.url = \"result/\"\nrun.store = \"runs/\"\n{sections}"
        ))
    }

    /// Adds a file to the project.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the project")).expect("a directory can be made");
        fs::write(path, content).expect("a file can be written");
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the binary on this project's `pipeline.toml`.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        etl_host([self.path("pipeline.toml").into_os_string()].into_iter().chain(own(arguments)))
    }

    /// Runs the pipeline, expects it to end well, and returns the result: parts by name.
    #[track_caller]
    pub(crate) fn result<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Vec<(String, String)> {
        self.run(arguments).expect_success();
        self.latest()
    }

    /// Runs the pipeline with these settings, and returns the process's peak memory in MiB.
    pub(crate) fn peak_mib(&self, settings: &[&str]) -> u64 {
        let mut command = etl_host_command();
        command.arg(self.path("pipeline.toml")).arg("--quiet");
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        let mut child = command.spawn().expect("it starts");
        // The peak that waiting for a child returns includes that of the process that started it, so it is not used.
        let mut peak_kib = 0;
        let status = loop {
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                break status;
            }
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let peak =
                status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
            peak_kib = peak_kib.max(peak.unwrap_or(0));
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success() && peak_kib > 0, "{status}, a peak of {peak_kib} KiB");
        peak_kib / 1024
    }

    /// Runs the binary as [`Project::run`] does, and returns its peak memory in MiB, too, as [`measured`] does.
    pub(crate) fn run_for_peak<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> (Ended, u64) {
        measured(etl_host_command().arg(self.path("pipeline.toml")).args(own(arguments)))
    }

    /// Reads a JSON document of the project.
    #[track_caller]
    pub(crate) fn json(&self, file: &str) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.path(file)).expect(file)).expect("JSON")
    }

    /// Reads the parts that `latest.json` points to.
    pub(crate) fn latest(&self) -> Vec<(String, String)> {
        let text = |part| String::from_utf8(part).expect("the part is text");
        self.latest_bytes().into_iter().map(|(name, part)| (name, text(part))).collect()
    }

    /// Reads the parts that `latest.json` points to, which need not be text.
    pub(crate) fn latest_bytes(&self) -> Vec<(String, Vec<u8>)> {
        let latest = self.json("result/latest.json");
        let part = |part: &serde_json::Value| {
            let key = part.as_str().expect("a part is a key");
            let bytes = fs::read(self.path("result").join(key)).expect("the part is there");
            (Path::new(key).file_name().expect("a name").to_string_lossy().into_owned(), bytes)
        };
        latest["parts"].as_array().expect("parts").iter().map(part).collect()
    }

    /// Returns the directory of what belongs to the plan of a run of pipeline `test`, relative to the project.
    #[track_caller]
    pub(crate) fn of_plan(&self, run_id: &str) -> String {
        let plan = self.json(&format!("runs/test/{run_id}/plan.json"));
        format!("runs/test/{run_id}/{}", plan["id"].as_str().expect("a plan has an id"))
    }

    /// Returns the names of all files below a directory, sorted, without the claims that every result has from its begin;
    /// empty if there is none.
    pub(crate) fn files(&self, directory: &str) -> Vec<String> {
        let root = self.path(directory);
        let mut found = Vec::new();
        let mut waiting = vec![root.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    waiting.push(path);
                } else if !path.ends_with(".claim") {
                    found.push(path.strip_prefix(&root).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }
}

fn own<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> impl Iterator<Item = std::ffi::OsString> {
    arguments.into_iter().map(|argument| argument.as_ref().to_owned())
}

/// The environment variable and directory of the compile cache that all tests share, which is not the user's own.
pub(crate) const COMPILE_CACHE: (&str, &str) = ("ETL_HOST_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/components"));

/// Returns the compiler with the cache that all tests share, for tests that call the library.
pub(crate) fn compiler() -> Compiler {
    let cache = Cache::of_environment(|name| (name == COMPILE_CACHE.0).then(|| COMPILE_CACHE.1.into()));
    Compiler::new(env!("CARGO_BIN_EXE_etl-host").into(), cache)
}

/// Returns the time at which the clock stands for tests that call the library: `2023-11-14T22:13:20Z`.
pub(crate) fn standing_clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Returns the options of a run in the tests' own process. Each call stands for a process of its own.
pub(crate) fn options(start: Start) -> RunOptions {
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    let number = PROCESSES.fetch_add(1, Relaxed);
    RunOptions { start, ..RunOptions::new(compiler(), standing_clock(), number << 32 | number) }
}

/// Returns the events of a run in the tests' own process.
pub(crate) fn events() -> Events {
    Events::new(standing_clock)
}

/// Returns a command that runs the binary.
pub(crate) fn etl_host_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etl-host"));
    command.env(COMPILE_CACHE.0, COMPILE_CACHE.1).stdin(Stdio::null());
    command
}

/// Starts a command, and writes the peak memory of its largest process as the last line of standard error, in KiB. The
/// system counts a process from before it becomes another program, so the one that starts it must be small, which these
/// tests are not.
const MEASURE: &str = "import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(ended.returncode)";

/// Runs a command to its end, and returns the peak memory of its largest process in MiB, too: of the host itself, or of
/// the compiler that it starts.
pub(crate) fn measured(command: &Command) -> (Ended, u64) {
    let mut python = Command::new("python3");
    python.args(["-c", MEASURE]).stdin(Stdio::null()).arg(command.get_program()).args(command.get_args());
    python.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut ended = Ended::of(&mut python);
    let peak = ended.stderr.trim_end().rsplit('\n').next().expect("a line").to_owned();
    ended.stderr.truncate(ended.stderr.trim_end().len() - peak.len());
    (ended, peak.parse::<u64>().expect("a number of KiB") >> 10)
}

/// Returns a command that runs a line in a shell, with the compile cache of the tests.
pub(crate) fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.env(COMPILE_CACHE.0, COMPILE_CACHE.1).args(["-c", line]);
    command
}

/// Runs the binary with these arguments, to its end.
pub(crate) fn etl_host<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    Ended::of(etl_host_command().args(arguments))
}

/// An empty list of arguments.
pub(crate) const NONE: [&str; 0] = [];
