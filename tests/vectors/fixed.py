"""Keys and randomness that are the same in every run; knows no protocol.

Each secret is made from a label, so that no two are the same by accident and nobody can take one for a key in use.
"""

import hashlib
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def secret(label: str, length: int = 32) -> bytes:
    """Returns bytes that nothing but a label decides: SHAKE-256 of it."""
    return hashlib.shake_256(f"interopsim test vector: {label}".encode()).digest(length)


def seq(start: int) -> bytes:
    """Returns the 32 bytes start, start + 1, …, as SPEC.md writes its keys."""
    return bytes(range(start, start + 32))


def public_key(private_key: bytes) -> bytes:
    """Returns the X25519 public key of a private key."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def flip(value: bytes, position: int = -1, mask: int = 1) -> bytes:
    """Returns bytes of which one bit, or those of a mask, is another."""
    changed = bytearray(value)
    changed[position] ^= mask
    return bytes(changed)


class Given:
    """The port for randomness, which gives out what it was given, in order.

    Args:
        values: What is asked for, each of the length that is asked for.
    """

    def __init__(self, *values: bytes) -> None:
        self._values: Iterator[bytes] = iter(values)

    def __call__(self, count: int) -> bytes:
        value = next(self._values, None)
        assert value is not None, f"nobody expected {count} more random bytes"
        assert len(value) == count
        return value

    def is_used_up(self) -> bool:
        """Says whether everything was asked for."""
        return next(self._values, None) is None
