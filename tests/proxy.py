"""A proxy between a client and a server, for tests: what passes can be broken off or held up; knows no protocol."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]
"""Opens a connection to the server."""

_READ_BYTES = 1 << 16


def to_port(port: Callable[[], int]) -> Connect:
    """Connects to whatever is at a port of this machine then."""
    return lambda: asyncio.open_connection("127.0.0.1", port())


def to_socket(path: Path) -> Connect:
    """Connects to a socket in the file system."""
    return lambda: asyncio.open_unix_connection(path)


class Proxy:
    """Listens on loopback, on a port that the system chose.

    Args:
        connect: Opens a connection to the server, for each of the client's.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._listening: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._passes = asyncio.Event()
        self._passes.set()

    @property
    def port(self) -> int:
        assert self._listening is not None
        return int(self._listening.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Breaks off all connections, and each new one at once."""
        self._is_cut = True
        for each in self._serving:
            each.cancel()

    def stall(self) -> None:
        """Has nothing pass any more, in either direction; connections stay open."""
        self._passes.clear()

    def mend(self) -> None:
        """Ends that: what was held up passes, and connections can be made."""
        self._is_cut = False
        self._passes.set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        writers = list(self._writers)
        for each in self._serving:
            each.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()  # what nobody reads any more would keep it open
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        self._writers.add(writer)

        def end(task: asyncio.Task[None]) -> None:
            self._serving.discard(task)
            self._close(writer)  # also of a task that had not begun

        task.add_done_callback(end)

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        if self._is_cut:
            return
        try:
            from_server, to_server = await self._connect()
        except OSError:
            return
        self._writers.add(to_server)
        ways = [asyncio.create_task(self.ask(reader, to_server)), asyncio.create_task(self.answer(from_server, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._close(to_server)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands on what a client says, to the end of it."""
        await self._hand_on(reader, writer)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands on what the server says to one client, to the end of it."""
        await self._hand_on(reader, writer)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_READ_BYTES):
            await self._passes.wait()
            writer.write(chunk)
            await writer.drain()
