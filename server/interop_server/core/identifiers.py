"""User-visible identifiers: their form and their normal form; knows no account that has them.

The rule follows PRECIS (RFC 8264, IdentifierClass; RFC 8265, UsernameCaseMapped) and is stricter in three places: no
joiners, nothing beyond ASCII but letters, marks and digits, and wide forms are refused, not mapped. Nothing is folded:
what people spell differently are different people.
"""

import re
import unicodedata

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import IdentifierType

MAX_IDENTIFIER_BYTES = 320
"""The largest length of an e-mail address (RFC 3696, erratum 1690)."""

_MOST_WRITTEN_BYTES = 4 * MAX_IDENTIFIER_BYTES
"""How long an identifier may be as it is written: decomposed, it takes more room than in its normal form."""
_TOO_LONG = f"is longer than {MAX_IDENTIFIER_BYTES} bytes"
_FIELD = "external_id"
"""The name of an identifier's field in requests."""
_SPACE = " \t\r\n"
_EMAIL = re.compile(r"[^@]{1,64}@[^@]{1,255}")
_PHONE = re.compile(r"\+?[0-9]{5,15}")
_USERNAME = re.compile(r"[^@]{1,64}")
_LETTERS_AND_DIGITS = frozenset({"Ll", "Lu", "Lo", "Lm", "Mn", "Mc", "Nd"})
_ALSO_ALLOWED = frozenset("\u06fd\u06fe\u0f0b\u3007")
"""Signs that words are written with (RFC 8264, section 9.6)."""
_REFUSED = re.compile(
    "[\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b"  # lengthen or repeat a letter (RFC 8264, section 9.6)
    "\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # cannot be seen (section 9.13)
    "\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]"  # parts of a syllable that no syllable was made of (section 9.9)
)
_ARABIC_DIGITS, _EXTENDED_ARABIC_DIGITS = re.compile("[\u0660-\u0669]"), re.compile("[\u06f0-\u06f9]")
_LEFT_TO_RIGHT, _RIGHT_TO_LEFT = {"L"}, {"R", "AL"}


def normalize_identifier(identifier: str, kind: IdentifierType) -> str:
    """Returns the form under which an identifier is stored and compared (OPT-08).

    Args:
        identifier: The identifier, as a user writes it.
        kind: The kind of identifier that the partner uses.

    Returns:
        E-mail addresses and user names composed (NFC) and in lower case, phone numbers as digits.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    text = identifier.strip(_SPACE)
    if len(text.encode("utf-8", "surrogatepass")) > _MOST_WRITTEN_BYTES:
        raise _malformed(_TOO_LONG)
    if kind is IdentifierType.PHONE:
        return normalize_phone_number(text)
    normal = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    form = _EMAIL if kind is IdentifierType.EMAIL else _USERNAME
    if not form.fullmatch(normal):
        raise _malformed(f"is not a valid {kind.name.lower()}")
    if objection := _objection(normal):
        raise _malformed(objection)
    if len(normal.encode()) > MAX_IDENTIFIER_BYTES:
        raise _malformed(_TOO_LONG)
    return normal


def normalize_phone_number(number: str, field: str = _FIELD) -> str:
    """Returns an E.164 number as digits, without separators and `+`.

    Args:
        number: The number, as a user writes it.
        field: Path of the number in the request.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    compact = number.translate({ord(character): None for character in " -().\u00a0"})
    if not _PHONE.fullmatch(compact) or compact.lstrip("+").startswith("0"):
        detail = "a phone number has 5 to 15 digits in E.164 form, like +4915112345678"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field=field, requirement="ENL-02")
    return compact.removeprefix("+")


def normalize_e164_number(number: str) -> str:
    """Returns a number that is given with `+` and the country code as digits.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    if not number.startswith("+"):
        detail = "`phone_number` starts with `+` and the country code"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="phone_number", requirement="ENL-02")
    return normalize_phone_number(number, "phone_number")


def _objection(normal: str) -> str:
    """Returns what an identifier in normal form must not have; empty when it is fine."""
    for character in normal:
        if not _is_allowed(character):
            return f"has U+{ord(character):04X}: take letters, digits, or what ASCII has beside them except blanks"
    if _ARABIC_DIGITS.search(normal) and _EXTENDED_ARABIC_DIGITS.search(normal):
        return "mixes two kinds of Arabic digits that look alike"
    for part in re.split("[@.]", normal):
        if part and unicodedata.category(part[0]).startswith("M"):
            return "begins with a mark that belongs to a letter before it"
        directions = {unicodedata.bidirectional(character) for character in part}
        if directions & _LEFT_TO_RIGHT and directions & _RIGHT_TO_LEFT:
            return "mixes letters of both directions of writing"
    return ""


def _is_allowed(character: str) -> bool:
    if character.isascii():
        return "!" <= character <= "~"
    if unicodedata.category(character) not in _LETTERS_AND_DIGITS:
        return character in _ALSO_ALLOWED
    # A character that Unicode calls another one in a different font or size looks like it, and is not it.
    return unicodedata.normalize("NFKC", character) == character and not _REFUSED.match(character)


def _malformed(why: str) -> Refusal:
    return Refusal(Reason.REQUEST_MALFORMED, f"an identifier {why}", field=_FIELD, requirement="ENL-02")
