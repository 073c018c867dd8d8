"""The live connections of this node: which accounts have one, how to wake and end it; knows no wire format."""

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from interop_server.core.capabilities import NO_CAPABILITIES, Capability
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import Indicator, Stored
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, PreKeyCounts, PreKeyKind
from interop_server.core.ports import Rng
from interop_server.rpc.channel_state import TRANSITIONS, ChannelEvent, ChannelState
from interop_server.rpc.handover import Handover
from interop_server.rpc.lean_event import LeanEvent

SESSION_TOKEN_BYTES = 24


Show = Callable[[str, Indicator, int], bool]
"""Shows what a sender (JID) is doing, for so many seconds; False when that cannot be done at once."""


def _show_nothing(sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
    return False


class ClientTraits(NamedTuple):
    """What a client has said of itself at login."""

    read_receipts: bool
    """Whether its user sends and receives read receipts (RCP-01)."""
    max_frame_bytes: int | None = None
    """The longest frame that it takes; None when it has not said."""
    capabilities: frozenset[Capability] = NO_CAPABILITIES
    """Optional parts that it and the server know."""


class Admission(NamedTuple):
    """What makes a connection the one that its account has."""

    session_token: str
    epoch: int = 0
    """Ascends with each login of the account at any node; 0 where the order in which they open says it all."""


class LiveConnection:
    """One account's chat channel while it is open.

    Its session token lives exactly as long (CHN-01).
    """

    __slots__ = (
        "_told_prekeys_low", "capabilities", "changed", "epoch", "facts", "handover", "is_leaving", "max_frame_bytes",
        "over", "prekeys_low", "read_receipts", "session_token", "show", "state",
    )  # fmt: skip

    def __init__(self, facts: ConnectionFacts, admission: Admission, client: ClientTraits) -> None:
        self.facts = facts
        self.session_token, self.epoch = admission
        self.read_receipts = client.read_receipts
        self.max_frame_bytes = client.max_frame_bytes
        self.capabilities = client.capabilities
        self.changed = LeanEvent()
        """Set when the mailbox may have something new, or `prekeys_low` is set."""
        self.handover = Handover()
        """What is new there, as far as it is known."""
        self.prekeys_low: PreKeyCounts | None = None
        """Counts that the client has not been told yet (KEY-09)."""
        self._told_prekeys_low: frozenset[PreKeyKind] = frozenset()
        self.show: Show = _show_nothing
        """Set by the stream that serves the connection."""
        self.is_leaving = False
        """Whether the account is being deleted by its user: what another call finds may be what is left (LIF-03)."""
        self.state = ChannelState.OPEN
        self.over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        """Resolves when the channel ends: to a Refusal when the server ends it, to another error when the stream fails,
        to None when the client leaves. Cancelled when gRPC ends the call."""

    @property
    def account(self) -> Account:
        """The account of this connection."""
        return self.facts.account

    @property
    def is_closed(self) -> bool:
        """Says whether the registry has forgotten it."""
        return self.state is ChannelState.CLOSED

    @property
    def end_reason(self) -> Reason | None:
        """The reason why the server ends the connection; None while it does not."""
        error = self.over.result() if self.over.done() and not self.over.cancelled() else None
        return error.reason if isinstance(error, Refusal) else None

    def wake(self) -> None:
        """Notes that the mailbox may have new items."""
        self.handover.must_look = True
        self.changed.set()

    def hand_over(self, arrived: Sequence[Stored]) -> None:
        """Takes what is new in the mailbox."""
        self.handover.put(arrived)
        self.changed.set()

    def end(self, reason: Reason) -> None:
        """Ends the connection for a reason of the server; the first cause counts."""
        self.finish(Refusal(reason))

    def finish(self, error: BaseException | None) -> None:
        """Sets the cause of the channel's end, as in `over`; the first cause counts."""
        if not self.over.done():
            self._move(ChannelEvent.END)
            self.over.set_result(error)

    def close(self) -> None:
        """Notes that the registry has forgotten the connection."""
        self._move(ChannelEvent.CLOSE)
        self.show = _show_nothing  # the stream that set it holds the connection

    def _move(self, event: ChannelEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)

    def tell_prekeys_low(self, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        """Tells the client once that few prekeys of these kinds are left (KEY-09)."""
        if Capability.KEM_PREKEYS not in self.capabilities:
            counts, few = PreKeyCounts(counts.one_time), few - {PreKeyKind.KEM}
        if not few <= self._told_prekeys_low:
            self._told_prekeys_low |= few
            self.prekeys_low = counts
            self.changed.set()

    def prekeys_refilled(self, kinds: frozenset[PreKeyKind]) -> None:
        """Allows the next notification of these kinds."""
        self._told_prekeys_low -= kinds
        if not self._told_prekeys_low:
            self.prekeys_low = None


class ConnectionRegistry:
    """All live connections, by account and by session token. Implements the `Connections` port."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._by_account: dict[int, LiveConnection] = {}
        self._by_token: dict[str, LiveConnection] = {}
        self._is_draining = False

    def open(self, facts: ConnectionFacts, client: ClientTraits, admission: Admission | None = None) -> LiveConnection:
        """Registers a connection; replaces and ends the account's other one (CHN-11).

        A connection that is not the account's newest comes back ended: that one has overtaken it.

        Raises:
            Refusal: SERVER_DRAINING.
        """
        self.check_open()
        account_id = facts.account.account_id
        connection = LiveConnection(facts, admission or Admission(self.new_token()), client)
        previous = self._by_account.get(account_id)
        if previous is not None and previous.epoch > connection.epoch:
            connection.end(Reason.CONNECTION_REPLACED)
            return connection
        if previous is not None:
            self._end(previous, Reason.CONNECTION_REPLACED)
        self._by_account[account_id] = connection
        self._by_token[connection.session_token] = connection
        return connection

    def new_token(self) -> str:
        """Returns a session token that nobody has had."""
        return self._rng.token_bytes(SESSION_TOKEN_BYTES).hex()

    @property
    def is_draining(self) -> bool:
        """Whether new connections are refused: the server is about to stop."""
        return self._is_draining

    def check_open(self) -> None:
        """Refuses what would open a connection now.

        Raises:
            Refusal: SERVER_DRAINING.
        """
        if self._is_draining:
            raise Refusal(Reason.SERVER_DRAINING)

    def of(self, account_id: int) -> LiveConnection | None:
        """Returns an account's connection; None without one."""
        return self._by_account.get(account_id)

    def connected(self) -> Set[int]:
        """Returns the ids of the accounts that are connected now."""
        return self._by_account.keys()

    def close(self, connection: LiveConnection) -> None:
        """Forgets a connection and kills its session token."""
        connection.close()
        self._by_token.pop(connection.session_token, None)
        account_id = connection.account.account_id
        if self._by_account.get(account_id) is connection:
            del self._by_account[account_id]

    def by_token(self, session_token: str) -> LiveConnection:
        """Returns the connection of a session.

        Raises:
            Refusal: SESSION_DEAD.
        """
        connection = self._by_token.get(session_token)
        if connection is None:
            raise Refusal(Reason.SESSION_DEAD)
        return connection

    def facts_of(self, account_id: int) -> ConnectionFacts | None:
        """Returns the facts about an account's connection; None without a connection (PRX-05)."""
        connection = self._by_account.get(account_id)
        return None if connection is None else connection.facts

    def facts(self) -> list[ConnectionFacts]:
        """Returns the facts about all open connections, by JID (PRX-05)."""
        return sorted(
            (connection.facts for connection in self._by_account.values()), key=lambda facts: facts.account.jid
        )

    def drain(self) -> None:
        """Ends all connections and refuses new ones."""
        self._is_draining = True
        self.send_away()

    def send_away(self) -> None:
        """Ends all connections; their clients come back."""
        for connection in list(self._by_account.values()):
            connection.end(Reason.SERVER_DRAINING)

    def wake(self, account_id: int) -> bool:
        """Tells a connection that its mailbox has new items; False when the account is not connected."""
        connection = self._by_account.get(account_id)
        if connection is None:
            return False
        connection.wake()
        return True

    def hand_over(self, account_id: int, arrived: Sequence[Stored]) -> bool:
        """Gives a connection what was stored in its mailbox just now; False when the account is not connected."""
        connection = self._by_account.get(account_id)
        if connection is None:
            return False
        connection.hand_over(arrived)
        return True

    def end(self, account_id: int, reason: Reason) -> None:
        """Ends the account's connection, if any; its session token is dead at once."""
        if (connection := self._by_account.get(account_id)) is not None:
            self._end(connection, reason)

    def end_partner(self, integrator: int, reason: Reason, mode: ConnectionMode | None = None) -> None:
        """Ends the connections of a partner's users, or those of one mode; their session tokens are dead at once."""
        for connection in self._by_account.values():
            if connection.account.integrator == integrator and mode in (None, connection.facts.mode):
                self._end(connection, reason)

    def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        """Records since when the end client behind the account's connection, if any, is closed; None means open."""
        if (connection := self._by_account.get(account_id)) is not None:
            if closed_at_ms is not None and connection.facts.client_closed_at_ms is not None:
                return  # the first report counts
            connection.facts = replace(connection.facts, client_closed_at_ms=closed_at_ms)

    def _end(self, connection: LiveConnection, reason: Reason) -> None:
        self._by_token.pop(connection.session_token, None)
        connection.end(reason)

    def show(self, account_id: int, sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        """Shows what the sender is doing; False when the account is not connected, or reads too slowly (MSG-13)."""
        connection = self._by_account.get(account_id)
        return connection is not None and connection.show(sender_jid, indicator, expires_after_seconds)

    def notify_prekeys_low(self, account_id: int, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        """Tells the account that few prekeys are left, if connected and not told since the last refill (KEY-09)."""
        if (connection := self._by_account.get(account_id)) is not None:
            connection.tell_prekeys_low(counts, few)

    def prekeys_refilled(self, account_id: int, kinds: frozenset[PreKeyKind]) -> None:
        """Allows the next notification of these kinds."""
        if (connection := self._by_account.get(account_id)) is not None:
            connection.prekeys_refilled(kinds)
