"""The records that cross the boundary, as `wit/` defines them.

In a component they are the classes that componentize-py generates; natively they are the same classes written here, so
that steps can be tested with an ordinary Python.
"""

from __future__ import annotations

from dataclasses import dataclass

try:
    from wit_world.imports.types import Batch, Column, Context, Field, Schema
except ImportError:

    @dataclass
    class Field:
        name: str
        format: str
        nullable: bool
        children: int
        metadata: list[tuple[str, str]]

    @dataclass
    class Schema:
        fields: list[Field]
        key_fields: int

    @dataclass
    class Column:
        length: int
        validity: bytes | None
        buffers: list[bytes]

    @dataclass
    class Batch:
        rows: int
        columns: list[Column]

    @dataclass
    class Context:
        run_id: str
        task: int
        attempt: int
        combines: bool
        input: Schema
        config: str


__all__ = ["Batch", "Column", "Context", "Field", "Schema"]
