"""One client's open chat channel: all that comes is written down, and nothing is acked by itself; no rule."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self

import grpc.aio

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.errors import ServerRefusal, refusal_from_stanza_error
from tests.e2e.raw import RawStream
from tests.histories.model import Event

WAIT_SECONDS = 10.0
"""Longest wait for anything: only a server that has broken a promise makes anybody wait that long."""
_STATES = {
    stanza_pb2.MESSAGE_REQUEST_STATE_UNSPECIFIED: "",
    stanza_pb2.MESSAGE_REQUEST_STATE_REQUESTED: "requested",
    stanza_pb2.MESSAGE_REQUEST_STATE_ACCEPTED: "accepted",
    stanza_pb2.MESSAGE_REQUEST_STATE_DECLINED: "declined",
}
_RECEIPTS = {stanza_pb2.RECEIPT_TYPE_DELIVERED: "delivered", stanza_pb2.RECEIPT_TYPE_READ: "read"}
_MOST_BACKLOG = 200


class LineEnded(Exception):
    """The server ended the channel before it answered."""


class Line:
    """A logged-in channel. Made by `open`; closed by `close`.

    Args:
        stream: Logged in.
        token: Authorises unary calls.
        names: JIDs as stories name them.
    """

    def __init__(self, stream: RawStream, token: str, names: Mapping[str, str]) -> None:
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.seen: list[Event] = []
        """What came and was not taken yet, in order."""
        self.unacked: list[tuple[int, Event]] = []
        """Deliveries of this connection that were not acked: id, and what it was, without the state of the chat."""
        self.marks = 0
        """How many marks have come: see `Stage.settle`."""
        self.has_ended = False
        self.preview: stanza_pb2.OfflinePreview | None = None
        self.backlog_is_over = False
        self._stream = stream
        self._names = names
        self._answers: list[stanza_pb2.Stanza] = []
        self._pongs = 0
        self._pings = itertools.count(1)
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, channel: grpc.aio.Channel, auth_private_key: bytes, login: chat_pb2.LoginPayload, names: Mapping[str, str]
    ) -> Self:
        """Logs in, and takes the whole backlog, unless the server ends the channel meanwhile.

        All clients share a connection: one for each takes far longer.

        Raises:
            ServerRefusal: The login is refused.
        """
        stream = RawStream("", read_seconds=None, channel=channel)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                success = await stream.log_in(auth_private_key, login)
        except BaseException:
            await stream.__aexit__()
            raise
        line = cls(stream, success.session_token, names)
        await line.until(lambda: line.preview is not None)
        if not line.backlog_is_over and not line.has_ended:
            ask = stanza_pb2.OfflineBatch(count=_MOST_BACKLOG)
            await line.send(stanza_pb2.Stanza(offline_batch=ask))
            await line.until(lambda: line.backlog_is_over)
        return line

    async def exchange(self, *stanzas: stanza_pb2.Stanza) -> list[stanza_pb2.Stanza]:
        """Sends stanzas, and returns the answers to them once the server has taken all.

        Raises:
            LineEnded: The server ended the channel instead.
        """
        ping = next(self._pings)
        await self.send(*stanzas, stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=ping)))
        await self.until(lambda: self._pongs >= ping)
        if self._pongs < ping:
            raise LineEnded
        answers, self._answers = self._answers, []
        return answers

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Sends stanzas, in a frame of their own."""
        async with self._writing:  # frames go out in the order of sealing, and grpc.aio takes one write at a time
            await self._stream.send_stanzas(*stanzas)

    async def ack(self, delivery_ids: Sequence[int]) -> None:
        """Acks deliveries of this connection."""
        await self.exchange(stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=delivery_ids)))
        self.unacked = [(each, event) for each, event in self.unacked if each not in delivery_ids]

    async def until(self, holds: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Returns when something holds, or when the channel has ended.

        Raises:
            TimeoutError: Neither came true.
        """
        async with asyncio.timeout(seconds):
            while not holds() and not self.has_ended:
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        """Drops the connection."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        await self._stream.__aexit__()

    async def _read(self) -> None:
        try:
            while True:
                for stanza in await self._stream.receive():
                    await self._take(stanza)
                self._news.set()
        except ServerRefusal as refusal:
            if not self.seen or self.seen[-1][0] != "ended":
                self.seen.append(("ended", refusal.reason))
        finally:
            self.has_ended = True
            self._news.set()

    async def _take(self, stanza: stanza_pb2.Stanza) -> None:
        if stanza.HasField("pong"):
            self._pongs = stanza.pong.id
        elif stanza.HasField("offline_preview"):
            self.preview = stanza.offline_preview
        elif stanza.HasField("offline_end"):
            self.backlog_is_over = True
        elif stanza.HasField("notification") and stanza.notification.HasField("digest_requested"):
            self.marks += 1
            ack = stanza_pb2.Ack(delivery_ids=[stanza.delivery_id])
            await self.send(stanza_pb2.Stanza(ack=ack))
        elif (event := self._event(stanza)) is None:
            self._answers.append(stanza)
        else:
            self.seen.append(event)
            if stanza.delivery_id:
                self.unacked.append((stanza.delivery_id, event[:4]))

    def _event(self, stanza: stanza_pb2.Stanza) -> Event | None:
        match stanza.WhichOneof("kind"):
            case "message":
                message = stanza.message
                sender, state = self._name(message.from_jid), _STATES[message.request_state]
                return "message", sender, message.id, message.timestamp_ms, state
            case "receipt":
                receipt = stanza.receipt
                what = " ".join((_RECEIPTS[receipt.type], *receipt.message_ids))
                return "receipt", self._name(receipt.from_jid), what, receipt.timestamp_ms
            case "typing":
                return "typing", self._name(stanza.typing.from_jid)
            case "stream_error":
                return "ended", refusal_from_stanza_error(stanza.stream_error.error).reason
            case "notification":
                return self._notice(stanza.notification)
        return None

    def _notice(self, notification: stanza_pb2.Notification) -> Event:
        at_ms = notification.timestamp_ms
        match notification.WhichOneof("event"):
            case "identity_changed":
                return "identity", self._name(notification.identity_changed.jid), "", at_ms
            case "trusted_contact":
                mark = notification.trusted_contact
                return "trusted", self._name(mark.jid), mark.expires_at_ms, at_ms
            case "reachability_ping":
                ping = notification.reachability_ping
                return "pinged", ping.partner_name, ping.display_name, at_ms
            case other:
                return "notice", other, "", at_ms

    def _name(self, jid: str) -> str:
        return self._names.get(jid, jid)
