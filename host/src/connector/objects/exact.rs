//! Exact cuts: slices that start where records do.
//!
//! Owns the reading of objects for the sake of their cuts. Of CSV, nobody can tell where a record starts without reading
//! everything in front of it, so this is done once, when a run is planned, up to the last cut of each object. Objects
//! that stay whole are not read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use etl_core::model::{
    error::{ErrorKind, Result, ResultExt},
    object::{Object, Slice, find},
};
use etl_format::{Cuts, RecordStarts};
use futures::{TryStreamExt, stream::FuturesOrdered};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::connector::Source;

/// Number of objects that are read at once.
const OBJECTS_AT_ONCE: usize = 4;

/// Number of bytes that one request asks for, and number of requests under way for an object.
const GET_BYTES: u64 = 4 << 20;
const GETS_AT_ONCE: usize = 2;

/// Where the cuts of a source's objects have moved to.
#[derive(Debug, Default)]
pub struct MovedCuts {
    /// The start of a record for each cut, by object.
    starts: HashMap<String, BTreeMap<u64, u64>>,
}

impl MovedCuts {
    /// Finds where the borders of these slices move to. Reads nothing if slices may start anywhere. Must be called on
    /// the runtime.
    ///
    /// # Errors
    /// When an object cannot be read, or has changed.
    pub async fn find<'a>(
        source: &Arc<dyn Source>,
        cuts: Cuts,
        objects: &[Object],
        slices: impl IntoIterator<Item = &'a Slice>,
    ) -> Result<Self> {
        let mut moved = Self::default();
        if !cuts.are_exact() {
            return Ok(moved);
        }
        for Slice { object, offset, length } in slices {
            // A slice that is empty may be one of an object that turned out to be compressed.
            let Some(Object { size, .. }) = find(objects, object).filter(|_| *length > 0) else { continue };
            let inner = [*offset, offset + length].into_iter().filter(|cut| (1..*size).contains(cut));
            let inner: Vec<_> = inner.map(|cut| (cut, cut)).collect();
            if !inner.is_empty() {
                moved.starts.entry(object.clone()).or_default().extend(inner);
            }
        }
        let turns = Arc::new(Semaphore::new(OBJECTS_AT_ONCE));
        let mut searches = JoinSet::new();
        for (name, at) in &moved.starts {
            let at: Vec<u64> = at.keys().copied().collect();
            let (Some(object), Some(search)) = (find(objects, name), cuts.record_starts(&at)) else { continue };
            let (turns, object, source) = (Arc::clone(&turns), object.clone(), Arc::clone(source));
            searches.spawn(async move {
                let _turn = turns.acquire().await;
                let starts = starts(search, &object, &*source).await?;
                Result::Ok((object.name, at.into_iter().zip(starts).collect()))
            });
        }
        while let Some(found) = searches.join_next().await {
            let (name, starts) = found.or_kind(ErrorKind::Internal, || "the search for records ended early")??;
            moved.starts.insert(name, starts);
        }
        Ok(moved)
    }

    /// Returns a slice whose borders have moved. It may be empty then.
    #[must_use]
    pub fn of(&self, slice: Slice) -> Slice {
        let Some(starts) = self.starts.get(&slice.object) else { return slice };
        let moved = |cut: u64| starts.get(&cut).copied().unwrap_or(cut);
        let (offset, end) = (moved(slice.offset), moved(slice.offset + slice.length));
        Slice { offset, length: end - offset, ..slice }
    }
}

/// Reads an object up to its last cut, and returns where its cuts move to.
async fn starts(mut search: RecordStarts, object: &Object, source: &dyn Source) -> Result<Vec<u64>> {
    let mut at = 0;
    let mut ahead = FuturesOrdered::new();
    while !search.is_done() {
        while at < object.size && ahead.len() < GETS_AT_ONCE {
            let range = at..object.size.min(at + GET_BYTES);
            at = range.end;
            ahead.push_back(source.read(object, range));
        }
        let Some(piece) = ahead.try_next().await? else { break };
        search.push(&piece);
    }
    Ok(search.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use etl_core::model::{object::Compression, schema::Schema};
    use etl_format::{CsvSource, SourceFormat};
    use etl_store::Store;
    use object_store::{memory::InMemory, path::Path};
    use proptest::prelude::*;
    use tokio::runtime::Runtime;

    use super::*;
    use crate::connector::objects::ObjectSource;

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

    fn format(csv: CsvSource) -> SourceFormat {
        let fields = Schema::parse(&["a=text".to_owned(), "n=text".to_owned()], 0).expect("a schema");
        SourceFormat::new("csv", Some(fields.into())).and_then(|format| format.with_csv(csv)).expect("a format")
    }

    /// Reads an object in slices that end at these offsets, as a run does. Returns what was read, with offsets.
    fn read(format: &SourceFormat, data: &[u8], cuts: &[u64]) -> Vec<String> {
        let store = Store::from_object_store(Arc::new(InMemory::new()), Path::from("in"), "memory");
        let source: Arc<dyn Source> = Arc::new(ObjectSource::new(store.clone(), &[]).expect("a source"));
        let size = data.len() as u64;
        let objects = [Object { name: "a".to_owned(), size, e_tag: None, compression: Compression::None }];
        let borders: Vec<u64> = [0].into_iter().chain(cuts.iter().copied()).chain([size]).collect();
        let slice = |pair: &[u64]| Slice { object: "a".to_owned(), offset: pair[0], length: pair[1] - pair[0] };
        let slices: Vec<Slice> = borders.windows(2).map(slice).collect();
        let shards = RUNTIME.block_on(async {
            store.put("a", data.to_vec()).await.expect("writes");
            let moved = MovedCuts::find(&source, format.cuts(), &objects, &slices).await.expect("reads");
            slices.into_iter().map(|slice| [moved.of(slice)]).collect::<Vec<_>>()
        });
        let mut seen = Vec::new();
        for shard in &shards {
            let chunks = RUNTIME.block_on(async { source.open(format.cuts(), &[(shard, &objects)]) });
            let mut decoder = format.decoder(Box::new(chunks.expect("slices"))).expect("a decoder");
            while let Some(batch) = decoder.next_batch().expect("decodes") {
                let row = |row| format!("{} {:?}", batch.origin(row).at.number(), batch.batch.slice(row, 1).columns());
                let mut of_batch: Vec<_> =
                    (0..batch.batch.num_rows()).map(|number| (batch.origin(number).at.number(), row(number))).collect();
                of_batch.extend(batch.rejects.iter().map(|reject| (reject.offset.expect("known"), reject.to_string())));
                of_batch.sort();
                seen.extend(of_batch.into_iter().map(|(_, text)| text));
            }
        }
        seen
    }

    fn object() -> impl Strategy<Value = Vec<u8>> {
        let piece =
            proptest::sample::select(vec!["\"", "\"\"", "\n", "\r\n", "\r", ",", "a", "bc", "1,2\n", "#", ",\""]);
        let pieces = proptest::collection::vec(piece, 0..30);
        (proptest::sample::select(vec!["a,n\n", "#c\n\n#d\nn,a\r\n", "n,a,\"x\ny\"\n"]), pieces)
            .prop_map(|(header, pieces)| format!("{header}{}", pieces.concat()).into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn slices_of_csv_have_every_record_exactly_once(
            data in object(),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
            multiline: bool,
        ) {
            prop_assume!(multiline || !data.starts_with(b"n,a,\""));
            let format = format(CsvSource { comment: Some(b'#'), multiline, ..CsvSource::default() });
            let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut.index(data.len() + 1) as u64).collect();
            cuts.sort_unstable();
            prop_assert_eq!(read(&format, &data, &cuts), read(&format, &data, &[]), "cut at {:?}", cuts);
        }
    }

    #[test]
    fn large_objects_with_line_ends_in_quotes_and_a_long_header_are_cut_exactly() {
        let header = format!("a,n,\"{}\"\n", "h".repeat(40 << 10));
        let record = |number: usize| format!("\"{number}\r\nx,\n\",{},\n", "y".repeat(number % 397));
        let data = header + &(0..30_000).map(record).collect::<String>();
        let format = format(CsvSource::default());
        let whole = read(&format, data.as_bytes(), &[]);
        let cuts: Vec<u64> = (1..7).map(|number| number * data.len() as u64 / 7).collect();
        assert!(read(&format, data.as_bytes(), &cuts) == whole);
        assert_eq!(whole.len(), 30_000);
    }
}
