"""What all mailbox items have in common: the room they need, and how the recipient is told; knows no kind of stanza."""

from collections.abc import Sequence
from dataclasses import dataclass

from interop_server.core.journal import SERVER, Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import RouteFacts, Stored
from interop_server.core.ports import Connections, PushGateway


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Source: MSG-07, MSG-11, LIF-01."""

    connections: Connections
    push: PushGateway
    journal: Journal
    limits: Limits

    def has_room(self, items: int, size: int) -> bool:
        """Says whether a mailbox may hold that many items, of that many bytes in total (MSG-11)."""
        return items <= self.limits.max_mailbox_items and size <= self.limits.max_mailbox_bytes

    def announce(self, recipient: RouteFacts, arrived: Sequence[Stored] = ()) -> None:
        """Tells a recipient that something waits: on their connection, else with a push to their partner (LIF-01).

        Args:
            recipient: Whose mailbox it is.
            arrived: All that was stored there just now, if that is known: a connection need not look then.
        """
        account_id = recipient.account_id
        if self.connections.hand_over(account_id, arrived) if arrived else self.connections.wake(account_id):
            return
        if not recipient.integrator:
            return
        self.push.notify(recipient.integrator, recipient.known_as)
        self.journal.record(SERVER, "push", "done", recipient.jid, requirement="LIF-01")

    def hand_over(self, recipient: RouteFacts, arrived: Sequence[Stored]) -> None:
        """Gives a recipient what was stored, on their connection if they have one: it is not worth a push."""
        self.connections.hand_over(recipient.account_id, arrived)
