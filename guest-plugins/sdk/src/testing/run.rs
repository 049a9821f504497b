//! Runs steps as the host does: opens a step, hands it batches, and finishes it.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::Json;

use super::cells::rows;
use super::host::{self, InMemoryObject, Outcome, Split};
use crate::bindings::map::etl::plugin::types as wire;
use crate::value::{Row, Value};
use crate::{
    Batch, BatchBuilder, LineMapper, Lines, MapRunner, Mapper, OwnedCell, ReduceRunner, Reducer, Schema, SplitRunner,
    Splitter, StepError, wire as boundary,
};

/// Runs a line mapper on these lines.
pub fn map_lines<M: LineMapper>(
    config: Json,
    lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Outcome, StepError> {
    let lines: Vec<_> = lines.into_iter().map(|line| (line.as_ref().to_vec(),)).collect();
    map_rows::<Lines<M>>(config, &Schema::lines(), lines)
}

/// Runs a mapper on these rows.
pub fn map_rows<M: Mapper>(
    config: Json,
    input: &Schema,
    input_rows: impl IntoIterator<Item = impl Row>,
) -> Result<Outcome, StepError> {
    let context = context(config, input);
    let input_rows = rows(input_rows);
    however_cut(|batch_rows| {
        let (mut mapper, schema) = MapRunner::<M>::open(context.clone())?;
        host::set_schema(boundary::read_schema(&schema)?);
        for (first, rows) in batches(&input_rows, batch_rows) {
            host::set_first_row(first);
            mapper.process(batch(input, rows))?;
        }
        mapper.finish()
    })
}

/// Runs a reducer on these rows, after sorting them by key.
pub fn reduce_rows<R: Reducer>(
    config: Json,
    input: &Schema,
    input_rows: impl IntoIterator<Item = impl Row>,
) -> Result<Outcome, StepError> {
    reduce::<R>(input, &context(config, input), input_rows)
}

/// Runs a reducer as combiner on these rows, after sorting them by key.
pub fn combine_rows<R: Reducer>(
    config: Json,
    input: &Schema,
    input_rows: impl IntoIterator<Item = impl Row>,
) -> Result<Outcome, StepError> {
    reduce::<R>(input, &wire::Context { combines: true, ..context(config, input) }, input_rows)
}

fn reduce<R: Reducer>(
    input: &Schema,
    context: &wire::Context,
    input_rows: impl IntoIterator<Item = impl Row>,
) -> Result<Outcome, StepError> {
    let key = |row: &Vec<OwnedCell>| row[..input.key_fields().len()].to_vec();
    let mut input_rows = rows(input_rows);
    input_rows.sort_by(|a, b| key(a).partial_cmp(&key(b)).unwrap_or(Ordering::Equal));
    however_cut(|batch_rows| {
        let (mut reducer, schema) = ReduceRunner::<R>::open(context.clone())?;
        host::set_schema(boundary::read_schema(&schema)?);
        for (first, rows) in batches(&input_rows, batch_rows) {
            let next = input_rows.get(first + rows.len());
            let continues = rows.last().map(key) == next.map(key);
            reducer.process(batch(input, rows), &group_ends(rows, key), continues)?;
        }
        reducer.finish()
    })
}

/// Runs a splitter on these objects, whose records have the schema `input`.
///
/// # Panics
/// When a slice lies outside its object, overlaps another slice, or names an object that the source does not have. The
/// host refuses such slices, too.
pub fn split<S: Splitter>(
    config: Json,
    input: &Schema,
    objects: impl IntoIterator<Item = InMemoryObject>,
) -> Result<Split, StepError> {
    let objects: Vec<_> = objects.into_iter().collect();
    let sizes: HashMap<_, _> = objects.iter().map(|o| (o.object.name.clone(), o.object.size)).collect();
    host::start(objects);
    host::set_schema(input.clone());
    SplitRunner::<S>::open(context(config, input))?.split()?;
    let split = host::split();
    check_slices(&split, &sizes);
    Ok(split)
}

/// Runs the step with its input in one batch, then row by row, and returns the outcome of the first run. Panics if the
/// second run has other rows or rejects.
fn however_cut(step: impl Fn(usize) -> Result<(), StepError>) -> Result<Outcome, StepError> {
    let run = |batch_rows| {
        host::start(Vec::new());
        step(batch_rows).map(|()| host::outcome())
    };
    let outcome = run(usize::MAX);
    let row_by_row = run(1);
    let result = |outcome: &Result<Outcome, StepError>| outcome.clone().map(|o| (o.rows, o.rejects));
    assert_eq!(result(&outcome), result(&row_by_row), "the result depends on how the rows are cut into batches");
    outcome
}

/// Returns the rows in batches, each with the number of rows before it.
fn batches(rows: &[Vec<OwnedCell>], batch_rows: usize) -> impl Iterator<Item = (usize, &[Vec<OwnedCell>])> {
    rows.chunks(batch_rows).scan(0, |first, rows| {
        let start = *first;
        *first += rows.len();
        Some((start, rows))
    })
}

fn batch(schema: &Schema, rows: &[Vec<OwnedCell>]) -> wire::Batch {
    let mut builder = BatchBuilder::new(schema);
    for row in rows {
        builder.push_cells(row.iter().map(Value::cell)).expect("the test's input fits its schema");
    }
    let Batch(batch) = builder.finish();
    batch
}

fn group_ends<K: PartialEq>(rows: &[Vec<OwnedCell>], key: impl Fn(&Vec<OwnedCell>) -> K) -> Vec<u32> {
    let groups = rows.chunk_by(|a, b| key(a) == key(b));
    let ends = groups.scan(0, |end, group| {
        *end += u32::try_from(group.len()).expect("a test has fewer rows");
        Some(*end)
    });
    ends.collect()
}

fn context(config: Json, input: &Schema) -> wire::Context {
    let (run_id, config) = ("test".to_owned(), config.to_string());
    wire::Context { run_id, task: 0, attempt: 1, combines: false, input: boundary::write_schema(input), config }
}

fn check_slices(split: &Split, sizes: &HashMap<String, u64>) {
    let mut slices = split.slices().concat();
    slices.sort_unstable();
    for (object, offset, length) in &slices {
        let size = sizes.get(*object).unwrap_or_else(|| panic!("a slice names the unknown object `{object}`"));
        assert!(offset + length <= *size, "slice at {offset} of `{object}` ends past the object's {size} bytes");
    }
    for pair in slices.windows(2) {
        let [(object, offset, length), next] = pair else { unreachable!("windows are of two") };
        assert!((next.0, next.1) >= (*object, offset + length), "slices of `{object}` overlap at {}", next.1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::{Context, Int64, NoConfig, Output, Rows, Shards, Slice, Source};

    /// Emits the number of rows of each batch, which no mapper should do.
    struct CountRows;

    impl Mapper for CountRows {
        type Config = NoConfig;

        fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
            Ok(Self)
        }

        fn schema(&self) -> Schema {
            Schema::new().value("rows", Int64)
        }

        fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
            out.emit((i64::try_from(rows.len()).expect("few rows"),))
        }
    }

    #[test]
    #[should_panic(expected = "the result depends on how the rows are cut into batches")]
    fn a_result_that_depends_on_batches_is_noticed() {
        let _ = map_rows::<CountRows>(json!({}), &Schema::lines(), [(b"one",), (b"two",)].map(|(l,)| (l.as_slice(),)));
    }

    /// Cuts two slices from every object: the bytes before `end`, and the four bytes from `start` on.
    #[derive(serde::Deserialize, crate::Describe)]
    struct Cut {
        end: u64,
        start: u64,
    }

    impl Splitter for Cut {
        type Config = Self;

        fn open(config: Self, _: &Context) -> Result<Self, StepError> {
            Ok(config)
        }

        fn split(&mut self, source: &Source, shards: &mut Shards) -> Result<(), StepError> {
            for object in source.objects() {
                let slice = |offset, length| Slice { object: object.name.clone(), offset, length };
                shards.add_slices(vec![slice(0, self.end), slice(self.start, 4)]);
            }
            Ok(())
        }
    }

    fn cut(end: u64, start: u64) -> Split {
        let objects = ["a", "b", "c"].map(|name| InMemoryObject::new(name, "12345678"));
        let config = json!({ "end": end, "start": start });
        split::<Cut>(config, &Schema::lines(), objects).expect("no error")
    }

    #[test]
    fn every_object_is_listed_once() {
        assert_eq!(cut(4, 4).slices(), ["a", "b", "c"].map(|name| [(name, 0, 4), (name, 4, 4)]));
    }

    #[test]
    #[should_panic(expected = "slices of `a` overlap at 4")]
    fn overlapping_slices_are_noticed() {
        cut(5, 4);
    }

    #[test]
    #[should_panic(expected = "slice at 5 of `a` ends past the object's 8 bytes")]
    fn slices_outside_are_noticed() {
        cut(4, 5);
    }
}
