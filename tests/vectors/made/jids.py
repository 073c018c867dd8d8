"""Addresses: the ones that are, and why the others are not."""

from interop_server.core.addressing import check_address
from interop_server.core.errors import Refusal
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import big, choice, flag, number, optional, text

REASONS = (
    "ADDRESS_MALFORMED",
    "ADDRESS_NAMES_DEVICE",
    "CALLS_NOT_SUPPORTED",
    "GROUPS_NOT_SUPPORTED",
    "NUMBER_BASED_NOT_SUPPORTED",
    "USER_VISIBLE_IDENTIFIER",
)
_FIELDS = {
    "text": text("What a client was given as an address."),
    "valid": flag("Whether it is one."),
    "canonical": optional(text("Its one form: what is compared, hashed and sent back.")),
    "user": optional(big("The account's number, or the digits of the phone number.")),
    "server": optional(choice("The part after @.", "interop", "s.whatsapp.net")),
    "integrator": optional(number("The messenger, 1 to 999; null of a WhatsApp user.")),
    "reason": optional(choice("The ErrorReason of a text that is no address.", *REASONS)),
}
_GIVEN = [
    ("third-party", "The form of a third-party user's.", "1-10853634039893@interop"),
    ("third-party-device-0", "`:0` is the primary device: accepted and dropped.", "1-10853634039893:0@interop"),
    ("third-party-smallest", "The smallest.", "1-1@interop"),
    ("third-party-largest", "The largest: the number has 64 bits.", "999-18446744073709551615@interop"),
    ("whatsapp", "The form of a WhatsApp user's.", "4915112345678@s.whatsapp.net"),
    ("whatsapp-device-0", "Its primary device.", "4915112345678:0@s.whatsapp.net"),
    ("whatsapp-shortest", "Five digits.", "12345@s.whatsapp.net"),
    ("whatsapp-longest", "Fifteen digits.", "123456789012345@s.whatsapp.net"),
    ("number-too-large", "One more than 64 bits hold.", "999-18446744073709551616@interop"),
    ("integrator-zero", "No messenger has the number 0.", "0-1@interop"),
    ("integrator-leading-zero", "Numbers have no leading zeros.", "01-1@interop"),
    ("integrator-too-large", "A messenger has at most three digits.", "1000-1@interop"),
    ("number-leading-zero", "Numbers have no leading zeros.", "1-01@interop"),
    ("number-negative", "A sign is no digit.", "1--1@interop"),
    ("other-digits", "Only ASCII digits count; these are Arabic ones.", "1-\u0661\u0662\u0663@interop"),
    ("server-in-capitals", "The part after @ is in lower case.", "1-1@INTEROP"),
    ("no-number", "Nothing in front of @.", "@interop"),
    ("no-integrator", "A third-party user without a messenger.", "10853634039893@interop"),
    ("blank-in-front", "Nothing is trimmed.", " 1-1@interop"),
    ("line-feed-behind", "Nor at the end.", "1-1@interop\n"),
    ("whatsapp-too-short", "Four digits.", "1234@s.whatsapp.net"),
    ("whatsapp-too-long", "Sixteen digits.", "1234567890123456@s.whatsapp.net"),
    ("whatsapp-plus", "The digits have no plus sign.", "+4915112345678@s.whatsapp.net"),
    ("whatsapp-leading-zero", "No phone number begins with 0 here.", "0151123456@s.whatsapp.net"),
    ("third-party-device", "Partner accounts have one device.", "1-10853634039893:1@interop"),
    ("whatsapp-device", "WhatsApp users are addressed as a whole.", "4915112345678:99@s.whatsapp.net"),
    ("device-too-large", "A device from 100 on is no device.", "4915112345678:100@s.whatsapp.net"),
    ("device-leading-zero", "Nor is one with a leading zero.", "4915112345678:01@s.whatsapp.net"),
    ("device-two-zeros", "And `:00` is not `:0`.", "1-10853634039893:00@interop"),
    ("empty", "Nothing.", ""),
    ("too-long", "129 characters, although it ends like a group.", "1" * 124 + "@g.us"),
    ("longest-group", "128 characters are still looked at.", "1" * 123 + "@g.us"),
    ("group", "Groups are not supported.", "120363041234567890@g.us"),
    ("call", "Calls are not supported.", "4915112345678@call"),
    ("lid", "Another kind of JID.", "123456789@lid"),
    ("newsletter", "Another kind of JID.", "123456789@newsletter"),
    ("broadcast", "Another kind of JID.", "status@broadcast"),
    ("hosted", "Another kind of JID.", "4915112345678@hosted"),
    ("sms", "A scheme, in any case.", "SMS:+4915112345678"),
    ("tel", "Another scheme, in front of what would be an address.", "tel:4915112345678@s.whatsapp.net"),
    ("phone-number", "What people see is no address: resolve it first.", "+4915112345678"),
    ("e-mail", "Likewise.", "ada@bats.example"),
    ("user-name", "Likewise.", "ada"),
    ("unknown-server", "What ends in nothing known is taken for an e-mail address.", "1-1@interop.example"),
]


def document() -> Document:
    """Returns the file."""
    return Document(
        "jids",
        "JIDs: parse each text. A right one has a canonical form; a wrong one is refused with the reason that a server "
        "gives when a stanza or a request names it.",
        ("ENL-12", "KEY-08", "MSG-01"),
        _FIELDS,
        [_vector(*given) for given in _GIVEN],
    )


def _vector(name: str, comment: str, given: str) -> Vector:
    vector: Vector = {"name": name, "comment": comment, "text": given, "valid": True}
    try:
        jid = check_address(given)
    except Refusal as refusal:
        nothing = dict.fromkeys(("canonical", "user", "server", "integrator"))
        return {**vector, "valid": False, **nothing, "reason": refusal.reason.name}
    return {
        **vector,
        "canonical": jid.text,
        "user": jid.user,
        "server": jid.server,
        "integrator": jid.integrator or None,
        "reason": None,
    }
