"""What every service uses: the rules, and the live connections of this node."""

from dataclasses import dataclass

from interop_server.core.ports import Clock, Rng
from interop_server.core.rules import Rules
from interop_server.core.seats import Seats
from interop_server.fault_gate import FaultGate
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.convert.batches import Batches
from interop_server.rpc.departures import Departures
from interop_server.rpc.repeats import Repeats
from interop_server.rpc.turns import Turns
from interop_server.rpc.waiting import WaitingRoom


@dataclass(frozen=True, slots=True)
class Edge:
    """The parts of one node that its services share."""

    rules: Rules
    registry: ConnectionRegistry
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
