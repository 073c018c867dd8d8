"""Which 32 bytes are a Curve25519 public key, and which two are the same key; knows nothing of what a key is for.

Source: RFC 7748, sections 5 and 6.1: the top bit is ignored, and a key of low order makes every shared secret zero.
Refusing what is not canonical is the simulator's choice: RFC 7748 would reduce it, and no honest library makes it.
"""

from interop_protocol.sizes import PUBLIC_KEY_BYTES

FIELD_PRIME = 2**255 - 19
"""The prime p: coordinates are numbers below it."""

_TOP_BIT = 0x80
_LOW_ORDER = frozenset(
    {
        0,
        1,
        FIELD_PRIME - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)
"""The u-coordinates of the points of order 1, 2, 4 and 8, on the curve and on its twist."""


class WeakKey(ValueError):
    """Bytes that are no Curve25519 public key, or one that protects nothing; the message says why."""


def canonical_key(public_key: bytes) -> bytes:
    """Returns a public key with its top bit cleared: the one form of all that are the same key (KEY-04).

    Args:
        public_key: 32 bytes, Curve25519 u-coordinate.
    """
    return public_key[:-1] + bytes((public_key[-1] & ~_TOP_BIT,)) if public_key[-1] & _TOP_BIT else public_key


def both_forms(public_key: bytes) -> tuple[bytes, bytes]:
    """Returns a public key with its top bit cleared, and with its top bit set: the same key twice (KEY-04)."""
    canonical = canonical_key(public_key)
    return canonical, canonical[:-1] + bytes((canonical[-1] | _TOP_BIT,))


def is_same_key(one: bytes, other: bytes) -> bool:
    """Says whether two public keys are the same: whether they differ in the top bit at most (KEY-04)."""
    return one == other or (len(one) == len(other) == PUBLIC_KEY_BYTES and canonical_key(one) == canonical_key(other))


def check_public_key(public_key: bytes) -> bytes:
    """Checks a public key that came from elsewhere, and returns it with its top bit cleared (KEY-02, KEY-04).

    A key has low order whether its top bit is ignored, as X25519 does, or read as part of the number.

    Args:
        public_key: What came.

    Returns:
        32 bytes.

    Raises:
        WeakKey: It does not have 32 bytes, has low order, or is not below p without its top bit.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise WeakKey(f"has {len(public_key)} bytes instead of {PUBLIC_KEY_BYTES}")
    canonical = canonical_key(public_key)
    number = int.from_bytes(canonical, "little")
    if number % FIELD_PRIME in _LOW_ORDER or int.from_bytes(public_key, "little") % FIELD_PRIME in _LOW_ORDER:
        raise WeakKey("has low order: whatever is agreed with it, everybody knows")
    if number >= FIELD_PRIME:
        raise WeakKey("is not a number below 2^255 - 19")
    return canonical
