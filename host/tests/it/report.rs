//! `report.html` in a real browser. The tests write pictures to `target/report/`, for people to look at.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    browser::Browser,
    guests::{COUNT_BY_TYPE, CRIMES, FILTER_CLEAN, KEY_VALUE, SUM},
    support::{Project, etl_host, repository},
};

/// Text that would be markup, or would end a script, if it were not escaped.
const HOSTILE: &str = "</script><!--<img src=x onerror=window.broken=1>-->{{data}}";

/// Name, width and darkness of the windows that reports are opened in.
const LOOKS: [(&str, u32, bool); 3] = [("light", 1280, false), ("dark", 1280, true), ("phone", 390, true)];

/// Opens the report of run `r` in every window, takes pictures, and checks the promises of every report.
#[expect(clippy::print_stdout, reason = "the figures are for people to look at, like the pictures")]
fn look_at(project: &Project, name: &str, check: impl Fn(&Browser)) {
    let report = project.path("runs/test/r/report.html");
    let size = fs::metadata(&report).expect("there is a report").len();
    assert!(size < 1 << 20, "{name}: {size} bytes");
    let browser = Browser::start();
    for (look, width, dark) in LOOKS {
        browser.open(&report, width, dark);
        assert_eq!(browser.run("return document.documentElement.dataset.drawn"), "true", "{name}, {look}");
        println!("{name}, {look}: {size} bytes, opened in {} ms", browser.run(OPENED_MS));
        browser.picture(&repository().join("target/report").join(format!("{name}-{look}.png")));
        assert_eq!(browser.run("return document.documentElement.scrollWidth <= innerWidth"), true, "{name}, {look}");
        assert_eq!(browser.run(CUT_OFF), Value::Array(Vec::new()), "labels that do not fit: {name}, {look}");
        assert_eq!(browser.run(SCROLLED), Value::Array(Vec::new()), "tables wider than the window: {name}, {look}");
        let colors = browser.run(COLORS).as_u64().expect("a number");
        assert!(colors >= 3, "{name}, {look}: the timeline has {colors} colours");
        assert_eq!(browser.console(), Vec::<Value>::new(), "{name}, {look}");
        check(&browser);
    }
}

/// A script that returns the time from requesting the page to having drawn it, in milliseconds.
const OPENED_MS: &str = "return Math.round(performance.getEntriesByType('navigation')[0].loadEventEnd)";

/// A script that returns the labels that are wider than their place.
const CUT_OFF: &str = "return [...document.querySelectorAll('.arrow b, .arrow span, .node, .tile dd, .badge')]
    .filter(of => of.getBoundingClientRect().right > of.parentElement.getBoundingClientRect().right + 1)
    .map(of => of.textContent)";

/// A script that returns the tables of which a part is out of sight.
const SCROLLED: &str = "return [...document.querySelectorAll('.wide')]
    .filter(of => of.scrollWidth > of.clientWidth + 1).map(of => of.closest('section').id)";

/// A script that returns the number of colours in the timeline.
const COLORS: &str = "const canvas = document.getElementById('timeline-canvas');
    const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return new Set(pixels).size";

/// Returns the figure of this name in a report: its value, and the text that is shown.
fn figure(browser: &Browser, name: &str) -> (u64, String) {
    let of = browser.run(&format!(
        "const of = document.querySelector('[data-figure=\"{name}\"]'); return [of.dataset.value, of.textContent]"
    ));
    let (value, text) = (of[0].as_str().expect("a value"), of[1].as_str().expect("a text"));
    (value.parse().expect("a number"), text.to_owned())
}

#[test]
fn a_report_shows_the_numbers_of_the_manifest() {
    let pipeline = format!(
        r#"
        split.target_size = "16KiB"
        map = [{{ plugin = {FILTER_CLEAN}, config = {{ columns = 2 }} }}, {{ plugin = {KEY_VALUE} }}]
        reduce = {{ plugin = {SUM}, combine = true, partitions = 6 }}
        run.max_rejects = 100
    "#
    );
    let lines =
        (0..60_000_u64).map(|n| if n % 1000 == 7 { "bad\n".to_owned() } else { format!("k{},{n}\n", n * 7919 % 97) });
    let project = Project::of(&pipeline).file("input/a.csv", lines.collect::<String>());
    let ended = project.run(["--run-id", "r"]);
    assert!(ended.expect_success().stdout.contains("\nreport     "), "{ended:#?}");
    let manifest = project.json("runs/test/r/manifest.json");
    look_at(&project, "good", |browser| {
        for (name, expected) in [
            ("map.records_in", &manifest["mapped"]["records_in"]),
            ("source-map.records", &manifest["mapped"]["records_in"]),
            ("map-shuffle.records", &manifest["mapped"]["records_out"]),
            ("shuffle-reduce.records", &manifest["reduced"]["records_in"]),
            ("reduce-sink.records", &manifest["reduced"]["records_out"]),
            ("rejects", &manifest["rejected"]["map"]),
            ("shards", &manifest["shards"]),
        ] {
            let (value, text) = figure(browser, name);
            assert_eq!(Some(value), expected.as_u64(), "{name}");
            assert_eq!(text.replace(',', ""), value.to_string(), "{name}");
        }
        for (name, stage, field) in [
            ("source-map.bytes", "mapped", "bytes_in"),
            ("map-shuffle.bytes", "mapped", "bytes_out"),
            ("shuffle-reduce.bytes", "reduced", "bytes_in"),
            ("reduce-sink.bytes", "reduced", "bytes_out"),
        ] {
            assert_eq!(Some(figure(browser, name).0), manifest[stage][field].as_u64(), "{name}");
        }
        let zoomed = browser.run(
            "const canvas = document.getElementById('timeline-canvas'), before = canvas.toDataURL();
             canvas.dispatchEvent(new KeyboardEvent('keydown', { key: '+' }));
             const zoomed = canvas.toDataURL();
             canvas.dispatchEvent(new KeyboardEvent('keydown', { key: '0' }));
             return [zoomed !== before, canvas.toDataURL() === before]",
        );
        assert_eq!(zoomed, serde_json::json!([true, true]));
    });
}

#[test]
fn what_strangers_wrote_is_text_and_secrets_are_not_shown() {
    let pipeline = format!(
        r#"
        secrets = ["REPORT_SECRET"]
        split.target_size = "4KiB"
        map = [
            {{ plugin = {FILTER_CLEAN}, config = {{ columns = 2, pattern = "${{REPORT_SECRET}}" }}, retry = {{ interval = "1ms" }} }},
            {{ plugin = {CRIMES}, config = {{ crime = "panic", task = 3, until = 2, text = "{HOSTILE}" }} }},
        ]
        run.max_rejects = 10_000
        sink.format = "lines"
        run.concurrency = 3
        "#
    );
    // Each line begins with the secret, so rejected records contain it too.
    let lines = (0..4000).map(|n| if n % 9 == 7 { format!("hunter22 {HOSTILE}\n") } else { format!("hunter22,{n}\n") });
    let project =
        Project::of(&pipeline).file("input/<img src=x onerror=window.broken=2>.csv", lines.collect::<String>());
    let mut command = crate::support::etl_host_command();
    command.arg(project.path("pipeline.toml")).args(["--run-id", "r"]).env("REPORT_SECRET", "hunter22");
    crate::support::Ended::of(&mut command).expect_success();
    let page = fs::read_to_string(project.path("runs/test/r/report.html")).expect("a report");
    assert!(!page.contains("hunter22") && page.contains("${REPORT_SECRET}"));
    for file in project.files("runs") {
        let kept = fs::read(project.path("runs").join(&file)).expect("it can be read");
        assert!(!String::from_utf8_lossy(&kept).contains("hunter22"), "{file} holds a secret");
    }
    look_at(&project, "trouble", |browser| {
        let seen = browser.run(
            "return [window.broken ?? null, document.images.length, document.scripts.length, document.body.innerText]",
        );
        assert_eq!((&seen[0], &seen[1], &seen[2]), (&Value::Null, &0.into(), &2.into()));
        let text = seen[3].as_str().expect("a text");
        for shown in [HOSTILE, "<img src=x onerror=window.broken=2>.csv at byte", "tried again", "--shard 3"] {
            assert!(text.contains(shown), "no `{shown}` in {text}");
        }
        assert_eq!(figure(browser, "rejects").0, 444);
    });
}

#[test]
fn a_hundred_thousand_shards_are_a_small_page() {
    let pipeline = format!(
        "
        split.target_size = 8
        map = [{{ plugin = {COUNT_BY_TYPE} }}]
        reduce = {{ plugin = {SUM}, partitions = 300 }}
        run.fsync = false
    "
    );
    let lines: String = (0..100_000).map(|number| format!("key {:03}\n", number * 7919 % 1000)).collect();
    let project = Project::of(&pipeline).file("input/a.txt", lines);
    project.run(["--run-id", "r"]).expect_success();
    look_at(&project, "shards", |browser| {
        assert_eq!(figure(browser, "shards").0, 100_000);
        assert_eq!(figure(browser, "map.records_in").0, 100_000);
    });
}

#[test]
fn a_run_that_failed_has_a_report_which_can_be_made_again_anywhere() {
    let step = format!("plugin = {CRIMES}, config = {{ crime = \"fatal\", task = 2, text = \"out of paper\" }}");
    let project = Project::of(&format!("map = [{{ {step} }}]\nsplit.target_size = 4\nsink.format = \"lines\""))
        .file("input/a.txt", "one\ntwo\nsix\nten\n");
    let ended = project.run(["--run-id", "r"]);
    ended.expect_error(42, &["out of paper", "\nwhat happened: ", "/runs/test/r/report.html"]);
    let replay = format!("etl-host replay {} r --shard 2", project.path("pipeline.toml").display());
    look_at(&project, "failed", |browser| {
        let text = browser.run("return document.body.innerText");
        let text = text.as_str().expect("a text");
        assert_eq!((figure(browser, "failed").0, figure(browser, "retries").0), (1, 0));
        for shown in ["out of paper", &replay, "failed", "not published"] {
            assert!(text.contains(shown), "no `{shown}` in {text}");
        }
    });
    let (file, copy): (PathBuf, PathBuf) = (project.path("pipeline.toml"), project.path("copy.html"));
    let arguments = ["report".as_ref(), file.as_os_str(), "r".as_ref(), "--output".as_ref(), copy.as_os_str()];
    assert_eq!(etl_host(arguments).expect_success().stdout, format!("{}\n", copy.display()));
    let written = || fs::read_to_string(project.path("runs/test/r/report.html")).expect("a report");
    assert!(written().contains("out of paper"));
    fs::remove_file(project.path("runs/test/r/report.html")).expect("it was there");
    etl_host(["report".as_ref(), file.as_os_str()]).expect_success();
    assert!(written() == fs::read_to_string(copy).expect("a copy"), "the same run gave two reports");
}
