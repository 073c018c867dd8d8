"""Curve25519 public keys that nobody may take, as literals; imports nothing that is tested.

Source: https://cr.yp.to/ecdh.html#validate lists the coordinates of low order; RFC 7748 has p = 2^255 - 19.
"""

LOW_ORDER = [
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        # Not canonical: p and p + 1, which are 0 and 1.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        # Of low order for whoever reads the top bit as part of the number: p + the two of order 8, 2p - 1, 2p, 2p + 1.
        "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
        "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
        "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
]
"""In every encoding, apart from the top bit."""

NOT_CANONICAL = [
    bytes.fromhex(f"{first:02x}" + "ff" * 30 + "7f") for first in (0xED, 0xEE, 0xEF, 0xF0, 0xF6, 0xFE, 0xFF)
]
"""p, p + 1, p + 2, p + 3, p + 9 (the base point), p + 17 and p + 18, the last that fits."""


def with_top_bit(key: bytes) -> bytes:
    """The same key, with its top bit set."""
    return key[:-1] + bytes((key[-1] | 0x80,))
