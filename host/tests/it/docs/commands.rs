//! Makes the reference of the command line from the output of `--help`.

use crate::support::{Ended, etl_host_command};

/// Returns the reference page.
pub(super) fn page() -> String {
    let overview = help(&["--help"]);
    let commands = overview.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"run"), "{overview}");
    let mut page = format!("# Command line\n\n```text\n{}\n```\n", overview.trim_end());
    for name in names.into_iter().filter(|name| *name != "help") {
        page += &format!("\n## etl-host {name}\n\n```text\n{}\n```\n", help(&[name, "--help"]).trim_end());
    }
    page
}

/// Returns a help page, in the width that it has without a terminal.
fn help(arguments: &[&str]) -> String {
    let ended = Ended::of(etl_host_command().args(arguments).env_remove("COLUMNS"));
    let lines: Vec<&str> = ended.expect_success().stdout.lines().map(str::trim_end).collect();
    lines.join("\n")
}
