//! A real browser without a window, driven over WebDriver, to look at pages.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{succeed, wait_for_server};

/// The driver's command, and the Debian packages of the browser and the driver.
const DRIVER: &str = "chromedriver";
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// A session of Chromium, ended when dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// The directory for the files that driver and browser leave behind.
    _temporary: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        install();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let temporary = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(DRIVER);
        command.env("TMPDIR", temporary.path());
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().expect("the driver starts");
        let mut browser = Self { driver, port, session: String::new(), _temporary: temporary };
        wait_for_server(&mut browser.driver, port);
        // The browser's own sandbox needs rights that containers and root do not have; the pages can be trusted.
        let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"];
        let capabilities = json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } });
        let answer = browser.request("POST", "/session", &json!({ "capabilities": { "alwaysMatch": capabilities } }));
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// Opens a file in a window of this width, with or without a preference for dark colours.
    pub(crate) fn open(&self, file: &Path, width: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.cdp("Emulation.setDeviceMetricsOverride", &size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.cdp("Emulation.setEmulatedMedia", &json!({ "features": features }));
        self.command("url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    /// Runs a function body on the page, and returns its result.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Returns the messages written to the console since the last call.
    pub(crate) fn console(&self) -> Vec<Value> {
        self.command("se/log", &json!({ "type": "browser" })).as_array().expect("a list").clone()
    }

    /// Writes a picture of the whole page to a file.
    pub(crate) fn picture(&self, file: &Path) {
        let size = &self.cdp("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let taken = self.cdp("Page.captureScreenshot", &json!({ "captureBeyondViewport": true, "clip": clip }));
        fs::create_dir_all(file.parent().expect("a directory")).expect("it can be made");
        fs::write(file, from_base64(taken["data"].as_str().expect("a picture"))).expect("it can be written");
    }

    fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn command(&self, command: &str, parameters: &Value) -> Value {
        self.request("POST", &format!("/session/{}/{command}", self.session), parameters)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver answers");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).expect("the driver reads");
        let answer = read_answer(&mut connection);
        let mut answer: Value = serde_json::from_slice(&answer).expect("the driver answers in JSON");
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer:#}");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser at the end of the session, but not when the driver is killed.
        if !self.session.is_empty() && !std::thread::panicking() {
            self.request("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        _ = self.driver.kill();
        _ = self.driver.wait();
    }
}

/// Reads the body of an answer, as long as its header says. The driver keeps the connection open although it is asked
/// to close it.
fn read_answer(connection: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut piece = [0; 64 << 10];
    loop {
        let read = connection.read(&mut piece).expect("the driver answers");
        answer.extend_from_slice(&piece[..read]);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end.filter(|_| read > 0) else {
            assert!(read > 0, "the driver hung up");
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.expect("a length").trim().parse().expect("a number");
        if answer.len() >= end + 4 + length {
            return answer.split_off(end + 4);
        }
    }
}

/// Installs browser and driver if they are missing, which needs root.
fn install() {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock();
    let is_there = || Command::new(DRIVER).arg("--version").output().is_ok_and(|output| output.status.success());
    if is_there() {
        return;
    }
    let as_root = "apt-get install --yes chromium chromium-driver";
    let is_root = succeed(Command::new("id").arg("-u")).trim() == "0";
    assert!(is_root, "the tests of the report need `{DRIVER}` and a browser; as root: {as_root}");
    succeed(Command::new("apt-get").args(["update", "--quiet"]));
    succeed(Command::new("apt-get").args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(PACKAGES));
    assert!(is_there(), "`{as_root}` did not install `{DRIVER}`");
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    let quad = |quad: &[u8]| {
        let bits = quad.iter().fold(0, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - quad.len()));
        bits.to_be_bytes()[1..quad.len()].to_vec()
    };
    digits.chunks(4).flat_map(quad).collect()
}
