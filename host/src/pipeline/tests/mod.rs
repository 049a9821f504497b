use std::fs;

use arrow_schema::{DataType, Field};
use etl_core::model::schema::Schema;
use tempfile::TempDir;

use super::*;

mod fields;
mod places;
mod variables;

/// The smallest valid pipeline. Lines in messages count from 1.
const LEAST: &str = r#"name = "count"

[source]
url = "input/"

[[map]]
plugin = "map.wasm"

[sink]
url = "result/"
"#;

fn env(name: &str) -> Option<String> {
    match name {
        "BUCKET" => Some("lake-7".to_owned()),
        "PASSWORD" => Some("hunter2".to_owned()),
        "FORMAT" => Some("json".to_owned()),
        "COUNT" => Some("1025".to_owned()),
        "RATIO" => Some("2.5".to_owned()),
        "SIZE" => Some("1048576".to_owned()),
        "TIME" => Some("500ms".to_owned()),
        "SHARE" => Some("1%".to_owned()),
        "TRUE" => Some("true".to_owned()),
        "TMPDIR" => Some("/var/tmp".to_owned()),
        _ => None,
    }
}

/// Loads `text`. In an error, the directory is replaced by `DIR`.
fn load(text: &str, set: &[&str]) -> (TempDir, Result<Pipeline, String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pipeline.toml");
    fs::write(&file, text).expect("written");
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let loaded = Pipeline::load(&file, &set, env).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string().replace(&directory.path().display().to_string(), "DIR")
    });
    (directory, loaded)
}

fn loaded(text: &str, set: &[&str]) -> Pipeline {
    load(text, set).1.expect("valid")
}

fn refused(text: &str, set: &[&str]) -> String {
    load(text, set).1.expect_err("not valid")
}

#[test]
fn what_is_left_out_takes_its_default() {
    let (directory, pipeline) = load(LEAST, &[]);
    let (directory, pipeline) = (directory.path().canonicalize().expect("there"), pipeline.expect("valid"));
    assert_eq!(pipeline.name, "count");
    assert!(pipeline.source.location.written.ends_with("/input/"));
    assert_eq!(pipeline.source.location.url, format!("file://{}/input/", directory.display()));
    assert_eq!(pipeline.source.format, SourceFormat::lines());
    assert!(matches!(pipeline.split, Split::BuiltIn { target_size: 67_108_864 }));
    assert_eq!(pipeline.sink.format, SinkFormat::new("json").expect("known"));
    assert!(pipeline.reduce.is_none());
    assert!(pipeline.run.store.written.ends_with("/runs/"));
    assert_eq!(pipeline.run.store.url, format!("file://{}/runs/", directory.display()));
    assert!((1..=1024).contains(&pipeline.run.concurrency));
    assert!(pipeline.run.memory_bytes >= 2 << 30, "{}", pipeline.run.memory_bytes);
    assert_eq!(pipeline.run.shuffle_memory_bytes, 64 << 20);
    assert_eq!((&*pipeline.run.scratch, pipeline.run.scratch_space_bytes), (Path::new("/var/tmp"), 100 << 30));
    assert!(pipeline.run.fsync && !pipeline.run.shared && !pipeline.run.speculative);

    let step = &pipeline.maps[0];
    assert_eq!((step.plugin.name.as_str(), step.plugin.config.as_str(), step.max_rejects), ("map", "{}", 0));
    assert_eq!(step.plugin.path, directory.join("map.wasm"));
    let limits = Limits {
        memory_bytes: 256 << 20,
        timeout: Duration::from_secs(300),
        batch_timeout: Duration::from_secs(60),
        output_bytes: 16 << 30,
        log_bytes: 1 << 20,
        compile_timeout: Duration::from_secs(300),
        compile_memory_bytes: 1 << 30,
    };
    assert_eq!(step.plugin.limits, limits);
    assert_eq!(step.retry, Retry { attempts: 3, interval: Duration::from_secs(1), multiplier: 2.0 });
}

#[test]
fn every_key_is_read() {
    let pipeline = loaded(
        r#"
        name = "all"
        [source]
        url = "s3://${BUCKET}/in/"
        include = ["*.jsonl", "*.gz"]
        format = "json"
        fields = { path = "text", bytes = "int64", ok = "boolean", at = "float64" }
        [split]
        plugin = "split.wasm"
        config = { min = 3, nested = { list = [1, 2.5, "x"], day = 2026-01-02 } }
        build = "make split"
        [[map]]
        plugin = "../plugins/a.wasm"
        limits = { memory = "64MiB", timeout = "60s", batch_timeout = "500ms", output = "1GB", log = 4096, compile_timeout = "9s", compile_memory = "2GiB" }
        grants = ["env:BUCKET", "random", "clock"]
        retry = { attempts = 5, interval = "2s", multiplier = 3 }
        max_rejects = 7
        [[map]]
        plugin = "/opt/b.wasm"
        [reduce]
        plugin = "sum.wasm"
        combine = true
        partitions = 2
        [sink]
        url = "s3://${BUCKET}/out/"
        format = "csv"
        [run]
        store = "memory:///runs/"
        concurrency = 4
        max_rejects = 100
        shuffle_memory = "1MiB"
        scratch = "work/tmp"
        scratch_space = "3GiB"
        grace = "1m"
        fsync = false
        speculative = true
        shared = true
        [store_options]
        secret_access_key = "${PASSWORD}"
        allow_http = true
        "#,
        &[],
    );
    let types = [DataType::Utf8, DataType::Int64, DataType::Boolean, DataType::Float64];
    let fields = ["path", "bytes", "ok", "at"].into_iter().zip(types);
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    assert_eq!(
        pipeline.source.format,
        SourceFormat::new("json", Some(Schema::new(fields, 0).expect("valid").into())).expect("known")
    );
    assert_eq!(pipeline.source.include, ["*.jsonl", "*.gz"]);
    assert_eq!(pipeline.source.location.url, "s3://lake-7/in/");
    assert_eq!(pipeline.source.location.written, "s3://lake-7/in/");

    let steps: Vec<(&str, u64)> = pipeline.steps().map(|step| (step.plugin.name.as_str(), step.max_rejects)).collect();
    assert_eq!(steps, [("split", 100), ("map", 7), ("map 2", 100), ("reduce", 100)]);
    let Split::Plugin(split) = &pipeline.split else { panic!("not a plugin") };
    assert_eq!(split.plugin.config, r#"{"min":3,"nested":{"day":"2026-01-02","list":[1,2.5,"x"]}}"#);
    assert_eq!(split.plugin.build.as_deref(), Some("make split"));

    let map = &pipeline.maps[0];
    assert!(map.plugin.path.ends_with("plugins/a.wasm") && !map.plugin.path.to_string_lossy().contains(".."));
    assert_eq!(map.plugin.limits.batch_timeout, Duration::from_millis(500));
    assert_eq!((map.plugin.limits.output_bytes, map.plugin.limits.log_bytes), (1_000_000_000, 4096));
    assert_eq!(map.plugin.limits.compile_timeout, Duration::from_secs(9));
    assert_eq!(map.plugin.limits.compile_memory_bytes, 2 << 30);
    let granted = Grants { clock: true, random: true, variables: vec![("BUCKET".to_owned(), "lake-7".to_owned())] };
    assert_eq!((&map.plugin.grants, &pipeline.maps[1].plugin.grants), (&granted, &Grants::default()));
    assert_eq!(pipeline.secrets.redact("in lake-7 with hunter2"), "in lake-7 with ${PASSWORD}");
    assert_eq!(map.retry, Retry { attempts: 5, interval: Duration::from_secs(2), multiplier: 3.0 });
    assert_eq!(pipeline.maps[1].plugin.path, Path::new("/opt/b.wasm"));
    let reduce = pipeline.reduce.as_ref().expect("a reduce step");
    assert!(reduce.combine);
    assert_eq!(reduce.partitions, 2);
    assert_eq!(pipeline.sink.format, SinkFormat::new("csv").expect("known"));
    assert_eq!((pipeline.run.concurrency, pipeline.run.shuffle_memory_bytes), (4, 1 << 20));
    assert!(pipeline.run.scratch.is_absolute() && pipeline.run.scratch.ends_with("work/tmp"));
    assert_eq!(pipeline.run.scratch_space_bytes, 3 << 30);
    assert_eq!(pipeline.run.grace, Duration::from_secs(60));
    assert!(pipeline.run.shared && pipeline.run.speculative && !pipeline.run.fsync);
    assert_eq!(pipeline.store_options["allow_http"], "true");
    assert_eq!(pipeline.store_options["secret_access_key"], "hunter2");
}

/// A part of [`LEAST`], the text that replaces it, and the message that results.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "name = \"count\"\n",
        "\n",
        "DIR/pipeline.toml: `name` is missing (add `name = \"…\"`; it becomes a part of object names)",
    ),
    (
        "\"count\"",
        "\"a/b\"",
        "DIR/pipeline.toml:1: `name` is wrong: pipeline name `a/b` cannot be used in an object's name (use 1 to 128 \
         letters, digits, `-`, `_` and `.`, not starting with `.`)",
    ),
    ("\"count\"", "3", "DIR/pipeline.toml:1: `name` must be a string, not integer `3`"),
    (
        "[source]\nurl = \"input/\"\n",
        "",
        "DIR/pipeline.toml: `source` is missing (add `[source]` with a `url`: where records come from)",
    ),
    ("url = \"input/\"", "", "DIR/pipeline.toml:3: `source.url` is missing"),
    ("[source]\nurl = \"input/\"", "source = 3", "DIR/pipeline.toml:3: `source` must be a table, not integer `3`"),
    (
        "url = \"input/\"",
        "url = \"ftp://x/\"",
        "DIR/pipeline.toml:4: `source.url` has the unknown scheme `ftp://` (write the path of a local directory, or \
         use one of: file://, s3://, gs://, az://, memory://)",
    ),
    ("url = \"input/\"", "url = \"\"", "DIR/pipeline.toml:4: `source.url` is empty"),
    (
        "url = \"input/\"",
        "url = \"file://input/\"",
        "DIR/pipeline.toml:4: `source.url` is `file://input/`, a file on another host (write `file:///path/`, or a \
         relative path)",
    ),
    (
        "url = \"input/\"",
        "url = \"s3:///input/\"",
        "DIR/pipeline.toml:4: `source.url` is `s3:///input/`, which names no bucket (write `s3://bucket/prefix/`)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"jsn\"",
        "DIR/pipeline.toml:5: `source.format` is `jsn` (did you mean `json`? choices: lines, json, csv, parquet, avro)",
    ),
    (
        "url = \"input/\"",
        "url = \"s3:/bucket/input/\"",
        "DIR/pipeline.toml:4: `source.url` is `s3:/bucket/input/`, which is neither a path nor a URL (a URL starts \
         with `s3://`)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"orc\"",
        "DIR/pipeline.toml:5: `source.format` is `orc` (choices: lines, json, csv, parquet, avro)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"json\"\nfields = {}",
        "DIR/pipeline.toml:6: `source.fields` names no field (leave it out to have the fields inferred)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\ncolumns = { line = \"object\" }",
        "DIR/pipeline.toml:5: `source.columns` cannot be added: two fields are called `line`",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\ncolumns = { at = \"row\" }",
        "DIR/pipeline.toml:5: `source.columns.at` is `row` (choices: object, offset, hive)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nfields = { a = \"text\" }",
        "DIR/pipeline.toml:5: `source.fields` cannot be used with format `lines` (they go with `json`, `csv`, `parquet`, `avro`)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"json\"\n[source.fields]\nb = 32",
        "DIR/pipeline.toml:7: `source.fields.b` is 32, which is not a type (types: boolean, int8 … int64, uint8 … uint64, \
         float16 … float64, decimal(p,s), date, time(unit), timestamp(unit, zone), duration(unit), text, json, binary, \
         binary(n), list<T>, struct<name: T, …>, map<K, V>; or a table with `type` and more)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\n[source.fields]\nb = { type = \"decimal(50,2)\" }",
        "DIR/pipeline.toml:7: `source.fields.b.type` is `decimal(50,2)`, which has `50` where a number from 1 to 38 \
         belongs",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\n[source.fields]\nb = { type = \"text\", colum = \"B\" }",
        "DIR/pipeline.toml:7: `source.fields.b.colum` is not a known key (did you mean `column`? known keys: type, \
         column, position, path, optional)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\n[source.fields]\nb = { column = \"B\" }",
        "DIR/pipeline.toml:7: `source.fields.b.type` is missing",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\n[source.fields]\nb = { type = \"text\", position = 0 }",
        "DIR/pipeline.toml:7: `source.fields.b.position` is 0, but columns are counted from 1",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\n[source.fields]\nb = { type = \"text\", position = 1, column = \"B\" }",
        "DIR/pipeline.toml:7: `source.fields.b.position` cannot be used together with `column` (leave one of them out)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"json\"\n[source.fields]\nb = { type = \"text\", position = 1 }",
        "DIR/pipeline.toml:7: `source.fields.b` cannot have `position` (it goes with `csv`)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"json\"\n[source.fields]\na = \"text\"\nb = { type = \"int64\", path = \"a..b\" }",
        "DIR/pipeline.toml:8: `source.fields.b.path` is `a..b`, which is no path (write `actor.login`, or `\"a.b\".c` for a \
         key with a dot)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\nfields = { b = \"text\" }\ncsv = { header = false }",
        "DIR/pipeline.toml:6: `source.fields.b` needs `position`, since the objects have no header (`source.csv.header` \
         is false)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"json\"\nfields = { b = \"text\" }\ncsv = {}",
        "DIR/pipeline.toml:7: `source.csv` cannot be used with format `json` (it goes with `csv`)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\nfields = { b = \"text\" }\ncsv = { delimiter = \"::\" }",
        "DIR/pipeline.toml:7: `source.csv.delimiter` is `::`, but must be one character of ASCII (no letter or digit, \
         `+`, `-`, `.` or line end)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\nfields = { b = \"text\" }\ncsv = { comment = \",\" }",
        "DIR/pipeline.toml:7: `source.csv.comment` is the same as `delimiter`",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\nfields = { b = \"text\" }\ncsv = { escape = \"!\", quote = \"\" }",
        "DIR/pipeline.toml:7: `source.csv.escape` counts only within quotes, but `quote` is empty",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nformat = \"csv\"\nfields = { b = \"text\" }\ncsv = { encoding = \"utf-32\" }",
        "DIR/pipeline.toml:7: `source.csv.encoding` is `utf-32` (did you mean `utf-16`? choices: utf-8, utf-16, latin1)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\ninclude = [\"*.txt\", \"[a\"]",
        "DIR/pipeline.toml:5: `source.include[1]` is `[a`, which is not a glob pattern: unclosed character class; \
         missing ']'",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\ninclude = [\"**\", \"./b.txt\"]",
        "DIR/pipeline.toml:5: `source.include[1]` is `./b.txt`, which matches nothing, because no part of a name is \
         `.`: write `b.txt`",
    ),
    (
        "[[map]]\nplugin = \"map.wasm\"\n",
        "",
        "DIR/pipeline.toml: `map` is missing (add `[[map]]` with a `plugin`: the step each shard goes through)",
    ),
    ("[[map]]", "[map]", "DIR/pipeline.toml:6: `map` must be an array (of tables: `[[…]]`), not a table"),
    ("plugin = \"map.wasm\"", "", "DIR/pipeline.toml:6: `map[0].plugin` is missing"),
    ("\"map.wasm\"", "\"\"", "DIR/pipeline.toml:7: `map[0].plugin` is empty (write the path of a component)"),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\n[[map]]\nplugin = \"b.wasm\"\n[map.limits]\nmemry = \"1MiB\"",
        "DIR/pipeline.toml:11: `map[1].limits.memry` is not a known key (did you mean `memory`? known keys: memory, \
         timeout, batch_timeout, output, log, compile_timeout, compile_memory)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nzzz = true",
        "DIR/pipeline.toml:8: `map[0].zzz` is not a known key (known keys: plugin, build, config, grants, limits, retry, \
         max_rejects)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nlimits = { memory = \"1KiB\" }",
        "DIR/pipeline.toml:8: `map[0].limits.memory` is 1KiB (allowed: 64KiB to 4GiB)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\ngrants = [\"clock\", \"network\"]",
        "DIR/pipeline.toml:8: `map[0].grants[1]` is `network`, which cannot be granted (choices: `clock`, `random`, \
         `env:NAME`)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\ngrants = [\"env:\"]",
        "DIR/pipeline.toml:8: `map[0].grants[0]` is `env:`, which cannot be granted (choices: `clock`, `random`, \
         `env:NAME`)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\ngrants = [\"env:NOPE\"]",
        "DIR/pipeline.toml:8: `map[0].grants[0]` needs the environment variable `NOPE`, which is not set",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nlimits = { memory = \"64 lots\" }",
        "DIR/pipeline.toml:8: `map[0].limits.memory` must be a size such as `64MiB` or `1GB`, or a whole number of \
         bytes, not string \"64 lots\"",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nlimits = { timeout = 30 }",
        "DIR/pipeline.toml:8: `map[0].limits.timeout` must be a duration such as `30s`, `5m` or `500ms`, not integer \
         `30`",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nlimits = { timeout = \"0s\" }",
        "DIR/pipeline.toml:8: `map[0].limits.timeout` is 0s (allowed: 1ms to 1day)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nretry = { attempts = 0 }",
        "DIR/pipeline.toml:8: `map[0].retry.attempts` is 0 (allowed: 1 to 100)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nretry = { multiplier = nan }",
        "DIR/pipeline.toml:8: `map[0].retry.multiplier` is NaN, which JSON cannot hold",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nretry = { multiplier = 0.5 }",
        "DIR/pipeline.toml:8: `map[0].retry.multiplier` is 0.5 (allowed: 1 to 100)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nretry = { multiplier = \"2\" }",
        "DIR/pipeline.toml:8: `map[0].retry.multiplier` must be a number, not string \"2\"",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nmax_rejects = -1",
        "DIR/pipeline.toml:8: `map[0].max_rejects` is -1 (allowed: 0 to 9223372036854775807)",
    ),
    (
        "\"map.wasm\"",
        "\"map.wasm\"\nconfig = 3",
        "DIR/pipeline.toml:8: `map[0].config` must be a table, not integer `3`",
    ),
    (
        "\"map.wasm\"",
        "\"${NOPE}.wasm\"",
        "DIR/pipeline.toml:7: `map[0].plugin` needs the environment variable `NOPE`, which is not set",
    ),
    (
        "[sink]\nurl = \"result/\"\n",
        "",
        "DIR/pipeline.toml: `sink` is missing (add `[sink]` with a `url`: where results go)",
    ),
    (
        "url = \"result/\"",
        "url = \"input/result\"",
        "DIR/pipeline.toml:10: `sink.url` (`DIR/input/result`) lies inside `source.url`, so the next run would read it as \
         input (choose a place beside it)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\nformat = \"orc\"",
        "DIR/pipeline.toml:11: `sink.format` is `orc` (choices: lines, json, csv, parquet, avro)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\nnon_finite = \"zero\"",
        "DIR/pipeline.toml:11: `sink.non_finite` is `zero` (choices: refuse, null, text)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\nformat = \"csv\"\nnon_finite = \"null\"",
        "DIR/pipeline.toml:12: `sink.non_finite` cannot be used with format `csv` (it goes with `json`)",
    ),
    (
        "url = \"input/\"",
        "url = \"input/\"\nmax_record = \"2GiB\"",
        "DIR/pipeline.toml:5: `source.max_record` is 2GiB (allowed: 1KiB to 1GiB)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[run]\nstore = \"./input\"",
        "DIR/pipeline.toml:12: `run.store` (`DIR/./input`) lies inside `source.url`, so the next run would read it as input \
         (choose a place beside it)",
    ),
    (
        "url = \"input/\"",
        "url = \".\"",
        "DIR/pipeline.toml:10: `sink.url` (`DIR/result/`) lies inside `source.url`, so the next run would read it as input \
         (choose a place beside it)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[run]\nconcurrency = 1025",
        "DIR/pipeline.toml:12: `run.concurrency` is 1025 (allowed: 1 to 1024)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[run]\nconcurrency = \"4\"",
        "DIR/pipeline.toml:12: `run.concurrency` must be a whole number, not string \"4\"",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[run]\nshuffle_memory = \"1KB\"",
        "DIR/pipeline.toml:12: `run.shuffle_memory` is 1KB (allowed: 1MiB to 1TiB)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[reduce]\nplugin = \"sum.wasm\"\npartitions = 0",
        "DIR/pipeline.toml:13: `reduce.partitions` is 0 (allowed: 1 to 4096)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[reduce]\nplugin = \"sum.wasm\"\ncombine = \"yes\"",
        "DIR/pipeline.toml:13: `reduce.combine` must be true or false, not string \"yes\"",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[split]\ntarget_size = 1\nplugin = \"split.wasm\"",
        "DIR/pipeline.toml:12: `split.target_size` belongs to the built-in split and cannot be used with `plugin` \
         (leave one of them out)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[split]\nconfig = { min = 1 }",
        "DIR/pipeline.toml:12: `split.config` cannot be used with the built-in split (add `plugin`, or leave this key \
         out)",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[store_options]\nregion = [\"a\"]",
        "DIR/pipeline.toml:12: `store_options.region` must be text, a whole number, true or false, not of type array",
    ),
    (
        "url = \"result/\"",
        "url = \"result/\"\n[rnu]\nstore = \"runs/\"",
        "DIR/pipeline.toml:11: `rnu` is not a known key (did you mean `run`? known keys: name, source, split, map, \
         reduce, sink, run, store_options, secrets)",
    ),
    (
        "url = \"result/\"",
        "url = result/",
        "DIR/pipeline.toml:10: not valid TOML: TOML parse error at line 10, column 7\n   |\n10 | url = result/\n   |       \
         ^^^^^^^\nstring values must be quoted, expected literal string",
    ),
];

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_to_write() {
    for (from, to, message) in WRONG {
        assert!(LEAST.contains(from), "`{from}` is not there to be replaced");
        assert_eq!(refused(&LEAST.replacen(from, to, 1), &[]), *message);
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("nope.toml");
    let error = Pipeline::load(&missing, &[], env).expect_err("it is missing").to_string();
    let expected = format!("cannot read pipeline file `{}`: No such file or directory (os error 2)", missing.display());
    assert_eq!(error, expected);

    let large = "#".repeat((1 << 20) + 1);
    assert_eq!(refused(&large, &[]), "cannot read pipeline file `DIR/pipeline.toml`: it is larger than 1048576 bytes");
}

#[test]
fn set_replaces_adds_and_indexes() {
    let set = [
        "name=other",
        "map.0.limits.memory=1MiB",
        "map.0.config.deep.list=[1, 2]",
        "run.concurrency = 3",
        "source.include=[\"*.txt\"]",
        "sink.url=s3://bucket/a=b",
    ];
    let pipeline = loaded(LEAST, &set);
    assert_eq!(pipeline.name, "other");
    assert_eq!(pipeline.maps[0].plugin.limits.memory_bytes, 1 << 20);
    assert_eq!(pipeline.maps[0].plugin.config, r#"{"deep":{"list":[1,2]}}"#);
    assert_eq!(pipeline.run.concurrency, 3);
    assert_eq!(pipeline.source.include, ["*.txt"]);
    assert_eq!(pipeline.sink.location.url, "s3://bucket/a=b");
    assert_eq!(pipeline.document["map"][0]["limits"]["memory"], "1MiB");
}

#[test]
fn set_that_does_not_fit_is_refused() {
    for (set, message) in [
        ("name", "--set `name` has no value (write `--set key.path=value`)"),
        ("run..store=x", "--set `run..store`: a part of the key is empty (write `--set key.path=value`)"),
        ("=x", "--set ``: a part of the key is empty (write `--set key.path=value`)"),
        ("name.x=1", "--set `name.x`: `name` is not a table but a value of type string"),
        ("map.1.plugin=x", "--set `map.1.plugin`: `map` has no item `1` (counted from 0; it has 1)"),
        ("map.first.plugin=x", "--set `map.first.plugin`: `map` has no item `first` (counted from 0; it has 1)"),
        ("run.concurrency=0", "DIR/pipeline.toml (by --set): `run.concurrency` is 0 (allowed: 1 to 1024)"),
        (
            "rnu.store=x",
            "DIR/pipeline.toml (by --set): `rnu` is not a known key (did you mean `run`? known keys: name, source, \
             split, map, reduce, sink, run, store_options, secrets)",
        ),
        ("source.url=", "DIR/pipeline.toml (by --set): `source.url` is empty"),
    ] {
        assert_eq!(refused(LEAST, &[set]), message, "{set}");
    }
}
