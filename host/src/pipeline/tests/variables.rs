//! `${NAME}`: the types of values, and which of them are shown.

use super::*;

#[test]
fn values_of_variables_stay_out_of_the_document() {
    let pipeline = loaded(&format!("{LEAST}[store_options]\npassword = \"${{PASSWORD}}\"\n"), &[]);
    assert_eq!(pipeline.document["store_options"]["password"], "${PASSWORD}");
    assert_eq!(pipeline.secrets.redact("it is hunter2"), "it is ${PASSWORD}");
}

#[test]
fn a_location_shows_the_values_of_variables_but_not_of_secrets() {
    let url = "sink.url=s3://${BUCKET}/${PASSWORD}/";
    assert_eq!(loaded(LEAST, &[url]).sink.location.written, "s3://lake-7/hunter2/");
    let hidden = loaded(LEAST, &[url, "secrets=['PASSWORD']"]).sink.location;
    assert_eq!((&*hidden.written, &*hidden.url), ("s3://lake-7/${PASSWORD}/", "s3://lake-7/hunter2/"));
}

#[test]
fn a_variable_that_is_a_whole_value_has_the_type_that_its_key_wants() {
    let pipeline = loaded(
        &format!("{LEAST}[reduce]\nplugin = 'sum.wasm'\n"),
        &[
            "run.concurrency=${COUNT}",
            "run.concurrency=8",
            "reduce.partitions=${COUNT}",
            "reduce.combine=${TRUE}",
            "run.fsync=${TRUE}",
            "run.tolerated_failures=${SHARE}",
            "map.0.retry.multiplier=${RATIO}",
            "map.0.retry.interval=${TIME}",
            "map.0.limits.memory=${SIZE}",
            "map.0.max_rejects=${COUNT}",
            "map.0.config.text=${COUNT}",
            "sink.format=${FORMAT}",
        ],
    );
    let reduce = pipeline.reduce.as_ref().expect("a reduce step");
    assert!(reduce.combine && reduce.partitions == 1025);
    assert_eq!(pipeline.run.tolerated_failures.of(100), 1);
    let map = &pipeline.maps[0];
    let retry = Retry { attempts: 3, interval: Duration::from_millis(500), multiplier: 2.5 };
    assert_eq!((&map.retry, map.plugin.limits.memory_bytes, map.max_rejects), (&retry, 1 << 20, 1025));
    assert_eq!(map.plugin.config, r#"{"text":"1025"}"#, "the host does not know what a plugin wants");
    assert_eq!(pipeline.document["reduce"]["partitions"], "${COUNT}");
    let share = loaded(LEAST, &["run.tolerated_failures=${COUNT}"]).run.tolerated_failures;
    assert_eq!(share, Tolerance::Shards(1025));
}

#[test]
fn a_variable_of_another_type_is_named_with_what_was_wanted() {
    for (set, message) in [
        ("run.concurrency=${COUNT}", "`run.concurrency` (`${COUNT}`) is 1025 (allowed: 1 to 1024)"),
        ("run.concurrency=${RATIO}", "`run.concurrency` (`${RATIO}`) must be a whole number, not string \"2.5\""),
        (
            "run.concurrency=${PASSWORD}",
            "`run.concurrency` (`${PASSWORD}`) must be a whole number, not string \"hunter2\"",
        ),
        ("run.fsync=${COUNT}", "`run.fsync` (`${COUNT}`) must be true or false, not string \"1025\""),
        ("run.concurrency=${COUNT}0", "`run.concurrency` must be a whole number, not string \"10250\""),
        (
            "map.0.limits.timeout=${COUNT}",
            "`map[0].limits.timeout` (`${COUNT}`) must be a duration such as `30s`, `5m` or `500ms`, not string \"1025\"",
        ),
        ("sink.format=${COUNT}", "`sink.format` (`${COUNT}`) is `1025` (choices: lines, json, csv, parquet, avro)"),
        (
            "run.concurrency=${NOPE}",
            "`run.concurrency` (`${NOPE}`) needs the environment variable `NOPE`, which is not set",
        ),
    ] {
        assert_eq!(refused(LEAST, &[set]), format!("DIR/pipeline.toml (by --set): {message}"), "{set}");
    }
    for (set, message) in [
        ("run.concurrency=${COUNT}", "is ${COUNT} (allowed: 1 to 1024)"),
        ("run.memory=${SIZE}", "is ${SIZE} (allowed: 64MiB to 1024TiB)"),
        ("run.concurrency=${PASSWORD}", "must be a whole number, not string \"${PASSWORD}\""),
    ] {
        let refused = refused(LEAST, &[set, "secrets=['COUNT', 'SIZE', 'PASSWORD']"]);
        assert!(refused.ends_with(message), "{refused}");
    }
}

#[test]
fn places_need_no_variable_of_another_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pipeline.toml");
    let text = "name = 'p'\nsource = { url = '${NOPE}', format = '${NOPE}', include = ['${NOPE}'] }\nsink.url = '${BUCKET}/'\n\
                run = { store = '${PASSWORD}/', concurrency = '${NOPE}' }\nsecrets = ['PASSWORD']\nstore_options.region = 'x'\n";
    fs::write(&file, text).expect("written");
    let places = Places::load(&file, &[], env).expect("valid");
    assert!(places.run_store.written.ends_with("/${PASSWORD}/") && places.run_store.url.ends_with("/hunter2/"));
    assert!(places.sink.url.ends_with("/lake-7/"));
    assert_eq!((&*places.name, places.fsync, &*places.store_options["region"]), ("p", true, "x"));
    let refused = Places::load(&file, &["run.store=${NOPE}".to_owned()], env).expect_err("a place").to_string();
    assert!(refused.ends_with("`run.store` (`${NOPE}`) needs the environment variable `NOPE`, which is not set"));
}

#[test]
fn messages_do_not_show_values_of_secrets() {
    for (from, to, message) in [
        (
            "\"input/\"",
            "\"ftp-${PASSWORD}://x\"",
            "DIR/pipeline.toml:4: `source.url` has the unknown scheme `ftp-${PASSWORD}://` (write the path of a local \
             directory, or use one of: file://, s3://, gs://, az://, memory://)",
        ),
        (
            "\"result/\"",
            "\"result/\"\nformat = \"${PASSWORD}\"",
            "DIR/pipeline.toml:11: `sink.format` (`${PASSWORD}`) is `${PASSWORD}` (choices: lines, json, csv, parquet, avro)",
        ),
    ] {
        assert_eq!(refused(&LEAST.replacen(from, to, 1), &["secrets=['PASSWORD']"]), message);
    }
}
