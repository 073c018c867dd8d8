"""The application may close or reconnect a client from inside its own code that the client waits for."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ConnectionEnded
from interop_client.messaging.events import ConnectionLost, Event, TextReceived
from interop_client.state import ClientState, MemoryStore
from tests.unit.client.conftest import ScriptedTransport, Stanza
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


@pytest.mark.parametrize("end", ["close", "connect", "abort"])
async def test_closing_may_be_given_up(
    transport: ScriptedTransport, state: ClientState, alice: Alice, end: str
) -> None:
    """As for a timeout, while the application's code is at work: the client can be closed and connected afterwards."""
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            at_work.set()
            await go_on.wait()

    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(alice.delivery("Hi"))
        await at_work.wait()
        ending = asyncio.create_task(getattr(bob, end)())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        assert ending.cancelled()
        go_on.set()
        await bob.close()
        await bob.connect()
        await bob.close()


async def test_who_closes_while_another_connects_has_the_last_word(
    transport: ScriptedTransport, state: ClientState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that comes to its end after that opens nothing; nor does the first of two that connect at once."""
    connect, logins = transport.connect, asyncio.Semaphore(0)

    async def slow() -> Any:
        await logins.acquire()
        return await connect()

    monkeypatch.setattr(transport, "connect", slow)
    bob = InteropClient(transport, state)
    async with asyncio.timeout(5):
        connecting = asyncio.create_task(bob.connect())
        await asyncio.sleep(0)
        await bob.close()
        logins.release()
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await connecting
        both = [asyncio.create_task(bob.connect()) for _ in range(2)]
        await asyncio.sleep(0)
        logins.release()
        logins.release()
        first, second = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(first, ConnectionEnded) and second is None
        await bob.close()


async def in_the_handler(client: InteropClient) -> None:
    await client.connect()


async def in_a_task_of_the_handler(client: InteropClient) -> None:
    await asyncio.create_task(client.connect())


async def several_times(client: InteropClient) -> None:
    for _ in range(3):
        await client.connect()


Reconnect = pytest.mark.parametrize("reconnect", [in_the_handler, in_a_task_of_the_handler, several_times])


@Reconnect
async def test_what_a_handler_is_at_work_on_while_it_reconnects_is_handed_over_once(
    transport: ScriptedTransport, state: ClientState, alice: Alice, reconnect: Close
) -> None:
    """It is acked when the handler has finished it; until then, nothing else is handed over. The client still sends."""
    store, seen = MemoryStore(), list[str]()
    first, second = alice.delivery("Reconnect"), alice.delivery("Later")
    answer = asyncio.Event()

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            seen.append(f"{event.text} begins")
            if event.text == "Reconnect":
                await reconnect(bob)
                transport.deliver(first, second)
                pong = asyncio.create_task(bob.ping())
                await transport.until(lambda: bool(transport.of_kind("ping")))
                transport.deliver(Stanza(pong=stanza_pb2.Pong(id=1)))
                await pong
                assert transport.acked == []
                await answer.wait()
            seen.append(f"{event.text} ends")

    bob = InteropClient(transport, state, store, ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(first)
        await transport.until(lambda: bool(transport.of_kind("ping")))
        answer.set()
        await transport.until(lambda: transport.acked == [1, 2])
        await bob.connect()
        await bob.close()
    assert seen == ["Reconnect begins", "Reconnect ends", "Later begins", "Later ends"]
    assert [event.text async for event in bob.events() if isinstance(event, TextReceived)] == ["Reconnect", "Later"]


@Reconnect
async def test_a_handler_that_fails_after_it_has_reconnected_fails_the_new_connection(
    transport: ScriptedTransport, state: ClientState, alice: Alice, reconnect: Close
) -> None:
    """Nothing is acked there either, and the client does not connect again."""
    delivery = alice.delivery("Hi")

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            await reconnect(bob)
            transport.deliver(delivery)
            raise ValueError

    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(delivery)
        assert (await bob.wait_for(ConnectionLost)).reason == "CLIENT_FAULT"
        for _ in range(2):
            with pytest.raises(ConnectionEnded, match="CLIENT_FAULT"):
                await bob.connect()
        await bob.close()
    assert transport.acked == []


async def test_a_handler_that_always_reconnects_fills_no_memory(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """A connection that has ended is not kept by those after it."""
    connections: list[weakref.ref[Any]] = []

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            connections.append(weakref.ref(bob._open_connection))
            await bob.connect()

    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5), bob:
        for number in range(5):
            transport.deliver(alice.delivery(str(number)))
            await bob.wait_for(TextReceived)
        gc.collect()
        assert [connection() for connection in connections[:-2]] == [None] * 3


async def test_a_handler_that_fails_while_its_task_connects_fails_that_connection(
    transport: ScriptedTransport, state: ClientState, alice: Alice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is at fault before it is there."""
    connect, logins, tasks = transport.connect, asyncio.Semaphore(1), list[asyncio.Task[None]]()
    logging_in = asyncio.Event()

    async def slow() -> Any:
        if tasks:
            logging_in.set()
        await logins.acquire()
        return await connect()

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            tasks.append(asyncio.create_task(bob.connect()))
            await logging_in.wait()
            raise ValueError

    monkeypatch.setattr(transport, "connect", slow)
    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(alice.delivery("Hi"))
        assert (await bob.wait_for(ConnectionLost)).reason == "CLIENT_FAULT"
        logins.release()
        await tasks[0]
        assert (await bob.wait_for(ConnectionLost)).reason == "CLIENT_FAULT"
        await bob.close()


class Outcome(BaseException):
    """As test frameworks end a test with."""


async def fail(_: InteropClient) -> None:
    raise Outcome


async def cancel_itself(_: InteropClient) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def use_another_that_has_ended(_: InteropClient) -> None:
    raise ConnectionEnded("CLOSED", "That of another client.")


@pytest.mark.parametrize("work", [fail, cancel_itself, use_another_that_has_ended])
async def test_however_a_handler_fails_the_application_is_told(
    transport: ScriptedTransport, state: ClientState, alice: Alice, work: Close
) -> None:
    """The connection ends as one at fault; nothing more is acked, and nothing stops unheard."""

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived):
            await work(bob)

    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(alice.delivery("Hi"))
        assert (await bob.wait_for(ConnectionLost)).reason == "CLIENT_FAULT"
        await bob.close()
    assert transport.acked == []


async def test_the_end_of_the_own_connection_is_no_fault_of_the_handler(
    transport: ScriptedTransport, state: ClientState, alice: Alice
) -> None:
    """An answer that cannot be sent any more is let out, and the client connects again."""
    at_work = asyncio.Event()

    async def on_event(event: Event) -> None:
        if isinstance(event, TextReceived) and event.text == "Hi":
            at_work.set()
            transport.end("SERVER_DRAINING")
            await bob.send_text(event.sender, "Hello")

    bob = InteropClient(transport, state, options=ClientOptions(on_event=on_event, refill_count=0))
    async with asyncio.timeout(5):
        await bob.connect()
        transport.deliver(alice.delivery("Hi"))
        assert (await bob.wait_for(ConnectionLost)).reason == "SERVER_DRAINING"
        await bob.connect()
        await bob.close()
