"""Two nodes, one world: what is stored at one is delivered at the other, and pushed about when nobody is connected."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interop_client.client import InteropClient
from interop_client.messaging.events import TextReceived
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.messaging.test_flows_typing import COMPOSING, typing
from tests.e2e.nodes.conftest import Both, Nodes, at_both, come_about
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, message_ids, sealed_message
from tests.postgres import ask

LATE_SECONDS = 2.5
"""A second, and what the machine may take on top."""


async def heard_of(world: World, client: InteropClient) -> None:
    """Waits until a node knows that somebody is connected."""

    async def is_known() -> bool:
        return client.jid in [each.jid for each in await world.admin.list_connections()]

    await come_about(is_known)


async def pushes(both: Both) -> int:
    """How many pushes both nodes have made or merged."""
    counts = [(await world.admin.get_statistics()).counted for world in (both.here, both.there)]
    return sum(each["push_sent"] + each["push_failed"] for each in counts)


@pytest.mark.requirement("MSG-07")
async def test_a_conversation_between_two_nodes(both: Both) -> None:
    """Both ways, with sessions, receipts and all: nobody notices."""
    alice, bob = await both.here.whatsapp(), await both.there.third_party("bob")
    for n in range(10):
        await alice.send_text(bob.jid, f"hello {n}")
        assert (await bob.wait_for(TextReceived)).text == f"hello {n}"
        await bob.send_text(alice.jid, f"hi {n}")
        assert (await alice.wait_for(TextReceived)).text == f"hi {n}"


@asynccontextmanager
async def wires(both: Both) -> AsyncIterator[tuple[Wire, str, Wire, str]]:
    """Alice at one node and Bob at the other, each known to both nodes."""
    alice, bob = await both.here.whatsapp(options=QUIET), await both.there.third_party("bob", QUIET)
    for client in (alice, bob):
        await client.close()
    async with Wire(alice.transport) as a, Wire(bob.transport) as b:
        for wire in (a, b):
            await wire.take_until("offline_end")
        await heard_of(both.here, bob)
        await heard_of(both.there, alice)
        yield a, alice.jid, b, bob.jid


@pytest.mark.requirement("MSG-13")
async def test_typing_is_shown_at_the_other_node(both: Both) -> None:
    """With the sender's JID, as at the same node."""
    async with wires(both) as (a, jid_of_alice, b, jid_of_bob):
        for wire, other, sender, to in ((a, b, jid_of_alice, jid_of_bob), (b, a, jid_of_bob, jid_of_alice)):
            await wire.send(typing(to))
            [shown] = await other.take()
            assert (shown.typing.from_jid, shown.typing.state) == (sender, COMPOSING)


@pytest.mark.requirement("MSG-07", "SIM-03")
@pytest.mark.parametrize("ails", ["killed", "stopped"])
async def test_without_the_bus_it_takes_a_second(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path, ails: str
) -> None:
    """Each message, while the bus is gone or does not answer; afterwards it is quick again."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both, wires(both) as (a, _, b, jid_of_bob):

        async def send(name: str, most_seconds: float) -> None:
            await a.send(sealed_message(jid_of_bob, name))
            async with asyncio.timeout(most_seconds):
                assert message_ids(await b.take_until("message")) == [name]

        await send("with", LATE_SECONDS)
        own_nodes.nats.kill() if ails == "killed" else own_nodes.nats.signal(signal.SIGSTOP)
        for number in range(3):
            await send(f"without-{number}", LATE_SECONDS)
        own_nodes.nats.start() if ails == "killed" else own_nodes.nats.signal(signal.SIGCONT)
        for world in (both.here, both.there):

            async def is_well(world: World = world) -> bool:
                return not (await world.admin.get_statistics()).troubles

            await come_about(is_well)
        for number in range(20):
            await send(f"again-{number}", LATE_SECONDS)


@pytest.mark.requirement("LIF-01")
async def test_a_push_goes_to_whoever_is_connected_nowhere(both: Both) -> None:
    """None while they are at the other node; one when they have left, whichever node stores the message."""
    async with wires(both) as (a, _, b, jid_of_bob):
        before = await pushes(both)
        await a.send(sealed_message(jid_of_bob, "connected"))
        [delivered] = await b.take()
        await b.ack([delivered])
        await b.ping()
        assert await pushes(both) == before
        await b.__aexit__()
        await a.send(sealed_message(jid_of_bob, "left"))  # the node of Alice may not know yet

        async def is_pushed() -> bool:
            return await pushes(both) > before

        await come_about(is_pushed)


@pytest.mark.requirement("MSG-14")
async def test_an_ack_tells_the_time_that_the_recipient_is_told(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """Also when that is later than the time at the sender's node: another node has noted it, with what it stored."""
    store = own_nodes.arguments[0][own_nodes.arguments[0].index("--store") + 1]
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both, wires(both) as (a, _, b, jid_of_bob):
        later_ms = (await both.there.admin.get_clock()).now_ms + 60_000
        await ask(store, f"INSERT INTO noted_time (seat, noted_ms) VALUES (0, {later_ms})")
        for _ in range(2):  # a repetition is told the same
            await a.send(sealed_message(jid_of_bob, "late"))
            [ack] = (await a.take_until("send_acks"))[-1].send_acks.acks
            assert (ack.id, ack.timestamp_ms) == ("late", later_ms)
        assert (await b.take_until("message"))[-1].message.timestamp_ms == later_ms
