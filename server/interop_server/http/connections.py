"""How many connections the HTTP surface has at once, and how long one may say nothing; knows no path."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any, cast
from weakref import WeakSet

from aiohttp import web
from aiohttp.typedefs import Handler

IDLE_SECONDS = 30.0
"""How long a connection may be silent after a request; policy."""


class BoundedConnections:
    """Makes the protocols of new connections.

    Args:
        server: Makes them without a bound.
        most: Connections at once. One too many is closed as soon as it is accepted.
        silent_seconds: How long a new one may take until the head of its first request is there.
        tls: With certificate and key; None for no TLS.
    """

    def __init__(self, server: web.Server, most: int, silent_seconds: float, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._most = most
        self._silent_seconds = silent_seconds
        self._tls = tls
        self._in_handshake = 0

    def __call__(self) -> asyncio.BaseProtocol:
        """Returns the protocol of a connection that was accepted."""
        if len(self._server.connections) + self._in_handshake >= self._most:
            return _Closing()
        handler = self._server()
        asyncio.get_running_loop().call_later(self._silent_seconds, _end_if_silent, handler)
        return handler if self._tls is None else self._behind_tls(handler, self._tls)

    def _behind_tls(self, handler: web.RequestHandler, tls: ssl.SSLContext) -> asyncio.BaseProtocol:
        # As `create_server` does with a context, which counts nobody, and waits for a minute, before the handshake.
        loop = asyncio.get_running_loop()
        greeted = loop.create_future()
        self._in_handshake += 1
        greeted.add_done_callback(self._greeted)
        seconds: Any = self._silent_seconds  # may be a part of one, whatever is written down
        return SSLProtocol(loop, handler, tls, greeted, server_side=True, ssl_handshake_timeout=seconds)

    def _greeted(self, greeted: "asyncio.Future[None]") -> None:
        self._in_handshake -= 1
        if not greeted.cancelled():
            greeted.exception()  # whose handshake fails has gone; nobody else needs to hear of it


class _Closing(asyncio.Protocol):
    """Closes its connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


_spoken: "WeakSet[object]" = WeakSet()
"""The transports of connections on which a request has come."""


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Notes that a connection has said something."""
    if request.transport is not None:
        _spoken.add(request.transport)
    return await handler(request)


def _end_if_silent(handler: web.RequestHandler) -> None:
    if handler.transport is not None and handler.transport not in _spoken:
        handler.transport.abort()
