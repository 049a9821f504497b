"""Marks classes as steps: the decorators, and what they know of a class."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from . import config, output, wire
from .context import Context, read_context
from .data_types import DataType, Nullable
from .schema import Schema

Class = TypeVar("Class", bound=type)
Columns = Mapping[str, "DataType | Nullable"]


@dataclass(frozen=True)
class Step:
    """A class that is a step."""

    kind: str
    """The decorator's name."""
    of: type
    emits: Schema | None
    reads: Columns
    # What looking at the class tells, which takes longer than all else that opens a step.
    config: config.Fields
    takes_context: bool
    takes_bytes: bool

    @property
    def world(self) -> str:
        """The world in `wit/` that the step implements."""
        return {"reducer": "reduce-plugin", "splitter": "split-plugin"}.get(self.kind, "map-plugin")

    def open(self, context: wire.Context) -> tuple[Any, Context, Schema]:
        """Makes the object that handles one task. Returns it with the task's context and the schema it emits."""
        opened = read_context(context)
        step = self.of()
        config.configure(step, self.config, context.config)
        opened.input.check(self.reads)
        _reseed()
        if hasattr(step, "open"):
            step.open(opened) if self.takes_context else step.open()
        schema = step.schema() if hasattr(step, "schema") else self.emits
        return step, opened, opened.input if schema is None else schema


def _reseed() -> None:
    """Seeds `random` with what the host gives each task, since its state was kept when the component was built."""
    if "random" in sys.modules:
        sys.modules["random"].seed()


def _decorator(kind: str, needs: tuple[str, ...], names: tuple[Any, ...], emits: Any, reads: Any) -> Any:
    """Returns a decorator, or the class with its mark if the decorator is used without arguments."""

    def mark(of: Class) -> Class:
        for method in needs:
            if not callable(getattr(of, method, None)):
                raise TypeError(f"a {kind} has a method `{method}`, which {of.__name__} lacks")
        if emits is not None:
            # A component keeps what was made when it was built.
            output.emitter(len(emits.fields))
        takes_context = hasattr(of, "open") and len(inspect.signature(of.open).parameters) > 1
        takes_bytes = kind == "line_mapper" and _takes_bytes(of)
        of.__etl_step__ = Step(kind, of, emits, reads or {}, config.fields(of), takes_context, takes_bytes)
        return of

    if emits is not None and not isinstance(emits, Schema):
        raise TypeError(f"`emits` is {emits!r}: it takes a `Schema(key={{…}}, values={{…}})`")
    return mark(names[0]) if names else mark


def _takes_bytes(of: Any) -> bool:
    _, line, *_ = inspect.signature(of.map).parameters.values()
    return line.annotation in (bytes, "bytes")


@typing.overload
def line_mapper(of: Class, /) -> Class: ...
@typing.overload
def line_mapper(*, emits: Schema | None = None) -> Callable[[Class], Class]: ...
def line_mapper(*of: Any, emits: Schema | None = None) -> Any:
    """Makes a class a map step that is given one line after the other: `map(self, line: str, out)`.

    With `line: bytes` it is given bytes. Otherwise a line that is not UTF-8 is rejected.
    """
    return _decorator("line_mapper", ("map",), of, emits, None)


@typing.overload
def row_mapper(of: Class, /) -> Class: ...
@typing.overload
def row_mapper(*, emits: Schema | None = None, reads: Columns | None = None) -> Callable[[Class], Class]: ...
def row_mapper(*of: Any, emits: Schema | None = None, reads: Columns | None = None) -> Any:
    """Makes a class a map step that is given one row after the other, as a named tuple: `map(self, row, out)`.

    A row in which a column of `reads` is null is rejected, unless the column is read as `… | None`.
    """
    return _decorator("row_mapper", ("map",), of, emits, reads)


@typing.overload
def mapper(of: Class, /) -> Class: ...
@typing.overload
def mapper(*, emits: Schema | None = None, reads: Columns | None = None) -> Callable[[Class], Class]: ...
def mapper(*of: Any, emits: Schema | None = None, reads: Columns | None = None) -> Any:
    """Makes a class a map step that is given columns, a batch at a time: `map(self, rows: Rows, out)`.

    How a shard is cut into batches is the host's choice, so no result should depend on it.
    """
    return _decorator("mapper", ("map",), of, emits, reads)


@typing.overload
def reducer(of: Class, /) -> Class: ...
@typing.overload
def reducer(*, emits: Schema | None = None, reads: Columns | None = None) -> Callable[[Class], Class]: ...
def reducer(*of: Any, emits: Schema | None = None, reads: Columns | None = None) -> Any:
    """Makes a class a reduce step: for each key `start(self, key)`, `add(self, rows: Rows)` once or more, and
    `end(self, key, out)`. The key is a tuple.

    Without `emits` it emits rows of its input's schema, and can serve as combiner, too.
    """
    return _decorator("reducer", ("start", "add", "end"), of, emits, reads)


@typing.overload
def splitter(of: Class, /) -> Class: ...
@typing.overload
def splitter() -> Callable[[Class], Class]: ...
def splitter(*of: Any) -> Any:
    """Makes a class a split step: `split(self, source: Source, shards: Shards)`."""
    return _decorator("splitter", ("split",), of, None, None)


def step_of(of: Any) -> Step:
    """Returns what the decorators know of a class. Raises `TypeError` if it is no step."""
    step = getattr(of, "__etl_step__", None)
    if step is None:
        raise TypeError(f"{of!r} is no step: put `@line_mapper`, `@mapper`, `@reducer` or `@splitter` above the class")
    return step


def step_in(module: ModuleType) -> Step:
    """Returns the one step that a module defines. Raises `TypeError` if it defines none, or several."""
    own = (of for of in vars(module).values() if isinstance(of, type) and of.__module__ == module.__name__)
    steps = [of.__etl_step__ for of in own if "__etl_step__" in vars(of)]
    if len(steps) != 1:
        names = ", ".join(step.of.__name__ for step in steps) or "none"
        raise TypeError(f"`{module.__name__}` has to define one step, and defines {names}")
    return steps[0]
