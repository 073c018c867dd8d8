"""A client behind a proxy that is closed, or told to connect anew, and gives that up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from interop_api.v1 import stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.connection.proxy_frames import BatchFrame
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ConnectionEnded
from interop_client.state import ClientState

JID = "17-1@interop"


class Proxy:
    """Accepts each login, and then says nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.logins = 0
        self._open = 0
        self._changed = asyncio.Condition()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await self._count(1)
        login = stanza_pb2.Stanza(login_success=stanza_pb2.LoginSuccess(jid=JID))
        await socket.send_bytes(BatchFrame(stanza_pb2.Batch(stanzas=[login]).SerializeToString()).encode())
        async for _ in socket:
            pass
        await self._count(-1)
        return socket

    async def until_open(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._open == count)

    async def _count(self, step: int) -> None:
        async with self._changed:
            self._open += step
            self.logins += step > 0
            self._changed.notify_all()


@asynccontextmanager
async def serving() -> AsyncIterator[Proxy]:
    proxy, application = Proxy(), web.Application()
    application.router.add_get("/proxy", proxy.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}/proxy"
    try:
        yield proxy
    finally:
        await runner.cleanup()


async def get_token() -> str:
    return "token"


@pytest.mark.parametrize("end", ["close", "connect"])
@pytest.mark.parametrize("steps", [1, 2, 3, 8])
async def test_what_ends_a_connection_may_be_given_up(end: str, steps: int) -> None:
    """A later one does all that is left: no WebSocket stays open, and nobody waits for ever."""
    async with asyncio.timeout(10), serving() as proxy:
        transport = ProxyTransport(proxy.url, ProxyLogin("bob", JID, get_token))
        bob = InteropClient(transport, ClientState.generate(JID), options=ClientOptions(refill_count=0))
        await bob.connect()
        ending = asyncio.create_task(getattr(bob, end)())
        for _ in range(steps):
            await asyncio.sleep(0)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        await bob.close()
        await proxy.until_open(0)
        await bob.connect()
        await bob.close()
        await proxy.until_open(0)


async def test_a_token_that_comes_after_the_close_opens_nothing() -> None:
    """Also when it is the application's own code that closes the client: no proxy hears of a login."""

    async def close() -> str:
        await transport.close()
        return "token"

    async with asyncio.timeout(10), serving() as proxy:
        transport = ProxyTransport(proxy.url, ProxyLogin("bob", JID, close))
        with pytest.raises(ConnectionEnded, match="CLOSED"):
            await transport.connect()
        assert proxy.logins == 0
