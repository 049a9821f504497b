//! The keys of a pipeline that decide the bytes of its result, and so must not change when a run is resumed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Pipeline, Split};

/// Keys whose written value decides the result. A plugin is compared by its digest elsewhere; its path does not matter.
const WRITTEN: [&str; 9] = [
    "source.url",
    "source.include",
    "source.fields",
    "source.columns",
    "split.config",
    "split.grants",
    "reduce.config",
    "reduce.grants",
    "sink.url",
];

impl Pipeline {
    /// Returns the keys that decide the bytes of the result, by name, with `${NAME}` left in place. A key that is left
    /// out counts with its default, so stating a default explicitly makes no difference.
    ///
    /// All other keys may differ when a run is resumed: concurrency, limits, retries, the number of rejects allowed,
    /// scratch, the options of the stores.
    pub fn result_keys(&self) -> BTreeMap<String, Value> {
        let mut keys = BTreeMap::new();
        for key in WRITTEN {
            if let Some(value) = self.document.pointer(&format!("/{}", key.replace('.', "/"))) {
                flatten(key, value, &mut keys);
            }
        }
        for (index, map) in self.document["map"].as_array().into_iter().flatten().enumerate() {
            flatten(&format!("map[{index}].config"), &map["config"], &mut keys);
            flatten(&format!("map[{index}].grants"), &map["grants"], &mut keys);
        }
        keys.insert("source.format".to_owned(), self.source.format.name().into());
        keys.insert("sink.format".to_owned(), self.sink.format.name().into());
        keys.insert("sink.compression".to_owned(), self.sink.format.compression().name().into());
        keys.insert("sink.non_finite".to_owned(), self.sink.format.writing().non_finite.name().into());
        let options = self.source.format.options().into_iter().map(|(key, value)| (format!("source.{key}"), value));
        keys.extend(options);
        let options = self.sink.format.options().into_iter().map(|(key, value)| (format!("sink.{key}"), value));
        keys.extend(options);
        let parts = &self.sink.parts;
        if !parts.by.is_empty() {
            keys.insert("sink.partition_by".to_owned(), parts.by.clone().into());
            keys.insert("sink.open_parts".to_owned(), parts.open_max.into());
        }
        keys.extend(parts.rows_max.map(|rows| ("sink.max_rows".to_owned(), rows.into())));
        keys.extend(parts.target_bytes.map(|bytes| ("sink.target_size".to_owned(), bytes.into())));
        if let Split::BuiltIn { target_size } = self.split {
            keys.insert("split.target_size".to_owned(), target_size.into());
        }
        if let Some(reduce) = &self.reduce {
            keys.insert("reduce.combine".to_owned(), reduce.combine.into());
            keys.insert("reduce.partitions".to_owned(), reduce.partitions.into());
            // The points at which the shuffle spills decide the order in which a combiner adds floating-point numbers.
            keys.insert("run.shuffle_memory".to_owned(), self.run.shuffle_memory_bytes.into());
        }
        keys
    }
}

/// Adds the scalars and lists in `value`, each under its full key. Leaves out nulls and empty tables and lists, which
/// mean the same as a missing key.
fn flatten(key: &str, value: &Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (name, item) in table {
                flatten(&format!("{key}.{name}"), item, keys);
            }
        }
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        value => _ = keys.insert(key.to_owned(), value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "name = 'p'\nsource.url = 'in/'\nsink.url = 'out/'\n\
                           map = [{ plugin = 'a.wasm', config = { deep = { er = 1 } } }]\n\
                           reduce = { plugin = 'b.wasm' }\n";

    fn result_keys(set: &[&str]) -> BTreeMap<String, Value> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pipeline.toml");
        std::fs::write(&file, MINIMAL).expect("written");
        let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
        Pipeline::load(&file, &set, |_| Some("secret".to_owned())).expect("valid").result_keys()
    }

    #[test]
    fn what_may_change_between_attempts_does_not_decide() {
        let harmless = [
            "source.max_record=1GiB",
            "run.concurrency=7",
            "run.max_rejects=9",
            "run.max_output=1GiB",
            "run.tolerated_failures=1%",
            "run.scratch=/var/tmp",
            "run.scratch_space=1GiB",
            "run.memory=3GiB",
            "run.grace=1m",
            "run.fsync=false",
            "run.shared=true",
            "run.speculative=true",
            "run.store=elsewhere/",
            "map.0.limits.memory=64MiB",
            "map.0.retry.attempts=9",
            "map.0.max_rejects=5",
            "map.0.build=make",
            "map.0.plugin=moved.wasm",
            "store_options.region=x",
        ];
        assert_eq!(result_keys(&harmless), result_keys(&[]));
    }

    #[test]
    fn a_default_that_is_written_down_changes_nothing() {
        let defaults = [
            "reduce.partitions=1",
            "reduce.combine=false",
            "split.target_size=65536KiB",
            "run.shuffle_memory=64MiB",
            "source.format=lines",
            "sink.format=json",
            "sink.non_finite=refuse",
            "sink.partition_by=[]",
            "sink.compression=none",
            "reduce.config={}",
            "reduce.grants=[]",
        ];
        assert_eq!(result_keys(&defaults), result_keys(&[]));
    }

    #[test]
    fn how_parquet_is_written_decides() {
        let parquet = |set: &[&str]| result_keys(&[&["sink.format=parquet"], set].concat());
        let defaults = [
            "sink.parquet.compression=zstd",
            "sink.parquet.row_group_rows=1048576",
            "sink.parquet.row_group_size=64MiB",
            "sink.parquet.statistics=true",
            "sink.parquet.dictionary=true",
        ];
        assert_eq!(parquet(&defaults), parquet(&[]));
        for set in
            ["compression=none", "row_group_rows=7", "row_group_size=1MiB", "statistics=false", "dictionary=false"]
        {
            let (then, now) = (parquet(&[]), parquet(&[&format!("sink.parquet.{set}")]));
            let changed: Vec<&String> = now.keys().filter(|key| then.get(*key) != now.get(*key)).collect();
            assert_eq!(changed, [&format!("sink.parquet.{}", set.split_once('=').expect("a key").0)]);
        }
    }

    #[test]
    fn how_avro_is_written_decides() {
        let avro = |set: &[&str]| result_keys(&[&["sink.format=avro"], set].concat());
        assert_eq!(avro(&["sink.avro.compression=deflate", "sink.avro.block_size=64KiB"]), avro(&[]));
        for set in ["compression=zstd", "block_size=1MiB"] {
            let (then, now) = (avro(&[]), avro(&[&format!("sink.avro.{set}")]));
            let changed: Vec<&String> = now.keys().filter(|key| then.get(*key) != now.get(*key)).collect();
            assert_eq!(changed, [&format!("sink.avro.{}", set.split_once('=').expect("a key").0)]);
        }
    }

    #[test]
    fn of_csv_only_what_is_not_the_default_decides() {
        let csv = ["source.format=csv", "source.fields.a=text", "sink.format=csv"];
        let keys = |more: &[&str]| result_keys(&[&csv[..], more].concat());
        let defaults =
            ["source.csv.delimiter=','", "source.csv.header=true", "sink.csv.null=''", "source.max_record=8MiB"];
        assert_eq!(keys(&defaults), keys(&[]));
        for set in ["source.csv.trim=true", "source.csv.null=['NA']", "sink.csv.quote=''", "source.max_record=1KiB"] {
            let changed: Vec<String> = keys(&[set]).into_keys().filter(|key| !keys(&[]).contains_key(key)).collect();
            assert_eq!(changed, [set.split_once('=').expect("a key").0]);
        }
    }

    #[test]
    fn what_decides_is_named_to_the_key() {
        for (set, key) in [
            ("map.0.config.deep.er=2", "map[0].config.deep.er"),
            ("map.0.config.new=${NAME}", "map[0].config.new"),
            ("reduce.partitions=8", "reduce.partitions"),
            ("split.target_size=1KiB", "split.target_size"),
            ("run.shuffle_memory=1MiB", "run.shuffle_memory"),
            ("reduce.grants=['clock']", "reduce.grants"),
            ("map.0.grants=['env:NAME']", "map[0].grants"),
            ("sink.url=other/", "sink.url"),
            ("sink.format=csv", "sink.format"),
            ("sink.non_finite=text", "sink.non_finite"),
            ("sink.compression=gzip", "sink.compression"),
            ("source.include=['*.txt']", "source.include"),
            ("sink.max_rows=10", "sink.max_rows"),
            ("sink.target_size=1MiB", "sink.target_size"),
        ] {
            let (then, now) = (result_keys(&[]), result_keys(&[set]));
            let changed: Vec<&String> = now.keys().filter(|key| then.get(*key) != now.get(*key)).collect();
            assert_eq!(changed, [key], "{set}");
            assert!(!now.values().any(|value| value.to_string().contains("secret")), "{now:?}");
        }
    }
}
