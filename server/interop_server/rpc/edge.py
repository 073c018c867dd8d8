"""What every service uses: the rules, and how clients get in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from interop_server.core.ports import Clock, Rng
from interop_server.core.rules import Rules
from interop_server.core.seats import Seats
from interop_server.fault_gate import FaultGate
from interop_server.rpc.convert.batches import Batches
from interop_server.rpc.departures import Departures
from interop_server.rpc.entrance import Entrance
from interop_server.rpc.others import Others
from interop_server.rpc.repeats import Repeats
from interop_server.rpc.turns import Turns
from interop_server.rpc.waiting import WaitingRoom

if TYPE_CHECKING:
    from interop_server.rpc.spans import CallSpans

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Edge:
    """The parts of one node that its services share."""

    rules: Rules
    entrance: Entrance
    departures: Departures
    repeats: Repeats
    seats: Seats
    waiting: WaitingRoom
    turns: Turns
    batches: Batches
    """Reads those of all channels: what it knows of their lists is too much for each of them."""
    gate: FaultGate
    most_connections: int
    """That each gRPC server may have at once."""
    clock: Clock
    rng: Rng
    """For handshakes."""
    admin_token: str = field(default="", repr=False)
    """What admin calls need; empty when they need none."""
    spans: "CallSpans | None" = None
    """Makes spans of calls; None makes none."""

    @property
    def others(self) -> Others | None:
        """The other nodes of the world; None for a process that is alone."""
        return self.repeats.others

    def spanned(self, name: str, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Returns work that is done in a span of this name; the work itself where no spans are wanted."""
        return work if self.spans is None else self.spans.around(name, work)
