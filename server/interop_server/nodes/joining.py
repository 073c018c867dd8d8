"""Makes a process one node of a world; knows which engine can have several."""

from hashlib import sha256

from interop_server.core.rules import Rules
from interop_server.core.store import Store
from interop_server.core.troubles import Troubles
from interop_server.nodes.address import BusAddress
from interop_server.nodes.bus import Bus
from interop_server.nodes.node import Node
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.runtime.clock import AdjustableClock, machine_ms
from interop_server.storage.postgres.nodes import PostgresNodes
from interop_server.storage.postgres.store import PostgresStore


async def take_up_time(store: Store, clock: AdjustableClock) -> None:
    """Has a clock begin as that of the world, and no earlier than a time that was shown before."""
    floor_ms = await store.past.get_time_floor_ms()
    time = await _nodes_of(store).get_time()
    clock.start_within(floor_ms, time)  # before anything is written: the time is noted with it
    clock.start_within(floor_ms, await _nodes_of(store).begin_time(floor_ms - machine_ms()))


def node_on(store: Store, registry: ConnectionRegistry, clock: AdjustableClock) -> Node:
    """Returns the node that has a seat in a database, with the connections that this process has."""
    return Node(_nodes_of(store), registry, clock)


def _nodes_of(store: Store) -> PostgresNodes:
    assert isinstance(store, PostgresStore) and store.nodes is not None, "only --store is opened for a node"
    return store.nodes


async def join(
    node: Node, address: BusAddress, root_public_key: bytes, rules: Rules, troubles: Troubles, *, has_people: bool
) -> None:
    """Has a node hear of the others and be heard by them.

    Worlds can share a bus, even a prefix of it: what is said in one is heard in one, which is told by its root key.

    Raises:
        BusUnusable: The bus does not let it in.
        PeopleElsewhere: People will come to it, and another node has them.
    """
    bus = Bus(address, sha256(root_public_key).hexdigest()[:16], troubles, node.hear, node.seat, node.others.answer)
    await node.start(bus, rules.unacked_push.send, rules.key_sets.forget)
    if has_people:  # before they come: the same ones would get new keys, and be lost to the other node
        await node.take_people()
