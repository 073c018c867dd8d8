"""Through the running server: what an application had not finished when it crashed comes again, and nothing else."""

import asyncio

import pytest

from interop_client.client import ClientOptions
from interop_client.errors import ConnectionEnded
from interop_client.messaging.events import ConnectionLost, Event, OfflineEnd, TextReceived
from interop_client.state import ClientState
from tests.e2e.conftest import World

pytestmark = pytest.mark.requirement("MSG-09")


async def test_a_crash_in_the_handler_loses_nothing_and_repeats_nothing(world: World) -> None:
    """The handler answers the first text, which saves the state, and crashes at the second before it is done."""
    snapshots: list[bytes] = []
    finished: list[str] = []

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            await bob.send_text(event.sender, f"Reading {event.text}")
            if event.text == "two":
                snapshots.append(bob.state.to_bytes())
                raise OSError("the power fails")
            finished.append(event.text)

    alice, bob = await world.whatsapp(), await world.third_party("bob", ClientOptions(on_event=on_event))
    for text in ("one", "two", "three"):
        await alice.send_text(bob.jid, text)
    await bob.wait_for(ConnectionLost)
    with pytest.raises(ConnectionEnded, match="CLIENT_FAULT"):
        await bob.connect()
    await bob.close()

    again = type(bob)(bob.transport, ClientState.from_bytes(snapshots[0]))
    world.close_later(again)
    await again.connect()
    finished += [(await again.wait_for(TextReceived)).text for _ in range(2)]
    await again.wait_for(OfflineEnd)
    with pytest.raises(TimeoutError):
        await again.wait_for(TextReceived, 0)
    assert finished == ["one", "two", "three"]


async def test_a_client_closes_itself_in_its_handler(world: World) -> None:
    """The text that said so was finished; the one behind it comes with the next connection, once."""
    closed = asyncio.Event()

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived) and event.text == "Stop":
            await bob.close()
            closed.set()

    alice, bob = await world.whatsapp(), await world.third_party("bob", ClientOptions(on_event=on_event))
    await alice.send_text(bob.jid, "Stop")
    async with asyncio.timeout(10):
        await closed.wait()
        await bob.close()
    await alice.send_text(bob.jid, "Later")
    again = type(bob)(bob.transport, ClientState.from_bytes(bob.state.to_bytes()))
    world.close_later(again)
    await again.connect()
    assert (await again.wait_for(TextReceived)).text == "Later"
    await again.wait_for(OfflineEnd)
    with pytest.raises(TimeoutError):
        await again.wait_for(TextReceived, 0)
