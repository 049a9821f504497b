//! Tests of what a source promises: which objects, every record whole and once, and batches that depend on data alone.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, LazyLock, atomic::Ordering::SeqCst},
};

use arrow_array::{Array, cast::AsArray};
use bytes::Bytes;
use etl_core::model::{
    error::{ErrorKind, Result},
    object::{Compression, Object, Slice},
    position::Position,
};
use etl_format::{Chunk, Cuts, Decode, Sizes, SourceBatch, SourceFormat};
use etl_store::{Location, Store, testing::counting::counting};
use object_store::{memory::InMemory, path::Path};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::{
    fetch::fetch,
    split::{count_shards, look_at_cut},
    *,
};

/// Runtime that fetches while the test's own thread decodes, as a worker does.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

/// A record with the place it came from.
type Found = (String, u64, Vec<u8>);

fn store_of(objects: &[(&str, &[u8])]) -> (Store, Vec<Object>) {
    let store = Store::from_object_store(Arc::new(InMemory::new()), Path::from("in"), "memory");
    let listed = RUNTIME.block_on(async {
        for (name, bytes) in objects {
            store.put(name, bytes.to_vec()).await?;
        }
        ObjectSource::new(store.clone(), &[])?.list().await
    });
    (store, listed.expect("lists"))
}

/// Makes the same as [`store_of`], with one object on local disk, which is read in another way.
fn local_store_of(directory: &std::path::Path, name: &str, bytes: &[u8]) -> (Store, Vec<Object>) {
    std::fs::write(directory.join(name), bytes).expect("writes");
    let location = Location { written: "local".to_owned(), url: format!("file://{}/", directory.display()) };
    let store = Store::open(&location, &BTreeMap::new()).expect("opens");
    let listed = RUNTIME.block_on(async { ObjectSource::new(store.clone(), &[])?.list().await });
    (store, listed.expect("lists"))
}

fn slice(object: &str, start: usize, end: usize) -> Slice {
    Slice { object: object.to_owned(), offset: start as u64, length: (end - start) as u64 }
}

/// Divides an object at `cuts`, which must be sorted.
fn slices_at(object: &str, length: usize, cuts: &[usize]) -> Vec<Slice> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain(std::iter::once(length));
    starts.zip(ends).map(|(start, end)| slice(object, start, end)).collect()
}

fn fetched(store: &Store, slices: &[Slice], objects: &[Object]) -> Result<Chunks> {
    RUNTIME.block_on(async {
        let mut chunks = fetch(store, &Default::default(), Cuts::AtLineEnds, [(slices, objects)])?;
        chunks.ready().await;
        Ok(chunks)
    })
}

fn batches(mut decoder: Box<dyn Decode + '_>) -> Result<Vec<SourceBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = decoder.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

fn records(batch: &SourceBatch) -> Vec<Found> {
    let lines = batch.batch.column(0).as_binary::<i32>();
    let found = |row| {
        let origin = batch.origin(row);
        assert_eq!(&*origin.record, lines.value(row));
        let Position::Byte(offset) = origin.at else { panic!("a line starts at a byte") };
        (origin.object.to_owned(), offset, origin.record.to_vec())
    };
    (0..lines.len()).map(found).collect()
}

/// Reads slices as a map task does.
fn read(store: &Store, slices: &[Slice], objects: &[Object]) -> Result<Vec<Found>> {
    let decoder = SourceFormat::lines().decoder(Box::new(fetched(store, slices, objects)?))?;
    Ok(batches(decoder)?.iter().flat_map(records).collect())
}

/// Returns the records of an object, found in the simplest way.
fn lines_of(object: &str, data: &[u8]) -> Vec<Found> {
    let mut offset = 0;
    let mut found = Vec::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let record = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line);
        found.push((object.to_owned(), offset, record.to_owned()));
        offset += line.len() as u64;
    }
    found
}

/// Generates bytes with many line ends of both kinds, empty lines, and often no line end at the end. They start like
/// nothing that is refused.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        3 => proptest::collection::vec(0x20..0xFD_u8, 0..6),
        1 => proptest::collection::vec(Just(b'x'), 20..60),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn slices_cover_every_record_exactly_once(
        data in text(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        cuts.sort_unstable();
        let (store, objects) = store_of(&[("a", &data)]);
        let found = read(&store, &slices_at("a", data.len(), &cuts), &objects).expect("reads");
        prop_assert_eq!(found, lines_of("a", &data));
    }

    #[test]
    fn batches_do_not_depend_on_how_the_data_comes(
        slices in proptest::collection::vec(text(), 1..4),
        pieces in proptest::collection::vec(1..40_usize, 1..8),
        batch_bytes in 8..100_u64,
    ) {
        let chunks = |piece_sizes: &[usize]| {
            let mut sizes = piece_sizes.iter().copied().cycle();
            let mut chunks = Vec::new();
            for (number, data) in slices.iter().enumerate() {
                chunks.push(Ok(start(&format!("{number}"), Compression::None)));
                let mut rest = Bytes::from(data.clone());
                while !rest.is_empty() {
                    let size = sizes.next().unwrap_or(1).min(rest.len());
                    chunks.push(Ok(Chunk::Data(rest.split_to(size))));
                }
            }
            let decoder = SourceFormat::lines().decoder_with(Box::new(chunks.into_iter()), Sizes { batch: batch_bytes, record_max: 1000 });
            batches(decoder.expect("a format")).expect("decodes")
        };
        let whole = chunks(&[usize::MAX]);
        let seen = |batches: &[SourceBatch]| -> Vec<_> {
            batches.iter().map(|batch| (records(batch), batch.bytes)).collect()
        };
        prop_assert_eq!(seen(&whole), seen(&chunks(&pieces)));
        let expected: Vec<Found> =
            slices.iter().enumerate().flat_map(|(number, data)| lines_of(&number.to_string(), data)).collect();
        prop_assert_eq!(whole.iter().flat_map(records).collect::<Vec<_>>(), expected);
        prop_assert_eq!(
            whole.iter().map(|batch| batch.bytes).sum::<u64>(),
            slices.iter().map(|data| data.len() as u64).sum::<u64>()
        );
        prop_assert!(whole.iter().all(|batch| batch.bytes <= batch_bytes || batch.batch.num_rows() == 1));
    }
}

fn start(object: &str, compression: Compression) -> Chunk {
    Chunk::whole(object, compression)
}

#[test]
fn cuts_at_every_position_lose_and_double_nothing() {
    for data in [&b"a\n\nbb\r\n\r\nccc"[..], b"\n\n\n", b"a\r\nb\n", b"no line end", b"x"] {
        let (store, objects) = store_of(&[("a", data)]);
        for first in 0..=data.len() {
            for second in first..=data.len() {
                let slices = slices_at("a", data.len(), &[first, second]);
                let each: Vec<Found> = slices
                    .iter()
                    .flat_map(|slice| read(&store, std::slice::from_ref(slice), &objects).expect("reads"))
                    .collect();
                assert_eq!(each, lines_of("a", data), "{data:?} cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn records_longer_than_a_read_are_whole() {
    const MIB: usize = 1 << 20;
    let sizes = [0, 100, 5 * MIB, 3, 200 << 10, 7 * MIB, 4 * MIB - 1, 1, 64 << 10];
    let data: Vec<u8> = sizes.iter().flat_map(|size| [vec![b'x'; *size], b"\n".to_vec()].concat()).collect();
    let expected = lines_of("a", &data);
    let directory = tempfile::tempdir().expect("a directory");
    for (store, objects) in [store_of(&[("a", &data)]), local_store_of(directory.path(), "a", &data)] {
        for cuts in [vec![], vec![MIB], vec![101, 102, 103, 7 * MIB], (1..16).map(|cut| cut * MIB).collect()] {
            let found = read(&store, &slices_at("a", data.len(), &cuts), &objects).expect("reads");
            assert!(found == expected, "cut at {cuts:?} in `{}`", store.name());
        }
    }
}

#[test]
fn little_is_read_besides_the_slices_even_if_they_are_small() {
    let data = b"a line of thirty-one characters\n".repeat(32 << 10);
    let (store, objects) = store_of(&[("a", &data)]);
    let cuts: Vec<usize> = (1..64).map(|cut| cut * (16 << 10) + 7).collect();
    assert_eq!(read(&store, &slices_at("a", data.len(), &cuts), &objects).expect("reads").len(), 32 << 10);
    let read_bytes = store.traffic().read_bytes as usize;
    assert!(read_bytes < data.len() * 3 / 2, "{read_bytes} bytes of {}", data.len());
}

#[test]
fn many_small_objects_make_few_batches() {
    let names: Vec<String> = (0..300).map(|number| format!("{number:03}.txt")).collect();
    let contents: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"some line\nno end"[..])).collect();
    let (store, objects) = store_of(&contents);
    let slices: Vec<Slice> = names.iter().map(|name| slice(name, 0, 16)).collect();
    let decoder = SourceFormat::lines().decoder(Box::new(fetched(&store, &slices, &objects).expect("fetches")));
    let batches = batches(decoder.expect("a format")).expect("reads");
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    let expected: Vec<Found> = names.iter().flat_map(|name| lines_of(name, b"some line\nno end")).collect();
    assert_eq!(records(batch), expected);
    assert_eq!((batch.records(), batch.bytes), (600, 4800));
}

#[test]
fn empty_objects_and_slices_have_no_records() {
    let (store, objects) = store_of(&[("a", b""), ("b", b"x\ny")]);
    let slices = [slice("a", 0, 0), slice("b", 0, 0), slice("b", 1, 1), slice("b", 3, 3), slice("b", 1, 2)];
    assert!(read(&store, &slices, &objects).expect("reads").is_empty());
    assert!(read(&store, &[], &objects).expect("reads").is_empty());
}

#[test]
fn slices_that_cannot_be_are_refused() {
    let (store, objects) = store_of(&[("a", b"x\ny"), ("b.gz", b"not gzip")]);
    let cases = [
        (slice("c", 0, 1), "the source has no object `c`"),
        (slice("a", 2, 4), "slice at 2 of 2 bytes lies outside object `a` of 3 bytes"),
        (Slice { object: "a".into(), offset: 1, length: u64::MAX }, "lies outside object `a`"),
        (slice("b.gz", 0, 3), "object `b.gz` is compressed, so its slice must be the whole object"),
    ];
    for (slice, expected) in cases {
        let error = fetched(&store, &[slice], &objects).expect_err("cannot be");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_object_that_changed_since_it_was_listed_is_an_error() {
    let (store, objects) = store_of(&[("a", b"one\n"), ("b", b"one\n")]);
    RUNTIME.block_on(store.put("b", "two\n")).expect("writes");
    let error = read(&store, &[slice("a", 0, 4), slice("b", 0, 4)], &objects).expect_err("changed");
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(error.to_string().starts_with("object `b` of `memory` changed"), "{error}");
}

#[tokio::test]
async fn small_objects_are_fetched_together_across_the_shards_of_a_task() {
    let (store, requests) = counting();
    let names: Vec<String> = (0..200).map(|number| format!("{number:03}")).collect();
    for name in &names {
        store.put(name, format!("{name}\n")).await.expect("writes");
    }
    let objects = ObjectSource::new(store.clone(), &[]).expect("a source").list().await.expect("lists");
    let slices: Vec<Slice> = names.iter().map(|name| slice(name, 0, 4)).collect();
    let shards = slices.chunks(10).map(|slices| (slices, objects.as_slice()));
    let mut chunks = fetch(&store, &Default::default(), Cuts::AtLineEnds, shards).expect("fetches");
    let read = move || {
        let mut read = Vec::new();
        for _ in 0..20 {
            let of_shard: Result<Vec<Chunk>> = chunks.by_ref().collect();
            read.push(of_shard.expect("reads").into_iter().filter(|chunk| matches!(chunk, Chunk::Data(_))).count());
            chunks.next_shard();
        }
        read
    };
    let read = tokio::task::spawn_blocking(read).await.expect("no panic");
    assert_eq!(read, [10; 20]);
    let [gets, at_once] = [&requests.gets, &requests.gets_at_once].map(|count| count.load(SeqCst));
    assert_eq!(gets, 200);
    assert!((8..=16).contains(&at_once), "{at_once} gets at once");
}

#[test]
fn dropping_the_chunks_ends_the_fetch() {
    let data = vec![b'x'; 64 << 20];
    let (store, objects) = store_of(&[("a", &data)]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut chunks =
            fetch(&store, &Default::default(), Cuts::AtLineEnds, [(&[slice("a", 0, data.len())][..], &objects[..])])
                .expect("fetches");
        chunks.ready().await;
        assert_eq!(runtime.metrics().num_alive_tasks(), 1, "reading ahead ends before the object does");
        drop(chunks);
        tokio::task::yield_now().await;
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    });
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("writes");
    encoder.finish().expect("finishes")
}

fn zstandard(data: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(data, 1).expect("encodes")
}

#[test]
fn compressed_objects_of_several_members_are_read_to_their_end() {
    let text: Vec<u8> = (0..50_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    let (first, second) = text.split_at(123_457);
    let gz = [gzip(first), gzip(second), gzip(b"")].concat();
    let zst = [zstandard(first), zstandard(second)].concat();
    let contents = [("a.gz", &gz[..]), ("b.zst", &zst), ("c.ZSTD", &zst), ("d.gz", &gzip(b"")), ("e", b"plain")];
    let (store, objects) = store_of(&contents);
    let slices: Vec<Slice> = contents.iter().map(|(name, data)| slice(name, 0, data.len())).collect();
    let mut expected: Vec<Found> = ["a.gz", "b.zst", "c.ZSTD"].iter().flat_map(|name| lines_of(name, &text)).collect();
    expected.extend(lines_of("e", b"plain"));
    assert!(read(&store, &slices, &objects).expect("reads") == expected);
}

#[tokio::test]
async fn only_objects_that_would_be_cut_are_looked_at_and_compressed_ones_stay_whole() {
    let (store, requests) = counting();
    let text = b"some line\n".repeat(100);
    let (packed, small) = (gzip(&text), b"ab\n");
    for (name, data) in [("a", &text[..]), ("b", &packed), ("c.gz", &packed), ("d", small), ("e", b"")] {
        store.put(name, data.to_vec()).await.expect("writes");
    }
    let source = ObjectSource::new(store.clone(), &[]).expect("a source");
    for (cuts, target_size, looks, of_b) in [
        (Cuts::AtLineEnds, 10, 2, Compression::Gzip),
        (Cuts::AtLineEnds, 10_000, 0, Compression::None),
        (Cuts::Never("is never cut"), 10, 0, Compression::None),
    ] {
        let mut objects = source.list().await.expect("lists");
        let before = requests.gets.load(SeqCst);
        look_at_cut(&source, &mut objects, cuts, target_size).await.expect("looks");
        assert_eq!(requests.gets.load(SeqCst) - before, looks);
        let found: Vec<Compression> = objects.iter().map(|object| object.compression).collect();
        assert_eq!(found, [Compression::None, of_b, Compression::Gzip, Compression::None, Compression::None]);
        if looks > 0 {
            assert_eq!(count_shards(&objects, cuts, target_size).expect("few"), 103);
        }
    }
}

fn names(source: &ObjectSource) -> Vec<String> {
    let objects = RUNTIME.block_on(source.list()).expect("lists");
    objects.into_iter().map(|object| object.name).collect()
}

#[test]
fn include_patterns_stay_within_a_part_unless_doubled() {
    let all = ["_SUCCESS", "b.txt", ".hidden/x.txt", "a.txt", "sub/a.txt", "sub/_x/a.txt", "c.json", "a[1].txt"];
    let (store, _) = store_of(&all.map(|name| (name, &b""[..])));
    let names = |include: &[&str]| {
        let include: Vec<String> = include.iter().map(|pattern| (*pattern).to_owned()).collect();
        names(&ObjectSource::new(store.clone(), &include).expect("patterns"))
    };
    assert_eq!(names(&[]), ["a.txt", "a[1].txt", "b.txt", "c.json", "sub/a.txt"]);
    assert_eq!(names(&["*.txt", "*.json"]), ["a.txt", "a[1].txt", "b.txt", "c.json"]);
    assert_eq!(names(&["sub/**/?.txt"]), ["sub/_x/a.txt", "sub/a.txt"]);
    assert_eq!(names(&["nothing"]), [""; 0]);
    let error = ObjectSource::new(store.clone(), &["a[".to_owned()]).expect_err("no pattern");
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_local_source_is_a_directory_or_one_object_or_missing() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["a.txt", "b.txt"] {
        std::fs::write(directory.path().join(name), "x\n").expect("writes");
    }
    std::fs::create_dir(directory.path().join("empty")).expect("creates");
    let open = |path: &str| {
        let url = format!("file://{}/{path}", directory.path().display());
        let location = Location { written: path.to_owned(), url };
        RUNTIME.block_on(ObjectSource::open(&location, &[], &BTreeMap::new())).expect("opens")
    };
    assert_eq!(names(&open("")), ["a.txt", "b.txt"]);
    assert_eq!(names(&open("empty")), [""; 0]);
    let one = open("b.txt");
    assert_eq!(names(&one), ["b.txt"]);
    let objects = RUNTIME.block_on(one.list()).expect("lists");
    let found = read(&one.store, &[slice("b.txt", 0, 2)], &objects).expect("reads");
    assert_eq!(found, lines_of("b.txt", b"x\n"));
    std::fs::write(directory.path().join("ticket#123"), "x").expect("writes");
    std::fs::create_dir(directory.path().join("day#1")).expect("creates");
    assert_eq!(names(&open("day%231")), [""; 0]);
    let error = RUNTIME.block_on(open("").list()).expect_err("has a name that cannot be read").to_string();
    assert!(
        error.starts_with("cannot read `ticket#123` in ``, because a name that ends with `#` and digits"),
        "{error}"
    );
    for missing in ["nowhere", "nowhere/", "a.txt/"] {
        let error = RUNTIME.block_on(open(missing).list()).expect_err("is missing");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.to_string(), format!("source `{missing}` does not exist"));
    }
}
