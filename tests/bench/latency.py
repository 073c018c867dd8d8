"""How long one message takes from sender to recipient when nothing else is under way."""

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

MESSAGES = 400
WARM_UP = 50
CIPHERTEXT_BYTES = 300


async def measure_latency(settings: Settings) -> list[Figure]:
    """Sends messages one at a time, and after each sends its frame through a bare server and back, twice."""
    times: list[float] = []
    ceilings: list[float] = []
    async with Testbed(settings.folder) as testbed, bare_server(settings.folder / "bare.log") as bare:
        sender, _ = await testbed.third_party_user()
        recipient = await testbed.whatsapp_user()
        async with grpc.aio.insecure_channel(str(bare.ready["grpc"])) as channel:
            echo = BareCalls(channel).echo()
            for number in range(WARM_UP + MESSAGES):
                elapsed, frame_bytes = await _send_one(sender, recipient, str(number))
                times.append(elapsed)
                ceilings.append(await _echo_twice(echo, bytes(frame_bytes)))
            await echo.done_writing()
    times, ceilings = (sorted(1000 * seconds for seconds in values[WARM_UP:]) for values in (times, ceilings))
    note = (
        f"median of {MESSAGES}, durable; p99 {_p99(times):.3g} ms; p99 of two bare round trips {_p99(ceilings):.3g} ms"
    )
    return [Figure("message_latency_ms", statistics.median(times), "ms", statistics.median(ceilings), note)]


async def _send_one(sender: LeanClient, recipient: LeanClient, message_id: str) -> tuple[float, int]:
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


def _p99(ascending: list[float]) -> float:
    return ascending[len(ascending) * 99 // 100]
