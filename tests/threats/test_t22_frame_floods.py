"""T22: frames and requests that cost their sender nothing, thousands of them on one connection, and no answer read."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import pytest

from interop_demo.processes import Child
from interop_server.runtime.files import raise_file_limit
from tests.e2e.conftest import World
from tests.raw_http2 import (
    CONNECT,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    connection,
    frame,
)
from tests.threats.bystanders import bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T22"), pytest.mark.requirement("SIM-06")]

FRAMES = 100_000
RESETS = 20_000
FORMS = 1_500
AT_ONCE = 1_000
"""How many go out in one write."""
SECONDS = 20.0
"""For as long the attacker goes on, when the server takes no more."""
CANCEL = (8).to_bytes(4, "big")
"""The reason for a reset."""
FORM = (
    b"POST /3p/interop_reg HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 4000\r\n\r\na"
)
CALL = frame(HEADERS, END_HEADERS, 1, CONNECT)
MESSAGE_HEAD = b"\x00" + (60_000).to_bytes(4, "big")
"""Of a message of 60 kB, as gRPC has it: less than the window."""
FLOODS = {
    "empty DATA frames of one message": (CALL + frame(DATA, 0, 1, MESSAGE_HEAD), frame(DATA, 0, 1)),
    "DATA frames of one byte": (CALL + frame(DATA, 0, 1, MESSAGE_HEAD), frame(DATA, 0, 1, b"x")),
    "PING frames": (b"", frame(PING, 0, 0, b"12345678")),
    "SETTINGS frames": (b"", frame(SETTINGS, 0, 0)),
    "WINDOW_UPDATE frames": (CALL, frame(WINDOW_UPDATE, 0, 1, (1).to_bytes(4, "big"))),
}
"""By kind: what goes before, and what is sent again and again."""


async def flood(opened: Connection, frames: Sequence[bytes]) -> int:
    """Sends until the server closes the connection or takes no more; returns how many frames went out."""
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            for at in range(0, len(frames), AT_ONCE):
                await opened.send(b"".join(frames[at : at + AT_ONCE]))
                sent += AT_ONCE
    return sent


@pytest.mark.parametrize("name", FLOODS)
async def test_frames_that_say_nothing(world: World, simulator_process: Child, attack: Attack, name: str) -> None:
    """gRPC answers them, or closes the connection; either way nothing piles up."""
    before, again = FLOODS[name]
    attack.tries(f"{FRAMES:,} {name}, on one connection that reads nothing")
    async with bystanders(world, simulator_process.pid, attack), connection(world.endpoint.grpc) as opened:
        await opened.send(before)
        sent = await flood(opened, [again] * FRAMES)
        attack.measures(f"{name}: {sent:,} went out")
    attack.holds(f"{name} cost no memory, and others go on")


async def test_calls_that_are_broken_off_at_once(world: World, simulator_process: Child, attack: Attack) -> None:
    """A stream that is reset makes room for the next, so no cap of streams bounds them."""
    attack.tries(f"{RESETS:,} calls on one connection, each reset as soon as it is opened")
    calls = [
        frame(HEADERS, END_HEADERS, stream, CONNECT) + frame(RST_STREAM, 0, stream, CANCEL)
        for stream in range(1, 2 * RESETS, 2)
    ]
    async with bystanders(world, simulator_process.pid, attack), connection(world.endpoint.grpc) as opened:
        sent = await flood(opened, calls)
        attack.measures(f"{sent:,} went out")
    attack.holds("Calls that are reset are forgotten, and others go on")


async def test_requests_sent_ahead_over_http(world: World, simulator_process: Child, attack: Attack) -> None:
    """One request of a connection is under way at a time, however many have come."""
    attack.tries(f"{FRAMES:,} HTTP requests on one connection, of which no answer is read")
    host, _, port = world.endpoint.http.removeprefix("http://").rpartition(":")
    request = b"GET /.well-known/jwks HTTP/1.1\r\nHost: x\r\n\r\n"
    async with bystanders(world, simulator_process.pid, attack):
        _, writer = await asyncio.open_connection(host, int(port))
        try:
            sent = await flood(Connection(_, writer), [request] * FRAMES)
            attack.measures(f"{sent:,} went out")
        finally:
            writer.transport.abort()
    attack.holds("Requests that are sent ahead wait with their sender")


async def test_forms_that_never_end(world: World, simulator_process: Child, attack: Attack) -> None:
    """Their connections are counted, and a body has a deadline."""
    attack.tries(f"{FORMS:,} enlistment forms over HTTP, each on a connection of its own, of which one byte has come")
    raise_file_limit()
    host, _, port = world.endpoint.http.removeprefix("http://").rpartition(":")
    async with AsyncExitStack() as stack, bystanders(world, simulator_process.pid, attack):
        for _ in range(FORMS):
            _, writer = await asyncio.open_connection(host, int(port))
            stack.callback(_hang_up, writer)
            with suppress(ConnectionError):
                writer.write(FORM)
                await writer.drain()
    attack.holds("As many wait as there may be connections, for 10 s each")


def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
