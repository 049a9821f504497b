"""The columns of rows: which there are, and how schemas and batches cross the boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from . import wire
from .data_types import DataType, Field, Node, Nullable, read_type
from .errors import InvalidInput


class Schema:
    """The columns of rows. Those of `key` come first; by them the shuffle groups.

    >>> Schema(key={"city": Text}, values={"pieces": Int64, "price": Decimal(10, 2) | None})
    """

    def __init__(
        self,
        key: Mapping[str, DataType | Nullable] | None = None,
        values: Mapping[str, DataType | Nullable] | None = None,
    ) -> None:
        columns = [*(key or {}).items(), *(values or {}).items()]
        self.fields = tuple(Field.of(name, what) for name, what in columns)
        self.key_fields = len(key or {})

    @staticmethod
    def of(fields: Iterable[Field], key_fields: int) -> Schema:
        """Returns the schema of these columns, the first of which are the key."""
        schema = Schema()
        schema.fields, schema.key_fields = tuple(fields), key_fields
        return schema

    @staticmethod
    def lines() -> Schema:
        """Returns the schema of lines: one `binary` column named `line`."""
        from .data_types import Binary

        return Schema(values={"line": Binary})

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    def index(self, name: str) -> int:
        """Returns the index of a column; raises `InvalidInput` if there is none of this name."""
        if name not in self.names:
            raise InvalidInput(f"the input has no column `{name}` (its columns: {self})")
        return self.names.index(name)

    def check(self, reads: Mapping[str, DataType | Nullable]) -> None:
        """Raises `InvalidInput` unless the columns are there and have these types."""
        for name, what in reads.items():
            wanted, found = Field.of(name, what), self.fields[self.index(name)]
            if str(found.type) != str(wanted.type):
                raise InvalidInput(f"column `{name}` of the input is {found.type}, not {wanted.type}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and (self.fields, self.key_fields) == (other.fields, other.key_fields)

    def __str__(self) -> str:
        return ", ".join(f"`{field.name}` {field.type}" for field in self.fields)

    __repr__ = __str__


def write_schema(schema: Schema) -> wire.Schema:
    """Converts a schema for the host: each field is followed by the parts that it is nested of."""

    def flat(fields: Iterable[Field]) -> Iterator[wire.Field]:
        for field in fields:
            of = field.type
            yield wire.Field(field.name, of.format, field.nullable, len(of.parts), of.metadata)
            yield from flat(of.parts)

    return wire.Schema(list(flat(schema.fields)), schema.key_fields)


def read_schema(schema: wire.Schema) -> Schema:
    """Converts a schema from the host."""
    rest = iter(schema.fields)

    def field(of: wire.Field) -> Field:
        return Field(of.name, read_type(of, [field(next(rest)) for _ in range(of.children)]), of.nullable)

    return Schema.of([field(of) for of in rest], schema.key_fields)


def read_batch(schema: Schema, batch: wire.Batch) -> list[Node]:
    """Returns the columns of a batch, each with those it is nested of."""
    rest = iter(batch.columns)

    def node(field: Field) -> Node:
        column = next(rest)
        children = [node(part) for part in field.type.parts]
        return Node(field, column.length, column.validity, column.buffers, children)

    return [node(field) for field in schema.fields]
