"""Reads the fields of vectors from their files; knows nothing of how they were made."""

import re

from tests.vectors.documents import Vector

_OCTETS = re.compile("([0-9a-f]{2})*")


def octets(vector: Vector, name: str) -> bytes:
    """Returns a field of bytes."""
    value = optional_octets(vector, name)
    assert value is not None, name
    return value


def optional_octets(vector: Vector, name: str) -> bytes | None:
    """Returns a field of bytes that may be null."""
    value = vector[name]
    if value is None:
        return None
    assert _OCTETS.fullmatch(value), name
    return bytes.fromhex(value)


def number_or_none(vector: Vector, name: str) -> int | None:
    """Returns a field of 64 bits that may be null."""
    value = vector[name]
    return None if value is None else int(value)
