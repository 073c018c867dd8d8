"""Connections to the HTTP surface: so many at once, and none that says nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from interop_server import tls
from interop_server.http.listener import listen
from interop_server.http.surface import serve
from interop_server.runtime.clock import machine_ms

pytestmark = pytest.mark.requirement("SIM-06")

LONG = 3_600.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(most: int, silent_seconds: float, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves an application that gives an empty answer; gives the port."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/", answer)
    listener = listen("127.0.0.1", 0)
    await listener.serve(lambda sock: serve(application, sock, most, silent_seconds, context))
    yield listener.port
    await listener.stop()


async def ask(ends: Ends) -> bytes:
    """Asks and returns the first line of the answer; empty when the connection was closed."""
    reader, writer = ends
    with suppress(ConnectionError):
        writer.write(REQUEST)
        line = await reader.readline()
        if line:
            await reader.readuntil(b"\r\n\r\n")
        return line
    return b""


async def test_one_connection_too_many_is_closed_at_once() -> None:
    """The others are answered; when one of them has gone there is room again."""
    async with served(2, LONG) as port:
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert b"200" in await ask(first)
        assert b"200" in await ask(second)
        third = await asyncio.open_connection("127.0.0.1", port)
        assert await ask(third) == b""
        assert b"200" in await ask(first)
        second[1].write(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await second[0].read()
        fourth = await asyncio.open_connection("127.0.0.1", port)
        assert b"200" in await ask(fourth)
        for _, writer in (first, second, third, fourth):
            writer.close()


async def test_a_connection_that_has_asked_nothing_is_closed() -> None:
    """Also one whose head goes on and on; one that has asked stays."""
    async with served(10, 0.2) as port:
        asking, silent, slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert b"200" in await ask(asking)
        slow[1].write(b"GET / HTTP/1.1\r\nX-Slow: ")
        for reader, _ in (silent, slow):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert b"200" in await ask(asking)
        for _, writer in (silent, slow, asking):
            writer.close()


async def hung_up(ends: Ends) -> bool:
    """Waits until the server ends a connection."""
    with suppress(ConnectionError):
        return await ends[0].read() == b""
    return True


async def test_who_does_not_begin_tls_is_counted_and_closed() -> None:
    """As whoever has begun it: a connection costs a file before that, too. Whose handshake fails makes room."""
    made = tls.make(["127.0.0.1"], machine_ms())
    trusted = ssl.create_default_context(cadata=made.ca)
    async with served(2, 0.3, made.http_context()) as port:
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        first[1].write(b"GET / HTTP/1.1\r\n\r\n")
        assert await hung_up(first)
        third = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        assert b"200" in await ask(third)
        assert await hung_up(second)
        assert b"200" in await ask(third)
        fourth = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        assert await hung_up(fourth)
        for _, writer in (first, second, third, fourth):
            writer.close()
