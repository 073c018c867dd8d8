"""JIDs, the addresses of the protocol, and why a text is not one; knows no account."""

import re
from functools import lru_cache
from typing import Literal, NamedTuple, NoReturn

from interop_protocol.sizes import MAX_ACCOUNT_ID, MAX_JID_CHARACTERS

INTEROP_SERVER = "interop"
"""Server part of a third-party user's JID."""
WHATSAPP_SERVER = "s.whatsapp.net"
"""Server part of a WhatsApp user's JID."""

JidErrorReason = Literal[
    "GROUP_ADDRESS",
    "NUMBER_BASED_ADDRESS",
    "USER_VISIBLE_IDENTIFIER",
    "CALL_ADDRESS",
    "UNSUPPORTED_ADDRESS",
    "UNSUPPORTED_DEVICE",
    "MALFORMED",
]
"""Why a text is not a JID of this service."""

_NUMBER_SCHEMES = ("sms:", "smsto:", "mms:", "mmsto:", "tel:")
_OTHER_SERVERS: dict[str, JidErrorReason] = {
    "g.us": "GROUP_ADDRESS",
    "call": "CALL_ADDRESS",
    "lid": "UNSUPPORTED_ADDRESS",
    "msgr": "UNSUPPORTED_ADDRESS",
    "newsletter": "UNSUPPORTED_ADDRESS",
    "broadcast": "UNSUPPORTED_ADDRESS",
    "bot": "UNSUPPORTED_ADDRESS",
    "hosted": "UNSUPPORTED_ADDRESS",
    "hosted.lid": "UNSUPPORTED_ADDRESS",
}
_JID = re.compile(
    r"(?:(?P<integrator>[1-9][0-9]{0,2})-(?P<number>[1-9][0-9]{0,19})(?P<device>:(?:0|[1-9][0-9]?))?@interop"
    r"|(?P<phone>[1-9][0-9]{4,14})(?P<phone_device>:(?:0|[1-9][0-9]?))?@s\.whatsapp\.net)"
)
_CACHED_JIDS = 16_384


class JidError(ValueError):
    """A text is not a JID of this service.

    The text itself may be personal data, so the message does not repeat it.
    """

    def __init__(self, reason: JidErrorReason) -> None:
        super().__init__(reason)
        self.reason: JidErrorReason = reason


class Jid(NamedTuple):
    """The internal identifier of a user who can receive messages (MSG-01)."""

    user: str
    """Digits: the account's number at a partner, or a WhatsApp user's phone number without its plus sign."""
    server: str
    """`INTEROP_SERVER` or `WHATSAPP_SERVER`."""
    integrator: int
    """The partner, 1 to 999; 0 for a WhatsApp user."""

    @property
    def text(self) -> str:
        """The canonical text of this JID."""
        return third_party_jid(self.integrator, self.user) if self.integrator else whatsapp_jid(self.user)

    @property
    def is_whatsapp(self) -> bool:
        """Whether this is a WhatsApp user."""
        return self.server == WHATSAPP_SERVER

    def __str__(self) -> str:
        return self.text


def third_party_jid(integrator: int, number: int | str) -> str:
    """Returns the JID of a partner's account (ENL-12)."""
    return f"{integrator}-{number}@{INTEROP_SERVER}"


def whatsapp_jid(phone_number: str) -> str:
    """Returns the JID of a WhatsApp user, from the digits of the phone number."""
    return f"{phone_number}@{WHATSAPP_SERVER}"


@lru_cache(maxsize=_CACHED_JIDS)
def parse_jid(text: str) -> Jid:
    """Parses `{integrator}-{number}@interop` or `{phone number}@s.whatsapp.net`.

    Partner accounts have one device and WhatsApp users are addressed as a whole, so a device suffix may only be `:0`,
    which is dropped. Source: ENL-12, KEY-08, MSG-01.

    Args:
        text: Any text that a caller sent as an address.

    Raises:
        JidError: GROUP_ADDRESS, CALL_ADDRESS, UNSUPPORTED_ADDRESS (another kind of JID), NUMBER_BASED_ADDRESS (a URI
            such as `sms:`), USER_VISIBLE_IDENTIFIER (not a JID at all, such as a phone number, an e-mail address or a
            username), UNSUPPORTED_DEVICE, or MALFORMED (empty, too long, or not in the form of a JID of this service).
    """
    if len(text) > MAX_JID_CHARACTERS:
        raise JidError("MALFORMED")
    match = _JID.fullmatch(text)
    if match is None:
        _refuse(text)
    integrator, number, device, phone, phone_device = match.groups()
    if number and int(number) > MAX_ACCOUNT_ID:
        raise JidError("MALFORMED")
    if (device or phone_device or ":0") != ":0":
        raise JidError("UNSUPPORTED_DEVICE")
    return Jid(phone, WHATSAPP_SERVER, 0) if phone else Jid(number, INTEROP_SERVER, int(integrator))


def _refuse(text: str) -> NoReturn:
    lowered = text.lower()
    if lowered.startswith(_NUMBER_SCHEMES):
        raise JidError("NUMBER_BASED_ADDRESS")
    _, at, server = lowered.rpartition("@")
    if not text or (at and server in (INTEROP_SERVER, WHATSAPP_SERVER)):
        raise JidError("MALFORMED")
    raise JidError(_OTHER_SERVERS.get(server, "USER_VISIBLE_IDENTIFIER") if at else "USER_VISIBLE_IDENTIFIER")
