"""Which addresses a stanza may name, and the refusals of others; knows no account."""

from interop_protocol.jid import Jid, JidError, parse_jid
from interop_server.core.errors import Reason, Refusal

_REASONS = {
    "GROUP_ADDRESS": Reason.GROUPS_NOT_SUPPORTED,
    "NUMBER_BASED_ADDRESS": Reason.NUMBER_BASED_NOT_SUPPORTED,
    "CALL_ADDRESS": Reason.CALLS_NOT_SUPPORTED,
    "USER_VISIBLE_IDENTIFIER": Reason.USER_VISIBLE_IDENTIFIER,
    "UNSUPPORTED_DEVICE": Reason.ADDRESS_NAMES_DEVICE,
}


def check_address(text: str, field: str = "") -> Jid:
    """Parses the address of a recipient (MSG-01).

    Args:
        text: The address.
        field: Path of the address in the request.

    Raises:
        Refusal: USER_VISIBLE_IDENTIFIER, NUMBER_BASED_NOT_SUPPORTED, CALLS_NOT_SUPPORTED, GROUPS_NOT_SUPPORTED,
            ADDRESS_NAMES_DEVICE or ADDRESS_MALFORMED.
    """
    try:
        return parse_jid(text)
    except JidError as error:
        raise Refusal(_REASONS.get(error.reason, Reason.ADDRESS_MALFORMED), field=field) from error


def plain_jid(text: str) -> str:
    """Returns the one form of a JID, in which accounts are known; what is no JID stays as it is."""
    return jid_or_nothing(text) or text


def jid_or_nothing(text: str) -> str:
    """Returns the one form of a JID for the journal; nothing for a text that is none, and may be personal data."""
    try:
        return parse_jid(text).text
    except JidError:
        return ""
