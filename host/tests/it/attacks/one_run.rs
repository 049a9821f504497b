//! Plugins that misbehave while they run, beside shards that do not.

use crate::{
    guests::CRIMES,
    support::{NONE, Project},
};

/// Crimes that fail the shard in which they happen.
const CRIMES_OF_A_SHARD: [&str; 14] = [
    "panic",
    "unreachable",
    "exit",
    "stack-overflow",
    "endless-calls",
    "bad-function-pointer",
    "grow-memory",
    "output-flood",
    "counter-name-too-long",
    "offsets-outside",
    "wrong-rows",
    "null-in-non-nullable",
    "reject-row-out-of-range",
    "huge-error",
];

#[test]
fn all_other_shards_of_a_run_complete() {
    // A record of the shard names the mapper of the chain that commits its crime.
    let maps = CRIMES_OF_A_SHARD.map(|crime| {
        format!(
            "{{ plugin = {CRIMES}, config = {{ crime = \"{crime}\", on = \"{crime}\" }}, retry = {{ attempts = 1, \
             interval = \"1ms\" }}, limits = {{ memory = \"32MiB\", output = \"8MiB\" }} }}"
        )
    });
    let shards = CRIMES_OF_A_SHARD.len();
    let pipeline = format!(
        "map = [{}]\nsplit.target_size = 8\nsink.format = \"lines\"\nrun.memory = \"2GiB\"\nrun.tolerated_failures = {shards}",
        maps.join(", ")
    );
    let mut project = Project::of(&pipeline);
    for (number, crime) in CRIMES_OF_A_SHARD.iter().enumerate() {
        project = project.file(&format!("input/{number}-bad.txt"), format!("{crime}\n"));
        project = project.file(&format!("input/{number}-good.txt"), format!("good {number}\n"));
    }
    let ended = project.run(NONE);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let mut lines: Vec<String> = project
        .latest()
        .iter()
        .flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.starts_with("good"))
        .collect();
    lines.sort();
    let mut good: Vec<String> = (0..shards).map(|number| format!("good {number}")).collect();
    good.sort();
    assert_eq!(lines, good, "{ended:#?}");
}
