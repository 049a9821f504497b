use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use etl_core::model::error::{Error, ErrorKind, Result};

use crate::{Combiner, NewCombiner, tests::*};

/// Combiner that adds up the arrivals of each key. It emits complete sums at once or, if `holds`, all of them at the
/// end.
struct Sum {
    schema: Schema,
    holds: bool,
    sums: Vec<Row>,
    /// Whether the last of `sums` continues in the next batch.
    open: bool,
}

impl Sum {
    fn add(&mut self, rows: &[Row]) {
        let key_fields = self.schema.key_fields;
        let mut row = match self.sums.pop_if(|_| self.open) {
            Some(open) => open,
            None => [&rows[0][..rows[0].len() - 1], &[Value::Int64(0)]].concat(),
        };
        assert_eq!(row[..key_fields], rows[0][..key_fields], "the continued group has another key");
        let sum = arrival(&row) + rows.iter().map(arrival).sum::<i64>();
        row.splice(row.len() - 1.., [Value::Int64(sum)]);
        self.sums.push(row);
    }

    fn emit(&mut self, rows: usize) -> Vec<RecordBatch> {
        let rows: Vec<Row> = self.sums.drain(..rows).collect();
        rows.chunks(3).map(|rows| batch_of(&self.schema, rows)).collect()
    }
}

impl Combiner for Sum {
    fn process(&mut self, batch: &RecordBatch, group_ends: &[u32], continues: bool) -> Result<Vec<RecordBatch>> {
        let (rows, mut start) = (rows_of(batch), 0);
        for &end in group_ends {
            let end = end as usize;
            self.add(&rows[start..end]);
            self.open = continues && end == rows.len();
            start = end;
        }
        assert_eq!(start, rows.len(), "the last group does not end with the batch");
        let complete = self.sums.len() - usize::from(self.open);
        Ok(if self.holds { Vec::new() } else { self.emit(complete) })
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        assert!(!self.open, "the last group continues nowhere");
        Ok(self.emit(self.sums.len()))
    }
}

fn arrival(row: &Row) -> i64 {
    match row.last() {
        Some(Value::Int64(arrival)) => *arrival,
        other => panic!("the arrival is {other:?}"),
    }
}

fn combine(table: &Table, settings: ShuffleSettings, combiner: NewCombiner) -> Result<(Bytes, ShuffleIndex)> {
    let mut writer = ShuffleWriter::new(settings, table.schema.clone(), Some(combiner))?;
    table.batches().try_for_each(|batch| writer.push(batch))?;
    let mut file = Vec::new();
    let index = writer.finish(&mut file)?;
    Ok((file.into(), index))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn combined_rows_add_up_however_often_they_were_spilled(
        table in table(), partitions in 1..4_u32, memory_bytes in 1..40_000_u64, holds: bool,
    ) {
        let schema = table.schema.clone();
        let new = move || Ok(Box::new(Sum { schema: schema.clone(), holds, sums: vec![], open: false }) as Box<dyn Combiner>);
        let (file, index) = combine(&table, settings(partitions, memory_bytes, 2), Box::new(new)).expect("it combines");
        let expected = table.groups(partitions).into_iter().map(|((partition, _), rows)| (partition, sum(&rows)));
        let combined = (0..partitions).flat_map(|partition| {
            let rows = read_rows(&table, &file, &index, partition);
            let groups = rows.chunk_by(|a, b| a[..table.schema.key_fields] == b[..table.schema.key_fields]);
            groups.map(|rows| (partition, sum(rows))).collect::<Vec<_>>()
        });
        prop_assert_eq!(combined.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

/// Returns the first row, with the sum of all arrivals in place of its own.
fn sum(rows: &[Row]) -> Row {
    let mut row = rows[0].clone();
    row.splice(row.len() - 1.., [Value::Int64(rows.iter().map(arrival).sum())]);
    row
}

#[test]
fn what_was_spilled_is_merged_where_that_lets_the_combiner_leave_half() {
    for (distinct, runs) in [(50_000, 1), (400_000, 3)] {
        let table = large_table(distinct);
        let schema = table.schema.clone();
        let new = move || {
            let sum = Sum { schema: schema.clone(), holds: false, sums: vec![], open: false };
            Ok(Box::new(sum) as Box<dyn Combiner>)
        };
        let (file, index) = combine(&table, settings(1, 4 << 20, 2), Box::new(new)).expect("it combines");
        assert_eq!(index.of_partition(0).len(), runs, "{distinct} keys");
        assert_eq!(index.rows, distinct as u64);
        let rows = read_rows(&table, &file, &index, 0);
        let sums = table.groups(1).into_values().map(|rows| rows.iter().map(arrival).sum::<i64>());
        assert_eq!(rows.iter().map(arrival).collect::<Vec<_>>(), sums.collect::<Vec<_>>());
    }
}

/// Combiner that returns the given batches from its first call and ignores the rows it is given.
struct Fixed(Vec<RecordBatch>);

impl Combiner for Fixed {
    fn process(&mut self, _: &RecordBatch, _: &[u32], _: bool) -> Result<Vec<RecordBatch>> {
        Ok(std::mem::take(&mut self.0))
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }
}

fn combine_to(batches: Vec<RecordBatch>) -> Result<ShuffleIndex> {
    combine_table(&counting_table("key-", 10, 10), batches)
}

fn combine_table(table: &Table, batches: Vec<RecordBatch>) -> Result<ShuffleIndex> {
    let new: NewCombiner = Box::new(move || Ok(Box::new(Fixed(batches.clone()))));
    combine(table, settings(1, PLENTY, 2), new).map(|(_, index)| index)
}

fn refusal(batches: Vec<RecordBatch>) -> Error {
    let error = combine_to(batches).expect_err("the combiner breaks the rules");
    assert_eq!(error.kind(), ErrorKind::Plugin);
    error
}

#[test]
fn a_combiner_must_keep_the_order_of_keys() {
    let table = counting_table("key-", 2, 2);
    let swapped = [table.batches[0][1].clone(), table.batches[0][0].clone()];
    let in_one_batch = vec![batch_of(&table.schema, &swapped)];
    let in_two_batches = swapped.map(|row| batch_of(&table.schema, &[row])).to_vec();
    for batches in [in_one_batch, in_two_batches] {
        let error = refusal(batches);
        assert!(error.to_string().contains("out of key order"), "{error}");
    }
}

#[test]
fn a_combiner_must_keep_the_schema() {
    let other = schema_of(&[DataType::Int64], 1);
    let error = refusal(vec![batch_of(&other, &[vec![Value::Int64(1), Value::Int64(2)]])]);
    assert!(error.to_string().contains("`column 0 int64, arrival int64 (key: column 0)`"), "{error}");
}

#[test]
fn a_combiner_may_drop_every_row() {
    let index = combine_to(vec![]).expect("nothing is a result");
    assert_eq!((index.rows, index.partitions), (0, vec![]));
}

#[test]
fn what_a_combiner_returns_is_cut_into_batches() {
    let table = counting_table("key-", 100_000, 100_000);
    let rows: Vec<Row> = table.groups(1).into_values().flatten().collect();
    let returned: Vec<RecordBatch> = rows.chunks(60_000).map(|rows| batch_of(&table.schema, rows)).collect();
    let rows_of_a_key = counting_table("key-", 200_000, 100_000);
    let index = combine_table(&rows_of_a_key, returned).expect("they are in order");
    assert_eq!(index.rows, 100_000);
    let blocks = index.partitions[0].blocks.len();
    assert!((7..=9).contains(&blocks), "2 MB in {blocks} blocks");
}

#[test]
fn many_rows_of_which_few_share_a_key_are_not_combined() {
    let left = |rows, keys| combine_table(&counting_table("key-", rows, keys), vec![]).expect("it combines").rows;
    assert_eq!(left(50_000, 50_000), 0);
    assert_eq!(left(50_001, 50_001), 50_001);
    assert_eq!(left(99_999, 50_000), 99_999);
    assert_eq!(left(100_000, 50_000), 0);
}

/// Returns a table of batches that together take about 8 MB.
fn large_table(distinct: usize) -> Table {
    table_in_batches(distinct, 50_000)
}

fn table_in_batches(distinct: usize, batch_rows: usize) -> Table {
    let Table { schema, batches } = counting_table("key-", 400_000, distinct);
    Table { schema, batches: batches[0].chunks(batch_rows).map(<[Row]>::to_vec).collect() }
}

#[test]
fn rows_are_combined_as_they_come_while_keys_have_many() {
    for (distinct, batch_rows, opened) in
        [(100, 50_000, 2), (20_000, 50_000, 2), (20_000, 700, 2), (100_000, 50_000, 1)]
    {
        let table = table_in_batches(distinct, batch_rows);
        let (schema, count) = (table.schema.clone(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let new = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Sum { schema: schema.clone(), holds: false, sums: vec![], open: false }) as Box<dyn Combiner>)
        };
        let (file, index) = combine(&table, settings(1, PLENTY, 2), Box::new(new)).expect("it combines");
        assert_eq!(count.load(Ordering::Relaxed), opened, "{distinct} keys in batches of {batch_rows} rows");
        let rows = read_rows(&table, &file, &index, 0);
        let sums = table.groups(1).into_values().map(|rows| rows.iter().map(arrival).sum::<i64>());
        assert_eq!(rows.iter().map(arrival).collect::<Vec<_>>(), sums.collect::<Vec<_>>());
    }
}

#[test]
fn what_is_combined_as_it_comes_must_keep_the_schema() {
    let other = batch_of(&schema_of(&[DataType::Int64], 1), &[vec![Value::Int64(1), Value::Int64(2)]]);
    let error = combine_table(&large_table(10), vec![other]).expect_err("the columns are others");
    assert_eq!(error.kind(), ErrorKind::Plugin);
    assert!(error.to_string().contains("a combiner must emit the schema it is given"), "{error}");
}
