"""The application's choices for a client; knows nothing of the code that uses them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interop_client.keys.prekeys import DEFAULT_PREKEYS
from interop_client.messaging.events import Event
from interop_client.messaging.outgoing import FindSent
from interop_protocol.sizes import MAX_KEM_PREKEYS, MAX_ONE_TIME_PREKEYS


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The application's choices for a client.

    Raises:
        ValueError: A number is out of range, or what should be a function is none.
    """

    refill_count: int = DEFAULT_PREKEYS
    """How many one-time prekeys the client adds when the server has few left, 0 to 20,000; 0 adds none. The application
    must publish the first ones."""
    kem_prekeys: int = 0
    """How many one-time post-quantum prekeys the client publishes too, with a last-resort one, 0 to 5,000; 0 publishes
    none. The server must have them switched on (KEY-15)."""
    refuses_pq_downgrade: bool = False
    """Whether the client begins no session with a bundle that lacks a KEM prekey although the peer is known to have
    published some. It gives `PqDowngrade` in any case (KEY-16)."""
    sends_delivered_receipts: bool = True
    """Whether the client tells senders that their messages have arrived."""
    event_capacity: int = 10_000
    """How many events may wait for the application before the client opens no further deliveries, at least 1. The
    client logs a warning when it waits first."""
    on_event: Callable[[Event], Awaitable[None]] | None = None
    """Awaited for each event before the client acks its delivery. An application that must not lose a message stores it
    here. It is awaited for one delivery at a time, also when it connects anew. A delivery that it has not finished when
    it crashes comes again, so it should recognise messages by sender and id. Each event is among `events()` afterwards,
    and has to be taken there, too."""
    find_sent: FindSent | None = None
    """Finds the content sent to a JID under an id, to send it again, when it is not among the last 512 of this process.
    An application that keeps `SentMessage.content` can find it even after a restart. The client applies the edits and
    deletions of this process; what changed before, the application returns as it is now."""

    def __post_init__(self) -> None:
        """Refuses here what would fail later, in the client's own work."""
        _check("refill_count", self.refill_count, 0, MAX_ONE_TIME_PREKEYS)
        _check("kem_prekeys", self.kem_prekeys, 0, MAX_KEM_PREKEYS)
        _check("event_capacity", self.event_capacity, 1)
        for name in ("on_event", "find_sent"):
            if (code := getattr(self, name)) is not None and not callable(code):
                raise ValueError(f"{name} is a function that is awaited: it cannot be {code!r}")


def _check(name: str, value: int, least: int, most: int | None = None) -> None:
    if not isinstance(value, int) or value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} is a whole number, {bounds}: it cannot be {value!r}")
