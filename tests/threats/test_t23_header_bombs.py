"""T23: HTTP/2 headers that refer to themselves, and so are long in memory and short on the wire."""

import asyncio
from collections import Counter

import pytest

from interop_demo.processes import Child
from interop_server.runtime.files import raise_file_limit
from tests.e2e.conftest import World
from tests.raw_http2 import CONNECT, CONTINUATION, END_HEADERS, HEADERS, connection, frame, literal
from tests.threats.bystanders import bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T23"), pytest.mark.requirement("SIM-06")]

STREAMS = 1_500
EARLY = 50
"""As many as stay under the bound: see docs/limits.md."""
WAIT_SECONDS = 50.0
REPEATED = b"\xbe" * 8_000
"""A reference to the newest entry of the table, again and again."""
BOMB = CONNECT + literal(b"x-large", b"v" * 120) + REPEATED
CONTINUATIONS = 2_000
BY_GRPC, BY_SERVER = "RESOURCE_EXHAUSTED", "REQUEST_MALFORMED"
"""How a call with too long headers ends: before the server hears of it, and as soon as it does."""
_STATUSES = {b"grpc-status\x018": BY_GRPC, b"grpc-status\x013": BY_SERVER}


async def outcomes(address: str, streams: int, *, acknowledges: bool = True) -> Counter[str]:
    """Opens streams with such headers on one connection, and returns how they end."""
    counted: Counter[str] = Counter()
    async with connection(address, acknowledges=acknowledges) as opened, asyncio.timeout(WAIT_SECONDS):
        for stream in range(1, 2 * streams, 2):
            await opened.send(frame(HEADERS, END_HEADERS, stream, BOMB))
        while counted.total() < streams:
            if (received := await opened.receive()).kind == HEADERS:
                found = (name for status, name in _STATUSES.items() if status in received.payload)
                counted[next(found, "something else")] += 1
    return counted


@pytest.mark.parametrize("connections", [1, 15, STREAMS])
async def test_headers_are_bounded_as_they_are_in_memory(
    world: World, simulator_process: Child, attack: Attack, connections: int
) -> None:
    """A megabyte of headers a stream, of eight kilobytes on the wire."""
    attack.tries(
        f"{STREAMS:,} streams on {connections:,} connections, with headers of 8 KB on the wire, 1 MB in memory"
    )
    raise_file_limit()
    address, streams = world.endpoint.grpc, STREAMS // connections
    async with bystanders(world, simulator_process.pid, attack):
        ended = await asyncio.gather(*(outcomes(address, streams) for _ in range(connections)))
    assert sum(ended, Counter[str]()) == {BY_GRPC: STREAMS}
    attack.holds("gRPC refuses each of them (RESOURCE_EXHAUSTED), and keeps none of it")


async def test_headers_before_the_settings_are_bounded_too(
    world: World, simulator_process: Child, attack: Attack
) -> None:
    """gRPC does not yet bound a client that has not acknowledged its settings: the server refuses what gRPC takes."""
    attack.tries(f"{EARLY} such streams, on connections whose settings the client does not acknowledge")
    address = world.endpoint.grpc
    async with bystanders(world, simulator_process.pid, attack):
        ended = await asyncio.gather(*(outcomes(address, 1, acknowledges=False) for _ in range(EARLY)))
    counted = sum(ended, Counter[str]())
    assert set(counted) <= {BY_GRPC, BY_SERVER} and counted.total() == EARLY, counted
    attack.holds(f"{counted[BY_SERVER]} are refused (REQUEST_MALFORMED), {counted[BY_GRPC]} by gRPC: none goes on")


async def test_headers_without_an_end_cost_nothing(world: World, simulator_process: Child, attack: Attack) -> None:
    """All frames of one header count together."""
    attack.tries(f"A header of {CONTINUATIONS:,} CONTINUATION frames, of which none is the last")
    async with bystanders(world, simulator_process.pid, attack), connection(world.endpoint.grpc) as opened:
        await opened.send(frame(HEADERS, 0, 1, BOMB))
        for _ in range(CONTINUATIONS):
            await opened.send(frame(CONTINUATION, 0, 1, REPEATED))
        attack.measures(f"{opened.sent // 1_000_000} MB on the wire")
    attack.holds("gRPC keeps nothing of a header from 16 KiB on")
