"""What several processes that are one world need of their store; knows no rule, no bus and no database."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from interop_server.core.capabilities import Capability
from interop_server.core.errors import Reason
from interop_server.core.model import Account, ConnectionFacts
from interop_server.core.sweeps import WorldTurns

NOWHERE = 0
"""In place of a node's seat: the account is connected at none."""
BEGINNING = "0"
"""The mark before everything that has ever changed."""


class Claim(NamedTuple):
    """A connection that is about to open."""

    facts: ConnectionFacts
    token_sha256: bytes
    """32 bytes: the session token itself leaves its node only towards the client."""
    capabilities: frozenset[Capability]
    """Optional parts that client and server know."""


class Claimed(NamedTuple):
    """What became of a claim."""

    epoch: int
    """Ascends with every login of an account, wherever: the connection with the highest is the one that lives."""
    refused: Reason | None = None
    """Why the connection must end at once: something changed since the login was judged. None when it may live."""


class Connected(NamedTuple):
    """The newest connection of an account, as the store knows it."""

    account_id: int
    seat: int
    """Of the node where it is; `NOWHERE` when it has ended."""
    epoch: int
    end_reason: Reason | None
    """Why it is to end; None while it may live."""
    token_sha256: bytes
    """Empty when it has ended."""
    capabilities: frozenset[Capability]
    facts: ConnectionFacts | None
    """None when it has ended, or the account has."""


class Neighbour(NamedTuple):
    """A node of the world, this one included."""

    seat: int
    """Its number, which no other node ever has."""
    name: str
    """As its operator calls it; one at a time has a name."""
    announced: int
    """How many announcements it had sent over the bus when it wrote this."""


class Turn(NamedTuple):
    """Who has the turn to do something."""

    node: str
    """The node's name."""
    renewed_at_ms: int
    """When it last said that it lives, by the clock of the database: one that was killed says it no more."""


class WorldTime(NamedTuple):
    """What the one clock of a world does."""

    version: int
    """Ascends with every change."""
    stands_at_ms: int | None
    """The time at which it stands, or to which it is being moved; None while it runs."""
    is_frozen: bool
    """Whether it stays there; else it runs on when all nodes have arrived."""
    ahead_ms: int
    """While it runs: how far ahead of the machines' clocks. Negative when behind."""

    @property
    def is_move(self) -> bool:
        """Whether it stands only until somebody lets it run on."""
        return self.stands_at_ms is not None and not self.is_frozen


class Arrival(NamedTuple):
    """How far a node has followed the clock of its world."""

    version: int
    """Of the state that it has come to last."""
    at_ms: int
    """The time that it showed then."""
    fired: Mapping[str, int]
    """What it did on the way there, by name."""


class News(NamedTuple):
    """What has changed."""

    mark: str
    """Names the moment, for the next look."""
    connections: Sequence[Connected]
    nodes: Sequence[Neighbour]
    """All that are there, whether or not they have changed."""
    key_servers: Mapping[int, tuple[str, str]]
    """Issuer and address of each partner, whether or not they have changed."""
    time: WorldTime


class NodeStore(WorldTurns, Protocol):
    """What one node says and learns of the others by way of the store.

    Whether a node lives is a matter of real time, by the clock of the database.
    """

    @property
    def seat(self) -> int:
        """The number of this node."""
        ...

    async def renew(self, announced: int) -> bool:
        """Says that this node lives; False when it was taken for dead, and has no connections any more.

        Args:
            announced: How many announcements it has sent over the bus.
        """
        ...

    async def join_again(self) -> None:
        """Takes the seat again, after it was taken for dead."""
        ...

    async def news(self, since: str) -> News:
        """Returns what has changed since a mark; it may name what had been there already.

        Args:
            since: The mark of the last look, or `BEGINNING`.
        """
        ...

    async def claim(self, claim: Claim) -> Claimed:
        """Makes a connection the one that its account has, in place of any other, at whatever node.

        Raises:
            Refusal: SERVER_DRAINING when this node was taken for dead.
        """
        ...

    async def close(self, account_id: int, epoch: int) -> None:
        """Notes that a connection of this node has ended, unless there is a newer one."""
        ...

    async def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        """Notes since when the end client behind an account's connection is closed; None means open."""
        ...

    async def find(self, token_sha256: bytes) -> Connected | None:
        """Returns the live connection whose session token has this hash; None when there is none."""
        ...

    async def whose_turn(self, name: str) -> Turn | None:
        """Returns who does something now; None when nobody does, or who did has gone."""
        ...

    async def waiting(self, account_ids: Sequence[int]) -> list[int]:
        """Returns those of some accounts whose mailboxes are not empty."""
        ...

    async def bury(self) -> list[Account]:
        """Takes nodes that have not said for long that they live for dead, and returns whom they had connected."""
        ...

    async def get_time(self) -> WorldTime:
        """Returns what the clock of the world does."""
        ...

    async def begin_time(self, ahead_ms: int) -> WorldTime:
        """Returns what the clock does, for a node that begins.

        Args:
            ahead_ms: How far the latest time that is known to have been shown lies ahead of the machine's clock. A
                clock that runs far behind that runs as far ahead from now on: one process alone has moved it.
        """
        ...

    async def set_time(self, stands_at_ms: int | None, *, is_frozen: bool, ahead_ms: int | None) -> int | None:
        """Has the clock stand or run.

        Args:
            stands_at_ms: Where it is to stand; None lets it run.
            is_frozen: Whether it stays there.
            ahead_ms: How far ahead of the machines' clocks it runs; None leaves that as it is.

        Returns:
            The version of the new state; None when it is not this node's turn to lead.
        """
        ...

    async def arrive(self, version: int, at_ms: int, fired: Mapping[str, int]) -> None:
        """Says that this node has come to a state of the clock, which time it shows, and what it has done."""
        ...

    async def arrivals(self) -> Sequence[Arrival]:
        """Returns how far each node has come, this one first."""
        ...

    async def leave(self) -> None:
        """Notes that this node and its connections have gone."""
        ...
