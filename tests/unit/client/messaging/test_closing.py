"""The application may close or reconnect a client from inside its own code that the client waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interop_client.client import ClientOptions, InteropClient
from interop_client.messaging.events import Event, TextReceived
from interop_client.state import ClientState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport
from tests.unit.client.messaging.conftest import Alice, Peer, retry, say

Close = Callable[[InteropClient], Awaitable[None]]


async def directly(client: InteropClient) -> None:
    await client.close()


async def twice(client: InteropClient) -> None:
    await client.close()
    await client.close()


async def in_a_task(client: InteropClient) -> None:
    await asyncio.create_task(client.close())


async def within_a_time(client: InteropClient) -> None:
    await asyncio.wait_for(client.close(), 5)


async def by_reconnecting(client: InteropClient) -> None:
    await client.connect()
    await client.close()


@pytest.mark.parametrize("close", [directly, twice, in_a_task, within_a_time, by_reconnecting])
async def test_a_handler_may_close_its_client(
    transport: ScriptedTransport, state: ClientState, alice: Alice, close: Close
) -> None:
    """It goes on afterwards; what it was at work on is finished and saved, what came behind it comes again."""
    store, seen = MemoryStore(), list[str]()
    handled = asyncio.Event()
    first, second = alice.delivery("Stop"), alice.delivery("Later")

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            await close(bob)
            seen.append(event.text)
            handled.set()

    bob = InteropClient(transport, state, store, ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(first, second)
        await handled.wait()
        await bob.close()
    assert seen == ["Stop"]
    async with InteropClient(transport, ClientState.from_bytes(store.snapshot), store) as again:
        transport.deliver(first, second)
        assert (await again.wait_for(TextReceived)).text == "Later"
        await transport.until(lambda: transport.acked == [1, 2])


async def test_finding_what_was_sent_may_close_the_client(
    transport: ScriptedTransport, state: ClientState, peer: Peer
) -> None:
    """That code runs in a task of the client, too; the request is not acked, and comes again."""
    found = asyncio.Event()

    async def find_sent(to: str, message_id: str) -> Any:
        await bob.close()
        found.set()

    bob = InteropClient(transport, state, options=ClientOptions(refill_count=0, find_sent=find_sent))
    async with asyncio.timeout(5), bob:
        await say(bob, peer, "Hi")
        transport.deliver(retry("old"))
        await found.wait()
    assert transport.acked == []
