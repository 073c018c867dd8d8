"""That somebody is typing: shown at once or never; knows no store but the facts that decide who may reach whom."""

from collections import Counter

from interop_server.core.addressing import check_address
from interop_server.core.consent.reach import Dropped, RouteStore, require_reachable
from interop_server.core.errors import Refusal
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import TypingState
from interop_server.core.model import Account
from interop_server.core.ports import Clock, Connections
from interop_server.core.ratelimit import RateLimit

TYPING_DROPPED = "typing_dropped"
"""Counts signs of typing that nobody saw (MSG-13)."""

_ACTION = "stanza.typing"


class TypingIndicators:
    """Shows signs of typing, and drops without an answer those that cannot be shown now. Source: MSG-13."""

    def __init__(
        self,
        store: RouteStore,
        connections: Connections,
        journal: Journal,
        counts: Counter[str],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._connections = connections
        self._journal = journal
        self._counts = counts
        self._rate = RateLimit(clock, limits.typing_burst, limits.typing_per_second)
        self._expires_seconds = limits.typing_seconds

    async def show(self, sender: Account, to: str, state: TypingState) -> None:
        """Shows one sign.

        Args:
            sender: Who is typing.
            to: JID of whom they are typing to.
            state: What they do.

        Raises:
            Refusal: The address is none, as in `check_address`.
        """
        jid = check_address(to)
        try:
            self._check_rate(sender)
            peer = await require_reachable(self._store, sender, jid)
            if not self._connections.show_typing(peer.account_id, sender.jid, state, self._expires_seconds):
                raise Dropped("MSG-13", "the peer is not connected, or reads too slowly")
        except Dropped as dropped:
            self._counts[TYPING_DROPPED] += 1
            self._journal.record(
                sender.jid, _ACTION, "dropped", jid.text, requirement=dropped.requirement, cause=dropped.cause
            )
            return
        self._journal.record(sender.jid, _ACTION, "accepted", peer.jid, requirement="MSG-13", detail=state.name.lower())

    def _check_rate(self, sender: Account) -> None:
        try:
            self._rate.take(sender.account_id)
        except Refusal as refusal:
            raise Dropped("MSG-13", "the sender types faster than anybody can") from refusal
