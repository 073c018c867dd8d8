"""One account's open chat channel: everything that comes is read at once, and deliveries are acked; no rule."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from interop_api.v1 import stanza_pb2
from interop_client.state import ClientState
from tests.bench.lean_client import Account, LeanClient
from tests.bench.report import WrongAnswer

WAIT_SECONDS = 20.0


class Line:
    """A logged-in channel. Made by `open`; closed by `close`.

    Args:
        client: Logged in.
        state: The account's keys.
    """

    def __init__(self, client: LeanClient, state: ClientState) -> None:
        self.state = state
        self.client = client
        self._arrived: list[stanza_pb2.Stanza] = []
        self._news = asyncio.Event()
        self._pings = itertools.count(1)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: str, state: ClientState, payload: object) -> Self:
        """Logs in."""
        account = Account(state.auth_private_key, payload)  # type: ignore[arg-type]
        async with asyncio.timeout(WAIT_SECONDS):
            return cls(await LeanClient.log_in(address, account), state)

    @property
    def jid(self) -> str:
        """The account's."""
        return self.client.jid

    @property
    def has_ended(self) -> bool:
        """Whether the server has ended it."""
        return self._reading.done()

    async def exchange(self, stanzas: Sequence[stanza_pb2.Stanza]) -> list[stanza_pb2.Stanza]:
        """Sends a batch, and returns all that comes until the server has taken it.

        Raises:
            WrongAnswer: The server ended the channel instead.
        """
        ping = stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=1_000_000 + next(self._pings)))
        await self.client.send([*stanzas, ping])
        taken: list[stanza_pb2.Stanza] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while not any(stanza.pong.id == ping.ping.id for stanza in taken):
                taken += await self.take()
        return taken

    async def take(self) -> list[stanza_pb2.Stanza]:
        """Returns what has come, at least one stanza.

        Raises:
            WrongAnswer: The server ended the channel.
        """
        while not self._arrived:
            if self.has_ended:
                self._reading.result()
            self._news.clear()
            await self._news.wait()
        arrived, self._arrived = self._arrived, []
        return arrived

    async def close(self) -> None:
        """Ends the channel."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError, WrongAnswer):
            await self._reading
        await self.client.close()

    async def _read(self) -> None:
        try:
            while True:
                stanzas = await self.client.receive()
                self._arrived += stanzas
                self._news.set()
                if deliveries := [stanza.delivery_id for stanza in stanzas if stanza.delivery_id]:
                    await self.client.send([stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=deliveries))])
        finally:
            self._news.set()
