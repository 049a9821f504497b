//! The built-in split: cuts large objects and packs small ones, by size.

use bytesize::ByteSize;
use etl_core::model::{
    error::{Error, Result},
    object::{Compression, Object, Slice},
};
use etl_format::{Cuts, HEAD_BYTES, compression_at};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use crate::connector::Source;

/// The most shards that a run may have.
pub const SHARDS_MAX: u32 = 10_000_000;

/// The most small objects that are packed into one shard, regardless of their size.
const PACKED_MAX: usize = 10_000;

/// Number of objects whose first bytes may be read at a time.
const LOOKS_IN_FLIGHT: usize = 64;

/// Returns why an object cannot be cut into slices, or `None` if it can.
pub fn uncut(compression: Compression, cuts: Cuts) -> Option<&'static str> {
    match (compression, cuts) {
        (Compression::None, Cuts::AtLineEnds | Cuts::AtRecords(_) | Cuts::ByPosition { .. }) => None,
        (Compression::None, Cuts::Never(why)) => Some(why),
        _ => Some("is compressed"),
    }
}

/// Finds out which of the objects that [`split_by_size`] would cut are compressed although their names do not say so.
/// Reads the first bytes of these objects, and of no others.
///
/// # Errors
/// When an object cannot be read, or has changed.
pub fn look_at_cut<'a>(
    source: &'a dyn Source,
    objects: &'a mut [Object],
    cuts: Cuts,
    target_size: u64,
) -> BoxFuture<'a, Result<()>> {
    let cut = objects.iter_mut().filter(move |object| is_cut(object, cuts, target_size));
    let looks = stream::iter(cut).map(move |object| {
        let note = async move {
            object.compression = look_at(source, object).await?;
            Ok(())
        };
        note.boxed()
    });
    looks.buffer_unordered(LOOKS_IN_FLIGHT).try_collect().boxed()
}

/// Returns the compression that the first bytes of an object tell.
///
/// # Errors
/// When the object cannot be read, or has changed.
pub async fn look_at(source: &dyn Source, object: &Object) -> Result<Compression> {
    let head = source.read(object, 0..object.size.min(HEAD_BYTES as u64)).await?;
    Ok(compression_at(&head))
}

fn is_cut(object: &Object, cuts: Cuts, target_size: u64) -> bool {
    object.size > target_size.max(1) && uncut(object.compression, cuts).is_none()
}

/// Returns how many shards [`split_by_size`] makes.
///
/// # Errors
/// [`ErrorKind::Config`](etl_core::model::error::ErrorKind::Config) when there are more shards than a run may have.
pub fn count_shards(objects: &[Object], cuts: Cuts, target_size: u64) -> Result<u64> {
    let mut shards = 0;
    split_by_size(objects, cuts, target_size, |_, _| {
        shards += 1;
        if shards <= u64::from(SHARDS_MAX) {
            return Ok(());
        }
        let size = ByteSize::b(target_size).display().iec();
        Err(Error::config(format!(
            "`split.target_size` of {size} divides the source into more than {SHARDS_MAX} shards: raise it"
        )))
    })?;
    Ok(shards)
}

/// Cuts each large object into equal slices of at most `target_size` bytes, one per shard, and packs up to 10,000
/// neighbouring small objects of at most `target_size` bytes in all into one shard. An object that is compressed, or
/// whose format has no cuts, is not cut. The shards keep the order of the source; `add` is called with the slices and
/// the objects of each. Empty objects have no records and get no shard.
///
/// # Errors
/// Returns the error of `add`.
pub fn split_by_size(
    objects: &[Object],
    cuts: Cuts,
    target_size: u64,
    mut add: impl FnMut(Vec<Slice>, &[&Object]) -> Result<()>,
) -> Result<()> {
    let target_size = target_size.max(1);
    let (mut packed, mut packed_bytes): (Vec<&Object>, u64) = (Vec::new(), 0);
    for object in objects.iter().filter(|object| object.size > 0) {
        if packed_bytes + object.size > target_size || packed.len() == PACKED_MAX {
            ship(&mut packed, &mut add)?;
            packed_bytes = 0;
        }
        if is_cut(object, cuts, target_size) {
            cut(object, target_size).try_for_each(|slice| add(vec![slice], &[object]))?;
        } else {
            packed.push(object);
            packed_bytes += object.size;
        }
    }
    ship(&mut packed, &mut add)
}

/// Adds the packed objects as one shard, if there are any, and clears the list.
fn ship(packed: &mut Vec<&Object>, add: &mut impl FnMut(Vec<Slice>, &[&Object]) -> Result<()>) -> Result<()> {
    if packed.is_empty() {
        return Ok(());
    }
    let objects = std::mem::take(packed);
    add(objects.iter().map(|object| whole(object)).collect(), &objects)
}

fn whole(object: &Object) -> Slice {
    Slice { object: object.name.clone(), offset: 0, length: object.size }
}

/// Cuts an object into equal slices of at most `target_size` bytes.
fn cut(object: &Object, target_size: u64) -> impl Iterator<Item = Slice> {
    let count = object.size.div_ceil(target_size);
    // Multiply in 128 bits, so that the product cannot overflow; the quotient is at most the size.
    let start = move |i: u64| (u128::from(object.size) * u128::from(i) / u128::from(count)) as u64;
    (0..count).map(move |i| Slice { object: object.name.clone(), offset: start(i), length: start(i + 1) - start(i) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, size: u64) -> Object {
        Object { name: name.to_owned(), size, e_tag: None, compression: Compression::of(name) }
    }

    fn split(objects: &[Object], target_size: u64) -> Vec<Vec<(String, u64, u64)>> {
        let mut shards = Vec::new();
        let add = |slices: Vec<Slice>, of: &[&Object]| {
            assert!(slices.iter().all(|slice| of.iter().any(|object| object.name == slice.object)));
            shards.push(slices.into_iter().map(|slice| (slice.object, slice.offset, slice.length)).collect());
            Ok(())
        };
        split_by_size(objects, Cuts::AtLineEnds, target_size, add).expect("nothing fails");
        shards
    }

    #[test]
    fn large_objects_are_cut_evenly_and_small_ones_packed() {
        let objects =
            [object("a", 10), object("b", 25), object("c", 0), object("d", 4), object("e", 5), object("f.gz", 99)];
        let expected = vec![
            vec![("a", 0, 10)],
            vec![("b", 0, 8)],
            vec![("b", 8, 8)],
            vec![("b", 16, 9)],
            vec![("d", 0, 4), ("e", 0, 5)],
            vec![("f.gz", 0, 99)],
        ];
        let owned = |shard: Vec<(&str, u64, u64)>| -> Vec<_> {
            shard.into_iter().map(|(name, offset, length)| (name.to_owned(), offset, length)).collect()
        };
        assert_eq!(split(&objects, 10), expected.into_iter().map(owned).collect::<Vec<_>>());
    }

    #[test]
    fn tiny_objects_do_not_make_a_shard_of_any_number_of_them() {
        let objects: Vec<Object> = (0..25_000).map(|number| object(&format!("{number:05}"), 1)).collect();
        let shards: Vec<usize> = split(&objects, 1 << 30).iter().map(Vec::len).collect();
        assert_eq!(shards, [10_000, 10_000, 5_000]);
    }

    #[test]
    fn more_shards_than_a_run_may_have_are_refused() {
        let objects = [object("a", u64::from(SHARDS_MAX) - 1), object("b", 2)];
        assert_eq!(count_shards(&objects, Cuts::AtLineEnds, 2).expect("fits"), u64::from(SHARDS_MAX) / 2 + 1);
        let refused = count_shards(&objects, Cuts::AtLineEnds, 1).expect_err("one too many").to_string();
        assert_eq!(refused, "`split.target_size` of 1 B divides the source into more than 10000000 shards: raise it");
    }

    #[test]
    fn objects_of_a_format_without_cuts_stay_whole() {
        let objects = [object("a", 10), object("b", 25)];
        assert_eq!(count_shards(&objects, Cuts::AtLineEnds, 10).expect("fits"), 4);
        assert_eq!(count_shards(&objects, Cuts::Never("is whole"), 10).expect("fits"), 2);
    }
}
