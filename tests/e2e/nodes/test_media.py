"""Two nodes, one world: files."""

import asyncio
import hashlib
import os
from pathlib import Path

import aiohttp
import pytest

from interop_api.v1 import media_pb2
from interop_client.connection.transport import DirectTransport
from interop_client.media.crypto import MediaType
from interop_client.media.upload import encrypted_blob, upload_blob
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.encoding import media_token
from tests.e2e.media.test_flows_media import half_of
from tests.e2e.nodes.conftest import SECONDS, Both

PIECE_BYTES = 4 << 20
"""What a node stores at once."""
DOCUMENT_BYTES = 3 * PIECE_BYTES


@pytest.mark.requirement("MED-07")
async def test_an_upload_that_broke_at_one_node_goes_on_at_the_other(both: Both, tmp_path: Path) -> None:
    """What the first has stored is not sent again, and both nodes give out the whole."""
    document = tmp_path / "film.mkv"
    document.write_bytes(os.urandom(DOCUMENT_BYTES))
    here = await both.here.whatsapp()
    async with encrypted_blob(document, MediaType.DOCUMENT) as blob:
        token = media_token(blob.encrypted.ciphertext_sha256)
        connection = await here.transport.call(
            "/interop_api.v1.MediaService/GetMediaConnection",
            media_pb2.GetMediaConnectionRequest(),
            media_pb2.GetMediaConnectionResponse,
        )
        length = blob.encrypted.ciphertext_length
        start = media_pb2.UploadStart(auth=connection.auth, upload_token=token, length=length)
        is_half_way = asyncio.Event()
        broken = asyncio.create_task(_direct(here).upload(half_of(blob, start, is_half_way)))
        async with asyncio.timeout(SECONDS):
            await is_half_way.wait()
            while not await _committed(here, connection.auth, token):
                pass
        broken.cancel()
        await asyncio.gather(broken, return_exceptions=True)
        await here.close()

        there = WhatsAppClient.direct(both.there.endpoint, here.state)
        both.there.close_later(there)
        await there.connect()
        steps: list[int] = []
        path = await upload_blob(_direct(there), blob, lambda sent, _: steps.append(sent))

        assert steps[0] > PIECE_BYTES, "it began anew"
        for world in (both.here, both.there):
            async with aiohttp.ClientSession() as http, http.get(world.endpoint.http + path) as answer:
                assert hashlib.sha256(await answer.read()).digest() == blob.encrypted.ciphertext_sha256


def _direct(client: WhatsAppClient) -> DirectTransport:
    assert isinstance(client.transport, DirectTransport)
    return client.transport


async def _committed(client: WhatsAppClient, auth: str, token: str) -> int:
    status = await client.transport.call(
        "/interop_api.v1.MediaService/GetUploadStatus",
        media_pb2.GetUploadStatusRequest(auth=auth, upload_token=token),
        media_pb2.GetUploadStatusResponse,
    )
    return status.committed_bytes
