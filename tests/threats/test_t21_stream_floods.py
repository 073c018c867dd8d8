"""T21: streams of every kind that are opened and left."""

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from interop_api.v1 import media_pb2, stanza_pb2
from interop_client.errors import refusal_from_rpc_error
from interop_demo.processes import Child
from interop_protocol.noise import InitiatorHandshake
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import QUIET, hello_request
from tests.threats.amount import CHANNELS
from tests.threats.bystanders import bystanders
from tests.threats.crowd import whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T21"), pytest.mark.requirement("SIM-06", "MED-04", "MED-07")]

STREAMS = 1_500
WAIT_SECONDS = 60.0
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
"""A connection of its own, whose windows stay small: gRPC would read megabytes ahead for a client that never reads."""
Metadata = tuple[tuple[str, str], ...]
BLOB = os.urandom(8 << 20)
REFUSED = [stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=0))] * 1_024
"""Each is answered with a refusal of some three hundred bytes."""


class Kind(NamedTuple):
    """A kind of stream."""

    path: str
    seats: int
    """How many of them an attacker with one account and one address can have open."""
    is_answered: bool
    """Whether something comes on those that are open."""
    has_ended: bool = True
    """Whether the attacker has said all when the first words are said."""


KINDS = {
    "downloads that are never read": Kind("/interop_api.v1.MediaService/Download", 16, True),
    "uploads that stand still": Kind("/interop_api.v1.MediaService/Upload", 16, False),
    "calls whose request never comes": Kind("/interop_api.v1.PreKeyService/CountOneTimePreKeys", 256, False),
    "handshakes that never go on": Kind("/interop_api.v1.ChatService/Connect", STREAMS, True, has_ended=False),
    "watches": Kind("/grpc.health.v1.Health/Watch", 64, True),
}


async def first_words(kind: str, owner: Uploader) -> bytes | None:
    """Returns what the attacker says on each stream; None for nothing."""
    if kind.startswith("downloads"):
        chunks = [chunk(BLOB[at : at + (1 << 20)]) for at in range(0, len(BLOB), 1 << 20)]
        path = await owner.upload(owner.start(BLOB), *chunks)
        return media_pb2.DownloadRequest(direct_path=path).SerializeToString()
    if kind.startswith("handshakes"):
        noise = InitiatorHandshake(os.urandom(32), os.urandom(32))
        return hello_request(noise.client_hello()).SerializeToString()
    return health_pb2.HealthCheckRequest().SerializeToString() if kind == "watches" else None


def open_stream(channel: grpc.aio.Channel, metadata: Metadata, kind: Kind, words: bytes | None) -> Any:
    """Opens one stream; what is said on it without an end is still to be said."""
    if words is None or not kind.has_ended:
        return channel.stream_stream(kind.path)(metadata=metadata)
    return channel.unary_stream(kind.path)(words, metadata=metadata)


async def outcome(call: Any, words: bytes | None) -> str:
    """Says the words, if any, and waits for an answer; returns why the stream was refused, or that it is open."""
    try:
        if words is not None:
            await call.write(words)
        message = await call.read()
    except grpc.aio.AioRpcError as error:
        return refusal_from_rpc_error(error).reason
    return "ended" if message is grpc.aio.EOF else "open"


async def flood(
    address: str, metadata: Metadata, kind: Kind, words: bytes | None, stack: AsyncExitStack
) -> Counter[str]:
    """Opens streams of one kind, which stay open until the stack is left.

    Args:
        address: Of the server.
        metadata: Of the attacker's session.
        kind: Of the streams.
        words: What is said on each; None for nothing.
        stack: Ends them.

    Returns:
        How many there are of each outcome.
    """
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=OPTIONS))
    calls = [open_stream(channel, metadata, kind, words) for _ in range(STREAMS)]
    for call in calls:
        stack.callback(call.cancel)
    waiting = {asyncio.create_task(outcome(call, None if kind.has_ended else words)) for call in calls}
    outcomes: Counter[str] = Counter()
    async with asyncio.timeout(WAIT_SECONDS):
        while len(waiting) > (0 if kind.is_answered else kind.seats):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            outcomes.update(task.result() for task in done)
    for task in waiting:
        stack.callback(task.cancel)
    outcomes["open"] += len(waiting)
    return outcomes


@pytest.mark.parametrize("name", KINDS)
async def test_streams_that_are_left_open(world: World, simulator_process: Child, attack: Attack, name: str) -> None:
    """So many are open as there are seats; the others are refused, and nothing waits for a seat."""
    kind = KINDS[name]
    owner = Uploader(await world.whatsapp(options=QUIET))
    await owner.grant()
    words = await first_words(name, owner)
    attack.tries(f"{STREAMS:,} {name}, on one connection")
    async with (
        whatsapp_crowd(world, 1) as [client],
        AsyncExitStack() as stack,
        bystanders(world, simulator_process.pid, attack),
    ):
        outcomes = await flood(world.endpoint.grpc, client.metadata, kind, words, stack)
    refused = {"RATE_LIMITED": STREAMS - kind.seats} if kind.seats < STREAMS else {}
    assert outcomes == {"open": kind.seats, **refused}
    attack.holds(f"{name}: {outcomes['open']:,} are open, {outcomes['RATE_LIMITED']:,} are refused (RATE_LIMITED)")


@pytest.mark.timeout(600)  # each of them is registered and logged in first
async def test_chat_channels_that_never_read(world: World, simulator_process: Child, attack: Attack) -> None:
    """Each makes the server answer 300 kB and reads none of it."""
    attack.tries(f"{CHANNELS:,} logged-in chat channels that ask for 300 kB of answers each, and never read")
    given_up = 0
    async with whatsapp_crowd(world, CHANNELS) as crowd, bystanders(world, simulator_process.pid, attack):
        for client in crowd:
            try:
                await client.send(REFUSED)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                given_up += 1
    attack.holds(f"All {CHANNELS:,} are accepted, and {given_up} were given up before they had asked")
