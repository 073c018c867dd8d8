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


async def reason_of(call: grpc.aio.StreamStreamCall, requests: list[bytes]) -> str:
    """Opens a stream and reads one message at most; returns why it was refused, or that it is open."""
    try:
        async with asyncio.timeout(60):
            for request in requests:
                await call.write(request)
            await call.read()
    except grpc.aio.AioRpcError as error:
        return refusal_from_rpc_error(error).reason
    except (TimeoutError, asyncio.InvalidStateError):
        pass
    return refusal_from_rpc_error(error).reason if (error := await _ended(call)) is not None else "open"


async def _ended(call: grpc.aio.StreamStreamCall) -> grpc.aio.AioRpcError | None:
    if not call.done():
        return None
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return None
    return grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details() or ""
    )


async def flood(client: LeanClient, path: str, requests: list[bytes], stack: AsyncExitStack) -> Counter[str]:
    """Opens streams of one kind, which stay open until the stack is left."""
    method = client.channel.stream_stream(path)
    calls = [method(metadata=client.metadata) for _ in range(STREAMS)]
    for call in calls:
        stack.callback(call.cancel)
    if path.endswith("Connect") or path.endswith("Upload"):  # nothing is answered to them
        for call in calls:
            for request in requests:
                await call.write(request)
        return Counter()
    return Counter(await asyncio.gather(*(reason_of(call, requests) for call in calls)))


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_that_are_left_open(world: World, simulator_process: Child, attack: Attack, kind: str) -> None:
    """So many are open as there are seats; the others are refused, and nothing waits for a seat."""
    owner = await world.whatsapp(options=QUIET)
    uploader = Uploader(owner)
    await uploader.grant()
    chunks = [chunk(BLOB[at : at + (1 << 20)]) for at in range(0, len(BLOB), 1 << 20)]
    path = await uploader.upload(uploader.start(BLOB), *chunks)
    requests = {
        "downloads": [media_pb2.DownloadRequest(direct_path=path).SerializeToString()],
        "uploads": [],
        "handshakes": [],
        "watches": [health_pb2.HealthCheckRequest().SerializeToString()],
    }[kind]
    attack.tries(f"{STREAMS} {kind} on one connection that are opened and left")
    async with (
        whatsapp_crowd(world, 1) as [client],
        AsyncExitStack() as stack,
        bystanders(world, simulator_process.pid, attack),
    ):
        reasons = await flood(client, KINDS[kind], requests, stack)
    if not reasons:
        attack.holds(f"{kind} that say nothing cost little, and end by their deadline")
        return
    assert set(reasons) == {"open", "RATE_LIMITED"}, reasons
    assert reasons["open"] <= 64, reasons
    attack.holds(f"{reasons['open']} {kind} stay open, {reasons['RATE_LIMITED']} are refused: RATE_LIMITED")
