//! A hash table from bytes to a value, which keeps all keys in one piece of memory.

use std::{hash::Hasher, thread};

use anyhow::Result;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Values by key. Looking up a key that is there allocates nothing, and adding one allocates nothing of its own.
#[derive(Default)]
pub(crate) struct Table<V> {
    entries: HashTable<Entry<V>>,
    keys: Vec<u8>,
}

struct Entry<V> {
    hash: u64,
    start: u32,
    length: u32,
    value: V,
}

impl<V> Entry<V> {
    fn key<'a>(&self, keys: &'a [u8]) -> &'a [u8] {
        &keys[self.start as usize..][..self.length as usize]
    }
}

/// Returns the hash of a key: the same in every table, so that tables can be merged.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let mut hasher = std::hash::BuildHasher::build_hasher(&FixedState::with_seed(1));
    hasher.write(key);
    hasher.finish()
}

/// Returns which of `count` partitions a hash belongs to; of bits that tables make little use of.
pub(crate) fn partition(hash: u64, count: usize) -> usize {
    (hash >> 24) as u32 as usize % count
}

impl<V: Default> Table<V> {
    /// Returns the value of a key, a default one if it is new.
    pub(crate) fn value(&mut self, key: &[u8]) -> &mut V {
        self.value_hashed(hash(key), key)
    }

    fn value_hashed(&mut self, hash: u64, key: &[u8]) -> &mut V {
        let Self { entries, keys } = self;
        let same = |entry: &Entry<V>| entry.hash == hash && entry.key(keys) == key;
        let entry = match entries.entry(hash, same, |entry| entry.hash) {
            hashbrown::hash_table::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                let start = u32::try_from(keys.len()).expect("the keys of a table fit into 4 GiB");
                keys.extend_from_slice(key);
                vacant.insert(Entry { hash, start, length: key.len() as u32, value: V::default() }).into_mut()
            }
        };
        &mut entry.value
    }
}

impl<V> Table<V> {
    /// Takes all keys out, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
    }

    /// Returns all keys and values, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.entries.iter().map(|entry| (entry.key(&self.keys), &entry.value))
    }
}

/// Merges tables and hands the result on, a partition of the keys on each thread.
pub(crate) fn merge<V: Default + Send + Sync>(
    tables: &[Table<V>],
    add: impl Fn(&mut V, &V) + Sync,
    write: impl Fn(usize, &Table<V>) -> Result<()> + Sync,
) -> Result<()> {
    let count = tables.len();
    let merge_one = |number| {
        let mut merged = Table::default();
        for table in tables {
            for entry in table.entries.iter().filter(|entry| partition(entry.hash, count) == number) {
                add(merged.value_hashed(entry.hash, entry.key(&table.keys)), &entry.value);
            }
        }
        write(number, &merged)
    };
    let merge_one = &merge_one;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || merge_one(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread of the baseline does not panic"))
    })
}
