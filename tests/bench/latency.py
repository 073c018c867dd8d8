"""How long one message takes from sender to recipient: alone, and while others are under way."""

import os
import statistics
import time

import grpc.aio

from interop_api.v1 import stanza_pb2
from tests.bench.bare_client import BareCalls, bare_server
from tests.bench.lean_client import LeanClient
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed
from tests.bench.throughput import MANY_PAIRS, UNLIMITED, Pair, load, open_pair, under_way

MESSAGES = 400
MESSAGES_UNDER_LOAD = 400
WARM_UP = 50
CIPHERTEXT_BYTES = 300


async def measure_latency(settings: Settings) -> list[Figure]:
    """Sends messages one at a time, and after each sends its frame through a bare server and back, twice."""
    async with Testbed(settings.folder) as testbed, bare_server(settings.folder / "bare.log") as bare:
        sender, _ = await testbed.third_party_user()
        recipient = await testbed.whatsapp_user()
        times, ceilings = await _alternate(sender, recipient, str(bare.ready["grpc"]), MESSAGES)
    return _figures("message_latency", times, ceilings, "nothing else under way")


async def measure_latency_under_load(settings: Settings) -> list[Figure]:
    """The same while others send half of what the server can take of them."""
    settings = MANY_PAIRS.of(settings)
    async with Testbed(settings.folder, UNLIMITED) as testbed, bare_server(settings.folder / "bare.log") as bare:
        sender, _ = await testbed.third_party_user()
        recipient = await testbed.whatsapp_user()
        most = statistics.median(await load(await _pairs(testbed, settings, 0), settings))
        pairs = await _pairs(testbed, settings, settings.pairs)
        async with under_way(pairs, most / 2 / len(pairs)):
            times, ceilings = await _alternate(sender, recipient, str(bare.ready["grpc"]), MESSAGES_UNDER_LOAD)
    return _figures("half_load_latency", times, ceilings, f"{len(pairs)} pairs send {most / 2:,.0f} others a second")


async def _pairs(testbed: Testbed, settings: Settings, first: int) -> list[Pair]:
    return [await open_pair(testbed, number, settings) for number in range(first, first + settings.pairs)]


def _figures(name: str, times: list[float], ceilings: list[float], what: str) -> list[Figure]:
    note = f"{len(times)} messages, durable, {what}; the ceiling is two bare round trips in between"
    times, ceilings = sorted(times), sorted(ceilings)
    return [
        Figure(f"{name}_{label}ms", percentile(times, part), "ms", percentile(ceilings, part), note)
        for label, part in (("", 50), ("p95_", 95), ("p99_", 99))
    ]


async def _alternate(
    sender: LeanClient, recipient: LeanClient, bare: str, messages: int
) -> tuple[list[float], list[float]]:
    """Returns, in milliseconds, how long each message took, and two bare round trips after each."""
    times: list[float] = []
    ceilings: list[float] = []
    async with grpc.aio.insecure_channel(bare) as channel:
        echo = BareCalls(channel).echo()
        for number in range(WARM_UP + messages):
            elapsed, frame_bytes = await send_one(sender, recipient, str(number))
            times.append(1000 * elapsed)
            ceilings.append(1000 * await _echo_twice(echo, bytes(frame_bytes)))
        await echo.done_writing()
    return times[WARM_UP:], ceilings[WARM_UP:]


async def message_times_ms(sender: LeanClient, recipient: LeanClient, messages: int) -> list[float]:
    """Sends messages one at a time, after some to warm up; returns how long each took, the shortest first."""
    numbers = range(WARM_UP + messages)
    times = [1_000 * (await send_one(sender, recipient, str(number)))[0] for number in numbers]
    return sorted(times[WARM_UP:])


async def send_one(sender: LeanClient, recipient: LeanClient, message_id: str) -> tuple[float, int]:
    """Sends a message and lets everything that follows from it come to rest."""
    stanza = stanza_pb2.Stanza()
    message = stanza.message
    message.id, message.to_jid, message.type = message_id, recipient.jid, stanza_pb2.MESSAGE_TYPE_TEXT
    message.enc.add(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=os.urandom(CIPHERTEXT_BYTES))
    started = time.perf_counter()
    frame_bytes = await sender.send([stanza])
    (delivered,) = await recipient.receive()
    elapsed = time.perf_counter() - started
    if delivered.message.id != message_id or delivered.message.enc[0].ciphertext != message.enc[0].ciphertext:
        raise WrongAnswer(f"message {message_id} was sent, but {delivered.message.id!r} was delivered")
    (acked,) = await sender.receive()
    if [(ack.id, ack.HasField("error")) for ack in acked.send_acks.acks] != [(message_id, False)]:
        raise WrongAnswer(f"message {message_id} was not acked: {acked}")
    # The pong comes when the ack has been committed: the server is idle again.
    await recipient.send(
        [
            stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=[delivered.delivery_id])),
            stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=1)),
        ]
    )
    await recipient.receive()
    return elapsed, frame_bytes


async def _echo_twice(echo: grpc.aio.StreamStreamCall[bytes, bytes], frame: bytes) -> float:
    started = time.perf_counter()
    for _ in range(2):
        await echo.write(frame)
        await echo.read()
    return time.perf_counter() - started


def percentile(ascending: list[float], part: int) -> float:
    """The value that so many of a hundred do not exceed."""
    return ascending[len(ascending) * part // 100]
