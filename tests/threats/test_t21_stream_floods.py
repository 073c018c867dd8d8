"""T21: streams of every kind that are opened and left: downloads, uploads, handshakes, watches."""

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from interop_api.v1 import media_pb2
from interop_client.errors import refusal_from_rpc_error
from interop_demo.processes import Child
from tests.bench.lean_client import LeanClient
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import QUIET
from tests.threats.bystanders import bystanders
from tests.threats.crowd import whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T21"), pytest.mark.requirement("SIM-06", "MED-04", "MED-07")]

STREAMS = 1_500
BLOB = os.urandom(8 << 20)
KINDS = {
    "downloads": "/interop_api.v1.MediaService/Download",
    "uploads": "/interop_api.v1.MediaService/Upload",
    "handshakes": "/interop_api.v1.ChatService/Connect",
    "watches": "/grpc.health.v1.Health/Watch",
}


async def reason_of(call: grpc.aio.UnaryStreamCall) -> str:
    """Waits for the first message; returns why the stream was refused, or that it is open."""
    try:
        message = await call.read()
    except grpc.aio.AioRpcError as error:
        return refusal_from_rpc_error(error).reason
    return "ended" if message is grpc.aio.EOF else "open"


async def flood(client: LeanClient, path: str, request: bytes | None, stack: AsyncExitStack) -> Counter[str]:
    """Opens streams of one kind, which stay open until the stack is left.

    Args:
        client: Whose connection they go over.
        path: Of the method.
        request: What is sent on each; None for nothing, to which nothing is answered.
        stack: Ends them.
    """
    if request is None:
        method = client.channel.stream_stream(path)
        for _ in range(STREAMS):
            stack.callback(method(metadata=client.metadata).cancel)
        return Counter()
    asking = client.channel.unary_stream(path)
    calls = [asking(request, metadata=client.metadata) for _ in range(STREAMS)]
    for call in calls:
        stack.callback(call.cancel)
    return Counter(await asyncio.gather(*(reason_of(call) for call in calls)))


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_that_are_left_open(world: World, simulator_process: Child, attack: Attack, kind: str) -> None:
    """So many are open as there are seats; the others are refused, and nothing waits for a seat."""
    owner = await world.whatsapp(options=QUIET)
    uploader = Uploader(owner)
    await uploader.grant()
    chunks = [chunk(BLOB[at : at + (1 << 20)]) for at in range(0, len(BLOB), 1 << 20)]
    path = await uploader.upload(uploader.start(BLOB), *chunks)
    requests = {
        "downloads": media_pb2.DownloadRequest(direct_path=path).SerializeToString(),
        "watches": health_pb2.HealthCheckRequest().SerializeToString(),
    }
    attack.tries(f"{STREAMS} {kind} on one connection that are opened and left")
    async with (
        whatsapp_crowd(world, 1) as [client],
        AsyncExitStack() as stack,
        bystanders(world, simulator_process.pid, attack),
    ):
        reasons = await flood(client, KINDS[kind], requests.get(kind), stack)
    if not reasons:
        attack.holds(f"{kind} that say nothing cost little, and end by their deadline")
        return
    # gRPC's core itself cancels a few of so many that come at once.
    assert {"open", "RATE_LIMITED"} <= set(reasons) <= {"open", "RATE_LIMITED", "CANCELLED"}, reasons
    assert reasons["open"] <= 64, reasons
    attack.holds(f"{reasons['open']} {kind} stay open, {reasons['RATE_LIMITED']} are refused: RATE_LIMITED")
