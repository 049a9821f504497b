//! Split step: cuts every object into the same number of slices, each a shard of its own.

use etl_plugin::{Context, Describe, Shards, Slice, Source, Splitter, StepError};

/// `[split.config]` of pipeline.toml.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// Number of slices that an object is cut into, at least 1.
    #[describe(default = 2)]
    slices: u64,
}

/// The step. One value divides the source of one run and is then dropped.
struct EvenSlices {
    slices: u64,
}

impl Splitter for EvenSlices {
    type Config = Config;

    fn open(Config { slices }: Config, _: &Context) -> Result<Self, StepError> {
        match slices {
            0 => Err(StepError::InvalidConfig("`slices` must be at least 1".to_owned())),
            _ => Ok(Self { slices }),
        }
    }

    fn split(&mut self, source: &Source, shards: &mut Shards) -> Result<(), StepError> {
        for object in source.objects().filter(|object| object.size > 0) {
            // A compressed object cannot be cut.
            let slices = if object.splittable { self.slices.min(object.size) } else { 1 };
            // A slice may begin anywhere: a record belongs to the slice in which it starts.
            for number in 0..slices {
                let (offset, end) = (object.size * number / slices, object.size * (number + 1) / slices);
                let slice = Slice { object: object.name.clone(), offset, length: end - offset };
                shards.add_slices(vec![slice]);
            }
        }
        Ok(())
    }
}

etl_plugin::export_splitter!(EvenSlices);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::Schema;
    use etl_plugin::testing::{InMemoryObject, json, split};

    #[test]
    fn objects_are_cut_evenly_and_compressed_ones_stay_whole() {
        let objects = [InMemoryObject::new("a", "one\ntwo\n"), InMemoryObject::compressed("b.gz", [0; 50])];
        let split = split::<EvenSlices>(json!({ "slices": 2 }), &Schema::lines(), objects).unwrap();
        assert_eq!(split.slices(), [[("a", 0, 4)], [("a", 4, 4)], [("b.gz", 0, 50)]]);
    }
}
