//! Components that trap, and whose debug information is dear to read or has no end.

use super::{Attack, refused, structure::leb};
use crate::hostile_components::{component, wat};

/// Returns a mapper that traps when it starts, with these sections of debug information in its module.
fn trapping(sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut module = wat("(module (func (export \"f\")) (func $trap unreachable) (start $trap))");
    for (name, data) in sections {
        let content = [leb(name.len()), name.as_bytes().to_vec(), data.clone()].concat();
        module.extend([vec![0], leb(content.len()), content].concat());
    }
    with_module(&module)
}

/// Returns a component with this module, which exports the functions of a mapper as `f`.
fn with_module(module: &[u8]) -> Vec<u8> {
    let empty = component("");
    // The first section of the component is its module: behind the preamble of 8 bytes, its kind, and its length.
    assert_eq!(empty[8], 1, "the first section is a module");
    let end = 10 + usize::from(empty[9]);
    [&empty[..9], &leb(module.len()), module, &empty[end..]].concat()
}

/// Kinds of entries, as the table of abbreviations declares them.
const ABBREVIATIONS: &[&[u8]] = &[
    // 1: a unit that has children: the addresses it covers, and the place of its line program.
    &[1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0x10, 0x17, 0, 0],
    // 2: a function that has children: the addresses it covers, and its name.
    &[2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0x03, 0x08, 0, 0],
    // 3: an inlined function that has children: its origin, the addresses it covers, the line it is called at.
    &[3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0x59, 0x0b, 0, 0],
    // 4: a function without children: its origin, the addresses it covers.
    &[4, 0x2e, 0, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0, 0],
    // 5: a name space that has children.
    &[5, 0x39, 1, 0, 0],
    // 6: a unit that has children: a list of the ranges it covers.
    &[6, 0x11, 1, 0x55, 0x17, 0, 0],
    // 7: a function without children: the addresses it covers, and its mangled name.
    &[7, 0x2e, 0, 0x11, 0x01, 0x12, 0x06, 0x6e, 0x08, 0, 0],
    &[0],
];

/// All addresses of the module: from 0, 4096 bytes.
const ALL: [u8; 8] = [0, 0, 0, 0, 0, 16, 0, 0];
/// A unit with the line program at 0.
const UNIT: [u8; 13] = [1, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0];

/// Returns a unit with these entries.
fn unit(entries: &[u8]) -> Vec<u8> {
    let content = [&[4, 0, 0, 0, 0, 0, 4][..], entries].concat();
    [&u32::try_from(content.len()).expect("a small unit").to_le_bytes()[..], &content].concat()
}

/// Returns the sections of these units, with a line program that places all code in one line.
fn info(info: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    vec![(".debug_abbrev", ABBREVIATIONS.concat()), (".debug_info", info), (".debug_line", rows_of(1))]
}

/// Returns a line program of this many rows.
fn rows_of(rows: usize) -> Vec<u8> {
    line_program(&[&[0, 5, 2, 0, 0, 0, 0][..], &vec![0x4b; rows], &[2, 128, 32, 0, 1, 1]].concat())
}

/// Returns a line program: its header, and these instructions.
fn line_program(instructions: &[u8]) -> Vec<u8> {
    let header = [&[1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0][..], b"a.rs\0\0\0\0\0"].concat();
    let mut content = vec![4, 0];
    content.extend(u32::try_from(header.len()).expect("a small header").to_le_bytes());
    content.extend([&header[..], instructions].concat());
    [&u32::try_from(content.len()).expect("a small program").to_le_bytes()[..], &content].concat()
}

/// Returns a unit with one function named `name`, whose entry is of kind `kind`.
fn named(kind: u8, name: &str) -> Vec<u8> {
    let end: &[u8] = if kind == 2 { &[0, 0] } else { &[0] };
    unit(&[&UNIT[..], &[kind], &ALL, name.as_bytes(), &[0], end].concat())
}

#[test]
fn debug_information_without_end_is_not_read() {
    let inlined = |depth: usize| {
        let origin = u32::try_from(11 + UNIT.len()).expect("small").to_le_bytes();
        let entry = [&[3][..], &origin, &ALL, &[7]].concat();
        let entries = [&UNIT[..], &[2], &ALL, b"f\0", &entry.repeat(depth), &vec![0; depth + 2]].concat();
        trapping(&info(unit(&entries)))
    };
    let circle = {
        // The function after the unit's own entry names itself as its origin.
        let origin = u32::try_from(11 + UNIT.len()).expect("small").to_le_bytes();
        trapping(&info(unit(&[&UNIT[..], &[4], &origin, &ALL, &[0]].concat())))
    };
    let spaces = |depth: usize| trapping(&info(unit(&[&UNIT[..], &vec![5; depth], &vec![0; depth + 1]].concat())));
    let rows = |units: usize, rows: usize| {
        let mut sections = info(unit(&[&UNIT[..], &[0]].concat()).repeat(units));
        sections[2].1 = rows_of(rows);
        trapping(&sections)
    };
    let ranges = |units: usize, ranges: usize| {
        let mut sections = info(unit(&[6, 0, 0, 0, 0, 0]).repeat(units));
        sections.push((".debug_ranges", [&ALL.repeat(ranges)[..], &[0; 8]].concat()));
        trapping(&sections)
    };
    let with_name = |kind, name: &str| trapping(&info(named(kind, name)));
    let told: &[&str] = &["trapped (wasm `unreachable` instruction executed) in `start`"];
    let unread: &[&str] =
        &["trapped (wasm `unreachable` instruction executed) in `start`", "(no place in its source is shown, because"];
    let v0 = format!("_RNv{}C1a1b", "I".repeat(3_000));
    let cpp = format!("_Z{}i", "P".repeat(200_000));
    let cpp_again = format!("_Z1f{}", "ISt4pairIS_S_E".repeat(20_000));
    refused(vec![
        Attack { name: "inlined functions, 700 deep", component: inlined(700), told },
        Attack { name: "inlined functions, 500,000 deep", component: inlined(500_000), told: unread },
        Attack { name: "a function that is its own origin", component: circle, told },
        Attack { name: "name spaces, 1,000,000 deep", component: spaces(1_000_000), told },
        Attack { name: "a line program of 4,000,000 rows", component: rows(1, 4_000_000), told },
        Attack {
            name: "20,000 units that share a line program of 1,000,000 rows",
            component: rows(20_000, 1_000_000),
            told,
        },
        Attack { name: "20,000 units that share 100,000 ranges", component: ranges(20_000, 100_000), told: unread },
        Attack {
            name: "a function name of 8 MB in the debug information",
            component: with_name(2, &"n".repeat(8_000_000)),
            told,
        },
        Attack { name: "a mangled Rust name, 3,000 deep", component: with_name(7, &v0), told },
        Attack { name: "a mangled C++ name, 200,000 deep", component: with_name(7, &cpp), told },
        Attack { name: "a mangled C++ name that refers to itself", component: with_name(7, &cpp_again), told },
        Attack {
            name: "debug information that is noise",
            component: trapping(&info((0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect())),
            told,
        },
    ]);
}
