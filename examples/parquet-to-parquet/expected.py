"""Run in this directory. Without an argument: writes the expected result. With the file of a result: compares it with
the expected one, as tables, types included."""

import datetime
import decimal
import sys

import pyarrow.compute as pc
import pyarrow.parquet as pq

EXPECTED = "expected/part-00000.parquet"
COLUMNS = ["trip", "started", "minutes", "fare", "zones", "from"]


def expected():
    trips = pq.read_table("input/trips-2026-11.parquet")
    kept = pc.and_(pc.greater_equal(trips["fare"], decimal.Decimal("60.00")), trips["paid"])
    kept = pc.and_(kept, pc.greater_equal(trips["day"], datetime.date(2026, 11, 5)))
    return trips.filter(kept).select(COLUMNS)


def plain(table):
    """Returns the names, types and rows: all but how they are stored."""
    return [(field.name, str(field.type).replace("element", "item")) for field in table.schema], table.to_pylist()


if len(sys.argv) == 1:
    pq.write_table(expected(), EXPECTED)
else:
    names, rows = plain(pq.read_table(sys.argv[1]))
    wanted_names, wanted_rows = plain(pq.read_table(EXPECTED))
    assert names == wanted_names, (names, wanted_names)
    assert rows == wanted_rows, "the rows differ"
    print(f"the same {len(rows)} rows of {', '.join(f'{name} {kind}' for name, kind in names)}")
