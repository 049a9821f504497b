"""Bits, least significant first: whether values are there, and the values of booleans."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

_OF_BYTE = [tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256)]


def read_bits(data: bytes, count: int) -> list[bool]:
    """Returns the first `count` bits."""
    return list(islice(chain.from_iterable(map(_OF_BYTE.__getitem__, data)), count))


def write_bits(values: Iterable[object]) -> bytes:
    """Returns the truth of each value as a bit."""
    text = "".join("1" if value else "0" for value in values)
    if not text:
        return b""
    return int(text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")
