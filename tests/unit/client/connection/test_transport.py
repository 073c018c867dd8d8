"""A transport that is closed, or told to connect anew, while it connects or calls: each caller is told so."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest

from interop_api.v1 import chat_pb2, errors_pb2, prekeys_pb2, prekeys_pb2_grpc, stanza_pb2
from interop_client.connection.channel import ChatChannel
from interop_client.connection.login import third_party_login
from interop_client.connection.transport import DirectTransport, LoginFactory
from interop_client.errors import ConnectionEnded, LoginRefused, ServerRefusal
from interop_protocol.endpoint import ServerAddress
from tests.proxy import Proxy, to_port
from tests.unit.client.conftest import NoiseServer, Peer, public_key, serving

AUTH_KEY = b"\x05" * 32


def transport_to(server: NoiseServer, log_in: LoginFactory) -> DirectTransport:
    return DirectTransport(ServerAddress(server.address, public_key(server.root)), AUTH_KEY, log_in)


async def at_once() -> chat_pb2.LoginPayload:
    return third_party_login("12-34@interop", "token")


async def test_closing_ends_whoever_waits_for_a_token() -> None:
    """The token may come when the channel has gone."""
    async with serving(NoiseServer()) as server, asyncio.timeout(10):
        asked = asyncio.Event()

        async def never() -> chat_pb2.LoginPayload:
            asked.set()
            await asyncio.Event().wait()
            return await at_once()

        transport = transport_to(server, never)
        connecting = asyncio.create_task(transport.connect())
        await asked.wait()
        await transport.close()
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await connecting


async def test_closing_ends_a_login_that_is_not_answered() -> None:
    """At once, and not when the login has taken too long."""
    here = asyncio.Event()

    async def silent(_: Peer) -> None:
        here.set()
        await asyncio.Event().wait()

    async with serving(NoiseServer(script=silent)) as server, asyncio.timeout(10):
        transport = transport_to(server, at_once)
        connecting = asyncio.create_task(transport.connect())
        await here.wait()
        await transport.close()
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await connecting


async def test_of_several_that_connect_at_once_the_last_is_connected() -> None:
    """The others are told; no login is answered twice, and no channel stays open."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        while await peer.hear() is not None:
            pass

    async with serving(NoiseServer(script=script)) as server, asyncio.timeout(10):
        transport = transport_to(server, at_once)
        before = asyncio.all_tasks()
        outcomes = await asyncio.gather(*(transport.connect() for _ in range(4)), return_exceptions=True)
        assert [isinstance(each, ConnectionEnded) for each in outcomes].count(False) == 1
        assert sum("chat channel" in task.get_name() for task in asyncio.all_tasks() - before) == 2
        await transport.close()


async def test_closing_ends_also_who_waits_for_an_earlier_attempt_to_end() -> None:
    """Neither logs in: who closes came last. Of two that wait so, the later one is connected."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        while await peer.hear() is not None:
            pass

    async with serving(NoiseServer(script=script)) as server, asyncio.timeout(10):
        asked = asyncio.Event()

        async def late() -> chat_pb2.LoginPayload:
            if not asked.is_set():
                asked.set()
                await asyncio.Event().wait()
            return await at_once()

        transport = transport_to(server, late)
        connecting = [asyncio.create_task(transport.connect())]
        await asked.wait()
        connecting.append(asyncio.create_task(transport.connect()))
        await asyncio.sleep(0)
        await transport.close()
        outcomes = await asyncio.gather(*connecting, return_exceptions=True)
        assert [type(each) for each in outcomes] == [ConnectionEnded] * 2
        assert server.payloads == []

        asked.clear()
        connecting = [asyncio.create_task(transport.connect())]
        await asked.wait()
        for _ in range(2):
            connecting.append(asyncio.create_task(transport.connect()))
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*connecting, return_exceptions=True)
        assert [isinstance(each, ConnectionEnded) for each in outcomes] == [True, True, False]
        assert len(server.payloads) == 1
        await transport.close()


@pytest.mark.parametrize("again", [False, True])
async def test_code_that_gets_a_token_may_end_the_attempt_that_waits_for_it(again: bool) -> None:
    """By closing, or by connecting anew: its own token then opens nothing."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        while await peer.hear() is not None:
            pass

    async with serving(NoiseServer(script=script)) as server, asyncio.timeout(10):
        calls = 0

        async def ending() -> chat_pb2.LoginPayload:
            nonlocal calls
            calls += 1
            if calls == 1:
                await transport.close()
                if again:
                    await transport.connect()
            return await at_once()

        transport = transport_to(server, ending)
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await transport.connect()
        assert len(server.payloads) == again
        await transport.close()


@pytest.mark.parametrize("cancels", [False, True])
async def test_a_call_under_which_the_client_is_closed_is_told_so(cancels: bool) -> None:
    """A cancellation is for who asked for it: else a task group would take the caller for cancelled."""
    called = asyncio.Event()

    class Silent(prekeys_pb2_grpc.PreKeyServiceServicer):
        async def CountOneTimePreKeys(self, request: Any, context: Any) -> Any:  # type: ignore[override]
            called.set()
            await asyncio.Event().wait()

    listener = grpc.aio.server()
    prekeys_pb2_grpc.add_PreKeyServiceServicer_to_server(Silent(), listener)  # type: ignore[no-untyped-call, unused-ignore]
    address = f"127.0.0.1:{listener.add_insecure_port('127.0.0.1:0')}"
    await listener.start()
    transport = transport_to(NoiseServer(address=address), at_once)
    method, request = "/interop_api.v1.PreKeyService/CountOneTimePreKeys", prekeys_pb2.CountOneTimePreKeysRequest()
    async with asyncio.timeout(10):
        calling = asyncio.create_task(transport.call(method, request, prekeys_pb2.CountOneTimePreKeysResponse))
        await called.wait()
        if cancels:
            calling.cancel()
        await transport.close()
        [ended] = await asyncio.gather(calling, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError if cancels else ConnectionEnded)
    await listener.stop(0)


async def stays(peer: Peer) -> None:
    """A server that welcomes, and hears until the client goes."""
    await peer.welcome()
    while await peer.hear() is not None:
        pass


async def goes(peer: Peer) -> None:
    """A server that welcomes and ends the channel."""
    await peer.welcome()


async def closes(transport: DirectTransport) -> None:
    await transport.connect()
    await transport.close()


async def closes_while_it_reads(transport: DirectTransport) -> None:
    """As a client does: another task reads."""
    await transport.connect()

    async def read() -> None:
        async for _ in transport.receive():
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await transport.close()
    await asyncio.gather(reading, return_exceptions=True)


async def drops(transport: DirectTransport) -> None:
    await transport.connect()
    transport.abort()
    await transport.close()


async def comes_again(transport: DirectTransport) -> None:
    await transport.connect()
    await closes(transport)


@pytest.mark.parametrize("script", [stays, goes], ids=lambda script: script.__name__)
@pytest.mark.parametrize("life", [closes, closes_while_it_reads, drops, comes_again], ids=lambda life: life.__name__)
async def test_nothing_of_a_closed_channel_waits_for_the_garbage_collector(
    script: Callable[[Peer], Awaitable[None]], life: Callable[[DirectTransport], Awaitable[None]]
) -> None:
    """The connection to the server would stay with it: of a client that comes and goes, many at once."""
    async with serving(NoiseServer(script=script)) as server, asyncio.timeout(10):
        transport = transport_to(server, at_once)
        gc.collect()
        gc.disable()
        try:
            await life(transport)
            await asyncio.sleep(0)
            assert [each for each in gc.get_objects() if isinstance(each, ChatChannel)] == []
        finally:
            gc.enable()


class Watched(Proxy):
    """Knows when the last connection that was opened through it has been closed by the client."""

    def __init__(self, server: NoiseServer) -> None:
        super().__init__(to_port(lambda: int(server.address.rpartition(":")[2])))
        self.opened = 0
        self._open = 0
        self.left = asyncio.Event()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened, self._open = self.opened + 1, self._open + 1
        self.left.clear()
        try:
            await super().ask(reader, writer)
        finally:
            self._open -= 1
            if not self._open:
                self.left.set()


async def refuses(peer: Peer) -> None:
    """A server that accepts no login."""
    failure = stanza_pb2.LoginFailure(error=errors_pb2.Refusal(reason=errors_pb2.ERROR_REASON_NOT_ENLISTED))
    await peer.say(stanza_pb2.Stanza(login_failure=failure))


async def calls(transport: DirectTransport) -> None:
    """What this server does not know: it refuses that."""
    method, request = "/interop_api.v1.PreKeyService/CountOneTimePreKeys", prekeys_pb2.CountOneTimePreKeysRequest()
    with pytest.raises(ServerRefusal, match="UNIMPLEMENTED"):
        await transport.call(method, request, prekeys_pb2.CountOneTimePreKeysResponse)


async def calls_after_it_was_closed(transport: DirectTransport) -> None:
    await closes(transport)
    await calls(transport)


async def closes_after_a_call(transport: DirectTransport) -> None:
    await transport.connect()
    await calls(transport)
    await transport.close()


async def is_refused(transport: DirectTransport) -> None:
    with pytest.raises(LoginRefused):
        await transport.connect()


@pytest.mark.parametrize(
    ("script", "life", "connections"),
    [
        (stays, calls, 1),
        (stays, calls_after_it_was_closed, 2),
        (stays, closes_after_a_call, 1),
        (refuses, is_refused, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_without_a_chat_channel_no_connection_stays_open(
    script: Callable[[Peer], Awaitable[None]], life: Callable[[DirectTransport], Awaitable[None]], connections: int
) -> None:
    """Nobody may come to close it; and what was refused holds none until the garbage collector comes."""
    async with serving(NoiseServer(script=script)) as server, Watched(server) as proxy, asyncio.timeout(10):
        transport = transport_to(replace(server, address=f"127.0.0.1:{proxy.port}"), at_once)
        gc.disable()
        try:
            await life(transport)
            await proxy.left.wait()
        finally:
            gc.enable()
        assert proxy.opened == connections
