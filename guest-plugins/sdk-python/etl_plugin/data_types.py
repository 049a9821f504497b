"""The types of columns, and how their values are read from Arrow's buffers and written to them.

Nothing here is part of a step: authors use the names that the package exports.
"""

from __future__ import annotations

import datetime
import decimal
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

from . import wire
from .bits import read_bits, write_bits

JSON = ("ARROW:extension:name", "arrow.json")


class DataType:
    """The type of a column. `Text | None` is the type of a column that may hold nulls."""

    format: str
    """The format string of Arrow's C data interface."""
    python: tuple[type, ...]
    """The Python types that a value may have."""
    filler: Any
    """The value that is written in place of a null."""
    width = 8
    """Bytes of a value; of those with a length of its own, the bytes besides that length."""
    is_sized = False
    """Whether each value has a length of its own."""

    @property
    def parts(self) -> list[Field]:
        """The fields that the type is nested of."""
        return []

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return []

    def __or__(self, other: None) -> Nullable:
        return NotImplemented if other is not None else Nullable(self)

    def read(self, node: Node) -> list[Any]:
        """Returns the values of a column; those that are null may be anything."""
        raise NotImplementedError

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        """Returns the buffers of a column that holds the values, and the columns it is nested of.

        Raises `TypeError`, `ValueError` or `OverflowError` when a value does not fit.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Nullable:
    """A type whose values may be null, which Python calls `None`."""

    of: DataType

    def __or__(self, other: None) -> Nullable:
        return self


@dataclass(frozen=True)
class Field:
    """The name and type of a column, or of a part of a nested column."""

    name: str
    type: DataType
    nullable: bool = False

    @staticmethod
    def of(name: str, what: DataType | Nullable) -> Field:
        """Returns a field of a type, which holds nulls if the type says so."""
        if isinstance(what, Nullable):
            return Field(name, what.of, True)
        if isinstance(what, type) and issubclass(what, DataType):
            raise TypeError(f"`{name}`: the type {what.__name__} takes arguments, as in `{what.__name__}(…)`")
        if not isinstance(what, DataType):
            raise TypeError(f"`{name}`: {what!r} is not a type of etl_plugin (`Text`, `Int64`, `Decimal(10, 2)`, …)")
        return Field(name, what)

    def write(self, values: Sequence[Any]) -> list[wire.Column]:
        """Returns the column that holds the values, followed by the columns it is nested of."""
        validity = None
        if self.nullable and None in values:
            validity = write_bits([value is not None for value in values])
            filler = self.type.filler
            values = [filler if value is None else value for value in values]
        buffers, parts = self.type.write(values)
        return [wire.Column(len(values), validity, buffers), *parts]


@dataclass
class Node:
    """A column from the host, with the columns it is nested of."""

    field: Field
    length: int
    validity: bytes | None
    buffers: list[bytes]
    children: list[Node]

    def values(self) -> list[Any]:
        """Returns the values, with `None` for each null."""
        values = self.field.type.read(self)
        if self.validity is None:
            return values
        there = read_bits(self.validity, self.length)
        return [value if is_there else None for value, is_there in zip(values, there)]

    def offsets(self) -> list[int]:
        return memoryview(self.buffers[0]).cast("i").tolist()


def _offsets(lengths: Sequence[int]) -> bytes:
    return array("i", accumulate(lengths, initial=0)).tobytes()


@dataclass(frozen=True)
class _Boolean(DataType):
    format = "b"
    python = (bool,)
    width = 1
    filler = False

    def read(self, node: Node) -> list[Any]:
        return read_bits(node.buffers[0], node.length)

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        return [write_bits(values)], []

    def __str__(self) -> str:
        return "boolean"


@dataclass(frozen=True)
class _Number(DataType):
    """Integers and floating-point numbers, whose buffers are arrays of `code`."""

    name: str
    format: str
    code: str
    filler = 0

    @property
    def python(self) -> tuple[type, ...]:
        return (float, int) if self.code in "fde" else (int,)

    @property
    def width(self) -> int:
        return struct.calcsize(self.code)

    def read(self, node: Node) -> list[Any]:
        if self.code == "e":
            return list(struct.unpack(f"<{node.length}e", node.buffers[0]))
        return memoryview(node.buffers[0]).cast(self.code).tolist()

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        if self.code == "e":
            return [struct.pack(f"<{len(values)}e", *values)], []
        return [array(self.code, values).tobytes()], []

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class _Bytes(DataType):
    """Text and bytes: each value has a length of its own."""

    name: str
    format: str
    is_json: bool = False
    is_sized = True

    @property
    def python(self) -> tuple[type, ...]:
        return (bytes,) if self.format == "z" else (str,)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [JSON] if self.is_json else []

    @property
    def filler(self) -> Any:
        return b"" if self.format == "z" else ""

    def read(self, node: Node) -> list[Any]:
        offsets, data = node.offsets(), node.buffers[1]
        if self.format == "z":
            return list(map(data.__getitem__, map(slice, offsets, offsets[1:])))
        return texts(data, offsets)

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        if self.format == "u":
            text = "".join(values)
            data = text.encode()
            if len(data) == len(text):
                # Bytes and characters are the same, so all texts are encoded at once.
                return [_offsets(list(map(len, values))), data], []
            values = [value.encode() for value in values]
        return [_offsets(list(map(len, values))), b"".join(values)], []

    def __str__(self) -> str:
        return self.name


def texts(data: bytes, offsets: Sequence[int]) -> list[str]:
    """Returns the texts between the offsets of UTF-8 data."""
    if data.isascii():
        # Bytes and characters are the same, so the text is decoded once and then cut.
        return list(map(data.decode("ascii").__getitem__, map(slice, offsets, offsets[1:])))
    return [data[start:end].decode() for start, end in zip(offsets, offsets[1:])]


@dataclass(frozen=True)
class FixedBinary(DataType):
    """Bytes of any kind, always this many."""

    size: int
    python = (bytes,)

    @property
    def format(self) -> str:
        return f"w:{self.size}"

    @property
    def width(self) -> int:
        return self.size

    @property
    def filler(self) -> bytes:
        return bytes(self.size)

    def read(self, node: Node) -> list[Any]:
        data, size = node.buffers[0], self.size
        return [data[start : start + size] for start in range(0, node.length * size, size)]

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        for value in values:
            if len(value) != self.size:
                raise ValueError(f"a value has {len(value)} bytes, not {self.size}")
        return [b"".join(values)], []

    def __str__(self) -> str:
        return f"binary({self.size})"


EXACT = decimal.Context(prec=80, traps=[decimal.InvalidOperation])


@dataclass(frozen=True)
class Decimal(DataType):
    """Exact decimal numbers of `precision` digits (1 to 38), `scale` of them behind the point: `decimal.Decimal`."""

    precision: int
    scale: int = 0
    python = (decimal.Decimal, int)
    width = 16
    filler = 0

    @property
    def format(self) -> str:
        return f"d:{self.precision},{self.scale}"

    def read(self, node: Node) -> list[Any]:
        data, scale = node.buffers[0], -self.scale
        numbers = (int.from_bytes(data[start : start + 16], "little", signed=True) for start in range(0, len(data), 16))
        return [EXACT.scaleb(decimal.Decimal(number), scale) for number in numbers]

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        return [b"".join(self._unscaled(value).to_bytes(16, "little", signed=True) for value in values)], []

    def _unscaled(self, value: decimal.Decimal | int) -> int:
        scaled = EXACT.scaleb(EXACT.create_decimal(value), self.scale)
        if not scaled.is_finite() or scaled != scaled.to_integral_value(context=EXACT):
            raise ValueError(f"{value} has more than {self.scale} digits behind the point")
        unscaled = int(scaled)
        if abs(unscaled) >= 10**self.precision:
            raise OverflowError(f"{value} has more than {self.precision - self.scale} digits before the point")
        return unscaled

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})"


EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=datetime.timezone.utc)
EPOCH_DAY = EPOCH.date().toordinal()
MICROSECOND = datetime.timedelta(microseconds=1)
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class _Date(DataType):
    format = "tdD"
    python = (datetime.date,)
    width = 4
    filler = EPOCH.date()

    def read(self, node: Node) -> list[Any]:
        days = memoryview(node.buffers[0]).cast("i")
        return [datetime.date.fromordinal(day + EPOCH_DAY) for day in days]

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        return [array("i", [day.toordinal() - EPOCH_DAY for day in values]).tobytes()], []

    def __str__(self) -> str:
        return "date"


@dataclass(frozen=True)
class _Counted(DataType):
    """Times that are counted in a unit. Python has no type for nanoseconds, so those are read and written as `int`."""

    unit: str = "us"
    code = "q"
    type = object

    def __post_init__(self) -> None:
        if self.unit not in PER_SECOND:
            raise ValueError(f"`{self.unit}` is not a unit of time (`s`, `ms`, `us`, `ns`)")

    @property
    def python(self) -> tuple[type, ...]:
        return (int,) if self.unit == "ns" else (self.type,)

    @property
    def filler(self) -> Any:
        return 0 if self.unit == "ns" else self.from_micros(0)

    @property
    def width(self) -> int:
        return struct.calcsize(self.code)

    @property
    def letter(self) -> str:
        return self.unit[0]

    def read(self, node: Node) -> list[Any]:
        counts = memoryview(node.buffers[0]).cast(self.code)
        if self.unit == "ns":
            return counts.tolist()
        micros = 1_000_000 // PER_SECOND[self.unit]
        return [self.from_micros(count * micros) for count in counts]

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        if self.unit != "ns":
            values = [self._count(value) for value in values]
        return [array(self.code, values).tobytes()], []

    def _count(self, value: Any) -> int:
        count, rest = divmod(self.to_micros(value), 1_000_000 // PER_SECOND[self.unit])
        if rest:
            raise ValueError(f"{value} is finer than the column's unit `{self.unit}`")
        return count

    def from_micros(self, micros: int) -> Any:
        raise NotImplementedError

    def to_micros(self, value: Any) -> int:
        raise NotImplementedError


@dataclass(frozen=True)
class Timestamp(_Counted):
    """Points in time: `datetime.datetime`, in UTC if the type has a time zone, and otherwise without one."""

    zone: str | None = None
    type = datetime.datetime

    @property
    def format(self) -> str:
        return f"ts{self.letter}:{self.zone or ''}"

    def from_micros(self, micros: int) -> Any:
        return (EPOCH_UTC if self.zone else EPOCH) + datetime.timedelta(microseconds=micros)

    def to_micros(self, value: Any) -> int:
        if (value.tzinfo is not None) != (self.zone is not None):
            has = "no time zone" if value.tzinfo is None else "a time zone"
            raise ValueError(f"{value} has {has}, unlike its column")
        return (value - (EPOCH_UTC if self.zone else EPOCH)) // MICROSECOND

    def __str__(self) -> str:
        return f"timestamp({self.unit}, {self.zone})" if self.zone else f"timestamp({self.unit})"


@dataclass(frozen=True)
class Duration(_Counted):
    """Spans of time: `datetime.timedelta`."""

    type = datetime.timedelta

    @property
    def format(self) -> str:
        return f"tD{self.letter}"

    def from_micros(self, micros: int) -> Any:
        return datetime.timedelta(microseconds=micros)

    def to_micros(self, value: Any) -> int:
        return value // MICROSECOND

    def __str__(self) -> str:
        return f"duration({self.unit})"


@dataclass(frozen=True)
class Time(_Counted):
    """Times of day: `datetime.time`."""

    type = datetime.time

    @property
    def format(self) -> str:
        return f"tt{self.letter}"

    @property
    def code(self) -> str:
        return "i" if self.unit in ("s", "ms") else "q"

    def from_micros(self, micros: int) -> Any:
        return (EPOCH + datetime.timedelta(microseconds=micros)).time()

    def to_micros(self, value: Any) -> int:
        return (datetime.datetime.combine(EPOCH.date(), value.replace(tzinfo=None)) - EPOCH) // MICROSECOND

    def __str__(self) -> str:
        return f"time({self.unit})"


class _Nested(DataType):
    is_sized = True
    width = 16


@dataclass(frozen=True)
class List(_Nested):
    """Lists of items, some of which may be null: `list`."""

    item: DataType | Field
    format = "+l"
    python = (list, tuple)
    filler = ()

    @property
    def parts(self) -> list[Field]:
        return [self.item if isinstance(self.item, Field) else Field("item", self.item, True)]

    def read(self, node: Node) -> list[Any]:
        offsets, items = node.offsets(), node.children[0].values()
        return list(map(items.__getitem__, map(slice, offsets, offsets[1:])))

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        items = list(chain.from_iterable(values))
        return [_offsets(list(map(len, values)))], checked(self.parts[0], items)

    def __str__(self) -> str:
        return f"list<{self.parts[0].type}>"


@dataclass(frozen=True)
class Struct(_Nested):
    """Structs of members, each with a name and a type: `dict`."""

    members: tuple[Field, ...]
    format = "+s"
    python = (dict,)

    def __init__(self, members: Mapping[str, DataType | Nullable] | Sequence[Field]) -> None:
        if isinstance(members, Mapping):
            members = [Field.of(name, what) for name, what in members.items()]
        object.__setattr__(self, "members", tuple(members))

    @property
    def parts(self) -> list[Field]:
        return list(self.members)

    @property
    def filler(self) -> Any:
        return {member.name: None if member.nullable else member.type.filler for member in self.members}

    def read(self, node: Node) -> list[Any]:
        names = [member.name for member in self.members]
        if not names:
            return [{} for _ in range(node.length)]
        return [dict(zip(names, values)) for values in zip(*(child.values() for child in node.children))]

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        known = {member.name for member in self.members}
        for value in values:
            if not known.issuperset(value):
                raise ValueError(f"{sorted(set(value) - known)[0]!r} is not a member of {self}")
        parts = (checked(member, [value.get(member.name) for value in values]) for member in self.members)
        return [], list(chain.from_iterable(parts))

    def __str__(self) -> str:
        return f"struct<{', '.join(f'{member.name}: {member.type}' for member in self.members)}>"


@dataclass(frozen=True)
class Map(_Nested):
    """Maps of keys to values, some of which may be null: `dict`."""

    key: DataType | Field
    value: DataType | Field
    format = "+m"
    python = (dict,)

    @property
    def parts(self) -> list[Field]:
        key = self.key if isinstance(self.key, Field) else Field("key", self.key)
        value = self.value if isinstance(self.value, Field) else Field("value", self.value, True)
        return [Field("entries", Struct((key, value)))]

    @property
    def filler(self) -> Any:
        return {}

    def read(self, node: Node) -> list[Any]:
        (entries,) = node.children
        offsets, keys, values = node.offsets(), entries.children[0].values(), entries.children[1].values()
        return [dict(zip(keys[start:end], values[start:end])) for start, end in zip(offsets, offsets[1:])]

    def write(self, values: Sequence[Any]) -> tuple[list[bytes], list[wire.Column]]:
        key, value = self.parts[0].type.parts
        entries = list(chain.from_iterable(map(dict.items, values)))
        parts = [*checked(key, [pair[0] for pair in entries]), *checked(value, [pair[1] for pair in entries])]
        return [_offsets(list(map(len, values)))], [wire.Column(len(entries), None, []), *parts]

    def __str__(self) -> str:
        key, value = self.parts[0].type.parts
        return f"map<{key.type}, {value.type}>"


def checked(field: Field, values: Sequence[Any]) -> list[wire.Column]:
    """Writes values as a field does, after checking their Python types. The error names the field and a wrong value."""
    accepted = set(field.type.python) | ({type(None)} if field.nullable else set())
    if not accepted.issuperset(map(type, values)):
        wrong = next(value for value in values if type(value) not in accepted)
        raise TypeError(f"`{field.name}` is {field.type}, which cannot hold {shown(wrong)}")
    try:
        return field.write(values)
    except (ValueError, OverflowError, TypeError) as error:
        kind = ValueError if isinstance(error, UnicodeError) else type(error)
        raise kind(f"`{field.name}` ({field.type}): {_wrong_value(field, values)}{error}") from None


def _wrong_value(field: Field, values: Sequence[Any]) -> str:
    """Returns the first value that a field cannot hold alone, for a message."""
    for value in values:
        try:
            field.write([value])
        except (ValueError, OverflowError, TypeError):
            return f"{shown(value)}: "
    return ""


def shown(value: Any) -> str:
    """Returns a value for a message, cut to a readable length."""
    text = "None (the column is not nullable)" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


Boolean = _Boolean()
Int8 = _Number("int8", "c", "b")
Int16 = _Number("int16", "s", "h")
Int32 = _Number("int32", "i", "i")
Int64 = _Number("int64", "l", "q")
UInt8 = _Number("uint8", "C", "B")
UInt16 = _Number("uint16", "S", "H")
UInt32 = _Number("uint32", "I", "I")
UInt64 = _Number("uint64", "L", "Q")
Float16 = _Number("float16", "e", "e")
Float32 = _Number("float32", "f", "f")
Float64 = _Number("float64", "g", "d")
Date = _Date()
Text = _Bytes("text", "u")
Json = _Bytes("json", "u", True)
Binary = _Bytes("binary", "z")

PLAIN: dict[str, DataType] = {
    of.format: of
    for of in (Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float16, Float32, Float64)
} | {of.format: of for of in (Date, Text, Binary)}
UNITS: dict[str, str] = {unit[0]: unit for unit in PER_SECOND}
COUNTED: dict[str, Callable[..., DataType]] = {"tt": Time, "tD": Duration}


def read_type(field: wire.Field, parts: list[Field]) -> DataType:
    """Returns the type that a field from the host has."""
    code = field.format
    if code == "u" and JSON in [tuple(pair) for pair in field.metadata]:
        return Json
    if code in PLAIN:
        return PLAIN[code]
    if code == "+l":
        return List(parts[0])
    if code == "+s":
        return Struct(parts)
    if code == "+m":
        key, value = parts[0].type.parts
        return Map(key, value)
    if code.startswith("d:"):
        precision, scale = code[2:].split(",")
        return Decimal(int(precision), int(scale))
    if code.startswith("w:"):
        return FixedBinary(int(code[2:]))
    if code.startswith("ts"):
        return Timestamp(UNITS[code[2]], code[4:] or None)
    return COUNTED[code[:2]](UNITS[code[2]])
