"""Looks up the names of partners' servers, on threads of its own; knows no request.

The event loop's own threads are few, and blobs are read and written on them. A look-up cannot be broken off, and takes
ten seconds or more where a name server does not answer: on those threads it would hold up everybody's uploads and
downloads, as long as a partner wishes. Whoever wants a name that is being looked up waits for that look-up.
"""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

MOST_LOOK_UPS = 64
"""How many names may be looked up at once; policy. One partner has three."""

_Found = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]
_Wanted = tuple[str, socket.AddressFamily]

_lock = threading.Lock()
_under_way: dict[_Wanted, "Future[_Found]"] = {}
"""Of this process: its threads are, too."""


class NameResolver(AbstractResolver):
    """Looks names up for one session of aiohttp."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the addresses of a name.

        Raises:
            OSError: It has none, or too many others are being looked up.
            ValueError: It is none.
        """
        # The look-up is not cancelled with whoever waits here, since it runs.
        found = await asyncio.wrap_future(_look_up((host, family)))
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=_host(address), port=port, family=kind, proto=protocol, flags=flags)
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Does nothing: others may wait for the same names."""


def _host(address: tuple[Any, ...]) -> str:
    scope = address[3] if len(address) > 3 else 0
    return f"{address[0]}%{scope}" if scope else str(address[0])


def _look_up(wanted: _Wanted) -> "Future[_Found]":
    """Returns the look-up of a name; begins it, unless it is under way."""
    with _lock:
        if (found := _under_way.get(wanted)) is not None:
            return found
        if len(_under_way) >= MOST_LOOK_UPS:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        found = Future()
        found.set_running_or_notify_cancel()
        _under_way[wanted] = found
    try:
        # Nobody waits for it at the end of the process.
        threading.Thread(target=_find, args=(wanted, found), name="look-up", daemon=True).start()
    except RuntimeError as error:  # the system gives no thread
        _done(wanted)
        found.set_exception(OSError(errno.EAGAIN, str(error)))
    return found


def _find(wanted: _Wanted, found: "Future[_Found]") -> None:
    host, family = wanted
    try:
        addresses = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except Exception as error:  # noqa: BLE001 - raised again in whoever waits
        _done(wanted)
        found.set_exception(error)
    else:
        _done(wanted)
        found.set_result(addresses)
    finally:
        del found  # it holds the error, whose trace holds what is here


def _done(wanted: _Wanted) -> None:
    with _lock:
        del _under_way[wanted]
