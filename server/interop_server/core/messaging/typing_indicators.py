"""Typing indicators: shown at once or dropped; knows of the store only the facts that decide a route."""

from collections import Counter
from dataclasses import dataclass

from interop_server.core.addressing import check_address
from interop_server.core.consent.reach import Dropped, require_reachable
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import TypingState
from interop_server.core.messaging.store import StoreForMessaging
from interop_server.core.model import Account
from interop_server.core.ports import Connections
from interop_server.core.ratelimit import RateLimit

TYPING_DROPPED = "typing_dropped"
"""Counts typing indicators that were dropped (MSG-13)."""

_ACTION = "stanza.typing"


@dataclass(frozen=True, slots=True)
class TypingIndicators:
    """Shows typing indicators, and silently drops those that cannot be shown now. Source: MSG-13."""

    store: StoreForMessaging
    connections: Connections
    journal: Journal
    counts: Counter[str]
    limits: Limits
    rate: RateLimit

    async def show(self, sender: Account, to: str, state: TypingState) -> None:
        """Shows one typing indicator.

        Args:
            sender: The account whose user is typing.
            to: JID of the recipient.
            state: What the user is doing.

        Raises:
            Refusal: The address is invalid, as in `check_address`.
        """
        jid = check_address(to, "typing.to_jid")
        try:
            self._check_rate(sender)
            peer = await require_reachable(self.store, sender, jid)
            if not self.connections.show_typing(peer.account_id, sender.jid, state, self.limits.typing_seconds):
                raise Dropped("MSG-13", "the peer is not connected, reads too slowly, or does not know typing")
        except Dropped as dropped:
            self.counts[TYPING_DROPPED] += 1
            self.journal.record(
                sender.jid, _ACTION, "dropped", jid.text, requirement=dropped.requirement, cause=dropped.cause
            )
            return
        self.journal.record(sender.jid, _ACTION, "accepted", peer.jid, requirement="MSG-13", detail=state.name.lower())

    def _check_rate(self, sender: Account) -> None:
        if self.rate.take(sender.account_id):
            raise Dropped("MSG-13", "the sender types faster than a person can")
