"""Optional parts of the protocol: who knows which, and what needs them; knows no wire format and no connection.

Numbers are those of `Capability` in chat.proto. Each side sends only what the other has named.
"""

from enum import IntEnum
from functools import cache

from interop_server.core.limits import Limits
from interop_server.core.messages import NotificationType


class Capability(IntEnum):
    """An optional part."""

    TYPING = 1
    REACHABILITY_PINGS = 2
    TRUSTED_CONTACTS = 3
    CHALLENGES = 4
    KEY_DIGESTS = 5
    MESSAGE_REQUESTS = 6
    KEM_PREKEYS = 7


NO_CAPABILITIES: frozenset[Capability] = frozenset()

NEEDED = {
    NotificationType.REACHABILITY_PING: Capability.REACHABILITY_PINGS,
    NotificationType.TRUSTED_CONTACT: Capability.TRUSTED_CONTACTS,
    NotificationType.CHALLENGE_CODE: Capability.CHALLENGES,
    NotificationType.DIGEST_REQUESTED: Capability.KEY_DIGESTS,
}
"""What a client must know to be sent a notification; the others belong to the base."""


def offered(limits: Limits) -> frozenset[Capability]:
    """Returns what the server knows, as it is configured."""
    return frozenset(Capability) if limits.kem_prekeys else frozenset(Capability) - {Capability.KEM_PREKEYS}


@cache  # each connection has one of a few, and keeps it
def withheld_from(capabilities: frozenset[Capability]) -> frozenset[NotificationType]:
    """Returns the notifications that are not sent to a client with these capabilities."""
    return frozenset(about for about, needed in NEEDED.items() if needed not in capabilities)
