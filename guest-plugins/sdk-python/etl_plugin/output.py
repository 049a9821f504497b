"""The output of a mapper or reducer: rows are kept until they make a batch."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from operator import itemgetter
from types import CodeType
from typing import Any

from . import host, wire
from .data_types import Field, checked, shown
from .errors import Fatal
from .rows import Column
from .schema import Schema

BATCH_BYTES = 256 * 1024
"""Size at which rows are handed to the host: batches of this size travel fastest."""
BATCH_ROWS = 65_536
"""Number of rows at which they are handed to the host, however small they are."""

STRIDE = 32
"""Number of rows after which they are measured."""
NONE = (type(None),)

Row = tuple[Any, ...]


class Output:
    """Takes the rows that a step emits."""

    def __init__(self, schema: Schema) -> None:
        if not schema.fields:
            raise Fatal("the step's schema has no columns")
        self.schema = schema
        self._rows: list[Row] = []
        # The rows of the batch being processed that the kept rows were made of; one -1 makes all worth nothing.
        self._origins: list[int] = []
        self._bytes = 0
        self.current_row = -1
        self.input_rows = 0
        sized = [(i, field) for i, field in enumerate(schema.fields) if field.type.is_sized]
        self._sized = [(itemgetter(i), _size if field.type.parts else len) for i, field in sized]
        self._fixed = sum(field.type.width for field in schema.fields)
        self.emit = self._emitter()  # type: ignore[method-assign]

    def emit(self, *row: Any) -> None:
        """Emits a row: one value for each column of the step's schema. A value of `None` is a null."""
        raise NotImplementedError

    def _emitter(self) -> Callable[..., None]:
        """Returns the method `emit`, made for this schema: it is called for every row, and this is twice as fast."""
        accepted = [field.type.python + (NONE if field.nullable else ()) for field in self.schema.fields]
        known: dict[str, Any] = {f"type{i}": types for i, types in enumerate(accepted)}
        known |= {"out": self, "rows": self._rows, "add": self._rows.append, "own": self._origins.append}
        known |= {"refuse": self._refuse, "measure": self._measure}
        exec(emitter(len(accepted)), known)
        return known["emit"]

    def _refuse(self, row: Row) -> None:
        """Raises `TypeError` for a row that does not fit the schema."""
        fields = self.schema.fields
        if len(row) != len(fields):
            raise TypeError(f"a row of {len(row)} values was emitted, and the step emits {len(fields)}: {self.schema}")
        for field, value in zip(fields, row):
            if type(value) not in field.type.python and not (value is None and field.nullable):
                raise TypeError(f"`{field.name}` is {field.type}, which cannot hold {shown(value)}")

    def _measure(self) -> None:
        """Measures the rows that were added last, and hands all to the host if they are enough for a batch."""
        recent = self._rows[-STRIDE:]
        sizes = (sum(map(size, filter(None, map(value, recent)))) for value, size in self._sized)
        self._bytes += STRIDE * self._fixed + sum(sizes)
        if self._bytes >= BATCH_BYTES or len(self._rows) >= BATCH_ROWS:
            self.flush()

    def emit_columns(self, *columns: Any, origins: Iterable[int] | None = None) -> None:
        """Emits rows as columns, one for each column of the step's schema, all of the same length.

        A column is a list of Python values, a column of the input (which is passed on as it is), or for a type of fixed
        width without nulls an `array`, a `memoryview` or bytes that are the values in Arrow's layout. `origins` says of
        each row which row of the input it was made of.
        """
        if len(columns) != len(self.schema.fields):
            raise TypeError(f"{len(columns)} columns were emitted, not {len(self.schema.fields)} ({self.schema})")
        self.flush()
        written = [_column(field, column) for field, column in zip(self.schema.fields, columns)]
        rows = written[0][0].length
        for field, (column, *_) in zip(self.schema.fields, written):
            if column.length != rows:
                raise ValueError(f"column `{field.name}` has {column.length} values, and the first column has {rows}")
        made_of = None if origins is None else array("I", origins).tobytes()
        if rows:
            host.functions.emit(wire.Batch(rows, list(chain.from_iterable(written))), made_of)

    def from_row(self, row: int) -> Output:
        """Says that what is emitted and rejected from now on was made of this row of the input's batch.

        With it the host can name the record when a later step rejects an emitted row.
        """
        if not 0 <= row < self.input_rows:
            raise Fatal(f"`from_row` has no row {row} (rows being mapped: {self.input_rows})")
        self.current_row = row
        return self

    def reject(self, reason: object, row: int | None = None) -> None:
        """Sets a row of the input's batch aside, with the reason: the current one, if none is given."""
        row = self.current_row if row is None else row
        if not 0 <= row < self.input_rows:
            raise Fatal(f"there is no row {row} to reject (rows being mapped: {self.input_rows})")
        host.functions.reject(row, str(reason))

    def begin_batch(self, rows: int) -> None:
        """Begins a batch of the input of this many rows."""
        self.input_rows = rows

    def end_batch(self) -> None:
        """Ends the batch: origins are rows of this batch and of no other, so rows that have one leave now."""
        self.input_rows, self.current_row = 0, -1
        if self._origins and -1 not in self._origins:
            self.flush()

    def flush(self) -> None:
        """Hands the rows kept so far to the host."""
        if not self._rows:
            return
        columns = (checked(field, values) for field, values in zip(self.schema.fields, zip(*self._rows)))
        batch = wire.Batch(len(self._rows), list(chain.from_iterable(columns)))
        origins = None if -1 in self._origins else array("I", self._origins).tobytes()
        self._rows.clear()
        self._origins.clear()
        self._bytes = 0
        host.functions.emit(batch, origins)


@cache
def emitter(columns: int) -> CodeType:
    """Returns the code that defines `emit` for rows of this many columns."""
    values = "".join(f"v{i}, " for i in range(columns))
    wrong = " or ".join(f"type(v{i}) not in type{i}" for i in range(columns))
    source = f"""
def emit(*row):
    try:
        {values} = row
    except ValueError:
        refuse(row)
    if {wrong}:
        refuse(row)
    add(row)
    own(out.current_row)
    if not len(rows) % {STRIDE}:
        measure()
"""
    return compile(source, __file__, "exec")


def _size(value: Any) -> int:
    """Returns about how many bytes a value takes, with what it is nested of."""
    if isinstance(value, (str, bytes)):
        return 4 + len(value)
    if isinstance(value, dict):
        return 16 + sum(_size(key) + _size(part) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return 8 + sum(map(_size, value))
    return 8


def _column(field: Field, values: Any) -> list[wire.Column]:
    """Returns values of any of the forms that `emit_columns` takes as a column, followed by those it is nested of."""
    if isinstance(values, Column):
        whole = values._whole.node
        if len(values) == whole.length and str(whole.field.type) == str(field.type):
            return _as_it_is(whole)
        values = values.to_list()
    if isinstance(values, (array, memoryview, bytes, bytearray)) and not field.type.is_sized:
        data = bytes(values) if not isinstance(values, array) else values.tobytes()
        rows, rest = divmod(len(data), field.type.width)
        if rest or field.type.format == "b":
            raise ValueError(f"`{field.name}` ({field.type}) cannot be {len(data)} bytes")
        return [wire.Column(rows, None, [data])]
    return checked(field, list(values))


def _as_it_is(node: Any) -> list[wire.Column]:
    column = wire.Column(node.length, node.validity, node.buffers)
    return [column, *chain.from_iterable(map(_as_it_is, node.children))]
