//! The documentation: its commands run, and its reference pages match the program and `wit/`.

mod commands;
mod pipeline;
mod wit;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    guests::built,
    stores::{S3, python},
    support::{etl_host, etl_host_command, repository, with_built_plugins},
};

/// The environment variable that makes the test write the reference instead of comparing it.
const UPDATE: &str = "ETL_HOST_UPDATE_DOCS";

#[test]
fn the_reference_is_what_the_program_says() {
    let schema = etl_host(["schema"]).expect_success().stdout.clone();
    let parsed = serde_json::from_str(&schema).expect("the schema is JSON");
    let pages = [
        ("pipeline.schema.json", schema),
        ("pipeline.md", pipeline::page(&parsed)),
        ("plugin-interface.md", wit::page(&repository().join("wit"))),
        ("command-line.md", commands::page()),
        ("exit-codes.md", format!("# Exit codes\n\n{}", etl_host(["explain"]).expect_success().stdout)),
    ];
    for (name, expected) in pages {
        let path = repository().join("docs/reference").join(name);
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&path, &expected).expect("writes");
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == expected, "docs/reference/{name} is out of date: run the tests once with `{UPDATE}=1`");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_bug() {
    for arguments in [&["completions", "bash"][..], &["schema"], &["explain"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = etl_host_command().args(arguments).stdout(writer).status().expect("it starts");
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
}

/// Returns the commands of a page as one script: its blocks of `sh`, and the commands that its comments `sh: …` add. A
/// block after the comment `fails` must fail.
fn script(page: &str) -> String {
    let (mut script, mut in_block, mut fails) = (String::new(), false, false);
    for line in page.lines() {
        match (line, line.strip_prefix("<!-- sh: ").and_then(|line| line.strip_suffix(" -->"))) {
            (_, Some(hidden)) => script += &format!("{hidden}\n"),
            ("<!-- fails -->", _) => fails = true,
            ("```sh", _) => {
                in_block = true;
                script += if fails { "if (\n" } else { "" };
            }
            ("```", _) if in_block => {
                in_block = false;
                script += if std::mem::take(&mut fails) { "); then echo it does not fail; exit 1; fi\n" } else { "" };
            }
            _ if in_block => script += &format!("{line}\n"),
            _ => {}
        }
    }
    script
}

/// Runs the commands of a page as one script in an empty directory, with these variables in its environment. Checks
/// that the output has the texts that the page's comments `shows: …` name.
fn run(page: &Path, variables: &[(&str, String)]) {
    let page_text = fs::read_to_string(page).expect("reads");
    let script = script(&page_text);
    if script.is_empty() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let work = directory.path().join("work");
    fs::create_dir(&work).expect("a directory");
    let binary = PathBuf::from(etl_host_command().get_program());
    let guests = repository().join("guest-plugins");
    let path =
        format!("{}:{}", binary.parent().expect("a directory").display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    with_built_plugins(&mut shell).args(["-euo", "pipefail", "-c", &script]).current_dir(&work).env("PATH", path);
    shell.env("GUESTS", &guests).env("PLUGINS", built());
    shell.envs(variables.iter().cloned());
    let output = shell.output().expect("bash starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{} does not run:\n{script}\n{stdout}\n{stderr}", page.display());
    let shows = page_text.lines().filter_map(|line| line.strip_prefix("<!-- shows: ")?.strip_suffix(" -->"));
    shows.for_each(|text| assert!(stdout.contains(text), "{} does not show `{text}`:\n{stdout}", page.display()));
}

#[test]
fn the_commands_of_the_how_to_guides_run() {
    let pages = fs::read_dir(repository().join("docs/how-to")).expect("reads");
    let mut pages: Vec<PathBuf> = pages.map(|page| page.expect("an entry").path()).collect();
    pages.sort();
    assert!(pages.len() > 5);
    pages.push(repository().join("docs/README.md"));
    pages.iter().for_each(|page| run(page, &[]));
}

/// The tutorial's session: make a plugin, change it, try it, run it, break it, find out why, mend it, compare, and move
/// to S3.
#[test]
fn the_commands_of_the_tutorial_run() {
    let s3 = S3::start();
    let credentials = [("AWS_ACCESS_KEY_ID", "any".to_owned()), ("AWS_SECRET_ACCESS_KEY", "any".to_owned())];
    let endpoint = ("S3_ENDPOINT", format!("http://127.0.0.1:{}", s3.port()));
    let python = ("PYTHON", python().display().to_string());
    let variables: Vec<_> = credentials.into_iter().chain([endpoint, python]).collect();
    run(&repository().join("docs/tutorial.md"), &variables);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = repository();
    let mut pages = vec![root.join("README.md")];
    for directory in ["docs", "docs/how-to", "docs/reference"] {
        let entries = fs::read_dir(root.join(directory)).expect("reads").map(|entry| entry.expect("an entry").path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for page in pages {
        let text = fs::read_to_string(&page).expect("reads");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(page.with_file_name(file).exists(), "{} links to `{link}`", page.display());
        }
    }
}
