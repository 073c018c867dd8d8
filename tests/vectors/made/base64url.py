"""Base64url: which text is which value, and which is none."""

from interop_protocol.encoding import decode_base64url
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import flag, number, octets, optional, text

_FIELDS = {
    "text": text("What came."),
    "length": number("How many bytes it must stand for: a reader always knows."),
    "valid": flag("Whether it does."),
    "value": optional(octets("The bytes.")),
    "written": optional(text("The one text that a writer makes of them.")),
}
_GIVEN = [
    ("three-bytes", "No padding is needed.", "_tdJ", 3),
    ("one-byte", "Without padding, as writers leave it out.", "BQ", 1),
    ("one-byte-padded", "With all of its padding.", "BQ==", 1),
    ("two-bytes-padded", "With all of its padding.", "BQU=", 2),
    ("nothing", "No bytes.", "", 0),
    ("both-special-characters", "`-` and `_`.", "-_-_", 3),
    ("half-padded", "Some of its padding.", "BQ=", 1),
    ("too-much-padding", "More than its padding.", "BQ===", 1),
    ("padding-where-none-is-needed", "A padding of its own.", "_tdJ====", 3),
    ("unused-bits", "The unused bits of the last character are not zero.", "BR", 1),
    ("standard-alphabet", "`+` and `/` are of the other alphabet.", "+/+/", 3),
    ("too-short", "A byte less than it must have.", "BQ", 2),
    ("too-long", "A byte more.", "BQUF", 2),
    ("blank", "Nothing is skipped.", "B Q", 1),
    ("line-feed", "Not even at the end.", "BQ\n", 1),
    ("padding-inside", "Padding is only at the end.", "BQ==BQ==", 4),
]


def document() -> Document:
    """Returns the file."""
    return Document(
        "base64url",
        "Base64url as forms and upload tokens have it: read each text as so many bytes, or refuse it.",
        ("ENL-09", "MED-05"),
        _FIELDS,
        [_vector(*given) for given in _GIVEN],
    )


def _vector(name: str, comment: str, given: str, length: int) -> Vector:
    try:
        value = decode_base64url(given, length)
    except ValueError:
        value = None
    return {
        "name": name,
        "comment": comment,
        "text": given,
        "length": length,
        "valid": value is not None,
        "value": None if value is None else value.hex(),
        "written": None if value is None else given.rstrip("="),
    }
