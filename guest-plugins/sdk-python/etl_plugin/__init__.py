"""Write steps for etl-host in Python: a mapper, reducer or splitter is a class, built into a WebAssembly component.

A step sees its records and its configuration, nothing else, and emits the same rows on every run. A whole map plugin:

>>> from collections import Counter
>>> from etl_plugin import Int64, Reject, Schema, Text, line_mapper
>>>
>>> @line_mapper(emits=Schema(key={"type": Text}, values={"count": Int64}))
... class CountByType:
...     separator: str = ","  # the text between fields
...     field: int = 1
...     def open(self):
...         self.counts = Counter()
...     def map(self, line: str, out):
...         fields = line.split(self.separator)
...         if len(fields) <= self.field:
...             raise Reject(f"the line has no field {self.field}")
...         self.counts[fields[self.field].strip()] += 1
...     def finish(self, out):
...         for kind, n in self.counts.items():
...             out.emit(kind, n)

and its test:

>>> from etl_plugin.testing import map_lines
>>> map_lines(CountByType, ["1, get", "2, put", "3, get", "4"], field=1).rows
[('get', 2), ('put', 1)]

- One object handles one task: it is made before `open` and dropped after `finish`. Its state is its attributes.
- Annotated attributes are the configuration, with their defaults; `etl-host` shows them and checks `pipeline.toml`.
- `raise Reject(…)` sets a record aside. `InvalidConfig`, `InvalidInput`, `Retryable` and `Fatal` end the task. Any
  other exception fails it, with its message, file and line.
"""

from .context import Context
from .data_types import (
    Binary,
    Boolean,
    Date,
    Decimal,
    Duration,
    Field,
    FixedBinary,
    Float16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Json,
    List,
    Map,
    Struct,
    Text,
    Time,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)
from .diagnostics import count, log
from .errors import Fatal, InvalidConfig, InvalidInput, Reject, Retryable, StepError
from .output import Output
from .rows import Column, Rows
from .schema import Schema
from .splitting import Object, Shards, Slice, Source
from .steps import line_mapper, mapper, reducer, row_mapper, splitter

__version__ = "0.1.0"
__all__ = [name for name in dir() if not name.startswith("_")]
