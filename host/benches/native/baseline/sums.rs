//! Sums values by key, for any number of keys.
//!
//! A table that outgrows the caches costs more than everything else together. So keys are summed in a table that fits
//! the second level of cache. When the table is full, its rows are dealt to partitions. In the end, each partition is
//! summed in such a table again. Where hardly any key comes twice, rows go straight to the partitions.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;

use super::{
    part::Part,
    pieces::on_threads,
    table::{Table, hash},
};

const PARTITIONS: usize = 512;
const KEYS_MAX: usize = 8 * 1024;

/// The sums of one thread.
pub(crate) struct Sums {
    table: Table<i64>,
    /// Number of values added since the table was empty.
    added: usize,
    /// Whether rows go straight to the partitions, because hardly any key comes twice.
    straight: bool,
    /// The rows of each partition: length of the key, key, value, and so on.
    partitions: Vec<Vec<u8>>,
}

impl Default for Sums {
    fn default() -> Self {
        Self { table: Table::default(), added: 0, straight: false, partitions: vec![Vec::new(); PARTITIONS] }
    }
}

impl Sums {
    /// Adds a value to the sum of a key, which may be 64 KiB long.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], value: i64) {
        let hash = hash(key);
        if self.straight {
            return deal(&mut self.partitions, hash, key, value);
        }
        *self.table.value(hash, key) += value;
        self.added += 1;
        if self.table.len() == KEYS_MAX {
            self.empty_table();
        }
    }

    fn empty_table(&mut self) {
        self.straight = self.added < 2 * self.table.len();
        self.added = 0;
        self.table.iter().for_each(|(hash, key, sum)| deal(&mut self.partitions, hash, key, *sum));
        self.table.clear();
    }
}

fn deal(partitions: &mut [Vec<u8>], hash: u64, key: &[u8], value: i64) {
    // The tables use the other bits of the hash.
    let rows = &mut partitions[(hash >> 32) as usize % PARTITIONS];
    rows.extend_from_slice(&u16::try_from(key.len()).expect("keys of inputs are short").to_le_bytes());
    rows.extend_from_slice(key);
    rows.extend_from_slice(&value.to_le_bytes());
}

/// Adds up the sums of all threads, and writes a row for each key.
pub(crate) fn write(mut sums: Vec<Sums>, result: &Path, [key, value]: [&str; 2]) -> Result<()> {
    sums.iter_mut().for_each(Sums::empty_table);
    let (before, between) = (format!("{{\"{key}\":"), format!(",\"{value}\":"));
    let (partitions, parts): (Vec<usize>, _) = ((0..PARTITIONS).collect(), AtomicUsize::new(0));
    let new_part = || Ok((Part::create(result, parts.fetch_add(1, Ordering::Relaxed))?, Table::default()));
    let parts = on_threads(sums.len(), &partitions, new_part, |(part, table), partition| {
        table.clear();
        sums.iter().for_each(|sums| add_dealt(&sums.partitions[*partition], table));
        for (_, key, sum) in table.iter() {
            part.bytes(before.as_bytes()).string(key)?.bytes(between.as_bytes()).integer(*sum).bytes(b"}").end_row()?;
        }
        Ok(())
    })?;
    parts.into_iter().try_for_each(|(part, _)| part.close())
}

fn add_dealt(mut rows: &[u8], table: &mut Table<i64>) {
    while let Some((length, rest)) = rows.split_first_chunk() {
        let (key, rest) = rest.split_at(u16::from_le_bytes(*length).into());
        let (value, rest) = rest.split_first_chunk().expect("a value follows its key");
        *table.value(hash(key), key) += i64::from_le_bytes(*value);
        rows = rest;
    }
}
