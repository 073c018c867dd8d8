"""Files through the running server: both ways, over gRPC and HTTP, whole and in ranges, broken and tampered with."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from interop_api.v1 import media_pb2
from interop_client.connection.transport import DirectTransport
from interop_client.errors import ServerRefusal
from interop_client.media.crypto import CHUNK_BYTES as MEDIA_CHUNK_BYTES
from interop_client.media.crypto import MediaCheck, MediaTampered, MediaType
from interop_client.media.file_names import harmless_name
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, encrypted_blob, media_host, upload_blob
from interop_client.messaging.events import MediaReceived
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.encoding import media_token
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused

PICTURE_BYTES = 300_001
DOCUMENT_BYTES = 2_500_003
LARGE_BYTES = 40 << 20
CHUNK_BYTES = 256 * 1024
WAYS = ("gRPC", "HTTP")


@dataclass
class Friends:
    """Two people who can talk, a folder for their files, and plain HTTP."""

    world: World
    alice: WhatsAppClient
    bob: ThirdPartyClient
    folder: Path
    http: aiohttp.ClientSession

    def file(self, name: str, length: int) -> Path:
        """Makes a file that is like no other."""
        path = self.folder / name
        path.write_bytes(os.urandom(length))
        return path

    async def picture_from_bob(self, caption: str = "") -> tuple[Path, MediaReference]:
        """Has Bob send a picture; returns it and what Alice is told."""
        picture = self.file("cat.png", PICTURE_BYTES)
        host = media_host(self.world.partner.media_url)
        await self.bob.send_image(self.alice.jid, picture, host, caption=caption)
        return picture, (await self.alice.wait_for(MediaReceived)).media

    async def document_from_alice(self) -> tuple[Path, MediaReference]:
        """Has Alice send a document; returns it and what Bob is told."""
        document = self.file("report.pdf", DOCUMENT_BYTES)
        await self.alice.send_document(self.bob.jid, document, mimetype="application/pdf")
        return document, (await self.bob.wait_for(MediaReceived)).media

    def url(self, media: MediaReference) -> str:
        return self.world.endpoint.http + media.direct_path

    def way(self, name: str) -> str:
        """The argument of `download` that chooses a way."""
        return self.world.endpoint.http if name == "HTTP" else ""


@pytest_asyncio.fixture
async def friends(world: World, tmp_path: Path) -> AsyncIterator[Friends]:
    """Alice and Bob, connected."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        yield Friends(world, await world.whatsapp(), await world.third_party("bob"), tmp_path, http)


def direct(client: WhatsAppClient | ThirdPartyClient) -> DirectTransport:
    """The client's transport, which moves blobs too."""
    assert isinstance(client.transport, DirectTransport)
    return client.transport


async def range_over_grpc(
    client: WhatsAppClient | ThirdPartyClient, path: str, offset: int, length: int | None
) -> tuple[media_pb2.DownloadStart, bytes]:
    responses = direct(client).download(media_pb2.DownloadRequest(direct_path=path, offset=offset, length=length))
    first, *chunks = [response async for response in responses]
    return first.start, b"".join(response.chunk for response in chunks)


@pytest.mark.requirement("MED-02")
@pytest.mark.parametrize("way", WAYS)
async def test_a_picture_goes_to_whatsapp_through_the_media_proxy(friends: Friends, way: str) -> None:
    """It stays on Bob's own media server; Alice reads it through WhatsApp, which sees ciphertext only (MED-02)."""
    before = await friends.world.stored()
    picture, media = await friends.picture_from_bob("A cat")

    await friends.alice.download(media, friends.folder / "seen", friends.way(way))

    assert (friends.folder / "seen").read_bytes() == picture.read_bytes()
    assert (media.name, media.mimetype, media.media_type) == ("A cat", "image/png", MediaType.IMAGE)
    assert media.direct_path.startswith(f"/interop/whatsapp/download/{friends.world.integrator}/")
    assert (await friends.world.stored())["media"] == before["media"]


@pytest.mark.requirement("MED-04")
@pytest.mark.parametrize("way", WAYS)
async def test_a_document_goes_to_the_third_party_from_whatsapps_store(friends: Friends, way: str) -> None:
    """Alice uploads the blob; its path leads Bob to it, and its name and type come inside the message (MED-04)."""
    document, media = await friends.document_from_alice()

    await friends.bob.download(media, friends.folder / "read", friends.way(way))

    assert (friends.folder / "read").read_bytes() == document.read_bytes()
    assert (media.name, media.mimetype, media.media_type) == ("report.pdf", "application/pdf", MediaType.DOCUMENT)
    assert media.direct_path.startswith("/v/t")


@pytest.mark.requirement("MED-01", "MED-04")
@pytest.mark.parametrize("direction", ["to WhatsApp", "to the third party"])
async def test_ranges_are_parts_of_the_same_blob_on_both_surfaces(friends: Friends, direction: str) -> None:
    """Start, middle, tail and all to the end; what lies outside is refused with the length (MED-04)."""
    if direction == "to WhatsApp":
        reader: WhatsAppClient | ThirdPartyClient = friends.alice
        _, media = await friends.picture_from_bob()
    else:
        reader = friends.bob
        _, media = await friends.document_from_alice()
    async with friends.http.get(friends.url(media)) as response:
        blob = await response.read()
        assert (response.status, response.headers["Accept-Ranges"]) == (200, "bytes")
    total = len(blob)
    assert hashlib.sha256(blob).digest() == media.encrypted.ciphertext_sha256

    for offset, length in ((0, 1), (10, 100_000), (total - 7, 7), (total - 7, 100), (5, None)):
        last = total - 1 if length is None else min(offset + length, total) - 1
        wanted = blob[offset : last + 1]
        start, chunks = await range_over_grpc(reader, media.direct_path, offset, length)
        assert (start.total_bytes, start.offset, chunks) == (total, offset, wanted)
        ranged = {"Range": f"bytes={offset}-{'' if length is None else offset + length - 1}"}
        async with friends.http.get(friends.url(media), headers=ranged) as response:
            assert (response.status, await response.read()) == (206, wanted)
            assert response.headers["Content-Range"] == f"bytes {offset}-{last}/{total}"
    async with friends.http.get(friends.url(media), headers={"Range": "bytes=-16"}) as response:
        assert (response.status, await response.read()) == (206, blob[-16:])

    assert await refused(range_over_grpc(reader, media.direct_path, total, None)) == "RANGE_INVALID"
    async with friends.http.get(friends.url(media), headers={"Range": f"bytes={total}-"}) as response:
        assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{total}")


async def test_head_says_how_long_a_blob_is_and_sends_none_of_it(friends: Friends) -> None:
    """For blobs of both kinds (MED-04)."""
    for media in ((await friends.picture_from_bob())[1], (await friends.document_from_alice())[1]):
        async with friends.http.head(friends.url(media)) as response:
            assert (response.status, await response.read()) == (200, b"")
            assert response.content_length == media.encrypted.ciphertext_length


async def test_a_large_document_arrives_and_its_progress_is_told(friends: Friends) -> None:
    """40 MB: progress grows in steps of at most a chunk, from the first to the last byte."""
    document = friends.file("film.mkv", LARGE_BYTES)
    steps: list[tuple[int, int]] = []

    await friends.alice.send_document(
        friends.bob.jid, document, progress=lambda sent, all_bytes: steps.append((sent, all_bytes))
    )
    media = (await friends.bob.wait_for(MediaReceived)).media
    await friends.bob.download(media, friends.folder / "read")

    assert await digest(friends.folder / "read") == await digest(document) == media.encrypted.plaintext_sha256
    sent = [done for done, _ in steps]
    total = media.encrypted.ciphertext_length
    assert {all_bytes for _, all_bytes in steps} == {total}
    assert sent[-1] == total and len(sent) >= LARGE_BYTES >> 20
    assert all(0 < after - before <= 1 << 20 for before, after in zip([0, *sent], sent, strict=False))


@pytest.mark.one_node("nodes store whole pieces, and half of this file is none: nodes/test_media.py has a longer one")
@pytest.mark.requirement("MED-07")
async def test_an_upload_that_breaks_goes_on_where_it_was(friends: Friends) -> None:
    """The stream is cancelled half-way: what came is kept, and the rest is sent once (MED-07)."""
    document = friends.file("report.pdf", DOCUMENT_BYTES)
    async with encrypted_blob(document, MediaType.DOCUMENT) as blob:
        token = media_token(blob.encrypted.ciphertext_sha256)
        connection = await friends.alice.transport.call(
            "/interop_api.v1.MediaService/GetMediaConnection",
            media_pb2.GetMediaConnectionRequest(),
            media_pb2.GetMediaConnectionResponse,
        )
        status_request = media_pb2.GetUploadStatusRequest(auth=connection.auth, upload_token=token)

        async def status() -> media_pb2.GetUploadStatusResponse:
            method = "/interop_api.v1.MediaService/GetUploadStatus"
            return await friends.alice.transport.call(method, status_request, media_pb2.GetUploadStatusResponse)

        assert await status() == media_pb2.GetUploadStatusResponse()
        is_half_way = asyncio.Event()
        length = blob.encrypted.ciphertext_length
        half = len(range(0, length // 2, CHUNK_BYTES)) * CHUNK_BYTES
        start = media_pb2.UploadStart(auth=connection.auth, upload_token=token, length=length)
        broken = asyncio.create_task(direct(friends.alice).upload(half_of(blob, start, is_half_way)))
        async with asyncio.timeout(10):
            await is_half_way.wait()
            while not (committed := (await status()).committed_bytes):
                pass
            broken.cancel()
            await asyncio.gather(broken, return_exceptions=True)

        steps: list[int] = []
        path = await upload_blob(direct(friends.alice), blob, lambda sent, _: steps.append(sent))

        assert committed <= steps[0] - MEDIA_CHUNK_BYTES <= half, "it did not go on where it was"
        done = await status()
        assert (done.committed_bytes, done.direct_path) == (length, path)
        async with friends.http.get(friends.world.endpoint.http + path) as response:
            assert hashlib.sha256(await response.read()).digest() == blob.encrypted.ciphertext_sha256


async def test_a_blob_that_is_there_already_is_not_stored_twice(friends: Friends) -> None:
    """Uploading it again answers the same path and sends nothing; somebody else sends it, for a path of their own."""
    document = friends.file("report.pdf", DOCUMENT_BYTES)
    carol = await friends.world.whatsapp()
    async with encrypted_blob(document, MediaType.DOCUMENT) as blob:
        path = await upload_blob(direct(friends.alice), blob)
        stored = (await friends.world.stored())["media"]
        steps: list[int] = []

        again = await upload_blob(direct(friends.alice), blob, lambda sent, _: steps.append(sent))
        assert (again, steps) == (path, [])
        assert (await friends.world.stored())["media"] == stored

        assert await upload_blob(direct(carol), blob, lambda sent, _: steps.append(sent)) != path
        assert steps
        assert (await friends.world.stored())["media"] == stored + 1


@pytest.mark.requirement("MED-06")
@pytest.mark.parametrize("way", WAYS)
async def test_a_blob_that_was_changed_on_its_way_is_not_opened(friends: Friends, way: str) -> None:
    """One flipped bit on the messenger's own server: Alice's client says so and leaves no file (MED-06)."""
    _, media = await friends.picture_from_bob()
    async with friends.http.get(friends.url(media)) as response:
        blob = bytearray(await response.read())
    blob[1_000] ^= 1
    reference = media.direct_path.rstrip("/").rpartition("/")[2]
    async with friends.http.put(f"{friends.world.partner.media_url}/{reference}", data=bytes(blob)) as response:
        assert response.status == 201
    target = friends.folder / "seen"

    with pytest.raises(MediaTampered) as tampered:
        await friends.alice.download(media, target, friends.way(way))

    assert tampered.value.check is MediaCheck.CIPHERTEXT_SHA256
    assert [path.name for path in target.parent.glob("*seen*")] == []


@pytest.mark.requirement("MED-06")
async def test_a_blob_under_another_key_is_not_opened(friends: Friends) -> None:
    """Ciphertext and hash are right, the key is another message's (MED-06)."""
    _, media = await friends.document_from_alice()
    with pytest.raises(MediaTampered) as tampered:
        await friends.bob.download(replace(media, media_key=bytes(32)), friends.folder / "read")
    assert tampered.value.check is MediaCheck.MAC


async def test_what_is_not_there_is_refused_with_its_reason_on_both_surfaces(friends: Friends) -> None:
    """An unknown path, a blob that the messenger does not have, and a messenger that is not there."""
    _, media = await friends.document_from_alice()
    prefix = f"/interop/whatsapp/download/{friends.world.integrator}"
    for path, reason, status in (
        ("/v/tnothing-here", "BLOB_NOT_FOUND", 404),
        (f"{prefix}/nothing-here/", "BLOB_NOT_FOUND", 404),
        ("/interop/whatsapp/download/998/nothing-here/", "BLOB_NOT_FOUND", 404),
        (f"{prefix}/..%2Fkeys/", "STORAGE_REFERENCE_INVALID", 400),
    ):
        missing = replace(media, direct_path=path)
        assert await refused(friends.bob.download(missing, friends.folder / "read")) == reason
        assert await raw_status(friends.world.endpoint.http, path) == status
    await friends.world.partner.stop()
    gone = replace(media, direct_path=f"{prefix}/nothing-here/")
    assert await refused(friends.alice.download(gone, friends.folder / "read")) == "PARTNER_MEDIA_UNAVAILABLE"


async def test_only_whatsapp_users_upload(friends: Friends) -> None:
    """A third party's blobs stay on its own server (MED-02)."""
    document = friends.file("report.pdf", 1_000)
    async with encrypted_blob(document, MediaType.DOCUMENT) as blob:
        with pytest.raises(ServerRefusal, match="CALLER_NOT_WHATSAPP_USER"):
            await upload_blob(direct(friends.bob), blob)


async def half_of(
    blob: Blob, start: media_pb2.UploadStart, is_half_way: asyncio.Event
) -> AsyncIterator[media_pb2.UploadRequest]:
    """Yields an upload's first half, and then nothing more."""
    yield media_pb2.UploadRequest(start=start)
    content = await asyncio.to_thread(blob.path.read_bytes)
    for at in range(0, len(content) // 2, CHUNK_BYTES):
        yield media_pb2.UploadRequest(chunk=content[at : at + CHUNK_BYTES])
    is_half_way.set()
    await asyncio.Event().wait()


async def raw_status(base_url: str, path: str) -> int:
    """Asks for a path exactly as it is written, and returns the status."""
    address = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


async def digest(path: Path) -> bytes:
    """SHA-256 of a file."""
    return await asyncio.to_thread(lambda: hashlib.sha256(path.read_bytes()).digest())


@pytest.mark.parametrize("name", ["x" * 249 + ".pdf", os.fsdecode(b"caf\xe9.pdf"), "..\\..\\evil.exe"])
async def test_a_file_arrives_under_a_harmless_name(friends: Friends, name: str, tmp_path: Path) -> None:
    """Whatever its sender's system allows: 253 bytes, a name that is not UTF-8, the separators of another system."""
    document = friends.file(name, 1_000)
    await friends.alice.send_document(friends.bob.jid, document)
    media = (await friends.bob.wait_for(MediaReceived)).media
    assert media.name == harmless_name(name)
    await friends.bob.download(media, tmp_path / media.name)
    assert (tmp_path / media.name).read_bytes() == document.read_bytes()
