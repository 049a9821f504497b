"""The rows that a step is given: as columns, and as tuples."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from .data_types import Node
from .schema import Schema


class Column(Sequence[Any]):
    """The values of a column, or of some of its rows. Reading one as Python values reads all, once.

    A column is a sequence of Python values. `buffer`, `offsets` and `validity` are views of Arrow's buffers, which make
    no value at all; they are those of the whole batch.
    """

    def __init__(self, whole: _Whole, start: int, end: int) -> None:
        self._whole, self._start, self._end = whole, start, end

    @property
    def buffer(self) -> memoryview:
        """The values of a type of fixed width, as `memoryview.cast` shows them; of text and binary, the bytes."""
        node = self._whole.node
        if node.field.type.is_sized:
            return memoryview(node.buffers[-1])
        code = getattr(node.field.type, "code", {"tdD": "i"}.get(node.field.type.format, "B"))
        return memoryview(node.buffers[0]).cast("B" if code == "e" else code)

    @property
    def offsets(self) -> memoryview:
        """Where each value begins, and the last ends: of text and binary in `buffer`, of lists in their items."""
        return memoryview(self._whole.node.buffers[0]).cast("i")

    @property
    def validity(self) -> bytes | None:
        """One bit a value, least significant first: whether it is there. `None` if there are no nulls."""
        return self._whole.node.validity

    def to_list(self) -> list[Any]:
        """Returns the values, with `None` for each null."""
        values = self._whole.values()
        return values if self._end - self._start == len(values) else values[self._start : self._end]

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_list())

    def __getitem__(self, index: Any) -> Any:
        return self.to_list()[index]


class _Whole:
    """A column of a batch, whose Python values are made when they are asked for."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._values: list[Any] | None = None

    def values(self) -> list[Any]:
        if self._values is None:
            self._values = self.node.values()
        return self._values


class Rows:
    """Rows of a batch. `rows["name"]` is a column; iterating gives a tuple for each row, with the columns' names."""

    def __init__(self, shape: Shape, columns: list[_Whole], start: int, end: int) -> None:
        self._shape, self._columns, self._start, self._end = shape, columns, start, end

    @property
    def schema(self) -> Schema:
        return self._shape.schema

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, name: str | int) -> Column:
        """Returns a column by its name or its index."""
        index = self.schema.index(name) if isinstance(name, str) else name
        return Column(self._columns[index], self._start, self._end)

    def __iter__(self) -> Iterator[Any]:
        columns = [Column(column, self._start, self._end).to_list() for column in self._columns]
        return map(self._shape.row, zip(*columns))

    def slice(self, start: int, end: int) -> Rows:
        """Returns some of the rows."""
        return Rows(self._shape, self._columns, self._start + start, self._start + end)


class Shape:
    """What the rows of all batches have in common: the schema, and how a tuple becomes a row."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @cached_property
    def row(self) -> Any:
        """Makes a row of a tuple, without a call of a Python function."""
        return partial(tuple.__new__, namedtuple("Row", self.schema.names, rename=True))

    def rows(self, nodes: list[Node], count: int) -> Rows:
        """Returns the rows of a batch."""
        return Rows(self, [_Whole(node) for node in nodes], 0, count)
