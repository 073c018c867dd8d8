"""Clients that hang up at any moment of any call: ordinary, so that nothing is logged and nothing is a fault."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from interop_client.connection.transport import DirectTransport
from interop_server.rpc.server import _ADMIN_SERVICES, _CLIENT_SERVICES
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, WAIT_SECONDS
from tests.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    call_headers,
    connection,
    frame,
)

pytestmark = [pytest.mark.requirement("SIM-06"), pytest.mark.asyncio(loop_scope="module")]

CANCEL = (8).to_bytes(4, "big")
NO_MESSAGE, PART_OF_ONE = bytes(5), b"\0\0\0\0\x09half"
FOREIGN = ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"]
CHANGES_THE_WORLD = {"AdminService/Reset"}
"""What would take the other calls along."""


def paths(is_admin: bool) -> Iterator[bytes]:
    """All methods of a surface."""
    for service in _ADMIN_SERVICES if is_admin else _CLIENT_SERVICES:
        for method in service.methods:
            if f"{service.name}/{method.name}" not in CHANGES_THE_WORLD:
                yield f"/{service.full_name}/{method.name}".encode()
    yield from (f"/{name}".encode() for name in FOREIGN)


def moments(stream: int, headers: bytes) -> dict[str, bytes]:
    """What is sent of a call before it is broken off, or its connection is."""
    begun = frame(HEADERS, END_HEADERS, stream, headers)
    return {
        "begun": begun,
        "half a message": begun + frame(DATA, 0, stream, PART_OF_ONE),
        "a message": begun + frame(DATA, 0, stream, NO_MESSAGE),
        "a message and no more": begun + frame(DATA, END_STREAM, stream, NO_MESSAGE),
        "no message": begun + frame(DATA, END_STREAM, stream),
        "half a message and no more": begun + frame(DATA, END_STREAM, stream, PART_OF_ONE),
    }


MOMENTS = tuple(moments(1, b""))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: SigningKeys
) -> AsyncIterator[tuple[World, list[tuple[bytes, bytes]]]]:
    """A world, and what a call of somebody who is logged in has in its headers."""
    folder: Path = tmp_path_factory.mktemp("hanging_up")
    async with own_world(folder, signing_keys) as (world, _):
        alice = await world.whatsapp(options=QUIET)
        assert isinstance(alice.transport, DirectTransport)
        yield world, [(name.encode(), str(value).encode()) for name, value in alice.transport._metadata]


@pytest.mark.parametrize("is_admin", [False, True], ids=["clients", "operator"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_no_call_minds_that_its_client_hangs_up(
    spoken: tuple[World, list[tuple[bytes, bytes]]], caplog: pytest.LogCaptureFixture, moment: str, is_admin: bool
) -> None:
    """A call that is reset at once, one that is reset later, and all that a connection drops with it."""
    world, metadata = spoken
    address = world.endpoint.admin if is_admin else world.endpoint.grpc
    async with asyncio.timeout(6 * WAIT_SECONDS), connection(address, window_bytes=0) as opened:
        stream = -1
        for path in paths(is_admin):
            headers = call_headers(path, *metadata)
            for is_reset in (True, False):
                stream += 2
                await opened.send(moments(stream, headers)[moment] + frame(RST_STREAM, 0, stream, CANCEL) * is_reset)
            await world.admin.get_statistics()  # lets the server come to what was sent
            stream += 2
            await opened.send(moments(stream, headers)[moment])
            await world.admin.get_statistics()  # lets the server come to what was sent
            await opened.send(frame(RST_STREAM, 0, stream, CANCEL))
    assert await world.admin.get_statistics()
    assert [f"{each.name}: {each.getMessage()}" for each in caplog.records if each.levelno >= logging.WARNING] == []
    faults = [each async for each in world.admin.read_journal() if each.entry.reason == "SERVER_FAULT"]
    assert faults == []
