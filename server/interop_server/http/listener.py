"""Listens for HTTP at once, and answers when what answers has been loaded; knows no path.

aiohttp takes a quarter of a start to import. Whoever asks before it is there waits in the socket's queue.
"""

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from interop_server.core.troubles import HTTP, Troubles

if TYPE_CHECKING:
    from interop_server.http.surface import HttpServer

BACKLOG = 128
"""Connections that wait to be accepted."""
AGAIN_SECONDS = 1.0
"""After so long the code is loaded once more."""
_SURFACE = "interop_server.http.surface"


class HttpListener:
    """Made by `listen`; `serve` ends when it serves, and `stop` may be called at any time.

    Args:
        sock: Listens.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._server: HttpServer | None = None

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._socket.getsockname()[1])

    async def serve(
        self, start: Callable[[socket.socket], Awaitable["HttpServer"]], troubles: Troubles | None = None
    ) -> None:
        """Loads what answers, on a thread of its own, then starts it on the socket.

        Tries again where that fails: a descriptor, a thread or the disk may be missing at the moment.

        Args:
            start: Starts it.
            troubles: Where it stands meanwhile that nobody answers.
        """
        troubles = troubles or Troubles()
        while True:
            try:
                await asyncio.to_thread(importlib.import_module, _SURFACE)
                self._server = await start(self._socket)
                troubles.end(HTTP)
                return
            except (OSError, ImportError, RuntimeError) as error:  # the last where the system gives no thread
                troubles.meet(HTTP, f"HTTP is not answered yet ({error}): what answers it is loaded again and again.")
                await asyncio.sleep(AGAIN_SECONDS)

    async def stop(self) -> None:
        """Stops listening, and what serves."""
        if self._server is not None:
            await self._server.stop()
        self._socket.close()


def listen(host: str, port: int) -> HttpListener:
    """Listens on an address.

    Args:
        host: One of this machine.
        port: 0 for any free port.

    Raises:
        OSError: The address is taken, or not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    sock.setblocking(False)
    return HttpListener(sock)
