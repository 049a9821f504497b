"""What a splitter works with: the source's objects and their bytes, and the shards it adds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import host, wire
from .data_types import checked
from .schema import Schema

CHUNK_BYTES = 1024 * 1024
"""Number of bytes of an object that are read at a time; the host returns at most 8 MiB."""
PAGE_SHARDS = 256
"""Number of shards of slices that are handed to the host at a time."""


@dataclass(frozen=True)
class Object:
    """One object of the source."""

    name: str
    size: int
    splittable: bool = True
    """Whether a slice may be a part of it; false for compressed objects."""


@dataclass(frozen=True)
class Slice:
    """A byte range of an object. A record belongs to the slice in which it starts."""

    object: str
    offset: int
    length: int

    @staticmethod
    def whole(of: Object) -> Slice:
        """Returns a slice of the whole object."""
        return Slice(of.name, 0, of.size)


class Source:
    """The source's objects and their bytes."""

    def objects(self) -> Iterator[Object]:
        """Returns the source's objects, sorted by name. They are listed page by page, when they are asked for."""
        last = None
        while page := host.functions.list(last):
            yield from page
            last = page[-1].name

    def read(self, object: str, offset: int, length: int) -> bytes:
        """Reads bytes of an object from `offset`; fewer at the object's end, and at most 8 MiB.

        Raises `Retryable` when the store fails, and `Fatal` when there are no such bytes.
        """
        return host.functions.read(object, offset, length)

    def chunks(self, of: Object, offset: int = 0) -> Iterator[bytes]:
        """Reads an object from `offset` to its end, in chunks of 1 MiB."""
        while offset < of.size:
            chunk = self.read(of.name, offset, CHUNK_BYTES)
            if not chunk:
                return
            yield chunk
            offset += len(chunk)


class Shards:
    """Takes the shards that a splitter makes; they go to the host in pages, so there may be any number of them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._page: list[list[Slice] | wire.Batch] = []

    def add(self, *slices: Slice) -> None:
        """Adds a shard of these slices, of which there must be at least one, and which are read in this order."""
        self._page.append(list(slices))
        if len(self._page) >= PAGE_SHARDS:
            self.flush()

    def add_records(self, rows: Iterable[Sequence[Any]]) -> None:
        """Adds a shard of records, each a value for each column of the source's schema."""
        rows = list(rows)
        values = zip(*rows) if rows else ([] for _ in self._schema.fields)
        columns = [column for field, of in zip(self._schema.fields, values) for column in checked(field, list(of))]
        self._page.append(wire.Batch(len(rows), columns))
        # A shard of records is large enough to be handed over at once.
        self.flush()

    def flush(self) -> None:
        """Hands the shards kept so far to the host."""
        if self._page:
            host.functions.add(self._page)
            self._page = []
