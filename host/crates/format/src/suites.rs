//! Public suites of files, a part of which is in `testdata`, and the page that says what becomes of them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Tests that write the page take turns.
static PAGE: Mutex<()> = Mutex::new(());

/// Returns the folder of a suite.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/suites").join(name)
}

/// Returns a folder of a whole suite, if `ETL_HOST_SUITES` names the directory of suites, as `suites.sh` sets it.
#[expect(clippy::disallowed_methods, reason = "who runs the tests has the suites")]
pub(crate) fn whole(folder: &str) -> Option<PathBuf> {
    std::env::var_os("ETL_HOST_SUITES").map(|suites| Path::new(&suites).join(folder))
}

/// Returns the files below a folder that have an extension, sorted.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Asserts that the page has these lines in the table of a name; writes them if `ETL_HOST_UPDATE_DOCS` is set.
#[expect(clippy::disallowed_methods, reason = "who runs the tests says whether the page is written")]
pub(crate) fn check_table(name: &str, lines: &[String]) {
    let _turn = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/suites.md");
    let written = fs::read_to_string(&page).expect("the page is there");
    let begin = format!("<!-- table: {name} -->\n");
    let (before, rest) = written.split_once(&begin).unwrap_or_else(|| panic!("no `{begin}` in {}", page.display()));
    let (_, after) = rest.split_once("<!-- end -->").expect("a table ends");
    let expected = format!("{before}{begin}\n{}\n\n<!-- end -->{after}", lines.join("\n"));
    if std::env::var_os("ETL_HOST_UPDATE_DOCS").is_some() {
        fs::write(&page, expected).expect("it can be written");
    } else {
        assert!(written == expected, "table `{name}` is out of date: run the tests once with `ETL_HOST_UPDATE_DOCS=1`");
    }
}
