"""Clients that hang up in the middle: ordinary, so it is neither a fault in the journal nor a traceback in the log."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
import pytest_asyncio

from interop_api.admin.v1alpha1 import journal_pb2, journal_pb2_grpc
from interop_api.v1 import chat_pb2_grpc, media_pb2, media_pb2_grpc
from interop_client.connection.transport import DirectTransport
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import QUIET

BLOB = os.urandom(1 << 20)
BLOB_BYTES = 24 << 20
"""More than all buffers between the server and a client that does not read."""


@pytest_asyncio.fixture
async def own(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[tuple[Child, World]]:
    """A simulator of this test's own, whose log is read at the end, and a world in it."""
    async with recorded_simulator(tmp_path / "simulator.log") as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
            yield child, world


async def stored_blob(client: WhatsAppClient) -> str:
    """Uploads a blob of many chunks; returns its path."""
    uploader = Uploader(client)
    await uploader.grant()
    whole = BLOB * (BLOB_BYTES // len(BLOB))
    return await uploader.upload(uploader.start(whole), *[chunk(BLOB)] * (BLOB_BYTES // len(BLOB)))


async def hang_up_over_grpc(client: WhatsAppClient, world: World, path: str) -> None:
    """Reads the first message of a download, lets the server fill all buffers, and cancels or drops the connection."""
    for drops in (False, True):
        channel = grpc.aio.insecure_channel(world.endpoint.grpc, options=(("grpc.use_local_subchannel_pool", 1),))
        stub = media_pb2_grpc.MediaServiceStub(channel)
        assert isinstance(client.transport, DirectTransport)
        session = client.transport._metadata
        call = stub.Download(media_pb2.DownloadRequest(direct_path=path), metadata=session)
        await call.read()
        if not drops:
            call.cancel()
        await channel.close()


FORM = (
    "POST /3p/interop_reg HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: 500\r\n\r\nhalf="
)


async def hang_up_over_http(world: World, path: str) -> None:
    """Reads little of an answer, or sends half a form, and closes or resets the connection."""
    host, port = world.endpoint.http.removeprefix("http://").split(":")
    for request in (f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n", FORM):
        for resets in (False, True):
            reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(request.encode())
            await writer.drain()
            if request is not FORM:
                await reader.readexactly(100)
            if resets:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            writer.close()


async def hang_up_in_every_call(client: WhatsAppClient, world: World) -> None:
    """Unary calls, an upload, a handshake and a follower of the journal, each given up at another moment."""
    assert isinstance(client.transport, DirectTransport)
    uploader = Uploader(client)
    await uploader.grant()
    for turns in range(8):
        channel = grpc.aio.insecure_channel(world.endpoint.grpc, options=(("grpc.use_local_subchannel_pool", 1),))
        admin = grpc.aio.insecure_channel(world.endpoint.admin, options=(("grpc.use_local_subchannel_pool", 1),))
        session = client.transport._metadata
        media, journal = media_pb2_grpc.MediaServiceStub(channel), journal_pb2_grpc.JournalServiceStub(admin)
        upload, chat = media.Upload(metadata=session), chat_pb2_grpc.ChatServiceStub(channel).Connect()
        content = os.urandom(1 << 20)
        calls: list[Any] = [
            upload, chat, journal.ReadJournal(journal_pb2.ReadJournalRequest(follow=True)),
            *(media.GetMediaConnection(media_pb2.GetMediaConnectionRequest(), metadata=session) for _ in range(50)),
        ]  # fmt: skip
        await upload.write(uploader.start(content))
        await upload.write(chunk(content[: 1 << 19]))
        for _ in range(1 << turns):
            await asyncio.sleep(0)
        if turns % 2:
            for call in calls:
                call.cancel()
        await channel.close()
        await admin.close()


@pytest.mark.requirement("MED-04", "SIM-07")
async def test_hanging_up_is_ordinary(own: tuple[Child, World]) -> None:
    """Downloads over both wires, a form, a follower of the journal: no fault is logged or recorded."""
    child, world = own
    alice = await world.whatsapp(options=QUIET)
    path = await stored_blob(alice)
    for _ in range(5):
        await hang_up_over_grpc(alice, world, path)
        await hang_up_over_http(world, path)
    await hang_up_in_every_call(alice, world)
    async with aiohttp.ClientSession() as http, http.get(world.endpoint.http + path) as response:
        assert len(await response.read()) == BLOB_BYTES
    reasons = [response.entry.reason async for response in world.admin.read_journal()]
    log = child.log.read_text()
    assert "SERVER_FAULT" not in reasons, log[-6_000:]
    assert "Traceback" not in log and "ERROR" not in log, log[-6_000:]
