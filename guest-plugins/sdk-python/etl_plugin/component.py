"""The exports of a component, for the module that `build` writes. Only a component can import this one.

componentize-py makes a new `Mapper` for every call, so the step of the instance is kept beside the classes. A component
is made of what is imported when it is built; an import that comes later finds nothing.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from componentize_py_types import Err
from wit_world.imports import diagnostics, types

from . import errors, host, steps, wire
from .runners import MapRunner, ReduceRunner, SplitRunner
from .splitting import Object, Slice

Result = TypeVar("Result")


class Instance:
    """The step of the author's module, and what drives it from `open` on."""

    step: steps.Step
    runner: Any = None


class Functions:
    """The host's functions, as the SDK calls them: those that the step's world imports."""

    def __init__(self, world: str) -> None:
        names = ("source", "shards") if world == "split-plugin" else ("output",)
        for name in names:
            setattr(self, f"_{name}", importlib.import_module(f"wit_world.imports.{name}"))

    _output: Any
    _source: Any
    _shards: Any

    def emit(self, batch: wire.Batch, origins: bytes | None) -> None:
        self._output.emit(batch, origins)

    def reject(self, row: int, reason: str) -> None:
        self._output.reject(row, reason)

    def log(self, level: str, message: str) -> None:
        diagnostics.log(diagnostics.Level[level.upper()], message)

    def count(self, counter: str, delta: int) -> None:
        diagnostics.count(counter, delta)

    def list(self, after: str | None) -> list[Object]:
        return [Object(of.name, of.size, of.splittable) for of in self._source.list(after)]

    def read(self, object: str, offset: int, length: int) -> bytes:
        source = self._source
        try:
            return source.read(object, offset, length)
        except Err as error:
            if isinstance(error.value, source.ReadError_Store):
                raise errors.Retryable(f"reading object `{object}` failed: {error.value.value}") from None
            if isinstance(error.value, source.ReadError_OutOfRange):
                raise errors.Fatal(f"offset {offset} is past the end of object `{object}`") from None
            raise errors.Fatal(f"the source has no object `{object}`") from None

    def add(self, page: list[list[Slice] | wire.Batch]) -> None:
        shards = self._shards

        def shard(of: list[Slice] | wire.Batch) -> Any:
            if isinstance(of, list):
                return shards.Shard_Slices([shards.Slice(s.object, s.offset, s.length) for s in of])
            return shards.Shard_Records(of)

        shards.add([shard(of) for of in page])


# Modules that Python's own library imports when a function is first called.
CODECS = "ascii latin_1 utf_8_sig utf_16 utf_16_le utf_16_be utf_32 cp1250 cp1251 cp1252 cp437 cp850 iso8859_15 idna"
for later in ("_strptime", *(f"encodings.{codec}" for codec in CODECS.split())):
    importlib.import_module(later)


def export(module: ModuleType) -> None:
    """Makes the step of a module the one that the component runs. Called when the component is built."""
    Instance.step = steps.step_in(module)
    host.functions = Functions(Instance.step.world)
    # What is imported lives as long as the instance. Rows that wait for their batch are no garbage, however many.
    gc.freeze()
    gc.set_threshold(100_000)


ERRORS = {
    errors.InvalidConfig: types.StepError_InvalidConfig,
    errors.InvalidInput: types.StepError_InvalidInput,
    errors.Retryable: types.StepError_Retryable,
    errors.Fatal: types.StepError_Fatal,
}


def told(call: Callable[[], Result]) -> Result:
    """Calls the step, and converts what it raises into an error for the host."""
    try:
        return call()
    except MemoryError:
        # The host knows how much memory was asked for, and says so if the call traps.
        raise
    except errors.StepError as error:
        of = next((made for kind, made in ERRORS.items() if isinstance(error, kind)), types.StepError_Fatal)
        raise Err(of(str(error))) from None
    except ImportError as error:
        advice = "a component holds what is imported when it is built: import it at the top of the file"
        raise Err(types.StepError_Other(f"{errors.describe(error)}\n{advice}")) from None
    except BaseException as error:
        raise Err(types.StepError_Other(errors.describe(error))) from None


class Mapper:
    """The exports of the world `map-plugin`."""

    def open(self, context: wire.Context) -> wire.Schema:
        Instance.runner = told(lambda: MapRunner(Instance.step, context))
        return Instance.runner.schema

    def process(self, batch: wire.Batch) -> None:
        told(lambda: Instance.runner.process(batch))

    def finish(self) -> None:
        told(Instance.runner.finish)


class Reducer:
    """The exports of the world `reduce-plugin`."""

    def open(self, context: wire.Context) -> wire.Schema:
        Instance.runner = told(lambda: ReduceRunner(Instance.step, context))
        return Instance.runner.schema

    def process(self, batch: wire.Batch, group_ends: list[int], last_group_continues: bool) -> None:
        told(lambda: Instance.runner.process(batch, group_ends, last_group_continues))

    def finish(self) -> None:
        told(Instance.runner.finish)


class Splitter:
    """The exports of the world `split-plugin`."""

    def open(self, context: wire.Context) -> None:
        Instance.runner = told(lambda: SplitRunner(Instance.step, context))

    def split(self) -> None:
        told(Instance.runner.split)
