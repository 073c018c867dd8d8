"""What people do in a chat just now: shown at once or never; knows no store but the facts of who may reach whom."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from interop_server.core.addressing import check_address
from interop_server.core.consent.reach import Dropped, require_reachable
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import Indicator, TypingState
from interop_server.core.messaging.store import StoreForMessaging
from interop_server.core.model import Account
from interop_server.core.ports import Connections
from interop_server.core.ratelimit import RateLimit


@dataclass(frozen=True, slots=True)
class Typing(Indicator):
    """The sender is typing, recording, or has paused."""

    kind: ClassVar[str] = "typing"

    state: TypingState

    @property
    def detail(self) -> str:
        """The state."""
        return self.state.name.lower()


@dataclass(frozen=True, slots=True)
class Indicators:
    """Shows indicators, and drops without an answer those that cannot be shown now. Source: MSG-13."""

    store: StoreForMessaging
    connections: Connections
    journal: Journal
    counts: Counter[str]
    """Counts, for each kind, the indicators that nobody saw: `typing_dropped`."""
    limits: Limits
    rate: RateLimit
    """One for all kinds together."""

    async def show(self, sender: Account, to: str, indicator: Indicator) -> None:
        """Shows one indicator.

        Args:
            sender: The user who does it.
            to: JID of the peer who is to see it.
            indicator: What the sender does.

        Raises:
            Refusal: The address is not valid, as in `check_address`.
        """
        action, jid = f"stanza.{indicator.kind}", check_address(to, f"{indicator.kind}.to_jid")
        try:
            self._check_rate(sender)
            peer = await require_reachable(self.store, sender, jid)
            if not self.connections.show(peer.account_id, sender.jid, indicator, self.limits.typing_seconds):
                raise Dropped("MSG-13", "the peer is not connected, reads too slowly, or does not know it")
        except Dropped as dropped:
            self.counts[f"{indicator.kind}_dropped"] += 1
            self.journal.record(
                sender.jid, action, "dropped", jid.text, requirement=dropped.requirement, cause=dropped.cause
            )
            return
        self.journal.record(sender.jid, action, "accepted", peer.jid, requirement="MSG-13", detail=indicator.detail)

    def _check_rate(self, sender: Account) -> None:
        if self.rate.take(sender.account_id):
            raise Dropped("MSG-13", "the sender does this faster than a person can")
