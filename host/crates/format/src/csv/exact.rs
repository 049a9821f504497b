//! Tests that an object is read the same, wherever it is cut and however it arrives, in any dialect and also if it is
//! malformed. `ETL_HOST_CSV_CUTS` sets the number of cases.

use arrow_schema::{DataType, Field};
use bytes::Bytes;
use etl_core::model::object::Compression;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};

use super::*;
use crate::{Chunk, SourceFormat};

/// What was read: the offset and the text of each record or reject, and the reason of a reject.
type Seen = Vec<(u64, Vec<u8>, Option<String>)>;

fn dialect() -> impl Strategy<Value = CsvSource> {
    let signs = (select(vec![b',', b'\t', b';']), select(vec![Some(b'"'), Some(b'\''), None]));
    let others = (select(vec![None, None, Some(b'\\')]), select(vec![None, Some(b'#')]));
    (signs, others, any::<bool>(), any::<bool>()).prop_map(|((delimiter, quote), (escape, comment), header, trim)| {
        CsvSource { delimiter, quote, escape, comment, header, trim, ..CsvSource::default() }
    })
}

/// Bytes in which everything that has a meaning is frequent.
fn object() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "\"", "\"", "\"", "\"\"", "\n", "\n", "\r\n", "\r", ",", ",", "\t", ";", "'", "''", "\\", "\\\"", "#", "\n#",
        " ", "a", "bc", "1", "\n\n", ",\"", "\",", "\"\n", "\u{feff}",
    ]);
    (any::<bool>(), vec(piece, 0..40)).prop_map(|(has_header, pieces)| {
        let header = if has_header { "a,n\n" } else { "" };
        format!("{header}{}", pieces.concat()).into_bytes()
    })
}

fn format(csv: CsvSource) -> SourceFormat {
    let field = |position| WantedField {
        field: Field::new(format!("f{position}"), DataType::Utf8, true),
        pick: Pick::Position(position),
        optional: true,
    };
    let fields = Fields::new(vec![field(1), field(2)]).expect("valid");
    SourceFormat::new("csv", Some(fields)).and_then(|format| format.with_csv(csv)).expect("a format")
}

/// Reads a slice that arrives in pieces. Adds what was read before an error, and the error.
fn read(format: &SourceFormat, data: &[u8], offset: u64, head: &[u8], piece: usize, sizes: Sizes, seen: &mut Seen) {
    let head = Bytes::copy_from_slice(head);
    let start = Chunk::Start { object: "o".into(), offset, compression: Compression::None, head };
    let pieces = data.chunks(piece).map(|piece| Ok(Chunk::Data(Bytes::copy_from_slice(piece))));
    let mut decoder = format.decoder_with(Box::new([Ok(start)].into_iter().chain(pieces)), sizes).expect("a decoder");
    loop {
        match decoder.next_batch() {
            Ok(Some(batch)) => {
                let row = |row| {
                    let origin = batch.origin(row);
                    (
                        origin.at.number(),
                        [&*origin.record, format!("{:?}", batch.batch.slice(row, 1).columns()).as_bytes()].concat(),
                        None,
                    )
                };
                seen.extend((0..batch.batch.num_rows()).map(row));
                let reject = |reject: &etl_core::model::reject::Reject| {
                    let record = reject.record.clone().or(reject.record_hex.clone()).unwrap_or_default();
                    (reject.offset.unwrap_or_default(), record.into_bytes(), Some(reject.reason.clone()))
                };
                seen.extend(batch.rejects.iter().map(reject));
            }
            Ok(None) => break,
            Err(error) => {
                seen.push((u64::MAX, Vec::new(), Some(error.to_string())));
                break;
            }
        }
    }
    seen.sort();
}

fn starts(cuts: Cuts, data: &[u8], at: &[u64], piece: usize) -> Vec<u64> {
    let mut search = cuts.record_starts(at).expect("cuts are moved");
    data.chunks(piece).for_each(|piece| search.push(piece));
    search.finish()
}

fn check(csv: CsvSource, data: &[u8], cuts: &[Index], pieces: (usize, usize), record_max: u64) {
    let sizes = Sizes { batch: 1 << 20, record_max };
    let format = format(csv).with_record_max(record_max);
    let mut whole = Seen::new();
    read(&format, data, 0, b"", usize::MAX, sizes, &mut whole);
    if whole.iter().any(|(offset, ..)| *offset == u64::MAX) {
        // An object with a line that is too long, or a header that is, ends the task.
        return;
    }
    let mut arriving = Seen::new();
    read(&format, data, 0, b"", pieces.0, Sizes { batch: 16, record_max }, &mut arriving);
    assert_eq!(arriving, whole, "in pieces of {}", pieces.0);

    let mut at: Vec<u64> = cuts.iter().map(|cut| cut.index(data.len() + 1) as u64).collect();
    at.sort_unstable();
    let Cuts::AtRecords(_) = format.cuts() else { panic!("cannot be cut") };
    if !format.cuts().are_exact() {
        return;
    }
    let moved = starts(format.cuts(), data, &at, pieces.1);
    assert_eq!(moved, starts(format.cuts(), data, &at, usize::MAX), "in pieces of {}", pieces.1);
    assert!(at.iter().zip(&moved).all(|(cut, start)| cut <= start), "{at:?} {moved:?}");
    let head = format.cuts().head_end(data, true).expect("known at the end");
    let mut cut = Seen::new();
    let ends = moved.iter().copied().chain([data.len() as u64]);
    for (start, end) in [0].into_iter().chain(moved.iter().copied()).zip(ends) {
        let (slice, head) = (&data[start as usize..end as usize], if start == 0 { &data[..0] } else { &data[..head] });
        if !slice.is_empty() {
            read(&format, slice, start, head, pieces.0, sizes, &mut cut);
        }
    }
    assert_eq!(cut, whole, "cut at {at:?}, moved to {moved:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "who runs the tests sets the number of cases")]
fn any_cuts_of_any_csv_give_the_records_and_rejects_of_one_read() {
    let cases = std::env::var("ETL_HOST_CSV_CUTS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4096);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let cuts = vec(any::<Index>(), 0..6);
    let strategy = (dialect(), object(), cuts, (1..40_usize, 1..40_usize), select(vec![4, 10, 20, 1000_u64]));
    let checked = TestRunner::new(config).run(&strategy, |(csv, data, cuts, pieces, record_max)| {
        check(csv, &data, &cuts, pieces, record_max);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the records that `csv-core` finds.
pub(super) fn by_csv_core(csv: &CsvSource, data: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv_core::ReaderBuilder::new();
    reader.delimiter(csv.delimiter).quoting(csv.quote.is_some()).quote(csv.quote.unwrap_or(0));
    reader.escape(csv.escape).double_quote(csv.escape.is_none());
    let (mut reader, mut rest, mut records) = (reader.build(), data, Vec::new());
    let (mut fields, mut ends) = (vec![0; data.len() + 1], vec![0; data.len() + 1]);
    let (mut filled, mut ended) = (0, 0);
    loop {
        let (result, taken, more_filled, more_ended) =
            reader.read_record(rest, &mut fields[filled..], &mut ends[ended..]);
        rest = &rest[taken..];
        (filled, ended) = (filled + more_filled, ended + more_ended);
        match result {
            csv_core::ReadRecordResult::Record => {
                let starts = [0].into_iter().chain(ends[..ended].iter().copied());
                records.push(starts.zip(&ends[..ended]).map(|(start, end)| fields[start..*end].to_vec()).collect());
                (filled, ended) = (0, 0);
            }
            csv_core::ReadRecordResult::End => return records,
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 4096, max_global_rejects: u32::MAX, failure_persistence: None, ..Config::default() })]

    #[test]
    fn well_formed_csv_means_what_csv_core_says(csv in dialect(), data in object()) {
        let csv = CsvSource { trim: false, comment: None, escape: csv.escape.filter(|_| csv.quote.is_some()), ..csv };
        prop_assume!(!data.starts_with(BYTE_ORDER_MARK));
        let grammar = csv.grammar(1000);
        let (mut rest, mut records) = (&data[..], Vec::new());
        loop {
            let mut cells = Vec::new();
            let (skipped, found) = grammar.next(rest, true, |cell| cells.push(cell));
            let Found::Record(text, length) = found else {
                prop_assume!(found == Found::More);
                break;
            };
            prop_assume!(cells.iter().all(|cell| cell.form != grammar::Form::Overrun));
            let record = &rest[skipped..skipped + text];
            let field = |cell: &Cell| {
                let mut text = Vec::new();
                match cell.form {
                    grammar::Form::Escaped => grammar.unescape(cell.of(record), &mut text),
                    _ => text.extend_from_slice(cell.of(record)),
                }
                text
            };
            records.push(cells.iter().map(field).collect::<Vec<_>>());
            rest = &rest[skipped + length..];
        }
        prop_assert_eq!(records, by_csv_core(&csv, &data));
    }
}
