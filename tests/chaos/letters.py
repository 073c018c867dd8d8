"""Messages and receipts: what is acked arrives once and in order, and never again after its ack (MSG-04, MSG-09)."""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from interop_api.v1 import stanza_pb2
from interop_client.errors import ConnectionEnded
from tests.chaos.people import Broken, Person
from tests.e2e.wire import sealed_message

CHECK_SECONDS = 30.0
UNDER_WAY = 64
_MOST_ASKED = 200
_MOST_TOLD = 5


@dataclass(frozen=True)
class Pace:
    """How fast one person writes."""

    batch: int = 8
    """Messages to each peer at once."""
    pause_seconds: float = 0.002
    """Between two batches."""
    most_ahead: int = 1 << 60
    """Messages that have been sent and have not come: a load that is more than the machine can carry only waits."""


@dataclass
class Written:
    """What one person has written to another; ids are `{number of the recipient}.{number of the message}`."""

    to: str
    sent: int = 0
    acked: int = 0
    """How many of them: the server acks in order."""
    loose: set[int] = field(default_factory=set)
    """Those that may have been refused for want of a database when later ones were taken: they come in any order."""


@dataclass
class Post:
    """What a mailbox has delivered."""

    arrived: dict[str, int] = field(default_factory=dict)
    """How many messages came in order, by sender."""
    early: dict[str, set[int]] = field(default_factory=dict)
    """Those that came before others, by sender."""
    jumped: dict[str, set[int]] = field(default_factory=dict)
    """The same since the last check, and those before which they came."""
    unsettled: dict[int, bytes] = field(default_factory=dict)
    """Deliveries whose ack the server has not confirmed, with their digests."""
    here: set[int] = field(default_factory=set)
    """Deliveries of this connection."""
    newest: int = 0
    """The greatest delivery id: whatever is not greater and not unsettled may never come again."""
    timestamp_ms: int = 0
    receipts: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Receipts that were sent before the acks of unsettled deliveries: sender and id of the message."""


class Correspondent:
    """Writes to the other side, reads, sends receipts and acks; holds all that comes against what was promised."""

    def __init__(self, person: Person, *, is_away: bool = False) -> None:
        self.person = person
        self.is_away = is_away
        """Connected only while it is checked, so that messages wait for it."""
        self.peers: dict[str, Correspondent] = {}
        self.written: list[Written] = []
        self.post = Post()
        self.receipts_due: set[str] = set()
        """Own messages whose receipt the server has, and has not delivered."""
        self.receipts_got: set[str] = set()
        """Own messages whose receipt came before the server had said that it has it."""
        self.times: dict[str, int] = {}
        """When own messages were accepted, by `{JID of the recipient} {id}`, as the first to hear of it was told."""
        self.pace = Pace()
        self._pings = itertools.count(1)
        self._acked_before: dict[int, list[int]] = {}
        self._is_caught_up = False
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def jid(self) -> str:
        return self.person.jid

    def write_to(self, *peers: "Correspondent") -> None:
        """Makes others peers."""
        for peer in peers:
            self.peers[peer.jid] = peer
            self.written.append(Written(peer.jid))

    async def return_(self) -> None:
        """Connects, sends again what was not acked, and reads all that waits."""
        if self.person.stage.may_refuse:
            self._note_refusals()
        self.post.here.clear()
        self._acked_before.clear()
        self._is_caught_up = False
        await self.person.connect()
        self._reading = asyncio.create_task(self._read())
        for number, written in enumerate(self.written):
            await self._send(number, range(written.acked, written.sent))
        await self._until(lambda: self._is_caught_up and all(each.acked == each.sent for each in self.written))

    def _note_refusals(self) -> None:
        """Takes what was not answered for refused, perhaps: what came after it may have been taken."""
        for written in self.written:
            written.loose.update(range(written.acked, written.sent))
        self.post.receipts.clear()

    async def check(self) -> None:
        """Waits for all that others' acks and confirmed receipts promise."""
        await self._until(lambda: not self._missing())
        for sender, jumped in self.post.jumped.items():
            if strays := jumped - self._loose(sender):
                raise Broken(f"{sorted(strays)} of {sender} came to {self.jid} out of order, and nobody refused them")
        self.post.jumped.clear()

    def _loose(self, sender: str) -> set[int]:
        return {number for written in self.peers[sender].written if written.to == self.jid for number in written.loose}

    async def work(self) -> None:
        """Writes until the server is gone."""
        if self.is_away:
            await self.close()
        while not self.is_away:
            for number, written in enumerate(self.written):
                first = written.sent
                written.sent += self.pace.batch
                await self._send(number, range(first, written.sent))
            await self._until(self._may_go_on)
            await asyncio.sleep(self.pace.pause_seconds)

    def _may_go_on(self) -> bool:
        unacked = sum(each.sent - each.acked for each in self.written)
        ahead = sum(each.sent - self.peers[each.to].post.arrived.get(self.jid, 0) for each in self.written)
        return unacked <= UNDER_WAY and ahead <= self.pace.most_ahead

    def note_due(self, message_id: str) -> None:
        """Notes that the server has the receipt of an own message."""
        if message_id in self.receipts_got:
            self.receipts_got.discard(message_id)
        else:
            self.receipts_due.add(message_id)

    async def close(self) -> None:
        """Ends the connection."""
        await self.person.close()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)

    def _missing(self) -> list[str]:
        found = [
            f"of {written.acked} messages acked to {peer.jid} {self.post.arrived.get(peer.jid, 0)} came to {self.jid}"
            for peer in self.peers.values()
            for written in peer.written
            if written.to == self.jid and self.post.arrived.get(peer.jid, 0) < written.acked
        ]
        return found + [f"the receipt of {each} did not come to {self.jid}" for each in sorted(self.receipts_due)]

    async def _until(self, condition: Callable[[], bool]) -> None:
        assert self._reading is not None
        try:
            while not condition():
                if self._reading.done():
                    self._reading.result()
                    raise Broken(f"the server ended the channel of {self.jid}")
                self._news.clear()
                async with asyncio.timeout(CHECK_SECONDS):  # of silence: a busy machine takes as long as it takes
                    await self._news.wait()
        except TimeoutError as error:
            raise Broken(
                "; ".join(self._missing()[:_MOST_TOLD]) or f"{self.jid} waits for the server in vain"
            ) from error

    async def _send(self, recipient: int, numbers: Sequence[int]) -> None:
        to = self.written[recipient].to
        messages = [sealed_message(to, f"{recipient}.{n}", _content(self.jid, f"{recipient}.{n}")) for n in numbers]
        await self.person.transport.send(*messages)

    async def _read(self) -> None:
        try:
            async for stanzas in self.person.transport.receive():
                # The answers to keep-alive pings are none: they come for ever, whatever is missing.
                is_news = any(not each.HasField("pong") or each.pong.id in self._acked_before for each in stanzas)
                deliveries = [stanza for stanza in stanzas if stanza.delivery_id]
                answers = [answer for delivery in deliveries for answer in self._deliver(delivery)]
                for stanza in stanzas:
                    await self._take(stanza)
                if deliveries:
                    ping = next(self._pings)
                    self._acked_before[ping] = ids = [delivery.delivery_id for delivery in deliveries]
                    ack = stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=ids))
                    await self.person.transport.send(*answers, ack, stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=ping)))
                if is_news:
                    self._news.set()
        finally:
            self._news.set()

    async def _take(self, stanza: stanza_pb2.Stanza) -> None:
        if stanza.HasField("send_acks"):
            for ack in stanza.send_acks.acks:
                self._note_ack(ack)
        elif stanza.HasField("pong"):
            self._settle(self._acked_before.pop(stanza.pong.id, []))
        elif stanza.HasField("offline_preview"):
            preview = stanza.offline_preview
            waiting = preview.messages + preview.receipts + preview.notifications + preview.retry_receipts
            ask = stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=_MOST_ASKED))
            await self.person.transport.send(*[ask] * (-(-waiting // _MOST_ASKED)))
        elif stanza.HasField("offline_end"):
            # What did not come again was acked in time, although nobody was told: its receipt went before it.
            self._settle([each for each in self.post.unsettled if each not in self.post.here])
            self._is_caught_up = True
        elif stanza.HasField("stanza_refused"):
            reason = stanza.stanza_refused.error.reason
            self._check_refusal(reason, f"{self.jid} was refused a stanza: {reason}")

    def _note_ack(self, ack: stanza_pb2.SendAck) -> None:
        recipient, _, number = ack.id.partition(".")
        written = self.written[int(recipient)]
        if ack.HasField("error"):
            self._check_refusal(ack.error.reason, f"a message of {self.jid} to {written.to} was refused: {ack.error}")
        if int(number) != written.acked:
            raise Broken(f"{self.jid} got the ack of {ack.id} when that of {written.acked} was due")
        written.acked += 1
        self.person.stage.note_time(ack.timestamp_ms)
        self.note_accepted(f"{written.to} {ack.id}", ack.timestamp_ms)

    def _check_refusal(self, reason: str, sentence: str) -> None:
        """Has the connection end that was refused something for want of a database; all else may not be refused."""
        if reason == "STORAGE_UNAVAILABLE" and self.person.stage.may_refuse:
            raise ConnectionEnded(reason)
        raise Broken(sentence)

    def note_accepted(self, message: str, at_ms: int) -> None:
        """Compares when an own message was accepted, as its ack and its delivery say it."""
        known_ms = self.times.pop(message, None)
        if known_ms is None:
            self.times[message] = at_ms
        elif known_ms != at_ms:
            raise Broken(f"{message} of {self.jid} was accepted at {known_ms}, and at {at_ms} for the other side")

    def _deliver(self, stanza: stanza_pb2.Stanza) -> list[stanza_pb2.Stanza]:
        """Checks a delivery, and returns the receipts that it is answered with."""
        post, delivery = self.post, stanza.delivery_id
        post.here.add(delivery)
        known, digest = post.unsettled.get(delivery), _digest(stanza)
        if known is None:
            if delivery <= post.newest:
                raise Broken(f"delivery {delivery} came to {self.jid} after its ack, or out of order")
            post.newest, post.unsettled[delivery] = delivery, digest
            self._note_arrival(stanza)
        elif known != digest:
            raise Broken(f"delivery {delivery} came to {self.jid} with another content than before")
        if not stanza.HasField("message"):
            return []
        sender, message_id = stanza.message.from_jid, stanza.message.id
        post.receipts[delivery] = sender, message_id
        delivered = stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_DELIVERED, to_jid=sender, message_ids=[message_id])
        return [stanza_pb2.Stanza(receipt=delivered)]

    def _note_arrival(self, stanza: stanza_pb2.Stanza) -> None:
        if stanza.HasField("receipt"):
            for message_id in stanza.receipt.message_ids:
                if message_id in self.receipts_due:
                    self.receipts_due.discard(message_id)
                else:
                    self.receipts_got.add(message_id)
        if not stanza.HasField("message") or stanza.message.from_jid not in self.peers:
            return
        message, post = stanza.message, self.post
        due, number = post.arrived.get(message.from_jid, 0), int(message.id.partition(".")[2])
        early = post.early.setdefault(message.from_jid, set())
        if number < due or number in early or (number > due and not self.person.stage.may_refuse):
            raise Broken(f"{message.id} of {message.from_jid} came to {self.jid} when {due} was due")
        if message.enc[0].ciphertext != _content(message.from_jid, message.id):
            raise Broken(f"{message.id} of {message.from_jid} came to {self.jid} with another content")
        if message.timestamp_ms < post.timestamp_ms:
            raise Broken(f"{message.id} of {message.from_jid} has an earlier time than what came to {self.jid} before")
        if number > due:
            post.jumped.setdefault(message.from_jid, set()).update({*range(due, number + 1)} - early)
        early.add(number)
        while due in early:
            early.discard(due)
            due += 1
        post.arrived[message.from_jid], post.timestamp_ms = due, message.timestamp_ms
        self.person.stage.note_time(message.timestamp_ms)
        self.peers[message.from_jid].note_accepted(f"{self.jid} {message.id}", message.timestamp_ms)

    def _settle(self, deliveries: Sequence[int]) -> None:
        for delivery in deliveries:
            self.post.unsettled.pop(delivery, None)
            sender, message_id = self.post.receipts.pop(delivery, ("", ""))
            if sender in self.peers:
                self.peers[sender].note_due(message_id)


def _content(sender: str, message_id: str) -> bytes:
    return hashlib.sha256(f"{sender} {message_id}".encode()).digest() * 8


def _digest(stanza: stanza_pb2.Stanza) -> bytes:
    same = stanza_pb2.Stanza.FromString(stanza.SerializeToString())
    same.offline = False
    if same.HasField("message"):  # what its recipient may have decided meanwhile
        same.message.ClearField("inbox_mode")
        same.message.ClearField("request_state")
    return hashlib.sha256(same.SerializeToString(deterministic=True)).digest()
