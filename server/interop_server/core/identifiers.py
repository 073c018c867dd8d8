"""User-visible identifiers: their form and their normal form; knows no account that has them."""

import re

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import IdentifierType

MAX_IDENTIFIER_BYTES = 320
"""The largest length of an e-mail address (RFC 3696, erratum 1690)."""

_FIELD = "external_id"
"""The name of an identifier's field in requests."""
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,255}")
_PHONE = re.compile(r"\+?[0-9]{5,15}")
_USERNAME = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}")


def normalize_identifier(identifier: str, kind: IdentifierType) -> str:
    """Returns the form under which an identifier is stored and compared (OPT-08).

    Args:
        identifier: The identifier, as a user writes it.
        kind: The kind of identifier that the partner uses.

    Returns:
        E-mail addresses and user names in lower case, phone numbers as digits.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    text, field = identifier.strip(), _FIELD
    if len(text.encode("utf-8", "surrogatepass")) > MAX_IDENTIFIER_BYTES:
        raise Refusal(
            Reason.REQUEST_MALFORMED,
            f"an identifier is longer than {MAX_IDENTIFIER_BYTES} bytes",
            field=field,
            requirement="ENL-02",
        )
    if kind is IdentifierType.PHONE:
        return normalize_phone_number(text)
    form = _EMAIL if kind is IdentifierType.EMAIL else _USERNAME
    if not form.fullmatch(text) or not _is_encodable(text):
        raise Refusal(
            Reason.REQUEST_MALFORMED,
            f"an identifier is not a valid {kind.name.lower()}",
            field=field,
            requirement="ENL-02",
        )
    return text.casefold()


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


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
