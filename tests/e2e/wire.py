"""A chat channel without a client behind it: a test sees every stanza, and nothing is answered unless it says so."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Self, cast

from interop_api.v1 import stanza_pb2
from interop_client.connection.transport import Transport

WAIT_SECONDS = 10.0


class Wire:
    """One open channel. An asynchronous context manager: connects, and drops the connection at the end.

    Args:
        transport: Of a client that does not connect itself.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._waiting: list[stanza_pb2.Stanza] = []
        self._frames: AsyncGenerator[Sequence[stanza_pb2.Stanza]]
        self._pings = 0
        self.login: stanza_pb2.LoginSuccess
        """What the server said at login."""
        self.preview: stanza_pb2.OfflinePreview
        """What it said was waiting, directly after that."""

    async def __aenter__(self) -> Self:
        self.login = await self._transport.connect()
        self._frames = cast(AsyncGenerator[Sequence[stanza_pb2.Stanza]], self._transport.receive())
        self.preview = (await self.take_until("offline_preview"))[-1].offline_preview
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._frames.aclose()  # or closing waits for whoever still reads
        await self._transport.close()

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Sends stanzas as they are."""
        await self._transport.send(*stanzas)

    async def take(self, count: int = 1) -> list[stanza_pb2.Stanza]:
        """Takes the next stanzas, whatever they are.

        Raises:
            ConnectionEnded: The server ended the channel.
            TimeoutError: There are not that many.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self._waiting) < count:
                self._waiting += await anext(self._frames)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def take_until(self, kind: str) -> list[stanza_pb2.Stanza]:
        """Takes stanzas up to and including the first of a kind."""
        taken = await self.take()
        while not taken[-1].HasField(kind):  # type: ignore[arg-type]
            taken += await self.take()
        return taken

    async def ask(self, count: int) -> None:
        """Asks for that much of the backlog."""
        await self.send(stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=count)))

    async def ack(self, deliveries: Sequence[stanza_pb2.Stanza]) -> None:
        """Says that deliveries are safe."""
        ids = [delivery.delivery_id for delivery in deliveries]
        await self.send(stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=ids)))

    async def ping(self) -> list[stanza_pb2.Stanza]:
        """Waits until the server has taken all that was sent before, and returns what else came meanwhile."""
        self._pings += 1
        await self.send(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=self._pings)))
        *others, pong = await self.take_until("pong")
        assert pong.pong.id == self._pings
        return others


def sealed_message(to: str, message_id: str, ciphertext: bytes = b"sealed") -> stanza_pb2.Stanza:
    """Returns a message that nobody can open: to the server all ciphertexts are alike (MSG-02)."""
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=ciphertext)
    message = stanza_pb2.Message(id=message_id, to_jid=to, type=stanza_pb2.MESSAGE_TYPE_TEXT, enc=(enc,))
    return stanza_pb2.Stanza(message=message)


def message_ids(stanzas: Sequence[stanza_pb2.Stanza]) -> list[str]:
    """Returns the ids of the messages among stanzas, in order."""
    return [stanza.message.id for stanza in stanzas if stanza.HasField("message")]
