"""Checks Parquet against pyarrow, DuckDB and Polars, in both directions.

python parquet.py ETL_HOST COPY, with pyarrow, duckdb and polars installed. COPY is a plugin that emits its input, such as
guest-plugins/target/wasm32-wasip2/release/crimes.wasm after `cargo test`.
"""
import datetime as dt, decimal, json, pathlib, subprocess, sys, tempfile
import duckdb, polars, pyarrow as pa, pyarrow.parquet as pq

ETL_HOST, COPY = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
ROWS = 1000
FIELDS = {
    "boolean": pa.bool_(), "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(),
    "uint8": pa.uint8(), "uint16": pa.uint16(), "uint32": pa.uint32(), "uint64": pa.uint64(),
    "float32": pa.float32(), "float64": pa.float64(), "decimal(9,2)": pa.decimal128(9, 2),
    "decimal(38,10)": pa.decimal128(38, 10), "date": pa.date32(), "time(us)": pa.time64("us"),
    "timestamp(ms)": pa.timestamp("ms"), "timestamp(us)": pa.timestamp("us"), "timestamp(us, UTC)": pa.timestamp("us", "UTC"),
    "text": pa.string(), "binary": pa.binary(), "list<int64>": pa.list_(pa.int64()),
    "struct<a: text, b: list<int32>>": pa.struct([("a", pa.string()), ("b", pa.list_(pa.int32()))]),
    "map<text, int64>": pa.map_(pa.string(), pa.int64()),
}

def value(kind, row):
    if row % 7 == 3:
        return None
    if pa.types.is_boolean(kind): return row % 2 == 0
    if pa.types.is_integer(kind): return row % 100
    if pa.types.is_floating(kind): return row / 4
    if pa.types.is_decimal(kind): return decimal.Decimal(row) / 4
    if pa.types.is_date(kind): return dt.date(2020, 1, 1) + dt.timedelta(days=row)
    if pa.types.is_time(kind): return dt.time(row % 24, row % 60, 0, row)
    if pa.types.is_timestamp(kind):
        zone = dt.timezone.utc if kind.tz else None
        return dt.datetime(2020, 1, 1, tzinfo=zone) + dt.timedelta(seconds=row, milliseconds=row)
    if pa.types.is_string(kind): return f"é{row % 50}"
    if pa.types.is_binary(kind): return bytes([row % 256, 255])
    if pa.types.is_map(kind): return [(f"k{i}", row) for i in range(row % 3)]
    if pa.types.is_list(kind): return [value(kind.value_type, row + i + 1) for i in range(row % 4)]
    if pa.types.is_struct(kind): return {field.name: value(field.type, row) for field in kind}
    raise TypeError(kind)

TABLE = pa.table({f"f{i}": pa.array([value(kind, row) for row in range(ROWS)], kind) for i, kind in enumerate(FIELDS.values())})

def copy(folder, source, extra=""):
    """Copies a file of Parquet by a pipeline, and returns the parts of the result."""
    fields = ", ".join(f"f{i} = {json.dumps(name)}" for i, name in enumerate(FIELDS) if f"f{i}" in pq.read_schema(source).names)
    (folder / "pipeline.toml").write_text(f"""
name = "copy"
source = {{ url = {json.dumps(str(source))}, format = "parquet", fields = {{ {fields} }} }}
split.target_size = "20KiB"
map = [{{ plugin = {json.dumps(str(COPY))} }}]
sink = {{ url = "result/", format = "parquet", parquet = {{ row_group_rows = 100 {extra} }} }}
run.store = "runs/"
""")
    subprocess.run([ETL_HOST, folder / "pipeline.toml", "--quiet"], check=True)
    latest = json.loads((folder / "result/latest.json").read_text())
    return [folder / "result" / part for part in latest["parts"]]

def plain(table):
    """Returns rows as Python has them, without what differs between libraries and means the same."""
    return [{name: sorted(v) if isinstance(v, list) and v and isinstance(v[0], tuple) else v for name, v in row.items()}
            for row in table.to_pylist()]

def writers(folder):
    for version in ("1.0", "2.6"):
        for compression in ("snappy", "zstd", "gzip", "brotli", "lz4", "none"):
            path = folder / f"pyarrow-{version}-{compression}.parquet"
            pq.write_table(TABLE, path, version=version, compression=compression, row_group_size=130,
                           data_page_version="2.0" if version == "2.6" else "1.0", write_page_checksum=True)
            yield path
    path = folder / "duckdb.parquet"
    duckdb.register("rows", TABLE)
    duckdb.sql(f"copy (select * from rows) to '{path}' (format parquet, row_group_size 2048)")
    yield path
    path = folder / "polars.parquet"
    polars.from_arrow(TABLE.drop_columns([f"f{len(FIELDS) - 1}"])).write_parquet(path, row_group_size=150)
    yield path

def main():
    with tempfile.TemporaryDirectory() as name:
        for number, path in enumerate(writers(pathlib.Path(name))):
            folder = pathlib.Path(name) / str(number)
            folder.mkdir()
            extra = ["", ', compression = "snappy"', ', compression = "gzip", dictionary = false', ', compression = "lz4"',
                     ', compression = "none", statistics = false'][number % 5]
            parts = copy(folder, path, extra)
            expected = plain(pq.read_table(path).cast(pa.schema([TABLE.schema.field(n) for n in pq.read_schema(path).names])))
            found = plain(pa.concat_tables(pq.read_table(part) for part in parts))
            assert found == expected, f"pyarrow reads something else in what was made of {path.name}"
            files = [str(part) for part in parts]
            counts = duckdb.sql(f"select count(*), count(f18), sum(f4), max(f16), sum(f11) from read_parquet({files})").fetchall()[0]
            wanted = duckdb.sql(f"select count(*), count(f18), sum(f4), max(f16), sum(f11) from read_parquet('{path}')").fetchall()[0]
            assert counts == wanted, f"DuckDB reads something else in what was made of {path.name}: {counts}, {wanted}"
            frame = polars.read_parquet(files)
            assert frame["f4"].sum() == sum(row["f4"] or 0 for row in expected), path.name
            print(f"{path.name}: {len(parts)} parts, right")

main()
