"""How a client behaves, as its application chooses; knows nothing of how it is done."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interop_client.keys.prekeys import DEFAULT_PREKEYS
from interop_client.messaging.events import Event
from interop_client.messaging.outgoing import FindSent


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client behaves."""

    refill_count: int = DEFAULT_PREKEYS
    """One-time prekeys added when the server says that few are left; 0 adds none. The first are for the application
    to publish."""
    kem_prekeys: int = 0
    """One-time post-quantum prekeys published along, with a last-resort one, 0 to 5,000; 0 publishes none. The server
    must have them switched on (KEY-15)."""
    refuses_pq_downgrade: bool = False
    """What a client does that meets a bundle without the KEM prekey that the peer is known to have: it always tells
    (`PqDowngrade`), and begins no session when this is set (KEY-16)."""
    sends_delivered_receipts: bool = True
    """Whether senders are told that their messages have arrived."""
    event_capacity: int = 10_000
    """Events that wait to be taken before no further deliveries are opened."""
    on_event: Callable[[Event], Awaitable[None]] | None = None
    """Awaited for each event before its delivery is acked. An app that must not lose a message stores it here: what
    it has not finished when it crashes comes again, so it should know messages by sender and id."""
    find_sent: FindSent | None = None
    """Finds what was sent to a JID under an id, to be sent again, when it is not among the last 512 of this process. An
    app that keeps `SentMessage.content` can find it after a restart, too."""
