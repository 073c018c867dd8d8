"""T20: clients that make the server answer, and never read."""

import asyncio
from contextlib import suppress

import grpc.aio
import pytest

from interop_api.v1 import stanza_pb2
from interop_demo.processes import Child
from tests.bench.lean_client import LeanClient
from tests.e2e.conftest import World
from tests.threats.bystanders import bystanders
from tests.threats.crowd import whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T20"), pytest.mark.requirement("SIM-06", "MSG-09", "CHN-12")]

READERS = 20
FRAMES = 20
REFUSED = [stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=0))] * 1_024
"""Each is answered with a refusal of some three hundred bytes."""


async def send_unread(client: LeanClient) -> None:
    """Sends until the server takes no more, or gives the channel up."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
        for _ in range(FRAMES):
            async with asyncio.timeout(10):
                await client.send(REFUSED)


async def test_answers_that_nobody_reads_are_bounded_together(
    world: World, simulator_process: Child, attack: Attack
) -> None:
    """Each channel is bounded, and all of them together: the fullest is given up (CONNECTION_SILENT)."""
    attack.tries(f"{READERS} clients send frames of 1,024 stanzas that are refused one by one, and read nothing")
    async with whatsapp_crowd(world, READERS) as crowd, bystanders(world, simulator_process.pid, attack):
        await asyncio.gather(*(send_unread(client) for client in crowd))
    attack.holds("What waits is bounded in bytes, for each channel and for all together")
