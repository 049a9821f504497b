//! Encoded keys, whose bytes compare like the keys themselves.
//!
//! Owns the one encoding that hash, sort, merge and group ends share: arrow-row's row format over the key columns.
//! Encoded keys compare as bytes in the order of the keys: column by column; null before any value, `false` before
//! `true`, integers by value, floats in IEEE 754 total order, text and binary by their bytes. Two keys are the same
//! when their encodings are the same: -0.0 and 0.0 are two keys, and null is a key. No encoding is a prefix of another
//! one.

use arrow_array::{Array, BinaryArray, RecordBatch};
use arrow_row::{RowConverter, SortField};
use etl_core::model::{
    error::{Error, ErrorKind, Result, ResultExt},
    schema::Schema,
};
use xxhash_rust::xxh3::xxh3_64;

/// Encodes the keys of batches of one schema.
pub(super) struct KeyEncoder {
    converter: RowConverter,
    key_fields: usize,
}

impl KeyEncoder {
    /// Creates the encoder of `schema`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the schema has no key.
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        if schema.key_fields == 0 {
            return Err(Error::config(format!(
                "rows of `{schema}` cannot be brought together, because they have no key \
                 (a mapper before a reduce declares 1 or more `key-fields`)"
            )));
        }
        let key = schema.fields.fields().iter().take(schema.key_fields);
        let key = key.map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(key).or_kind(ErrorKind::Internal, || "cannot compare keys")?;
        Ok(Self { converter, key_fields: schema.key_fields })
    }

    /// Returns the encoded key of each row.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the keys take more than 2 GiB together.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<Keys> {
        let columns = batch.columns().get(..self.key_fields).unwrap_or_default();
        let keys = self.converter.convert_columns(columns).or_kind(ErrorKind::Internal, || "cannot encode keys")?;
        let keys = keys.try_into_binary().or_kind(ErrorKind::Input, || "the keys of a batch are too long")?;
        Ok(Keys(keys))
    }
}

/// The encoded keys of the rows of a batch.
pub(super) struct Keys(BinaryArray);

impl Keys {
    /// Returns the encoded key of a row.
    #[inline]
    pub(super) fn of(&self, row: usize) -> &[u8] {
        self.0.value(row)
    }

    /// Returns the keys in the order of the rows.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.0.len()).map(|row| self.of(row))
    }

    /// Returns the memory that the keys take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.get_buffer_memory_size()
    }
}

/// Returns the partition of an encoded key, from 0: its xxh3 64-bit hash modulo the number of partitions.
///
/// `key` must be encoded in arrow-row's row format over the key columns, each ascending with nulls first.
///
/// # Panics
/// If `partitions` is 0.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    partition_of_hash(hash_of(key), partitions)
}

/// Returns the partition of a key with this hash.
pub(super) fn partition_of_hash(hash: u64, partitions: u32) -> u32 {
    u32::try_from(hash % u64::from(partitions)).expect("the remainder of a division by a u32 is a u32")
}

/// Returns the hash of an encoded key, from which its partition is computed.
pub(super) fn hash_of(key: &[u8]) -> u64 {
    xxh3_64(key)
}
