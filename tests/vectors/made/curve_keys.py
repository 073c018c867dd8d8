"""Which 32 bytes are a public key, and which two are the same."""

from interop_protocol.curve_keys import FIELD_PRIME, WeakKey, check_public_key
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import flag, octets, optional
from tests.vectors.fixed import flip, public_key, seq
from tests.weak_keys import LOW_ORDER

_FIELDS = {
    "public_key": octets("What came in."),
    "valid": flag("Whether it may be used. A server answers KEY_MALFORMED to one that is not."),
    "canonical": optional(octets("The key without its top bit: the form in which keys are compared.", 32)),
}


def document() -> Document:
    """Returns the file."""
    right = public_key(seq(0))
    given = [
        ("right", "The public key of the bytes 0 to 31.", right),
        ("with-top-bit", "The same key: the top bit is ignored.", flip(right, -1, 0x80)),
        ("short", "31 bytes.", right[:-1]),
        ("long", "33 bytes: the type byte 0x05 does not belong here.", b"\5" + right),
        ("not-below-p", "p + 9: a number of p or more, although 9 is a right key.", _number(FIELD_PRIME + 9)),
        ("base-point", "9, the base point, is a right key like any other.", _number(9)),
        *((f"low-order-{position}", "Every secret that is agreed with it is zero.", key)
          for position, key in enumerate(sorted(LOW_ORDER), 1)),
    ]  # fmt: skip
    return Document(
        "curve_keys",
        "Curve25519 public keys as they come in: check each, wherever it stands, before it is used.",
        ("KEY-02", "KEY-04"),
        _FIELDS,
        [_vector(*each) for each in given],
    )


def _number(value: int) -> bytes:
    return value.to_bytes(32, "little")


def _vector(name: str, comment: str, key: bytes) -> Vector:
    try:
        canonical = check_public_key(key).hex()
    except WeakKey:
        canonical = None
    return {
        "name": name,
        "comment": comment,
        "public_key": key.hex(),
        "valid": canonical is not None,
        "canonical": canonical,
    }
