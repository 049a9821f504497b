#!/bin/sh
# Reads the whole public suites of files, and writes what becomes of them into docs/reference.
#
#     suites.sh DIRECTORY    fetches into DIRECTORY what is not there yet
#
# Needs git, python3 with venv, and the network: the repositories below, and pyarrow from PyPI.
set -eu
mkdir -p "$1"
suites=$(cd "$1" && pwd)
crate=$(cd "$(dirname "$0")" && pwd)

# Fetches a repository at a commit, unless its folder is there.
fetch() { # repository commit folder
    [ -e "$suites/$3" ] && return
    git init --quiet "$suites/$3"
    git -C "$suites/$3" fetch --quiet --depth 1 "https://github.com/$1" "$2"
    git -C "$suites/$3" checkout --quiet FETCH_HEAD
}
fetch duckdb/duckdb 044a04a7cd39e6e8235f756597ae42dde084e5e5 duckdb
fetch apache/parquet-testing 1a2a75127be06fc0123f03ebd36c966f7beda27d parquet-testing

if [ ! -e "$suites/parquet-testing/expected.json" ]; then
    python3 -m venv "$suites/python"
    "$suites/python/bin/pip" install --quiet 'pyarrow==26.*'
    "$suites/python/bin/python" "$crate/testdata/parquet-testing/expect.py" "$suites/parquet-testing"
fi
cd "$crate"
ETL_HOST_SUITES=$suites ETL_HOST_UPDATE_DOCS=1 cargo test --package etl-format suite
