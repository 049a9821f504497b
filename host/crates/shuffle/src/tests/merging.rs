use std::sync::atomic::{AtomicUsize, Ordering};

use etl_core::model::error::{Error, ErrorKind, Result};

use crate::{SizedRun, merge_all, tests::*};

/// Returns one sorted run per batch of the table.
fn runs_of(table: &Table) -> Vec<SortedRun> {
    let shards = table.batches.iter().map(|rows| Table { batches: vec![rows.clone()], ..table.clone() });
    let runs = shards.flat_map(|shard| {
        let (file, index) = shuffle(&shard, settings(1, PLENTY, 2));
        read(&shard.schema, &file, &index, 0, 10_000)
    });
    runs.collect()
}

fn sized(run: SortedRun) -> SizedRun {
    SizedRun { run, batch_bytes_max: 1 }
}

fn up_to(runs: usize) -> FanIn {
    FanIn { runs, bytes: u64::MAX }
}

fn run_of(batches: impl IntoIterator<Item = RecordBatch>) -> SortedRun {
    Box::new(batches.into_iter().map(Ok).collect::<Vec<_>>().into_iter())
}

/// Checks the shape of each batch and returns the groups.
fn groups_of(merge: Merge) -> Vec<Vec<Row>> {
    let mut groups: Vec<Vec<Row>> = Vec::new();
    let mut continues = false;
    for item in merge {
        let item = item.expect("the runs are sound");
        let (rows, mut start) = (rows_of(&item.batch), 0);
        assert!(!rows.is_empty(), "a batch has no rows");
        for &end in &item.group_ends {
            let rows = &rows[start..end as usize];
            assert!(!rows.is_empty(), "a group has no rows");
            match groups.last_mut().filter(|_| continues) {
                Some(last) => last.extend_from_slice(rows),
                None => groups.push(rows.to_vec()),
            }
            continues = false;
            start = end as usize;
        }
        assert_eq!(start, rows.len(), "the last group does not end with the batch");
        continues = item.last_group_continues;
    }
    assert!(!continues, "the last group continues nowhere");
    groups
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn groups_are_those_of_all_runs_in_order(
        table in table(), runs in 0..6_usize, bytes in 0..1000_u64, batch_bytes in proptest::collection::vec(0..200_u64, 50),
    ) {
        let sized = runs_of(&table).into_iter().zip(batch_bytes.into_iter().cycle());
        let sized = sized.map(|(run, batch_bytes_max)| Ok(SizedRun { run, batch_bytes_max }));
        let merge = merge_all(sized, &table.schema, FanIn { runs, bytes }, &scratch(u64::MAX));
        let expected: Vec<Vec<Row>> = table.groups(1).into_values().collect();
        prop_assert_eq!(groups_of(merge.expect("the runs are sound")), expected);
    }
}

#[test]
fn a_key_that_fills_many_batches_is_one_group() {
    let batches = (0..3).map(|_| vec![vec![Value::Text("one key".to_owned())]; 40_000]).collect();
    let table = number_rows(schema_of(&[DataType::Utf8], 1), batches);
    let merge = Merge::new(runs_of(&table), &table.schema).expect("the runs are sound");
    let merged: Vec<_> = merge.map(|groups| groups.expect("the runs are sound")).collect();
    assert!(merged.len() > 3, "all rows are in {} batches", merged.len());
    assert!(merged.iter().all(|groups| groups.group_ends == [groups.batch.num_rows() as u32]));
    let continued = merged.iter().filter(|groups| groups.last_group_continues).count();
    assert_eq!(continued, merged.len() - 1);
}

#[test]
fn rows_of_another_run_between_those_of_one_are_kept() {
    let table = counting_table("key-", 3, 3);
    let rows = &table.batches[0];
    let outer = run_of([batch_of(&table.schema, &[rows[0].clone(), rows[2].clone()])]);
    let inner = run_of([batch_of(&table.schema, &[rows[1].clone()])]);
    let merge = Merge::new(vec![outer, inner], &table.schema).expect("the runs are sound");
    assert_eq!(groups_of(merge).concat(), *rows);
}

#[test]
fn nothing_merges_to_nothing() {
    let schema = schema_of(&[DataType::Int64], 1);
    let empty = || run_of([RecordBatch::new_empty(schema.fields.clone())]);
    for runs in [vec![], vec![run_of([])], vec![empty(), empty(), empty()]] {
        assert!(groups_of(Merge::new(runs, &schema).expect("nothing is wrong")).is_empty());
    }
}

/// A run that counts how many runs of its kind are open.
struct Counted {
    batch: Option<RecordBatch>,
    open: Arc<AtomicUsize>,
}

impl Iterator for Counted {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch.take().map(Ok)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn no_more_runs_are_open_than_the_fan_in_and_the_next() {
    let table = counting_table("key-", 1, 1);
    let (open, most) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let runs = (0..1000).map(|_| {
        most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Ok(sized(Box::new(Counted { batch: table.batches().next(), open: open.clone() })))
    });
    let merge = merge_all(runs, &table.schema, up_to(7), &scratch(u64::MAX)).expect("the runs are sound");
    assert_eq!(groups_of(merge), [vec![table.batches[0][0].clone(); 1000]]);
    assert_eq!(most.into_inner(), 8);
}

#[test]
fn a_run_that_is_not_sorted_is_an_error() {
    let table = counting_table("key-", 2, 2);
    let swapped = [table.batches[0][1].clone(), table.batches[0][0].clone()];
    let in_one_batch = run_of([batch_of(&table.schema, &swapped)]);
    let in_two_batches = run_of(swapped.map(|row| batch_of(&table.schema, &[row])));
    for unsorted in [in_one_batch, in_two_batches] {
        let runs = vec![run_of(table.batches()), run_of([]), unsorted];
        let merged = Merge::new(runs, &table.schema).map(|mut merge| {
            let error = merge.find_map(Result::err).expect("the third run is not sorted");
            assert!(merge.next().is_none(), "it goes on after an error");
            error
        });
        let error = merged.unwrap_or_else(|error| error);
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("run 3 of 3 is not sorted"), "{error}");
    }
}

#[test]
fn an_error_of_a_run_is_handed_on() {
    let table = counting_table("key-", 5, 5);
    let failing = || -> SortedRun {
        let gone = Error::new(ErrorKind::Unavailable, anyhow::anyhow!("gone"));
        Box::new(table.batches().map(Ok).chain([Err(gone)]).collect::<Vec<_>>().into_iter())
    };
    let mut merge = Merge::new(vec![run_of(table.batches()), failing()], &table.schema).expect("the start is sound");
    let error = merge.find_map(Result::err).expect("the second run fails");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unavailable, "gone"));
    let merge = |runs: Vec<Result<SortedRun>>| {
        merge_all(runs.into_iter().map(|run| run.map(sized)), &table.schema, up_to(2), &scratch(u64::MAX)).err()
    };
    let error = merge(vec![Ok(run_of([])), Ok(failing()), Ok(run_of([]))]).expect("the second run fails");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = merge(vec![Ok(run_of([])), Ok(run_of([])), Err(Error::input("closed"))]).expect("the third is closed");
    assert_eq!(error.kind(), ErrorKind::Input);
}
