"""Writes expected.json: what pyarrow reads in each file, in the form in which the host shows rows.

Run in a folder with the files: python expect.py FOLDER, with pyarrow installed.
"""
import json, pathlib, struct, sys
import pyarrow as pa, pyarrow.parquet as pq

ROWS = 30
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

def days(value):
    import datetime
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=value)).isoformat()

def clock(value, per_second):
    seconds, rest = divmod(value, per_second)
    nanos = rest * (10**9 // per_second)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    for digits in (3, 6, 9):
        if nanos and nanos % 10 ** (9 - digits) == 0:
            return f"{text}.{nanos // 10 ** (9 - digits):0{digits}}"
    return text

def stamp(value, unit, zone):
    day, rest = divmod(value, 86400 * UNITS[unit])
    return f"{days(day)}T{clock(rest, UNITS[unit])}" + ("Z" if zone else "")

def single(value, code):
    if code == "e" and abs(value) < float("inf"):
        return float(value)
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    for digits in range(1, 18):
        short = float(f"{value:.{digits}g}")
        if code == "d" and short == value:
            return short
        if code != "d":
            try:
                if struct.pack(code, short) == struct.pack(code, value):
                    return short
            except OverflowError:
                pass
    return value

def text(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()

def values(array):
    kind, t = array.type, pa.types
    valid = array.is_valid().to_pylist()
    if t.is_dictionary(kind):
        return values(array.dictionary_decode())
    if t.is_struct(kind):
        columns = [values(array.field(i)) for i in range(kind.num_fields)]
        names = [kind.field(i).name for i in range(kind.num_fields)]
        found = [dict(zip(names, row)) for row in zip(*columns)]
    elif t.is_map(kind):
        keys, items, ends = values(array.keys), values(array.items), array.offsets.to_pylist()
        found = [[{"key": keys[i], "value": items[i]} for i in range(a, b)] for a, b in zip(ends, ends[1:])]
    elif t.is_list(kind) or t.is_large_list(kind):
        items, ends = values(array.values), array.offsets.to_pylist()
        found = [items[a:b] for a, b in zip(ends, ends[1:])]
    elif t.is_timestamp(kind):
        found = [v if v is None else stamp(v, kind.unit, kind.tz) for v in array.cast(pa.int64()).to_pylist()]
    elif t.is_time(kind):
        wide = pa.int32() if t.is_time32(kind) else pa.int64()
        found = [v if v is None else clock(v, UNITS[kind.unit]) for v in array.cast(wide).to_pylist()]
    elif t.is_date(kind):
        found = [v if v is None else days(v) for v in array.cast(pa.date32()).cast(pa.int32()).to_pylist()]
    elif t.is_decimal(kind):
        found = [v if v is None else f"{v:f}" for v in array.to_pylist()]
    elif t.is_floating(kind):
        code = {16: "e", 32: "f", 64: "d"}[kind.bit_width]
        found = [v if v is None else single(float(v), code) for v in array.to_pylist()]
    elif t.is_binary(kind) or t.is_fixed_size_binary(kind) or t.is_large_binary(kind):
        found = [v if v is None else text(v) for v in array.to_pylist()]
    else:
        found = array.to_pylist()
    return [v if ok else None for v, ok in zip(found, valid)]

def column(table, i):
    chunks = table.column(i).combine_chunks()
    if isinstance(chunks, pa.ChunkedArray):
        chunks = chunks.chunk(0) if chunks.num_chunks else pa.array([], chunks.type)
    if isinstance(chunks, pa.ExtensionArray):
        chunks = chunks.storage
    return values(chunks)

def expect(path):
    table = pq.read_table(path, coerce_int96_timestamp_unit="us")
    head = table.slice(0, ROWS).combine_chunks()
    columns = [column(head, i) for i in range(head.num_columns)]
    return {"rows": table.num_rows, "head": [dict(zip(head.column_names, row)) for row in zip(*columns)]}

folder, expected = pathlib.Path(sys.argv[1]), {}
for path in sorted(p for p in folder.rglob("*") if ".parquet" in p.name and p.suffix != ".json"):
    try:
        expected[str(path.relative_to(folder))] = expect(path)
    except Exception as error:
        expected[str(path.relative_to(folder))] = {"error": f"{type(error).__name__}: {error}"[:200]}
lines = [f"{json.dumps(name)}: {json.dumps(found, default=lambda uuid: text(uuid.bytes))}" for name, found in expected.items()]
(folder / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
