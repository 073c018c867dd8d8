"""Clients that call and take no answer: their seats stay taken, and what waits for them is bounded in bytes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interop_client.connection.transport import DirectTransport
from interop_client.messaging.events import TextReceived
from interop_client.whatsapp import WhatsAppClient
from interop_server.core.limits import Limits
from interop_server.rpc.answers import CALLERS_PART
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_edges import outcome
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, WAIT_SECONDS
from tests.raw_http2 import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    Connection,
    Frame,
    call_headers,
    connection,
    frame,
)

pytestmark = pytest.mark.requirement("SIM-06")

BLOCKLIST = b"/interop_api.v1.IntegrityService/GetBlocklist"
HEALTH = b"/grpc.health.v1.Health/Check"
NO_MESSAGE = bytes(5)
"""An empty message, as gRPC frames it."""


def calls(path: bytes, numbers: Iterable[int], *metadata: tuple[bytes, bytes]) -> bytes:
    """Returns calls with empty requests, by their place on the connection."""
    return b"".join(
        frame(HEADERS, END_HEADERS, 2 * number + 1, call_headers(path, *metadata))
        + frame(0, END_STREAM, 2 * number + 1, NO_MESSAGE)
        for number in numbers
    )


@asynccontextmanager
async def unread_by(world: World, count: int, path: bytes, caller: WhatsAppClient) -> AsyncIterator[Connection]:
    """A connection on which calls are made whose answers may not come."""
    assert isinstance(caller.transport, DirectTransport)
    metadata = [(name.encode(), str(value).encode()) for name, value in caller.transport._metadata]
    async with connection(world.endpoint.grpc, window_bytes=0) as opened:
        await opened.send(calls(path, range(count), *metadata))
        yield opened


async def ends(opened: Connection, count: int) -> list[Frame]:
    """Waits until so many calls were ended by the server, and returns how."""
    ended: list[Frame] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(ended) < count:
            each = await opened.receive()
            if each.kind == RST_STREAM or (each.kind == HEADERS and each.flags & END_STREAM):
                ended.append(each)
    return ended


async def until_one_is_answered(caller: WhatsAppClient) -> None:
    """Waits until a seat is free."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await outcome(caller.get_blocklist()) != "done":
            pass


@pytest.mark.parametrize(("path", "seats"), [(BLOCKLIST, 6), (HEALTH, 7)])
async def test_a_call_has_its_seat_until_its_answer_is_taken(
    tmp_path: Path, signing_keys: SigningKeys, path: bytes, seats: int
) -> None:
    """However small the answer; others are not kept out, and with the connection all seats are free again."""
    limits = Limits(account_calls=6, address_watches=7)
    async with own_world(tmp_path, signing_keys, limits) as (world, _):
        alice, bob = await world.whatsapp(options=QUIET), await world.whatsapp(options=QUIET)
        async with unread_by(world, 20, path, alice) as opened:
            refused = await ends(opened, 20 - seats)
            assert {each.kind for each in refused} == {HEADERS}
            assert await bob.get_blocklist() == []
        async with unread_by(world, seats, path, alice) as opened:
            await opened.send(frame(8, 0, 1, (1 << 16).to_bytes(4, "big")))
            [taken] = await ends(opened, 1)
            assert taken.stream == 1


@pytest.mark.requirement("MSG-09")
async def test_answers_that_are_not_taken_are_bounded_in_bytes(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """A sixteenth of all that may wait for each caller; others are answered, and have their messages."""
    async with own_world(tmp_path, signing_keys, Limits(waiting_bytes=1 << 20)) as (world, _):
        alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
        blocked = [f"{world.integrator}-{10**13 + number}@interop" for number in range(600)]
        for at in range(0, len(blocked), 100):
            await asyncio.gather(*(alice.block(jid) for jid in blocked[at : at + 100]))
        answer_bytes = sum(len(jid) + 2 for jid in blocked)
        fit = (1 << 20) // CALLERS_PART // answer_bytes
        async with unread_by(world, 50, BLOCKLIST, alice) as opened:
            assert {each.kind for each in await ends(opened, 50 - fit)} == {HEADERS}
            await bob.send_text(alice.jid, "Are you there?")
            assert (await alice.wait_for(TextReceived)).text == "Are you there?"
            assert await bob.get_blocklist() == []


async def test_hanging_up_before_the_answer_is_no_fault(
    tmp_path: Path, signing_keys: SigningKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a call of any kind: nothing is logged, and its seat is free."""
    async with own_world(tmp_path, signing_keys, Limits(account_calls=3)) as (world, _):
        alice = await world.whatsapp(options=QUIET)
        for _ in range(3):
            async with unread_by(world, 4, BLOCKLIST, alice) as opened:
                await ends(opened, 1)
        await until_one_is_answered(alice)
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == []
