"""How many messages a second go through, stored, acked, delivered and acked again, with many under way."""

import asyncio
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from interop_api.v1 import stanza_pb2
from tests.bench.bare_client import RECEIVE, SEND, bare_server
from tests.bench.cpu import cpu_seconds
from tests.bench.lean_client import LeanClient
from tests.bench.raw_call import RawCall
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed

CIPHERTEXT_BYTES = 300
WARM_UP_SECONDS = 1.0
SLICE_SECONDS = 1.0
DRAIN_SECONDS = 30.0

_POOL = os.urandom(1 << 16)


def _ciphertext(number: int) -> bytes:
    start = number * 61 % (len(_POOL) - CIPHERTEXT_BYTES)
    return _POOL[start : start + CIPHERTEXT_BYTES]


class _Flow:
    """How far one pair is. A sender waits while too much is under way.

    It is told to stop, never cancelled: grpc.aio cancels a call together with a task that writes to it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._moved = asyncio.Event()
        self.sent = 0
        self.acked = 0
        self.delivered = 0
        self._stopped = False

    @property
    def completed(self) -> int:
        return min(self.acked, self.delivered)

    def moved(self) -> None:
        self._moved.set()

    def stop(self) -> None:
        self._stopped = True
        self._moved.set()

    async def room(self) -> bool:
        """Waits until another batch fits into the window; False when nothing more shall be sent."""
        most_under_way = self._settings.window - self._settings.batch
        await self._until(lambda: self._stopped or self.sent - self.completed <= most_under_way)
        return not self._stopped

    async def drained(self) -> None:
        await self._until(lambda: self.completed == self.sent)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()


@dataclass
class _FrameSizes:
    """Of the frames of one full batch, in bytes: what the ceiling is measured with."""

    messages: int = 0
    send_acks: int = 0
    ack: int = 0


class Pair:
    """A sender and a recipient that check all they get."""

    def __init__(self, sender: LeanClient, recipient: LeanClient, settings: Settings) -> None:
        self.flow = _Flow(settings)
        self.sizes = _FrameSizes()
        self._sender = sender
        self._recipient = recipient
        self._batch = settings.batch
        self._settled = asyncio.Event()

    async def send(self, gaps: Iterator[float] | None = None) -> None:
        """Sends batches until the flow is stopped.

        Args:
            gaps: Seconds from one batch to the next; None for as many as the window allows.
        """
        flow, due = self.flow, time.perf_counter()
        while await flow.room():
            batch = [self._message(number) for number in range(flow.sent, flow.sent + self._batch)]
            flow.sent += self._batch
            self.sizes.messages = await self._sender.send(batch)
            if gaps is not None:
                due += next(gaps)
                await asyncio.sleep(due - time.perf_counter())

    async def read_acks(self) -> None:
        flow = self.flow
        while True:
            for stanza in await self._sender.receive():
                acks = stanza.send_acks.acks
                for number, ack in enumerate(acks, flow.acked):
                    if ack.id != str(number) or not ack.timestamp_ms or ack.HasField("error"):
                        raise WrongAnswer(f"message {number} was not acked, but this came: {ack}")
                flow.acked += len(acks)
                self.sizes.send_acks = stanza.ByteSize() * self._batch // len(acks)
            flow.moved()

    async def receive(self) -> None:
        flow = self.flow
        while True:
            ack = stanza_pb2.Stanza()
            for stanza in await self._recipient.receive():
                if stanza.HasField("pong"):
                    self._settled.set()
                    continue
                ack.ack.delivery_ids.append(stanza.delivery_id)
                if stanza.notification.HasField("trusted_contact"):
                    continue  # to a third-party user, with the first message
                self._check(stanza, flow.delivered)
                flow.delivered += 1
            flow.moved()
            if count := len(ack.ack.delivery_ids):
                self.sizes.ack = await self._recipient.send([ack]) * self._batch // count

    async def settle(self) -> None:
        """Waits until all that was sent is acked and delivered, and the last acknowledgement is committed."""
        await self.flow.drained()
        await self._recipient.send([stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=1))])
        await self._settled.wait()

    def _message(self, number: int) -> stanza_pb2.Stanza:
        stanza = stanza_pb2.Stanza()
        message = stanza.message
        message.id, message.to_jid, message.type = str(number), self._recipient.jid, stanza_pb2.MESSAGE_TYPE_TEXT
        message.enc.add(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=_ciphertext(number))
        return stanza

    def _check(self, stanza: stanza_pb2.Stanza, number: int) -> None:
        message = stanza.message
        if message.id != str(number) or message.from_jid != self._sender.jid:
            raise WrongAnswer(f"message {number} was due, but this was delivered: {stanza}")
        if message.enc[0].ciphertext != _ciphertext(number):
            raise WrongAnswer(f"message {number} was delivered with other ciphertext")


@dataclass(frozen=True, slots=True)
class Shape:
    """How clients send."""

    name: str
    pairs: int
    batch: int
    window: int
    what: str

    def of(self, settings: Settings) -> Settings:
        """The settings with this shape."""
        return replace(settings, pairs=self.pairs, batch=self.batch, window=self.window)


SHAPES = (
    Shape("one_pair_unbatched", 1, 1, 512, "one conversation in which each stanza is a frame, as real clients send"),
    Shape("many_pairs_unbatched", 24, 1, 512, "24 conversations, each stanza a frame"),
    Shape("many_pairs_batched", 24, 128, 512, "24 conversations, 128 stanzas in a frame"),
)
MANY_PAIRS = SHAPES[1]
UNLIMITED = ("send_burst=1000000", "send_per_second=1000000")
"""The benchmark measures the server, not the limit on the rate of a pair (MSG-11)."""


async def measure_shapes(settings: Settings) -> list[Figure]:
    """Loads a server with each shape in turn."""
    figures: list[Figure] = []
    for shape in SHAPES:
        folder = settings.folder / shape.name
        folder.mkdir()
        figures += await _measure(shape.name, shape.of(settings.within(folder)), shape.what)
    return figures


async def measure_throughput(settings: Settings) -> list[Figure]:
    """Loads a server with a shape of the caller's choice."""
    return await _measure("routed_messages_per_second", settings, "the shape that the options say")


async def _measure(name: str, settings: Settings, what: str) -> list[Figure]:
    """Loads all pairs, half of them in each direction, then a bare server with frames of the same sizes."""
    async with Testbed(settings.folder, UNLIMITED) as testbed:
        pairs = [await open_pair(testbed, number, settings) for number in range(settings.pairs)]
        cpu = cpu_seconds(testbed.server.pid)
        rates = await load(pairs, settings)
        cpu = cpu_seconds(testbed.server.pid) - cpu
        if left := await testbed.stored("mailbox"):
            raise WrongAnswer(f"{left} messages were acked but are still in the mailbox")
    sent = sum(pair.flow.sent for pair in pairs)
    async with bare_server(settings.folder / "bare.log") as bare:
        bare_cpu = cpu_seconds(bare.pid)
        ceilings, bare_sent = await _load_bare(str(bare.ready["grpc"]), pairs[0].sizes, settings)
        bare_cpu = cpu_seconds(bare.pid) - bare_cpu
    rate, ceiling = statistics.median(rates), statistics.median(ceilings)
    note = (
        f"{what}; {CIPHERTEXT_BYTES} bytes, window {settings.window}; median of {len(rates)} s, slowest "
        f"{min(rates):,.0f}/s; all {sent:,} acked and delivered once, in order"
    )
    note_of_cpu = f"user and system time of the server process for {sent:,} messages"
    return [
        Figure(name, rate, "messages/s", ceiling, note),
        Figure(cpu_name(name), 1e6 * cpu / sent, "us", 1e6 * bare_cpu / bare_sent, note_of_cpu),
    ]


def cpu_name(name: str) -> str:
    """The figure that says what a message costs the server in that shape."""
    return f"{name}_server_cpu_us"


async def open_pair(testbed: Testbed, number: int, settings: Settings) -> Pair:
    third_party_user, _ = await testbed.third_party_user(raw=True)
    whatsapp_user = await testbed.whatsapp_user(raw=True)
    if number % 2:
        return Pair(whatsapp_user, third_party_user, settings)
    return Pair(third_party_user, whatsapp_user, settings)


async def load(pairs: Sequence[Pair], settings: Settings) -> list[float]:
    """Loads the server for a while, and returns the completed messages per second of each slice."""
    flows = [pair.flow for pair in pairs]
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(work) for pair in pairs for work in (pair.read_acks(), pair.receive())]
        rates = await _sample(flows, [pair.send() for pair in pairs], settings)
        await _drain(flows, [pair.settle() for pair in pairs])
        for task in readers:
            task.cancel()
    return rates


@asynccontextmanager
async def under_way(pairs: Sequence[Pair], per_second: float) -> AsyncIterator[None]:
    """Lets each pair send so many batches a second while the context lasts, on average and when it likes.

    At even gaps all pairs would send at once, and what is measured beside them would wait for all of them each time.
    """
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(work) for pair in pairs for work in (pair.read_acks(), pair.receive())]
        senders = [group.create_task(pair.send(_gaps(per_second, seed))) for seed, pair in enumerate(pairs)]
        yield
        for pair in pairs:
            pair.flow.stop()
        await asyncio.gather(*senders)
        await _drain([pair.flow for pair in pairs], [pair.settle() for pair in pairs])
        for task in readers:
            task.cancel()


def _gaps(per_second: float, seed: int) -> Iterator[float]:
    rng = random.Random(seed)
    while True:
        yield rng.expovariate(per_second)


async def _sample(
    flows: Sequence[_Flow], senders: Sequence[Coroutine[Any, Any, None]], settings: Settings
) -> list[float]:
    """Runs senders, and returns the completed messages per second of each slice in steady state."""
    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender)
        await asyncio.sleep(WARM_UP_SECONDS)
        rates: list[float] = []
        before, since = sum(flow.completed for flow in flows), time.perf_counter()
        end = since + settings.seconds
        while since < end:
            await asyncio.sleep(SLICE_SECONDS)
            completed, now = sum(flow.completed for flow in flows), time.perf_counter()
            rates.append((completed - before) / (now - since))
            before, since = completed, now
        for flow in flows:
            flow.stop()
    return rates


async def _drain(flows: Sequence[_Flow], work: Sequence[Coroutine[Any, Any, None]]) -> None:
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await asyncio.gather(*work)
    except TimeoutError as error:
        lost = sum(flow.sent - flow.completed for flow in flows)
        raise WrongAnswer(f"{lost} messages are not acked or not delivered after {DRAIN_SECONDS} s") from error


class _BarePair:
    """A pair at the bare server: the same frames in the same window."""

    def __init__(self, sender: RawCall, recipient: RawCall, sizes: _FrameSizes, settings: Settings) -> None:
        self.flow = _Flow(settings)
        self._sizes = sizes
        self._batch = settings.batch
        self._sender = sender
        self._recipient = recipient

    @classmethod
    async def open(cls, address: str, number: int, sizes: _FrameSizes, settings: Settings) -> Self:
        pair = ("pair", str(number))
        sender = await RawCall.open(address, SEND, (pair, ("ack-bytes", str(sizes.send_acks))))
        return cls(sender, await RawCall.open(address, RECEIVE, (pair,)), sizes, settings)

    async def send(self) -> None:
        frame = os.urandom(self._sizes.messages)
        while await self.flow.room():
            self.flow.sent += self._batch
            await self._sender.write(frame)

    async def read_acks(self) -> None:
        while await self._sender.read():
            self.flow.acked += self._batch
            self.flow.moved()

    async def receive(self) -> None:
        ack = os.urandom(self._sizes.ack)
        while await self._recipient.read():
            self.flow.delivered += self._batch
            self.flow.moved()
            await self._recipient.write(ack)

    def close(self) -> None:
        self._sender.close()
        self._recipient.close()


async def _load_bare(address: str, sizes: _FrameSizes, settings: Settings) -> tuple[list[float], int]:
    pairs = [await _BarePair.open(address, number, sizes, settings) for number in range(settings.pairs)]
    flows = [pair.flow for pair in pairs]
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(work) for pair in pairs for work in (pair.read_acks(), pair.receive())]
        rates = await _sample(flows, [pair.send() for pair in pairs], settings)
        await _drain(flows, [flow.drained() for flow in flows])
        for task in readers:
            task.cancel()
    for pair in pairs:
        pair.close()
    return rates, sum(flow.sent for flow in flows)
