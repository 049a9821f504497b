//! `etl-host laws`: finds out whether a step's result depends on something that must not change it, and shows the
//! smallest sample for which it does.

use crate::{
    guests::{
        BAD_COMBINER, COUNT_BY_TYPE, Guest, KEY_VALUE, LAWLESS, NEWEST, PROBE_WORLD, SELECT, SPLIT_BY_SIZE,
        SPLIT_CRIMES, SPLIT_RANDOM, SUM,
    },
    support::{Ended, Project, etl_host_command},
};

fn laws(plugin: Guest, arguments: &[&str]) -> Ended {
    let lines: String = (0..50).map(|number| format!("{},{}\n", number % 7, number * number % 11)).collect();
    let rows = |number: i64| format!("{{\"type\":\"k{}\",\"count\":{}}}\n", number % 5, number * 7 % 13);
    let directory =
        Project::of("").file("lines.txt", lines).file("rows.jsonl", (0..40).map(rows).collect::<String>()).file(
            "floats.jsonl",
            (1..40).map(|n| format!("{{\"k\":\"a\",\"x\":{}}}\n", 1.0 / f64::from(n))).collect::<String>(),
        );
    let directory = directory.file("probes.txt", "random\n");
    let mut command = etl_host_command();
    Ended::of(command.current_dir(directory.path("")).arg("laws").arg(plugin.path()).args(arguments))
}

fn of_mapper(mode: &str) -> Ended {
    laws(LAWLESS, &["--input", "lines.txt", "--config", &format!("{{\"mode\":\"{mode}\"}}")])
}

fn of_reducer(mode: &str, more: &[&str]) -> Ended {
    let config = format!("{{\"mode\":\"{mode}\"}}");
    let mut arguments = vec!["--input", "rows.jsonl", "--format", "json", "--fields", "type=text,count=int64"];
    arguments.extend(["--key-fields", "1", "--config", &config]);
    laws(BAD_COMBINER, &[arguments.as_slice(), more].concat())
}

/// Returns the first word of each line about a law, by the law.
fn verdicts(ended: &Ended) -> Vec<(&str, &str)> {
    let lines =
        ended.stdout.lines().filter(|line| ["holds ", "broken ", "- "].iter().any(|word| line.starts_with(word)));
    lines
        .map(|line| line.split_once(' ').expect("two words"))
        .map(|(verdict, rest)| (rest.trim_start().split(' ').next().expect("a law"), verdict))
        .collect()
}

#[test]
fn laws_of_honest_steps_hold() {
    let mapper = laws(KEY_VALUE, &["--input", "lines.txt"]);
    assert_eq!(
        verdicts(mapper.expect_success()),
        [("deterministic", "holds"), ("batches", "holds"), ("shards", "holds")]
    );
    let all = [("deterministic", "holds"), ("batches", "holds"), ("order", "holds"), ("combine", "holds")];
    let sum = ["--format", "json", "--key-fields", "1", "--input"];
    let whole = laws(SUM, &[&sum[..], &["rows.jsonl", "--fields", "type=text,count=int64"]].concat());
    assert_eq!(verdicts(whole.expect_success()), all);
    let floats = laws(SUM, &[&sum[..], &["floats.jsonl", "--fields", "k=text,x=float64"]].concat());
    assert_eq!(verdicts(floats.expect_success()), all, "the last digits of a sum do not count");
    let newest = ["rows.jsonl", "--fields", "type=text,count=int64", "--config", r#"{"by":"count"}"#];
    assert_eq!(verdicts(laws(NEWEST, &[&sum[..], &newest].concat()).expect_success()), all);
    let keep = r#"{"key":["type"],"keep":[{"column":"count","at_least":5}]}"#;
    let select = ["--input", "rows.jsonl", "--format", "json", "--fields", "type=text,count=int64", "--config", keep];
    assert_eq!(verdicts(laws(SELECT, &select).expect_success()), verdicts(&mapper));
}

#[test]
fn a_mapper_that_counts_is_compared_by_what_is_made_of_its_rows() {
    let alone = laws(COUNT_BY_TYPE, &["--input", "lines.txt"]);
    alone.expect_error(42, &["error: 1 of 3 laws are broken: `shards`"]);
    assert!(alone.stdout.contains("`--reduce` compares the reducer's results instead"), "{alone:#?}");
    let sum = SUM.path().display().to_string();
    let reduced = laws(COUNT_BY_TYPE, &["--input", "lines.txt", "--reduce", &sum]);
    assert_eq!(verdicts(reduced.expect_success()).last(), Some(&("shards", "holds")));
    assert!(reduced.stdout.contains("the mapper's rows differ, but the reducer's result does not"), "{reduced:#?}");
}

#[test]
fn a_mapper_that_depends_on_batches_or_shards_is_shown_the_smallest_sample() {
    let batches = of_mapper("batch-rows");
    batches.expect_error(42, &["`batches`"]);
    for text in ["breaks it, 2 records:", "Result in one batch:", "> [\"\",2,\"\"]", "row by row:", "> [\"\",1,\"\"]"] {
        assert!(batches.stdout.contains(text), "no `{text}` in:\n{}", batches.stdout);
    }
    let neighbours = of_mapper("line-before");
    neighbours.expect_error(42, &["error: 1 of 3 laws are broken: `shards`"]);
    assert!(neighbours.stdout.contains("breaks it, 2 records:"), "{neighbours:#?}");
    let task = of_mapper("task");
    task.expect_error(42, &["error: 1 of 3 laws are broken: `shards`"]);
    assert!(task.stdout.contains("Result as 2 shards:"), "{task:#?}");
}

#[test]
fn a_reducer_that_depends_on_order_or_batches_or_cannot_combine_is_found_out() {
    let counting = of_reducer("honest", &[]);
    counting.expect_error(42, &["error: 1 of 4 laws are broken: `combine`"]);
    assert!(counting.stdout.contains("Result combined once, from 1 shard:"), "{counting:#?}");
    assert_eq!(verdicts(of_reducer("honest", &["--skip", "combine"]).expect_success()).len(), 3);

    let first = of_reducer("first", &[]);
    first.expect_error(42, &["error: 1 of 4 laws are broken: `order`"]);
    assert!(first.stdout.contains("breaks it, 2 records:"), "{first:#?}");
    of_reducer("per-batch", &["--skip", "combine"]).expect_error(42, &["1 of 3 laws are broken: `batches`"]);

    let unsorted = of_reducer("unsorted", &[]);
    unsorted.expect_error(42, &["`combine`"]);
    assert!(unsorted.stdout.contains("it fails: "), "{unsorted:#?}");
    let other = of_reducer("other-type", &[]);
    assert_eq!(verdicts(other.expect_success()).last(), Some(&("combine", "-")));
}

#[test]
fn a_step_that_is_granted_entropy_is_not_deterministic() {
    let probe = ["--input", "probes.txt", "--skip", "batches", "--skip", "shards"];
    assert_eq!(verdicts(laws(PROBE_WORLD, &probe).expect_success()), [("deterministic", "holds")]);
    let granted = laws(PROBE_WORLD, &[&probe[..], &["--grant", "random"]].concat());
    granted.expect_error(42, &["1 of 1 laws are broken: `deterministic`"]);
}

#[test]
fn the_shards_of_a_splitter_are_the_same_every_time_and_have_all_of_the_source() {
    let by_size = laws(SPLIT_BY_SIZE, &["--input", "lines.txt", "--config", "{\"target_size\":50}"]);
    assert_eq!(verdicts(by_size.expect_success()), [("deterministic", "holds"), ("complete", "holds")]);
    let records = laws(SPLIT_RANDOM, &["--input", "lines.txt", "--config", "{\"min\":3,\"max\":3}"]);
    assert_eq!(verdicts(records.expect_success()), [("deterministic", "holds"), ("complete", "-")]);

    let crime = |mode: &str, more: &[&str]| {
        let config = format!("{{\"mode\":\"{mode}\"}}");
        laws(SPLIT_CRIMES, &[&["--input", "lines.txt", "--config", &config], more].concat())
    };
    let nothing = crime("zero-shards", &[]);
    nothing.expect_error(42, &["1 of 2 laws are broken: `complete`"]);
    assert!(nothing.stdout.contains("is in a shard: the splitter left "), "{nothing:#?}");
    crime("overlapping", &[]).expect_error(42, &["overlaps what is taken"]);
    assert_eq!(verdicts(crime("random-cuts", &[]).expect_success()).len(), 2);
    let random = crime("random-cuts", &["--grant", "random"]);
    random.expect_error(42, &["1 of 2 laws are broken: `deterministic`"]);
    assert!(random.stdout.contains("the same output: ") && random.stdout.contains(" the first time, "), "{random:#?}");
}

#[test]
fn what_has_no_laws_is_refused() {
    let reducer = SUM.path().display().to_string();
    laws(SPLIT_BY_SIZE, &["--input", "lines.txt", "--reduce", &reducer]).expect_error(2, &["this is a split plugin"]);
    laws(KEY_VALUE, &["--input", "lines.txt", "--skip", "order"])
        .expect_error(2, &["--skip `order` is not a law of a map plugin (laws: deterministic, batches, shards)"]);
    laws(SUM, &["--input", "lines.txt"]).expect_error(2, &["a reducer takes rows with a key"]);
}
