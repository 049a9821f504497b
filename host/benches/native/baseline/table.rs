//! A hash table from bytes to values, which keeps all keys in one piece of memory.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::{HashTable, hash_table::Entry};

/// Values by key. Looking up a known key allocates nothing, and adding a key makes no allocation for that key alone.
#[derive(Default)]
pub(crate) struct Table<V> {
    rows: HashTable<Row<V>>,
    keys: Vec<u8>,
}

struct Row<V> {
    hash: u64,
    start: u32,
    length: u32,
    value: V,
}

impl<V> Row<V> {
    fn key<'a>(&self, keys: &'a [u8]) -> &'a [u8] {
        &keys[self.start as usize..][..self.length as usize]
    }
}

/// Returns the hash of a key: the same in every table.
#[inline]
pub(crate) fn hash(key: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(key);
    hasher.finish()
}

impl<V: Default> Table<V> {
    /// Returns the value of a key with this hash; the default value if the key is new.
    #[inline]
    pub(crate) fn value(&mut self, hash: u64, key: &[u8]) -> &mut V {
        let Self { rows, keys } = self;
        match rows.entry(hash, |row| row.hash == hash && same(row.key(keys), key), |row| row.hash) {
            Entry::Occupied(row) => &mut row.into_mut().value,
            Entry::Vacant(vacant) => {
                let start = u32::try_from(keys.len()).expect("the keys of a table fit into 4 GiB");
                keys.extend_from_slice(key);
                let row = Row { hash, start, length: key.len() as u32, value: V::default() };
                &mut vacant.insert(row).into_mut().value
            }
        }
    }
}

/// Compares two keys, most of them in registers: a call of `memcmp` takes longer than the rest of a lookup.
#[inline]
fn same(one: &[u8], two: &[u8]) -> bool {
    fn ends<const N: usize>(key: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        Some((key.first_chunk()?, key.last_chunk()?))
    }
    match one.len() {
        length if length != two.len() => false,
        16..=32 => ends::<16>(one) == ends::<16>(two),
        8..16 => ends::<8>(one) == ends::<8>(two),
        4..8 => ends::<4>(one) == ends::<4>(two),
        2..4 => ends::<2>(one) == ends::<2>(two),
        _ => one == two,
    }
}

impl<V> Table<V> {
    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Removes all keys, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.keys.clear();
    }

    /// Returns all keys with their hashes and values, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8], &V)> {
        self.rows.iter().map(|row| (row.hash, row.key(&self.keys), &row.value))
    }
}
