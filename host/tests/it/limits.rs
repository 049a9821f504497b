//! The table of limits in `docs/how-to/limits-and-grants.md`: each of its limits is broken, and its message appears.

use std::fs::{self, File};

use crate::{
    guests::{COUNT_BY_TYPE, CRIMES},
    hostile_components::{MAPPER, component, wat, with_plugin},
    support::{Ended, Project, etl_host_command, repository},
};

/// Returns the rows of the table: each limit with its message.
fn table() -> Vec<(String, String)> {
    let page = fs::read_to_string(repository().join("docs/how-to/limits-and-grants.md")).expect("the page");
    let (_, table) = page.split_once("| limit | default |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].to_owned(), cells[3].trim_matches('`').trim().to_owned())).collect()
}

/// Returns a project whose mapper commits this crime, with this further configuration, and within these limits.
fn crime(crime: &str, config: &str, limits: &str, rest: &str) -> Project {
    let pipeline = format!(
        "map = [{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\" {config} }}, limits = {{ {limits} }}, \
         retry = {{ interval = \"1ms\" }} }}]\n{rest}\nsink.format = \"{}\"",
        if crime == "bits" { "json" } else { "lines" }
    );
    Project::of(&pipeline).file("input/a.txt", "one\n")
}

/// Returns a project whose mapper is this component.
fn bad(component: &[u8], limits: &str) -> Project {
    with_plugin(limits).file("bad.wasm", component)
}

/// Returns a mapper that instantiates a module with these parts several times.
fn parts(part: &str, times: usize) -> Project {
    let instances = "(core instance (instantiate $n))".repeat(times);
    bad(
        &wat(&format!(
            "(component (core module $n {part}) {instances} (core module $m (func (export \"f\")))
                (core instance $i (instantiate $m)) {MAPPER})"
        )),
        "",
    )
}

fn mapper_with(items: &str) -> Project {
    bad(
        &wat(&format!(
            "(component {items} (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {MAPPER})"
        )),
        "",
    )
}

/// Returns a project whose source has fields of these names.
fn fields(names: impl Iterator<Item = String>) -> Project {
    let fields: String = names.map(|name| format!("source.fields.{name} = \"text\"\n")).collect();
    let map = format!("map = [{{ plugin = {COUNT_BY_TYPE} }}]");
    Project::of(&format!("source.format = \"json\"\n{fields}{map}")).file("input/a.json", "{}\n")
}

/// Returns a project that breaks a limit by a little.
fn broken(limit: &str) -> Project {
    let short = "timeout = \"300ms\", batch_timeout = \"1h\"";
    let by_batch = "timeout = \"1h\", batch_timeout = \"300ms\"";
    let spin = component("(func $spin (loop $again (br $again))) (start $spin)");
    match limit {
        "`limits.memory`" => crime("grow-memory", "", "memory = \"32MiB\"", ""),
        "`limits.timeout`" => bad(&spin, &format!(", {short}")),
        "`limits.batch_timeout`" => bad(&spin, &format!(", {by_batch}")),
        "`limits.output`" => crime("output-flood", "", "output = \"8MiB\"", ""),
        "`limits.output`, written" => {
            crime("bits", &format!(", text = \"{}\", count = 20000", "n".repeat(1000)), "output = \"8MiB\"", "")
        }
        "`limits.log`" => crime("log-flood", "", "log = \"4KiB\", batch_timeout = \"1s\"", ""),
        "`limits.compile_timeout`" => crime("emit", "", "compile_timeout = \"1ms\"", ""),
        "`limits.compile_memory`" => {
            let exports: String = (0..450_000).map(|number| format!("(export \"{number}\" (func $f))")).collect();
            let limits = ", compile_memory = \"16MiB\", compile_timeout = \"1h\"";
            bad(&component(&format!("(func $f) {exports}")), limits)
        }
        "`max_rejects` of a step" => crime("reject-every-row", ", text = \"why\"", "", ""),
        "`run.max_rejects`" => fields(["a".to_owned()].into_iter()).file("input/a.json", "no JSON\n"),
        "`run.max_output`" => crime("emit", "", "", "run.max_output = 3"),
        "`source.max_record`" => {
            crime("emit", "", "", "source.max_record = \"1KiB\"").file("input/a.txt", "a".repeat(1025) + "\n")
        }
        "size of a plugin" => {
            let project = with_plugin("");
            let file = File::create(project.path("bad.wasm")).expect("a file can be made");
            file.set_len(256 * 1024 * 1024 + 1).expect("a sparse file can be made");
            project
        }
        "parts: core instances" => parts("", 64),
        "parts: memories" => parts("(memory 1)", 3),
        "parts: tables" => parts("(table 1 funcref)", 9),
        "parts: component instances" => {
            mapper_with(&format!("(component $c) {}", "(instance (instantiate $c))".repeat(1_001)))
        }
        "parts: nesting" => mapper_with(&("(component ".repeat(51) + &")".repeat(51))),
        "parts: imports" => {
            let imports: String = (0..1_001).map(|n| format!("(import \"a:b/c{n}\" (instance))")).collect();
            mapper_with(&imports)
        }
        "stack" => bad(&component("(func $recurse (call $recurse)) (start $recurse)"), ""),
        "table elements" => {
            let grow = "(drop (table.grow $t (ref.null func) (i32.const 1000000))) unreachable";
            bad(&component(&format!("(table $t 1 funcref) (func $grow {grow}) (start $grow)")), "")
        }
        "one call of a host function" => crime("huge-batch", ", count = 67108865", "memory = \"512MiB\"", ""),
        "emitted row" => crime("huge-batch", ", count = 16777217", "memory = \"512MiB\"", ""),
        "fields" => crime("schema-too-many-fields", "", "", ""),
        "field name" => fields(["n".repeat(1_025)].into_iter()),
        "field names" => fields((0..65).map(|number| format!("n{number:01023}"))),
        "counters" => crime("counter-flood", "", "", ""),
        "counter name" => crime("counter-name-too-long", "", "", ""),
        "messages of a step" => {
            let twice = crime("long-logs", ", count = 2560", "log = \"1GiB\"", "split.target_size = 4");
            twice.file("input/a.txt", "one\ntwo\n")
        }
        other => panic!("the table has a limit that is not broken here: {other}"),
    }
}

/// Returns all that an operator sees of a project's run: the messages, and the events that the run keeps.
fn seen(project: &Project) -> String {
    let mut etl_host = etl_host_command();
    let ended = Ended::of(etl_host.env("ETL_HOST_CACHE", "off").arg(project.path("pipeline.toml")));
    let events = project.files("runs").into_iter().filter(|file| file.contains("/events/"));
    let events = events.map(|file| fs::read_to_string(project.path("runs").join(file)).expect("events"));
    ended.stderr + &events.collect::<String>()
}

/// Replaces each number, with its commas, by `N`.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for (at, letter) in text.char_indices() {
        let digit = |letter: char| letter.is_ascii_digit();
        let grouped = letter == ',' && text[at + 1..].starts_with(digit) && plain.ends_with('N');
        match letter {
            _ if (digit(letter) && plain.ends_with('N')) || grouped => {}
            _ if digit(letter) => plain.push('N'),
            _ => plain.push(letter),
        }
    }
    plain
}

#[test]
fn each_limit_of_the_table_is_kept_and_told() {
    let table = table();
    assert!(table.len() >= 29, "the table is not read: {table:?}");
    let untold: Vec<String> = table
        .iter()
        .filter_map(|(limit, message)| {
            let seen = seen(&broken(limit));
            (!without_numbers(&seen).contains(message)).then(|| format!("{limit}: no `{message}` in: {seen:.1500}"))
        })
        .collect();
    assert!(untold.is_empty(), "{}", untold.join("\n\n"));
}
