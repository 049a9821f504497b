//! A plugin's description of its configuration, and the check of `pipeline.toml` against it before any plugin is
//! opened.

use std::fs;

use crate::{
    guests::{ACCESS_LOG, CRIMES, FILTER_CLEAN, KEY_VALUE, SPLIT_RANDOM, SUM, WORD_COUNT},
    support::{NONE, Project, etl_host},
};

/// Makes a project with these steps, which begin at line 5 of its `pipeline.toml`.
fn project(steps: &str) -> Project {
    Project::of(steps).file("input/a.txt", "a;1\n")
}

#[test]
fn a_wrong_field_is_named_with_its_line_before_the_plugin_is_opened() {
    let project = project(&format!(
        "[[map]]\nplugin = {KEY_VALUE}\n[map.config]\nkey = 0\nseperator = \";\"\n\
         [reduce]\nplugin = {SUM}\nconfig = {{ max = [\"value\", 7] }}\n"
    ));
    let unknown =
        ["pipeline.toml:9: `map[0].config.seperator` is not a field of the step's configuration (did you mean \
         `separator`? fields: `key`, `separator`, `value`)"];
    project.run(NONE).expect_error(2, &unknown);
    etl_host(["check".as_ref(), project.path("pipeline.toml").as_os_str()]).expect_error(2, &unknown);
    assert_eq!(project.files("runs"), NONE, "nothing was begun");

    let text = fs::read_to_string(project.path("pipeline.toml")).expect("the pipeline");
    let project = project.file("pipeline.toml", text.replace("seperator", "separator"));
    project.run(NONE).expect_error(2, &["pipeline.toml:12: `reduce.config.max[1]` must be text, not 7"]);
    let fixed = ["--set", "reduce.config.max=[\"value\"]"];
    project.run(fixed).expect_success();
    let by_set = ["--set", "reduce.config.max=[]", "--set", "map.0.config.separator=::"];
    project.run(by_set).expect_error(
        2,
        &["pipeline.toml (by --set): `map[0].config.separator` must be one character, not text of 2 characters"],
    );
}

#[test]
fn a_missing_field_and_a_value_of_a_variable_are_named_and_not_shown() {
    let split = format!("[split]\nplugin = {SPLIT_RANDOM}\nconfig = {{ min = 1 }}\n[[map]]\nplugin = {WORD_COUNT}\n");
    project(&split).run(NONE).expect_error(
        2,
        &["pipeline.toml:7: `split.config.max` is missing (it takes a whole number, 0 to 4294967295)"],
    );
    let secret =
        project(&format!("[[map]]\nplugin = {WORD_COUNT}\nconfig = {{ lowercase = \"${{HOME}}\" }}\n")).run(NONE);
    secret.expect_error(2, &["`map[0].config.lowercase` (`${HOME}`) must be true or false, not text of"]);
}

#[test]
fn inspect_shows_the_fields_what_made_the_plugin_and_its_exports() {
    let shown = etl_host(["inspect".as_ref(), FILTER_CLEAN.path().as_os_str()]);
    for text in [
        "\nexports    etl:plugin/mapper@0.2.0\n",
        "etl-plugin 0.1.0\n",
        " rustc 1.",
        "\nconfig     columns: a whole number, 0 to 4294967295, optional\n             Number of fields a line must have.\n",
        "           separator: text, default `,`\n             The text between fields; quotes have no meaning.\n",
        "           trim: true or false, default `true`\n             Whether to trim both ends of each line first.\n",
    ] {
        assert!(shown.expect_success().stdout.contains(text), "no `{text}` in:\n{}", shown.stdout);
    }
    let none = etl_host(["inspect".as_ref(), ACCESS_LOG.path().as_os_str()]);
    assert!(none.expect_success().stdout.ends_with("config     none\n"), "{none:#?}");
    let silent = etl_host(["inspect".as_ref(), CRIMES.path().as_os_str()]);
    assert!(silent.expect_success().stdout.ends_with("config     the plugin does not describe it\n"), "{silent:#?}");
}
