//! Split plugin `split-random`: deals the lines of the source into a random number of shards.
//!
//! The number of shards lies between `min` and `max`, inclusive; each line goes to a random shard. The same seed and
//! source give the same shards.
//!
//! The records become part of the plan and are all in memory at once, so the plugin is for small sources, up to a few
//! tens of MiB. Objects must be lines and not be compressed.

use etl_plugin::{BatchBuilder, Context, DataType, Describe, Schema, Shards, Source, Splitter, StepError};

/// The configuration.
#[derive(serde::Deserialize, Describe)]
struct Config {
    /// Smallest number of shards, at least 1.
    min: u32,
    /// Largest number of shards.
    max: u32,
    /// Seed of the random numbers.
    #[serde(default)]
    seed: u64,
}

struct SplitRandom {
    random: Random,
    hands: Vec<BatchBuilder>,
}

impl Splitter for SplitRandom {
    type Config = Config;

    fn open(config: Config, context: &Context) -> Result<Self, StepError> {
        let Config { min, max, seed } = config;
        if min == 0 || min > max {
            let message = format!("`min` must be at least 1 and at most `max` (min {min}, max {max})");
            return Err(StepError::InvalidConfig(message));
        }
        check_lines(&context.input)?;
        let mut random = Random(seed);
        let shards = min as usize + random.below((max - min) as usize + 1);
        let hands = (0..shards).map(|_| BatchBuilder::new(&context.input)).collect();
        Ok(Self { random, hands })
    }

    fn split(&mut self, source: &Source, shards: &mut Shards) -> Result<(), StepError> {
        for object in source.objects() {
            if !object.splittable {
                let message = format!("object `{}` is compressed (`split-random` reads plain lines)", object.name);
                return Err(StepError::InvalidInput(message));
            }
            let mut lines = Lines::default();
            for chunk in source.chunks(&object, 0) {
                lines.push(&chunk?, |line| self.deal(line))?;
            }
            lines.finish(|line| self.deal(line))?;
        }
        self.hands.drain(..).for_each(|hand| shards.add_records(hand.finish()));
        Ok(())
    }
}

impl SplitRandom {
    fn deal(&mut self, line: &[u8]) -> Result<(), StepError> {
        let hand = self.random.below(self.hands.len());
        self.hands[hand].push((line,))
    }
}

fn check_lines(input: &Schema) -> Result<(), StepError> {
    match input.fields.as_slice() {
        [line] if line.data_type == DataType::Binary => Ok(()),
        _ => Err(StepError::InvalidInput(format!("the source's records are not lines (their columns: {input})"))),
    }
}

/// Finds lines in chunks. A chunk may end within a line.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8], mut deal: impl FnMut(&[u8]) -> Result<(), StepError>) -> Result<(), StepError> {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if let Some(line) = self.begun.strip_suffix(b"\n") {
                deal(line.strip_suffix(b"\r").unwrap_or(line))?;
                self.begun.clear();
            }
        }
        Ok(())
    }

    /// Deals the last line if it lacks its terminator.
    fn finish(self, deal: impl FnOnce(&[u8]) -> Result<(), StepError>) -> Result<(), StepError> {
        if self.begun.is_empty() { Ok(()) } else { deal(&self.begun) }
    }
}

/// A SplitMix64 random number generator: small, and the same in every version of this plugin.
struct Random(u64);

impl Random {
    /// Returns a number from 0 to `end` - 1.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

etl_plugin::export_splitter!(SplitRandom);

#[cfg(test)]
mod tests {
    use super::*;
    use etl_plugin::testing::{InMemoryObject, Json, Split, json, rows, split};

    fn source() -> Vec<InMemoryObject> {
        vec![
            InMemoryObject::new("a.txt", "data_1\r\ndata_2\n\ndata_3"),
            InMemoryObject::new("b.txt", ""),
            InMemoryObject::new("c.txt", "data_4\n".repeat(40)),
        ]
    }

    fn deal(config: Json) -> Result<Split, StepError> {
        split::<SplitRandom>(config, &Schema::lines(), source())
    }

    #[test]
    fn every_line_is_dealt_once() {
        let mut dealt = deal(json!({ "min": 3, "max": 5, "seed": 1 })).expect("splits").records().concat();
        dealt.sort_by(|a, b| a.partial_cmp(b).expect("no floating-point numbers"));
        let lines = ["", "data_1", "data_2", "data_3"].into_iter().chain([const { "data_4" }; 40]);
        assert_eq!(dealt, rows(lines.map(|line| (line.as_bytes(),))));
    }

    #[test]
    fn the_number_of_shards_is_random_within_its_bounds() {
        let shards = |seed| deal(json!({ "min": 3, "max": 5, "seed": seed })).expect("splits").shards.len();
        let mut counts: Vec<usize> = (0..32).map(shards).collect();
        counts.sort_unstable();
        counts.dedup();
        assert_eq!(counts, [3, 4, 5]);
    }

    #[test]
    fn the_same_seed_gives_the_same_shards() {
        let shards = |seed| deal(json!({ "min": 3, "max": 3, "seed": seed })).expect("splits").shards;
        assert_eq!(shards(1), shards(1));
        assert_ne!(shards(1), shards(2));
    }

    #[test]
    fn a_line_may_span_chunks() {
        let long = vec![b'x'; 3 * 1024 * 1024];
        let object = InMemoryObject::new("long.txt", [&long, b"\nend".as_slice()].concat());
        let config = json!({ "min": 1, "max": 1 });
        let split = split::<SplitRandom>(config, &Schema::lines(), [object]).expect("splits");
        assert_eq!(split.records(), [rows([(long.as_slice(),), (b"end",)])]);
    }

    #[test]
    fn wrong_bounds_are_refused() {
        for (min, max) in [(0, 5), (5, 3)] {
            let message = format!("`min` must be at least 1 and at most `max` (min {min}, max {max})");
            assert_eq!(deal(json!({ "min": min, "max": max })), Err(StepError::InvalidConfig(message)));
        }
    }

    #[test]
    fn a_source_that_is_not_plain_lines_is_refused() {
        let config = json!({ "min": 1, "max": 1 });
        let packed = [InMemoryObject::compressed("a.gz", "")];
        assert_eq!(
            split::<SplitRandom>(config.clone(), &Schema::lines(), packed),
            Err(StepError::InvalidInput("object `a.gz` is compressed (`split-random` reads plain lines)".to_owned()))
        );
        let columns = Schema::new().value("path", DataType::Text);
        assert_eq!(
            split::<SplitRandom>(config, &columns, []),
            Err(StepError::InvalidInput("the source's records are not lines (their columns: `path` text)".to_owned()))
        );
    }
}
