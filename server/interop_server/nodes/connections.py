"""The connections of a whole world, as one node knows them: its own, and a copy of where the others' are.

The copy comes from the database, a moment late: whoever has just gone elsewhere is woken there, since every node hears
of every wake, and what waits in a mailbox is found at a login. Knows no bus and no stream.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from hashlib import sha256
from typing import Any

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_server.core.capabilities import Capability
from interop_server.core.errors import Reason
from interop_server.core.messages import Indicator, Stored
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, PreKeyCounts, PreKeyKind
from interop_server.core.nodes import NOWHERE, Connected
from interop_server.nodes.outgoing import Outgoing
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.convert.indicators import indicator_to

_MAX_SECONDS = 2**31 - 1
"""Longest that an indicator is shown for at another node, by its field in bus.proto."""


class Away:
    """A connection at another node. It is the session of calls that are made here."""

    def __init__(self, connected: Connected, facts: ConnectionFacts) -> None:
        self.seat = connected.seat
        self.epoch = connected.epoch
        self.token_sha256 = connected.token_sha256
        self.facts = facts
        self.capabilities: frozenset[Capability] = connected.capabilities
        self.end_reason: Reason | None = None
        self.is_leaving = False

    @property
    def account(self) -> Account:
        """Whose it is."""
        return self.facts.account


class _Either(Set[int]):
    """What is in one of two sets, without a copy of either."""

    def __init__(self, one: Set[int], other: Set[int]) -> None:
        self._one = one
        self._other = other

    def __contains__(self, item: object) -> bool:
        return item in self._one or item in self._other

    def __iter__(self) -> Iterator[int]:
        yield from self._one
        yield from (each for each in self._other if each not in self._one)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @classmethod
    def _from_iterable(cls, it: Any) -> Set[int]:  # type: ignore[override]  # what operators on it return
        return frozenset(it)


def hash_of(session_token: str) -> bytes:
    """Returns that by which the database knows a session token."""
    return sha256(session_token.encode()).digest()


class WorldConnections:
    """Implements the `Connections` port.

    Args:
        seat: Of this node.
        registry: Its own connections.
        changed: Called when there is something to tell the other nodes.
    """

    def __init__(self, seat: int, registry: ConnectionRegistry, changed: Callable[[], None]) -> None:
        self._seat = seat
        self._registry = registry
        self._changed = changed
        self._away: dict[int, Away] = {}
        self._by_token: dict[bytes, Away] = {}
        self.outgoing = Outgoing()
        self.observed: list[tuple[int, int | None]] = []
        """Whose end client was reported to be closed or open, and is to be noted in the database."""

    def learn(self, connected: Connected) -> bool:
        """Takes in what the database says of an account's newest connection; False for one of here that is not here.

        What is older than what is known already changes nothing.
        """
        live = self._registry.of(connected.account_id)
        if connected.seat == self._seat:
            self._forget(connected.account_id, connected.epoch)
            if live is None or live.epoch != connected.epoch:
                return False
            if connected.end_reason is not None:
                self._registry.end(connected.account_id, connected.end_reason)
            if connected.facts is not None:
                self._registry.observe_client(connected.account_id, connected.facts.client_closed_at_ms)
            return True
        if live is not None and live.epoch < connected.epoch:
            self._registry.end(connected.account_id, Reason.CONNECTION_REPLACED)
        known = self._forget(connected.account_id, connected.epoch)
        if known and connected.facts is not None and connected.seat != NOWHERE and connected.end_reason is None:
            away = Away(connected, connected.facts)
            self._away[connected.account_id] = self._by_token[away.token_sha256] = away
        return True

    def _forget(self, account_id: int, epoch: int) -> bool:
        """Forgets what is known of an account, unless that is newer; says whether it was not."""
        away = self._away.get(account_id)
        if away is None:
            return True
        if away.epoch > epoch:
            return False
        self._drop(away)
        return True

    def _drop(self, away: Away) -> None:
        del self._away[away.account.account_id]
        self._by_token.pop(away.token_sha256, None)

    def by_token(self, token_sha256: bytes) -> Away | None:
        """Returns the connection at another node whose session token has this hash, if it is known."""
        return self._by_token.get(token_sha256)

    def tell_of_change(self) -> None:
        """Has the other nodes look at what has become of connections."""
        self.outgoing.look = True
        self._changed()

    def facts_of(self, account_id: int) -> ConnectionFacts | None:
        """Returns the facts about an account's connection at any node; None without one (PRX-05)."""
        away = self._away.get(account_id)
        return self._registry.facts_of(account_id) or (None if away is None else away.facts)

    def facts(self) -> list[ConnectionFacts]:
        """Returns the facts about all connections of the world, by JID (PRX-05)."""
        here = self._registry.facts()
        known = {facts.account.account_id for facts in here}
        there = [away.facts for account_id, away in self._away.items() if account_id not in known]
        return sorted([*here, *there], key=lambda facts: facts.account.jid)

    def connected(self) -> Set[int]:
        """Returns the ids of the accounts that are connected now, at any node."""
        return _Either(self._registry.connected(), self._away.keys())

    def wake(self, account_id: int) -> bool:
        """Tells a connection that its mailbox has new items; False when the account is connected nowhere."""
        return self._registry.wake(account_id) or self._wake_away(account_id)

    def hand_over(self, account_id: int, arrived: Sequence[Stored]) -> bool:
        """Gives a connection what was stored; at another node it looks for it. False when there is none."""
        return self._registry.hand_over(account_id, arrived) or self._wake_away(account_id)

    def _wake_away(self, account_id: int) -> bool:
        if account_id not in self._away:
            return False
        self.outgoing.wake(account_id)
        self._changed()
        return True

    def end(self, account_id: int, reason: Reason) -> None:
        """Ends the account's connection, if any. At another node, which finds it in the database."""
        self._registry.end(account_id, reason)
        if (away := self._away.get(account_id)) is not None:
            self._end_away(away, reason)

    def end_partner(self, integrator: int, reason: Reason, mode: ConnectionMode | None = None) -> None:
        """Ends the connections of a partner's users, or only those of one mode, as `end` does."""
        self._registry.end_partner(integrator, reason, mode)
        for away in list(self._away.values()):
            if away.account.integrator == integrator and mode in (None, away.facts.mode):
                self._end_away(away, reason)

    def _end_away(self, away: Away, reason: Reason) -> None:
        away.end_reason = reason
        self._drop(away)
        self.tell_of_change()

    def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        """Records since when the end client behind an account's connection, if any, is closed; None means open."""
        self._registry.observe_client(account_id, closed_at_ms)
        if account_id in self.connected():
            self.observed.append((account_id, closed_at_ms))
            self._changed()

    def show(self, account_id: int, sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        """Shows what the sender is doing; False when it is certain that nobody sees it (MSG-13)."""
        if (away := self._away.get(account_id)) is None:
            return self._registry.show(account_id, sender_jid, indicator, expires_after_seconds)
        if Capability.TYPING not in away.capabilities:
            return False
        stanza = indicator_to(sender_jid, indicator, expires_after_seconds).SerializeToString()
        is_told = self.outgoing.show(
            bus_pb2.ShownIndicator(
                account_id=account_id,
                sender_jid=sender_jid,
                stanza=stanza,
                expires_after_seconds=min(expires_after_seconds, _MAX_SECONDS),
            )
        )
        self._changed()
        return is_told

    def notify_prekeys_low(self, account_id: int, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        """Tells the account that few prekeys are left, wherever it is connected (KEY-09)."""
        self._registry.notify_prekeys_low(account_id, counts, few)
        if account_id in self._away:
            self.outgoing.few_prekeys(account_id, counts, few)
            self._changed()

    def prekeys_refilled(self, account_id: int, kinds: frozenset[PreKeyKind]) -> None:
        """Allows the next notification of these kinds, wherever the account is connected."""
        self._registry.prekeys_refilled(account_id, kinds)
        if account_id in self._away:
            self.outgoing.enough_prekeys(account_id, kinds)
            self._changed()
