"""Drives a step through its task, for the component's exports and for `testing`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import wire
from .data_types import Node, Nullable, texts
from .diagnostics import flush_counters
from .errors import InvalidInput, Reject
from .output import Output
from .rows import Shape
from .schema import Schema, read_batch, write_schema
from .splitting import Shards, Source
from .steps import Step


class MapRunner:
    """Runs a mapper of any of the three kinds on the batches of a shard."""

    def __init__(self, step: Step, context: wire.Context) -> None:
        self.step, opened, schema = step.open(context)
        self.shape, self.out = Shape(opened.input), Output(schema)
        self.schema = write_schema(schema)
        self._map: Callable[[list[Node], int], None] = {
            "line_mapper": self._map_lines,
            "row_mapper": self._map_rows,
            "mapper": self._map_columns,
        }[step.kind]
        if step.kind == "line_mapper":
            check_lines(opened.input)
        self._needed = [opened.input.index(name) for name, of in step.reads.items() if not isinstance(of, Nullable)]
        self._takes_bytes = step.takes_bytes

    def process(self, batch: wire.Batch) -> None:
        self.out.begin_batch(batch.rows)
        self._map(read_batch(self.shape.schema, batch), batch.rows)
        self.out.end_batch()
        flush_counters()

    def finish(self) -> None:
        finish(self.step, self.out)

    def _map_lines(self, nodes: list[Node], rows: int) -> None:
        (node,) = nodes
        if node.validity is None and (self._takes_bytes or node.buffers[1].isascii()):
            lines = node.values() if self._takes_bytes else texts(node.buffers[1], node.offsets())
            self._each(lines)
        else:
            self._each_line(node.values())

    def _map_rows(self, nodes: list[Node], rows: int) -> None:
        lacking = [index for index in self._needed if nodes[index].validity is not None]
        self._each(self.shape.rows(nodes, rows), lacking)

    def _map_columns(self, nodes: list[Node], rows: int) -> None:
        self.step.map(self.shape.rows(nodes, rows), self.out)

    def _each(self, records: Any, lacking: Sequence[int] = ()) -> None:
        """Maps one record after the other. Rejects those that are null in a column that may lack values."""
        out, step_map = self.out, self.step.map
        for row, record in enumerate(records):
            out.current_row = row
            try:
                for index in lacking:
                    if record[index] is None:
                        raise Reject(f"column `{self.shape.schema.names[index]}` is null")
                step_map(record, out)
            except Reject as reject:
                out.reject(reject)

    def _each_line(self, lines: Sequence[Any]) -> None:
        """Maps lines some of which may be null, or not be UTF-8."""
        for row, line in enumerate(lines):
            self.out.current_row = row
            try:
                if line is None:
                    raise Reject("the line is null")
                self.step.map(line if self._takes_bytes else _decoded(line), self.out)
            except Reject as reject:
                self.out.reject(reject)


class ReduceRunner:
    """Runs a reducer on the batches of a partition."""

    def __init__(self, step: Step, context: wire.Context) -> None:
        self.step, opened, schema = step.open(context)
        self.shape, self.out = Shape(opened.input), Output(schema)
        self.schema = write_schema(schema)
        self._within_key = False

    def process(self, batch: wire.Batch, group_ends: Sequence[int], last_group_continues: bool) -> None:
        rows = self.shape.rows(read_batch(self.shape.schema, batch), batch.rows)
        step, out, start = self.step, self.out, 0
        keys = self._keys(rows, group_ends)
        for end, key in zip(group_ends, keys):
            if not self._within_key:
                step.start(key)
            step.add(rows.slice(start, end))
            start = end
            self._within_key = last_group_continues and end == batch.rows
            if not self._within_key:
                step.end(key, out)
        flush_counters()

    def finish(self) -> None:
        finish(self.step, self.out)

    def _keys(self, rows: Any, group_ends: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        columns = [rows[column].to_list() for column in range(self.shape.schema.key_fields)]
        return (tuple(column[end - 1] for column in columns) for end in group_ends)


class SplitRunner:
    """Runs a splitter."""

    def __init__(self, step: Step, context: wire.Context) -> None:
        self.step, opened, _ = step.open(context)
        self.shards = Shards(opened.input)

    def split(self) -> None:
        self.step.split(Source(), self.shards)
        self.shards.flush()
        flush_counters()


def finish(step: Any, out: Output) -> None:
    """Emits what a step has left after its last row."""
    if hasattr(step, "finish"):
        step.finish(out)
    out.flush()
    flush_counters()


def check_lines(schema: Schema) -> None:
    """Raises `InvalidInput` unless the rows are lines: one column of binary or text."""
    if [field.type.format for field in schema.fields] not in (["z"], ["u"]):
        raise InvalidInput(
            f"the step takes lines, which is one column of binary or text (the input's columns: {schema})"
        )


def _decoded(line: bytes | str) -> str:
    if isinstance(line, str):
        return line
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Reject("the line is not UTF-8") from None
