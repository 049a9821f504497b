//! Split plugin `split-by-size`: makes shards of about a target size.
//!
//! Objects larger than the target are cut at line ends: no line is in two slices, and a line longer than the target
//! stays whole. Small objects and the ends of large ones share shards, up to the target. A compressed object, which
//! cannot be cut, is a shard of its own. Empty objects are left out.

use etl_plugin::{Context, Describe, Object, Shards, Slice, Source, Splitter, StepError};

/// Number of bytes that are read at a time to find the end of the line at a cut.
const READ_BYTES: u32 = 64 * 1024;

/// The configuration.
#[derive(serde::Deserialize, Describe)]
#[serde(default)]
struct Config {
    /// Target size of a shard in bytes, at least 1.
    #[describe(default = 67_108_864)]
    target_size: u64,
}

struct SplitBySize {
    target_size: u64,
}

impl Splitter for SplitBySize {
    type Config = Config;

    fn open(Config { target_size }: Config, _: &Context) -> Result<Self, StepError> {
        match target_size {
            0 => Err(StepError::InvalidConfig("`target_size` must be at least 1".to_owned())),
            _ => Ok(Self { target_size }),
        }
    }

    fn split(&mut self, source: &Source, shards: &mut Shards) -> Result<(), StepError> {
        let mut pack = Pack { target_size: self.target_size, slices: Vec::new(), bytes: 0, shards };
        for object in source.objects().filter(|object| object.size > 0) {
            if object.splittable {
                self.cut(source, &object, &mut pack)?;
            } else {
                pack.ship();
                pack.add(Slice::whole(&object));
                pack.ship();
            }
        }
        pack.ship();
        Ok(())
    }
}

impl SplitBySize {
    fn cut(&self, source: &Source, object: &Object, pack: &mut Pack<'_>) -> Result<(), StepError> {
        let mut offset = 0;
        while offset < object.size {
            let end = match object.size - offset {
                rest if rest <= self.target_size => object.size,
                _ => line_start(source, object, offset + self.target_size)?,
            };
            pack.add(Slice { object: object.name.clone(), offset, length: end - offset });
            offset = end;
        }
        Ok(())
    }
}

/// Returns the start of the first line that begins at or after `offset`, which must not be 0.
fn line_start(source: &Source, object: &Object, offset: u64) -> Result<u64, StepError> {
    // A line begins at `offset` itself if the byte before it ends a line.
    let mut offset = offset - 1;
    while offset < object.size {
        let bytes = source.read(&object.name, offset, READ_BYTES)?;
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            return Ok(offset + end as u64 + 1);
        }
        if bytes.is_empty() {
            break;
        }
        offset += bytes.len() as u64;
    }
    Ok(object.size)
}

/// The shard being filled.
struct Pack<'a> {
    target_size: u64,
    slices: Vec<Slice>,
    bytes: u64,
    shards: &'a mut Shards,
}

impl Pack<'_> {
    fn add(&mut self, slice: Slice) {
        if self.bytes.saturating_add(slice.length) > self.target_size {
            self.ship();
        }
        self.bytes += slice.length;
        self.slices.push(slice);
    }

    fn ship(&mut self) {
        if !self.slices.is_empty() {
            self.shards.add_slices(std::mem::take(&mut self.slices));
            self.bytes = 0;
        }
    }
}

etl_plugin::export_splitter!(SplitBySize);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::Schema;
    use etl_plugin::testing::{InMemoryObject, Split, json, split};

    fn by_size<const N: usize>(target_size: u64, objects: [InMemoryObject; N]) -> Split {
        let config = json!({ "target_size": target_size });
        split::<SplitBySize>(config, &Schema::lines(), objects).expect("splits")
    }

    #[test]
    fn slices_begin_and_end_with_lines() {
        let split = by_size(5, [InMemoryObject::new("a", "one\ntwo\nthree\nfour\n")]);
        assert_eq!(split.slices(), [[("a", 0, 8)], [("a", 8, 6)], [("a", 14, 5)]]);
    }

    #[test]
    fn a_cut_at_a_line_end_stays_there() {
        let split = by_size(4, [InMemoryObject::new("a", "one\ntwo\nsix")]);
        assert_eq!(split.slices(), [[("a", 0, 4)], [("a", 4, 4)], [("a", 8, 3)]]);
    }

    #[test]
    fn a_line_longer_than_the_target_stays_whole() {
        let long = "x".repeat(200_000);
        let split = by_size(10, [InMemoryObject::new("a", format!("one\n{long}\ntwo"))]);
        assert_eq!(split.slices(), [[("a", 0, 200_005)], [("a", 200_005, 3)]]);
    }

    #[test]
    fn small_objects_share_a_shard() {
        let objects = ["a", "b", "c", "d"].map(|name| InMemoryObject::new(name, "1234"));
        let split = by_size(8, objects);
        assert_eq!(split.slices(), [[("a", 0, 4), ("b", 0, 4)], [("c", 0, 4), ("d", 0, 4)]]);
    }

    #[test]
    fn a_compressed_object_is_a_shard_of_its_own() {
        let small = |name| InMemoryObject::new(name, "1234");
        let split = by_size(20, [small("a"), InMemoryObject::compressed("b.gz", [0; 50]), small("c"), small("d")]);
        assert_eq!(split.slices(), [vec![("a", 0, 4)], vec![("b.gz", 0, 50)], vec![("c", 0, 4), ("d", 0, 4)]]);
    }

    #[test]
    fn an_empty_source_has_no_shards() {
        assert!(by_size(20, []).shards.is_empty());
        assert!(by_size(20, [InMemoryObject::new("a", "")]).shards.is_empty());
    }

    #[test]
    fn a_target_of_nothing_is_refused() {
        let error = split::<SplitBySize>(json!({ "target_size": 0 }), &Schema::lines(), []);
        assert_eq!(error, Err(StepError::InvalidConfig("`target_size` must be at least 1".to_owned())));
    }
}
