"""Runs steps with an ordinary Python, in a unit test, and returns their output.

A mapper or reducer runs twice, with its input in one batch and in a batch for each row. If the two results differ, the
function raises `AssertionError`, because the host may cut batches in any way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from . import host, wire
from .data_types import checked
from .errors import Fatal
from .rows import Shape
from .runners import MapRunner, ReduceRunner, SplitRunner
from .schema import Schema, read_batch, read_schema, write_schema
from .splitting import Object, Slice
from .steps import step_of

Row = tuple[Any, ...]


@dataclass
class Outcome:
    """What a step did."""

    rows: list[Row] = field(default_factory=list)
    origins: list[int | None] = field(default_factory=list)
    """For each row emitted, the row of the input that it was made of, if the step said so."""
    rejects: list[tuple[int, str]] = field(default_factory=list)
    logs: list[tuple[str, str]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)


def map_lines(step: type, lines: Iterable[str | bytes], **config: Any) -> Outcome:
    """Runs a line mapper on these lines."""
    rows = [(line.encode() if isinstance(line, str) else line,) for line in lines]
    return map_rows(step, Schema.lines(), rows, **config)


def map_rows(step: type, schema: Schema, rows: Iterable[Sequence[Any]], **config: Any) -> Outcome:
    """Runs a mapper on rows of this schema."""
    rows, context = [tuple(row) for row in rows], _context(schema, config)

    def run(batch_rows: int) -> Outcome:
        functions = _Functions()
        runner = MapRunner(step_of(step), context)
        functions.schema = read_schema(runner.schema)
        for functions.first_row in range(0, len(rows), batch_rows):
            runner.process(batch(schema, rows[functions.first_row : functions.first_row + batch_rows]))
        runner.finish()
        return functions.outcome

    return _however_cut(run, len(rows))


def reduce_rows(step: type, schema: Schema, rows: Iterable[Sequence[Any]], **config: Any) -> Outcome:
    """Runs a reducer on rows of this schema, after sorting them by key."""
    return _reduce(step, schema, rows, config, combines=False)


def combine_rows(step: type, schema: Schema, rows: Iterable[Sequence[Any]], **config: Any) -> Outcome:
    """Runs a reducer as combiner on rows of this schema, after sorting them by key."""
    return _reduce(step, schema, rows, config, combines=True)


def _reduce(step: type, schema: Schema, rows: Iterable[Sequence[Any]], config: Any, combines: bool) -> Outcome:
    def key(row: Row) -> list[tuple[bool, Any]]:
        values = (value.encode() if isinstance(value, str) else value for value in row[: schema.key_fields])
        return [(value is not None, value) for value in values]

    ordered, context = sorted((tuple(row) for row in rows), key=key), _context(schema, config, combines)

    def run(batch_rows: int) -> Outcome:
        functions = _Functions()
        runner = ReduceRunner(step_of(step), context)
        functions.schema = read_schema(runner.schema)
        for start in range(0, len(ordered), batch_rows):
            part, rest = ordered[start : start + batch_rows], ordered[start + batch_rows :]
            ends, end = [], 0
            for _, group in groupby(part, key):
                end += len(list(group))
                ends.append(end)
            runner.process(batch(schema, part), ends, bool(rest) and key(rest[0]) == key(part[-1]))
        runner.finish()
        return functions.outcome

    return _however_cut(run, len(ordered))


@dataclass
class Split:
    """What a splitter did."""

    shards: list[list[Slice] | list[Row]] = field(default_factory=list)
    """The shards: of slices, or of records."""


def split(step: type, objects: dict[str, bytes | str], schema: Schema | None = None, **config: Any) -> Split:
    """Runs a splitter on objects with these names and contents. Those whose names end in `.gz` count as compressed."""
    schema = schema or Schema.lines()
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in objects.items()}
    functions = _Functions(contents, schema)
    SplitRunner(step_of(step), _context(schema, config)).split()
    _check_slices(functions.split, contents)
    return functions.split


def batch(schema: Schema, rows: Sequence[Row]) -> wire.Batch:
    """Returns rows as a batch of this schema."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema.fields)
    written = [checked(field, values) for field, values in zip(schema.fields, columns, strict=True)]
    return wire.Batch(len(rows), [column for columns in written for column in columns])


class _Functions:
    """Stands in for the host: keeps what a step hands over."""

    def __init__(self, objects: dict[str, bytes] | None = None, schema: Schema | None = None) -> None:
        self.outcome, self.split = Outcome(), Split()
        self.objects, self.schema, self.first_row = objects or {}, schema, 0
        host.functions = self

    def _read(self, of: wire.Batch) -> list[Row]:
        assert self.schema is not None, "rows are emitted by `map`, `end` and `finish`, not by `open`"
        return [tuple(row) for row in Shape(self.schema).rows(read_batch(self.schema, of), of.rows)]

    def emit(self, of: wire.Batch, origins: bytes | None) -> None:
        self.outcome.rows += self._read(of)
        rows = [None] * of.rows if origins is None else memoryview(origins).cast("I").tolist()
        self.outcome.origins += [None if row is None else row + self.first_row for row in rows]

    def reject(self, row: int, reason: str) -> None:
        self.outcome.rejects.append((self.first_row + row, reason))

    def log(self, level: str, message: str) -> None:
        self.outcome.logs.append((level, message))

    def count(self, counter: str, delta: int) -> None:
        self.outcome.counters[counter] = self.outcome.counters.get(counter, 0) + delta

    def list(self, after: str | None) -> list[Object]:
        page = [name for name in sorted(self.objects) if after is None or name > after][:1000]
        return [Object(name, len(self.objects[name]), not name.endswith(".gz")) for name in page]

    def read(self, object: str, offset: int, length: int) -> bytes:
        if object not in self.objects:
            raise Fatal(f"the source has no object `{object}`")
        return self.objects[object][offset : offset + length]

    def add(self, page: list[list[Slice] | wire.Batch]) -> None:
        self.split.shards += [shard if isinstance(shard, list) else self._read(shard) for shard in page]


def _context(schema: Schema, config: dict[str, Any], combines: bool = False) -> wire.Context:
    return wire.Context("test", 0, 1, combines, write_schema(schema), json.dumps(config))


def _however_cut(run: Callable[[int], Outcome], rows: int) -> Outcome:
    """Runs with all rows in one batch and then row by row, and returns the first outcome."""
    outcome, row_by_row = run(max(rows, 1)), run(1)
    same = (outcome.rows, outcome.rejects) == (row_by_row.rows, row_by_row.rejects)
    assert same, f"the result depends on how rows are cut into batches: {outcome} and {row_by_row}"
    return outcome


def _check_slices(split: Split, contents: dict[str, bytes]) -> None:
    """Raises `AssertionError` if a slice lies outside of its object or overlaps another: the host refuses those."""
    found = (of for shard in split.shards for of in shard if isinstance(of, Slice))
    slices = sorted((of.object, of.offset, of.length) for of in found)
    for name, offset, length in slices:
        assert name in contents, f"a slice names the unknown object `{name}`"
        size = len(contents[name])
        assert offset + length <= size, f"slice at {offset} of `{name}` ends past the object's {size} bytes"
    for (name, offset, length), (other, start, _) in zip(slices, slices[1:]):
        assert name != other or start >= offset + length, f"slices of `{name}` overlap at {start}"
