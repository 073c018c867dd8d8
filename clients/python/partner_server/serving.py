"""Serves HTTP on a socket: so many connections, none silent from its start; knows nothing of what is served."""

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast
from weakref import WeakSet

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

BACKLOG = 128
"""How many connections may wait to be accepted."""
SILENT_SECONDS = 20.0
"""How long a new connection may take until the head of its first request is there."""
_OWN_FILES = 32
"""Files beside connections: of a messenger, or of a page with a messenger and a few people."""
_SERVERS = 2
"""In one process, at most: a page, and a messenger that is beside it."""
_FILES = 2
"""Of a connection: beside its socket a blob whose reader takes its time, or a proxied client's way to WhatsApp."""
_TURNS_OF_THE_LOOP = 3
"""From an accepted connection to a protocol that waits for its first bytes."""
_log = logging.getLogger(__name__)


@asynccontextmanager
async def serving(application: web.Application, listener: socket.socket, stop_seconds: float) -> AsyncIterator[None]:
    """Serves an application as long as the block runs.

    Args:
        application: It gets a middleware more.
        listener: Listens; closed at the end.
        stop_seconds: How long requests may take to end.
    """
    application.middlewares.insert(0, _note_request)
    runner = web.AppRunner(
        application, access_log=None, logger=_protocol_log(), shutdown_timeout=stop_seconds, auto_decompress=False
    )
    await runner.setup()
    try:
        assert runner.server is not None
        connections = _Connections(runner.server, most_connections())
        server = await asyncio.get_running_loop().create_server(connections, sock=listener, backlog=BACKLOG)
        try:
            yield
        finally:
            await _stop_listening(listener)
            server.close()
    finally:
        await runner.cleanup()


def most_connections() -> int:
    """Returns how many connections a server may have at once: with all of them there, files can still be opened."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(1, (soft - _OWN_FILES) // (_SERVERS * _FILES))


def raise_file_limit() -> None:
    """Lets this process open as many files as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # then there are fewer connections
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Connections:
    """Makes the protocols of new connections."""

    def __init__(self, server: web.Server, most: int) -> None:
        self._server = server
        self._most = most

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self._server.connections) >= self._most:
            return _Closing()
        handler = self._server()
        asyncio.get_running_loop().call_later(SILENT_SECONDS, _end_if_silent, handler)
        return handler


class _Closing(asyncio.Protocol):
    """Closes its connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


_spoken: "WeakSet[object]" = WeakSet()
"""The transports of connections on which a request has come."""


@web.middleware
async def _note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.transport is not None:
        _spoken.add(request.transport)
    return await handler(request)


def _end_if_silent(handler: web.RequestHandler) -> None:
    if handler.transport is not None and handler.transport not in _spoken:
        handler.transport.abort()


class _WithoutRequest(logging.Filter):
    """Keeps out of the log what aiohttp quotes of a request that is not HTTP: a token may be in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Leaves the kind of error alone."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
            record.msg, record.args = "a request was not HTTP: %s", (type(error).__name__,)
            record.exc_info = record.exc_text = None
        return _log.isEnabledFor(record.levelno)


def _protocol_log() -> logging.Logger:
    log = _log.getChild("protocol")
    if not log.filters:
        log.addFilter(_WithoutRequest())
    return log


async def _stop_listening(listener: socket.socket) -> None:
    """Accepts nothing more, and waits until what was accepted has its protocol; then the server can be closed.

    A server that asyncio closes one turn of the loop after it has accepted a connection forgets that connection, which
    then stays open (python/cpython issue 109564).
    """
    asyncio.get_running_loop().remove_reader(listener)
    for _ in range(_TURNS_OF_THE_LOOP):
        await asyncio.sleep(0)
