//! Floors: a room, which is a crate or a folder of `host/src`, imports only from floors below its own. So no rooms
//! import each other in a circle.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::repository;

/// Every crate and every folder of `host/src`, from the ground floor up. Rooms of one floor do not know each other.
const FLOORS: [&[&str]; 8] = [
    &["etl_core"],
    &["etl_format", "etl_store", "etl_shuffle", "etl_plugin", "scheduler"],
    &["pipeline", "run_store", "connector"],
    &["history", "task"],
    &["run", "report"],
    &["workbench"],
    &["cli"],
    &["main"],
];

/// The crates below `host/crates`, by the name that code gives them.
const CRATES: [&str; 5] = ["core", "format", "plugin", "shuffle", "store"];

fn floor_of(room: &str) -> usize {
    let floor = FLOORS.iter().position(|rooms| rooms.contains(&room));
    floor.unwrap_or_else(|| panic!("`{room}` has no floor: give it one in {}", file!()))
}

/// Returns all Rust files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let of = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(of).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Returns the paths of a file that start at a crate, each as its segments, whether imported, exported again or written
/// where they are used; comments and tests are left out.
fn imports(text: &str) -> Vec<Vec<String>> {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let starts = ["crate::", "etl_"].into_iter().flat_map(|start| code.match_indices(start));
    let mut paths = Vec::new();
    for (at, _) in starts.filter(|(at, _)| !code[..*at].ends_with(is_part_of_name)) {
        let tree = tree(&code[at..]);
        // A name alone, such as that of a metric, leads nowhere.
        if tree.contains("::") {
            flatten(&tree, &[], &mut paths);
        }
    }
    paths
}

fn is_part_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns the path or use tree at the start of code, without white space.
fn tree(code: &str) -> String {
    let (mut depth, mut tree) = (0_usize, String::new());
    for letter in code.chars() {
        match letter {
            '{' if depth > 0 || tree.ends_with("::") => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ if depth > 0 || letter == ':' || is_part_of_name(letter) => {}
            _ => break,
        }
        tree.extend(Some(letter).filter(|letter| !letter.is_whitespace()));
    }
    tree
}

/// Adds the paths of a use tree such as `a::{b::C,d}` to `paths`.
fn flatten(tree: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let (head, items) = match tree.split_once('{') {
        Some((head, rest)) => (head.trim_end_matches("::"), rest.strip_suffix('}').expect("a closed tree")),
        None => (tree, ""),
    };
    let mut path = prefix.to_vec();
    path.extend(head.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned));
    if items.is_empty() {
        paths.push(path);
        return;
    }
    let (mut depth, mut start) = (0_usize, 0);
    for (at, letter) in items.char_indices().chain([(items.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if start < at {
                    flatten(&items[start..at], &path, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Returns the room that a path leads to, if it is one of the host's.
fn room_of(path: &[String], own_crate: Option<&str>) -> Option<String> {
    match path.first()?.as_str() {
        "crate" if own_crate.is_none() => path.get(1).cloned(),
        "etl_host" => path.get(1).cloned(),
        name if name.starts_with("etl_") => Some(name.to_owned()),
        _ => None,
    }
}

#[test]
fn no_module_imports_from_its_own_floor_or_above() {
    let host = repository().join("host");
    let (mut arrows, mut upwards) = (BTreeSet::new(), Vec::new());
    let sources = files(&host.join("src")).into_iter().map(|path| (None, path));
    let of_crate = |name: &'static str| {
        let found = files(&host.join("crates").join(name).join("src"));
        found.into_iter().map(move |path| (Some(format!("etl_{name}")), path))
    };
    for (own_crate, path) in sources.chain(CRATES.into_iter().flat_map(of_crate)) {
        let below = path.strip_prefix(host.join("src")).ok().and_then(|below| below.components().next());
        let folder = below.map(|first| first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned());
        let Some(room) = own_crate.clone().or(folder).filter(|room| room != "lib") else { continue };
        // What tests share may know what it tests.
        if path.file_stem().is_some_and(|stem| stem == "tests")
            || path.components().any(|part| part.as_os_str() == "tests")
        {
            continue;
        }
        for import in imports(&fs::read_to_string(&path).expect("a source file")) {
            let Some(target) = room_of(&import, own_crate.as_deref()).filter(|target| *target != room) else {
                continue;
            };
            if floor_of(&target) >= floor_of(&room) {
                upwards.push(format!("{}: {}", path.display(), import.join("::")));
            }
            arrows.insert((room.clone(), target));
        }
    }
    assert!(upwards.is_empty(), "imports that do not lead down:\n{}", upwards.join("\n"));
    // The test would hold for files that it does not read.
    assert!(arrows.contains(&("run".to_owned(), "task".to_owned())), "{arrows:?}");
    assert!(arrows.contains(&("etl_store".to_owned(), "etl_core".to_owned())), "{arrows:?}");
}

#[test]
fn nothing_lies_loose_at_the_top_of_the_source() {
    let entries = fs::read_dir(repository().join("host/src")).expect("the source");
    let loose: BTreeSet<String> = entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(loose, ["lib.rs", "main.rs"].map(str::to_owned).into());
}

#[test]
fn paths_are_read_to_their_leaves() {
    let text = "//! crate::x\n\nuse std::fmt;\nuse crate::{\n    a::{B, c::D},\n    e,\n};\npub(super) use crate::f::G;\n\n\
                fn h() -> crate::i::J {\n    use etl_k::l;\n    my_crate::m()\n}\n\n#[cfg(test)]\nmod tests {\n    use crate::n;\n}\n";
    let found: BTreeSet<String> = imports(text).into_iter().map(|path| path.join("::")).collect();
    let expected = ["crate::a::B", "crate::a::c::D", "crate::e", "crate::f::G", "crate::i::J", "etl_k::l"];
    assert_eq!(found, expected.map(str::to_owned).into());
}
