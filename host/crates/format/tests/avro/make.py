"""Makes the files and the expected rows of this directory that are not from Apache Avro's repository.

`pip install fastavro avro backports.zstd cramjam`, then `python make.py`: fastavro writes `types-*.avro`, and
`expected.json` gets what Apache's own library reads from the files of its repository, and what was given to fastavro.
Bytes that are no text are hexadecimal digits, maps are lists of entries, and times are numbers.
"""

import decimal, glob, json, random, uuid
import avro.datafile, avro.io, fastavro

ROWS_SHOWN = 20
random.seed(17)


def shown(value):
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, dict):
        return {name: shown(of) for name, of in value.items()}
    if isinstance(value, list):
        return [shown(of) for of in value]
    return value


def expected(rows):
    rows = [shown(row) for row in rows]
    return {"count": len(rows), "first": rows[:ROWS_SHOWN], "last": rows[-1:]}


def nullable(of):
    return ["null", of]


# Without annotations, so that numbers are written as they are given; the annotations are put into the header.
ANNOTATED = {
    "date": "int",
    "time-millis": "int",
    "time-micros": "long",
    "timestamp-millis": "long",
    "timestamp-micros": "long",
    "local-timestamp-millis": "long",
    "local-timestamp-micros": "long",
}
FIELDS = {
    "boolean": "boolean",
    "int": "int",
    "long": "long",
    "float": "float",
    "double": "double",
    "bytes": "bytes",
    "string": "string",
    "nullable": nullable("string"),
    "null_last": ["long", "null"],
    "enum": {"type": "enum", "name": "Colour", "namespace": "a.b", "symbols": ["RED", "GREEN"]},
    "again": nullable("a.b.Colour"),
    "fixed": {"type": "fixed", "name": "Five", "size": 5},
    "array": {"type": "array", "items": nullable("int")},
    "map": {"type": "map", "values": "long"},
    "record": {"type": "record", "name": "In", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": nullable("string")}]},
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
    "decimal_fixed": {"type": "fixed", "name": "Nine", "size": 9, "logicalType": "decimal", "precision": 20, "scale": 5},
    "uuid": {"type": "string", "logicalType": "uuid"},
    **{name.replace("-", "_"): {"type": of, "logicalType": name} for name, of in ANNOTATED.items()},
    # Not read.
    "union": ["null", "int", "string"],
    "list": {"type": "record", "name": "Node", "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": nullable("Node")}]},
}
SCHEMA = {"type": "record", "name": "Row", "fields": [{"name": name, "type": of} for name, of in FIELDS.items()]}


def int_of(bits):
    return random.choice([-(1 << bits - 1), (1 << bits - 1) - 1, 0, random.getrandbits(8), random.getrandbits(bits - 1)])


def text():
    return random.choice(["", "é€😀", 'a"b\n', "x" * random.randrange(40)])


def chance(value):
    return value if random.random() < 0.7 else None


def row(number):
    return {
        "boolean": random.random() < 0.5,
        "int": int_of(32),
        "long": int_of(64),
        "float": random.choice([0.5, -3.25, 1048576.0]),
        "double": random.choice([0.1, -1e300, 5e-324]),
        "bytes": random.randbytes(random.randrange(20)),
        "string": text(),
        "nullable": chance(text()),
        "null_last": chance(int_of(64)),
        "enum": random.choice(["RED", "GREEN"]),
        "again": chance("GREEN"),
        "fixed": random.randbytes(5),
        "array": [chance(int_of(32)) for _ in range(random.randrange(4))],
        "map": {f"k{key}": int_of(64) for key in range(random.randrange(3))},
        "record": {"x": int_of(32), "y": chance(text())},
        "decimal": decimal.Decimal(random.randrange(-(10**10) + 1, 10**10)).scaleb(-2),
        "decimal_fixed": decimal.Decimal(random.randrange(-(10**20) + 1, 10**20)).scaleb(-5, decimal.Context(40)),
        "uuid": uuid.UUID(int=random.getrandbits(128)),
        "date": random.randrange(-40000, 40000),
        "time_millis": random.randrange(86_400_000),
        "time_micros": random.randrange(86_400_000_000),
        **{name.replace("-", "_"): random.randrange(-(10**12), 10**12) for name in list(ANNOTATED)[3:]},
        "union": random.choice([None, 3, "three"]),
        "list": {"v": number, "next": {"v": 2, "next": None}},
    }


def as_read(row):
    read = {name: value for name, value in row.items() if name not in ("union", "list")}
    for name in ("decimal", "decimal_fixed", "uuid"):
        read[name] = f"{row[name]:f}" if name != "uuid" else str(row[name])
    read["map"] = [{"key": key, "value": value} for key, value in row["map"].items()]
    return read


def main():
    found = {}
    for path in sorted(glob.glob("*avro*")):
        if path.startswith("types-"):
            continue
        try:
            rows = list(avro.datafile.DataFileReader(open(path, "rb"), avro.io.DatumReader()))
            found[path] = expected(rows)
        except Exception as error:
            found[path] = {"error": type(error).__name__}
    rows = [row(number) for number in range(20)]
    for codec in ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"]:
        path = f"types-{codec}.avro"
        with open(path, "wb") as file:
            marker = random.randbytes(16)
            fastavro.writer(file, SCHEMA, rows, codec=codec, sync_interval=1000, sync_marker=marker)
    found["types"] = expected([as_read(row) for row in rows])
    with open("expected.json", "w") as file:
        lines = [f"{json.dumps(path)}: {json.dumps(found[path], sort_keys=True)}" for path in sorted(found)]
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


main()
