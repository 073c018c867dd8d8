"""What a client sends on its chat channel, stanza by stanza; knows no frame and no rule."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from interop_api.v1 import stanza_pb2
from interop_protocol.sizes import MAX_ACK_IDS, MAX_OFFLINE_BATCH
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import MESSAGE
from interop_server.core.messaging.routing import SendOutcome
from interop_server.core.trace import ChannelTrace
from interop_server.rpc.connections import LiveConnection
from interop_server.rpc.convert.batches import Read
from interop_server.rpc.convert.inbound import (
    NACK_CODES,
    message_from,
    receipt_from,
    retry_receipt_from,
)
from interop_server.rpc.convert.indicators import INDICATORS
from interop_server.rpc.convert.outbound import pong_to, refused_stanza
from interop_server.rpc.deliveries import DeliveryPump
from interop_server.rpc.edge import Edge
from interop_server.rpc.outbox import Outbox
from interop_server.rpc.send_acks import send_acks_to
from interop_server.rpc.wire import see_batch, see_malformed

T = TypeVar("T")
_JOINED = frozenset({"message", "receipt"})
"""Kinds of which those that follow each other are taken together: one transaction, one commit."""
_MOST_JOINED_IDS = 1_024
"""Message ids in receipts that are taken together, beside those of the last one: each is looked up."""
_STANZAS_PER_TURN = 16
"""How many stanzas, messages apart, are taken before others have their turn; a refused one costs as much as these."""
_FOR_CLIENTS = frozenset(
    {
        "login_success", "login_failure", "stream_error", "pong", "send_acks", "notification", "offline_preview",
        "offline_end", "stanza_refused",
    }
)  # fmt: skip


@dataclass(slots=True)
class _Joined:
    """Stanzas of one kind that are taken together, and acks that wait until these were taken."""

    kind: str = ""
    stanzas: list[stanza_pb2.Stanza] = field(default_factory=list)
    ids: int = 0
    """Message ids in them, when they are receipts."""
    delivery_ids: list[int] = field(default_factory=list)


class Inbound:
    """Takes one connection's batches, in order.

    A stanza of wrong form is refused on its own; only a frame that is no batch ends the connection.

    Args:
        edge: What all connections share.
        pump: The connection's deliveries.
        live: The connection.
        outbox: Takes the answers.
        wire: Shows what comes.
        held: Told by how much more, or less, memory the stanzas under work take up beside their bytes.
    """

    __slots__ = (
        "_batches", "_held", "_held_bytes", "_is_open", "_journal", "_limits", "_live", "_outbox", "_pump", "_rules",
        "_turns", "_wire",
    )  # fmt: skip

    def __init__(
        self,
        edge: Edge,
        pump: DeliveryPump,
        live: LiveConnection,
        outbox: Outbox,
        wire: ChannelTrace,
        held: Callable[[int], None],
    ) -> None:
        self._rules = edge.rules
        self._turns = edge.turns
        self._batches = edge.batches
        self._journal = edge.rules.journal
        self._limits = edge.rules.limits
        self._pump = pump
        self._live = live
        self._outbox = outbox
        self._wire = wire
        self._held = held
        self._held_bytes = 0
        self._is_open = True

    async def receive(self, frames: Sequence[bytes]) -> bool:
        """Takes the plaintexts of frames as one batch; False when the client says that it has closed (PRX-04).

        Raises:
            Refusal: FRAME_MALFORMED or BATCH_TOO_LARGE, once the frames before the bad one were taken.
        """
        stanzas: list[stanza_pb2.Stanza] = []
        malformed: Refusal | None = None
        for frame in frames:
            try:
                batch, held_bytes = self._read(frame)
            except Refusal as refusal:
                malformed = refusal
                break
            if stanzas and len(stanzas) + len(batch.stanzas) > self._limits.max_batch_stanzas:
                await self._receive_all(stanzas)
            self._hold(held_bytes)
            stanzas += batch.stanzas
        await self._receive_all(stanzas)
        if malformed is not None and self._is_open:
            raise malformed
        return self._is_open

    def _read(self, frame: bytes) -> Read:
        try:
            read = self._batches.read(frame)
        except Refusal:
            if self._wire.trace.is_on:
                see_malformed(self._wire, "to_server", frame)
            raise
        if self._wire.trace.is_on:
            see_batch(self._wire, "to_server", read.batch, frame)
        return read

    def _hold(self, held_bytes: int) -> None:
        self._held_bytes += held_bytes
        self._held(held_bytes)

    async def _receive_all(self, stanzas: list[stanza_pb2.Stanza]) -> None:
        """Takes the stanzas out of a list, in order."""
        try:
            if self._is_open:
                faulty = self._outbox.faulty
                if faulty is not None and faulty.is_on:
                    await faulty.receive(stanzas, self._receive_in_order, self._answer_refused)
                else:
                    await self._receive_in_order(stanzas)
        finally:
            stanzas.clear()  # a channel that is given up here leaves frames behind, which must hold none of them
            self._hold(-self._held_bytes)

    async def _receive_in_order(self, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        joined = _Joined()
        for number, stanza in enumerate(stanzas if self._is_open else (), 1):
            kind = stanza.WhichOneof("kind")
            if kind == "ack" and len(stanza.ack.delivery_ids) <= MAX_ACK_IDS:
                joined.delivery_ids += stanza.ack.delivery_ids
            elif kind is not None and kind in _JOINED:
                # Order within a batch is order of sending: what was sent before these goes first.
                if kind != joined.kind or joined.ids > _MOST_JOINED_IDS:
                    await self._take_stanzas(joined)
                    joined.kind = kind
                joined.stanzas.append(stanza)
                if kind == "message":
                    continue  # without a turn: a batch of them is one piece of work
                joined.ids += len(stanza.receipt.message_ids)
            else:
                await self._take_joined(joined)
                await self._receive_one(stanza, kind)
            if number % _STANZAS_PER_TURN == 0:
                await self._turns.wait()
            if not self._is_open:
                return
        await self._take_joined(joined)

    async def _take_joined(self, joined: _Joined) -> None:
        await self._take_stanzas(joined)
        if joined.delivery_ids:
            # After the receipts that went before it: whoever finds a delivery gone finds its receipt sent (RCP-02).
            await self._pump.forget(joined.delivery_ids)
            joined.delivery_ids = []

    async def _take_stanzas(self, joined: _Joined) -> None:
        stanzas, joined.stanzas, joined.ids = joined.stanzas, [], 0
        if stanzas:
            await (self._send if joined.kind == "message" else self._send_receipts)(stanzas)

    async def _receive_one(self, stanza: stanza_pb2.Stanza, kind: str | None) -> None:
        try:
            act = _ACTS.get(kind or "")
            if act is not None:
                await act(self, stanza)
            elif kind in _FOR_CLIENTS:
                raise Refusal(Reason.STANZA_UNKNOWN, f"{kind} comes from the server only")
            else:
                raise Refusal(Reason.STANZA_UNKNOWN, "the stanza has no kind that this server knows")
        except Refusal as refusal:
            await self._answer_refused(stanza, refusal)

    async def _send_receipts(self, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        account = self._live.account
        receipts, refused = _read_each(stanzas, lambda stanza: receipt_from(stanza.receipt, account.jid))
        said = iter(await self._rules.receipts.send(account, receipts, self._live.read_receipts) if receipts else ())
        for index, stanza in enumerate(stanzas):
            if (why := refused.get(index) or next(said, None)) is not None:
                await self._answer_refused(stanza, why)

    async def _retry_receipt(self, stanza: stanza_pb2.Stanza) -> None:
        account, receipt = self._live.account, stanza.retry_receipt
        await self._rules.receipts.send_retry(account, receipt.to_jid, retry_receipt_from(receipt, account.jid))

    async def _indicator(self, stanza: stanza_pb2.Stanza) -> None:
        account, read = self._live.account, INDICATORS[stanza.WhichOneof("kind") or ""]
        await self._rules.indicators.show(account, *read(stanza, account.jid))

    async def _long_ack(self, _: stanza_pb2.Stanza) -> None:
        detail = f"an ack names at most {MAX_ACK_IDS} deliveries"
        raise Refusal(Reason.TOO_MANY_ITEMS, detail, field="ack.delivery_ids", requirement="MSG-09")

    async def _nack(self, stanza: stanza_pb2.Stanza) -> None:
        nack = stanza.nack
        if nack.nack_code not in NACK_CODES:
            detail = f"{nack.nack_code} is not a nack code: those lie in 400 to 599"
            raise Refusal(Reason.STANZA_MALFORMED, detail, field="nack.nack_code", requirement="MSG-10")
        await self._pump.nack(nack.delivery_id, nack.nack_code)

    async def _ping(self, stanza: stanza_pb2.Stanza) -> None:
        await self._outbox.add([pong_to(stanza)])

    async def _offline_batch(self, stanza: stanza_pb2.Stanza) -> None:
        count = stanza.offline_batch.count
        if not 1 <= count <= MAX_OFFLINE_BATCH:
            detail = f"ask for 1 to {MAX_OFFLINE_BATCH} deliveries"
            raise Refusal(Reason.STANZA_MALFORMED, detail, field="offline_batch.count", requirement="MSG-08")
        self._pump.ask(count)

    async def _client_closed(self, _: stanza_pb2.Stanza) -> None:
        self._journal.record(self._live.account.jid, "stanza.client_closed", "accepted", requirement="PRX-04")
        self._is_open = False

    async def _call_offer(self, _: stanza_pb2.Stanza) -> None:
        raise Refusal(Reason.CALLS_NOT_SUPPORTED)

    async def _send(self, stanzas: Sequence[stanza_pb2.Stanza]) -> None:
        await self._outbox.room()
        account = self._live.account
        messages, refused = _read_each(stanzas, lambda stanza: message_from(stanza.message, account.jid))

        async def tell(ordered: list[SendOutcome]) -> None:
            if refused:
                outcomes = iter(ordered)
                ordered = [
                    SendOutcome(stanza.message.id[:64], refusal=refused[index]) if index in refused else next(outcomes)
                    for index, stanza in enumerate(stanzas)
                ]
            for outcome in ordered:
                if outcome.refusal is not None:
                    await self._refuse(outcome.refusal, MESSAGE, outcome.stanza_id)
            await self._outbox.add_serialized(send_acks_to(ordered, self._outbox.max_bytes))

        if messages:
            await self._rules.router.send_messages(account, messages, tell)
        else:
            await tell([])

    async def _answer_refused(self, stanza: stanza_pb2.Stanza, refusal: Refusal) -> None:
        stanza_id = stanza.message.id[:64]
        await self._refuse(refusal, f"stanza.{stanza.WhichOneof('kind') or 'unknown'}", stanza_id)
        if stanza.HasField("message"):
            await self._outbox.add_serialized(
                send_acks_to([SendOutcome(stanza_id, refusal=refusal)], self._outbox.max_bytes)
            )
        else:
            await self._outbox.add([refused_stanza(stanza, refusal)])

    async def _refuse(self, refusal: Refusal, action: str, subject: str = "") -> None:
        self._journal.refuse(refusal, self._live.account.jid, action, subject)
        await self._turns.wait()


def _read_each(
    stanzas: Sequence[stanza_pb2.Stanza], read: Callable[[stanza_pb2.Stanza], T]
) -> tuple[list[T], dict[int, Refusal]]:
    """Reads stanzas; returns those of right form, and by their place why the others are refused."""
    right: list[T] = []
    refused: dict[int, Refusal] = {}
    for index, stanza in enumerate(stanzas):
        try:
            right.append(read(stanza))
        except Refusal as refusal:
            refused[index] = refusal
    return right, refused


_ACTS: dict[str, Callable[[Inbound, stanza_pb2.Stanza], Awaitable[None]]] = {
    "retry_receipt": Inbound._retry_receipt,
    "ack": Inbound._long_ack,  # others are joined
    "nack": Inbound._nack,
    "ping": Inbound._ping,
    "offline_batch": Inbound._offline_batch,
    "client_closed": Inbound._client_closed,
    "call_offer": Inbound._call_offer,
    **dict.fromkeys(INDICATORS, Inbound._indicator),
}
"""What is done with each kind of stanza that a client sends, messages and receipts apart: those go in batches."""
