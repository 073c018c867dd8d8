"""What every service uses: the rules, and the live connections of this node."""

from dataclasses import dataclass

from interop_server.core.ports import Clock, Rng
from interop_server.core.rules import Rules
from interop_server.core.seats import Seats
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.departures import Departures
from interop_server.rpc.repeats import Repeats


@dataclass(frozen=True, slots=True)
class Edge:
    """The parts of one node that its services share."""

    rules: Rules
    registry: ConnectionRegistry
    departures: Departures
    repeats: Repeats
    seats: Seats
    clock: Clock
    rng: Rng
    """For handshakes."""
