"""T23: HTTP/2 headers that refer to themselves, and so are long in memory and short on the wire."""

import asyncio
from contextlib import suppress

import pytest

from interop_demo.processes import Child
from tests.e2e.conftest import World
from tests.threats.bystanders import bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T23"), pytest.mark.requirement("SIM-06")]

CONNECTIONS, STREAMS = 1, 100
"""As many as stay under the bound: gRPC unpacks headers before it measures them, as docs/limits.md says."""
REPEATED = b"\xbe" * 8_000
"""A reference to the newest entry of the table, again and again."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that enters the table."""
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


HEAD = b"".join(
    literal(*header)
    for header in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/interop_api.v1.ChatService/Connect"),
        (b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
    )
)  # fmt: skip


async def send_bombs(address: str) -> int:
    """Opens streams with such headers on one connection; returns how many bytes went over the wire."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        for stream in range(1, 2 * STREAMS, 2):
            bomb = frame(1, 4, stream, HEAD + literal(b"x-large", b"v" * 120) + REPEATED)
            writer.write(bomb)
            sent += len(bomb)
            await writer.drain()
        async with asyncio.timeout(5):
            while await reader.read(1 << 16):
                pass
    writer.close()
    return sent


async def test_headers_are_bounded_as_they_are_in_memory(
    world: World, simulator_process: Child, attack: Attack
) -> None:
    """A megabyte of headers a stream, of eight kilobytes on the wire."""
    attack.tries(f"{CONNECTIONS * STREAMS} streams whose headers are 8 KB on the wire and 1 MB in memory")
    async with bystanders(world, simulator_process.pid, attack):
        sent = await asyncio.gather(*(send_bombs(world.endpoint.grpc) for _ in range(CONNECTIONS)))
    attack.measures(f"{sum(sent) // 1_000} KB on the wire")
    attack.holds("gRPC refuses a call with more than 16 KiB of metadata, and lets go of them when its stream ends")
