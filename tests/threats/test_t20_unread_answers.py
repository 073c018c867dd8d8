"""T20: clients that make the server answer, and never read."""

import asyncio
from contextlib import AsyncExitStack, suppress

import grpc.aio
import pytest

from interop_api.v1 import integrity_pb2, integrity_pb2_grpc, stanza_pb2
from interop_demo.processes import Child
from interop_server.core.limits import Limits
from tests.bench.lean_client import LeanClient
from tests.e2e.conftest import World
from tests.e2e.connection.test_unread_answers import BLOCKLIST, calls, ends
from tests.raw_http2 import HEADERS, connection
from tests.threats.bystanders import bystanders
from tests.threats.crowd import whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T20"), pytest.mark.requirement("SIM-06", "MSG-09", "CHN-12")]

READERS = 20
FRAMES = 20
REFUSED = [stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=0))] * 1_024
"""Each is answered with a refusal of some three hundred bytes."""
BLOCKED = 1_000
CONNECTIONS, CALLS, AT_ONCE = 4, 3_000, 500
SEATS = Limits().account_calls


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


async def block_many(client: LeanClient, integrator: int) -> None:
    """Makes the list of blocked people long: it is what a caller can make the server say most."""
    integrity = integrity_pb2_grpc.IntegrityServiceStub(client.channel)
    for at in range(0, BLOCKED, 100):
        await asyncio.gather(
            *(
                integrity.UpdateBlocklist(
                    integrity_pb2.UpdateBlocklistRequest(
                        action=integrity_pb2.BLOCK_ACTION_BLOCK, jid=f"{integrator}-{10**13 + number}@interop"
                    ),
                    metadata=client.metadata,
                )
                for number in range(at, at + 100)
            )
        )


async def test_answers_to_calls_that_nobody_takes_are_bounded(
    world: World, simulator_process: Child, attack: Attack
) -> None:
    """A call has its seat, and its answer counts, until the client has let it come."""
    attack.tries(f"{CONNECTIONS * CALLS:,} calls for a long list on {CONNECTIONS} connections that let no answer come")
    async with (
        whatsapp_crowd(world, 1) as [client],
        AsyncExitStack() as stack,
        bystanders(world, simulator_process.pid, attack),
    ):
        await block_many(client, world.integrator)
        metadata = [(name.encode(), value.encode()) for name, value in client.metadata]
        for number in range(CONNECTIONS):
            opened = await stack.enter_async_context(connection(world.endpoint.grpc, window_bytes=0))
            for first in range(0, CALLS, AT_ONCE):
                await opened.send(calls(BLOCKLIST, range(first, first + AT_ONCE), *metadata))
                waiting = SEATS if (number, first) == (0, 0) else 0
                refused = await ends(opened, AT_ONCE - waiting)
                assert {each.kind for each in refused} == {HEADERS}
    attack.holds(f"At most {SEATS} answers wait, and all other calls are refused (RATE_LIMITED)")
