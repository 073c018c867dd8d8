"""A download is whole and proved, or leaves nothing; an upload that breaks goes on where the server has it."""

import asyncio
import hashlib
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from interop_api.v1 import media_pb2
from interop_client.errors import Recovery, ServerRefusal
from interop_client.media import upload as upload_module
from interop_client.media.crypto import MediaTampered, MediaType
from interop_client.media.download import download_over_grpc, download_over_http
from interop_client.media.reference import MediaReference
from interop_client.media.upload import MAX_RESUMPTIONS, Blob, encrypted_blob, media_host, upload_blob
from interop_protocol.encoding import media_token

CHUNK = 1 << 20


class BlobServer:
    """Stores one blob in memory. An upload breaks after each number of chunks in `breaks`."""

    def __init__(self, breaks: list[int] | None = None) -> None:
        self.stored = b""
        self.is_complete = False
        self.breaks = breaks or []
        self.offsets: list[int] = []

    async def call(self, method: str, request: Any, response_type: type[Any]) -> Any:
        if method.endswith("GetMediaConnection"):
            return media_pb2.GetMediaConnectionResponse(auth="auth")
        path = "/v/t1" if self.is_complete else ""
        return media_pb2.GetUploadStatusResponse(committed_bytes=len(self.stored), direct_path=path)

    async def upload(self, requests: AsyncIterator[media_pb2.UploadRequest]) -> media_pb2.UploadResponse:
        start = (await anext(requests)).start
        assert start.offset == len(self.stored)
        self.offsets.append(start.offset)
        left = self.breaks.pop(0) if self.breaks else 1 << 30
        async for request in requests:
            self.stored += request.chunk
            left -= 1
            if not left:
                raise ServerRefusal("UNAVAILABLE")
        assert len(self.stored) == start.length
        self.is_complete = True
        return media_pb2.UploadResponse(direct_path="/v/t1")

    async def download(self, request: media_pb2.DownloadRequest) -> AsyncIterator[media_pb2.DownloadResponse]:
        if request.direct_path != "/v/t1":
            raise ServerRefusal("BLOB_NOT_FOUND")
        yield media_pb2.DownloadResponse(start=media_pb2.DownloadStart(total_bytes=len(self.stored)))
        for at in range(0, len(self.stored), CHUNK):
            yield media_pb2.DownloadResponse(chunk=self.stored[at : at + CHUNK])


def is_same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def reference_to(blob: Blob, path: str = "/v/t1") -> MediaReference:
    return MediaReference(blob.media_type, path, blob.media_key, blob.encrypted)


@pytest.fixture
def plaintext(tmp_path: Path) -> Path:
    path = tmp_path / "plaintext"
    path.write_bytes(bytes(range(256)) * 14_000)
    return path


@pytest.fixture
async def blob(plaintext: Path) -> AsyncIterator[Blob]:
    async with encrypted_blob(plaintext, MediaType.DOCUMENT) as blob:
        yield blob


async def upload(server: BlobServer, blob: Blob, **options: Any) -> str:
    return await upload_blob(server, blob, **options)  # type: ignore[arg-type]


async def test_a_file_makes_the_whole_way(blob: Blob, plaintext: Path, tmp_path: Path) -> None:
    server, shares = BlobServer(), list[tuple[int, int]]()
    assert await upload(server, blob, progress=lambda sent, total: shares.append((sent, total))) == "/v/t1"
    assert shares[-1] == (blob.encrypted.ciphertext_length,) * 2
    await download_over_grpc(server, reference_to(blob), tmp_path / "copy")
    assert is_same(tmp_path / "copy", plaintext)
    assert names_in(tmp_path) == ["copy", "plaintext"]


async def test_a_file_may_have_the_longest_name_that_there_is(blob: Blob, tmp_path: Path) -> None:
    """Also while it is being written."""
    server, target = BlobServer(), tmp_path / ("x" * 251 + ".pdf")
    await upload(server, blob)
    await download_over_grpc(server, reference_to(blob), target)
    assert names_in(tmp_path) == ["plaintext", target.name]


async def test_a_broken_upload_goes_on_where_the_server_has_it(blob: Blob) -> None:
    server = BlobServer(breaks=[2, 1])
    await upload(server, blob)
    assert server.offsets == [0, 2 * CHUNK, 3 * CHUNK]
    assert server.stored == blob.path.read_bytes()


async def test_an_upload_that_keeps_breaking_fails(blob: Blob) -> None:
    server = BlobServer()

    async def refuse(requests: object) -> media_pb2.UploadResponse:
        server.offsets.append(0)
        raise ServerRefusal("UNAVAILABLE")

    server.upload = refuse  # type: ignore[method-assign]
    with pytest.raises(ServerRefusal, match="UNAVAILABLE"):
        await upload(server, blob)
    assert len(server.offsets) == 1 + MAX_RESUMPTIONS


async def test_a_refused_upload_is_not_repeated(blob: Blob) -> None:
    server = BlobServer()

    async def refuse(requests: object) -> media_pb2.UploadResponse:
        server.offsets.append(0)
        raise ServerRefusal("BLOB_TOO_LARGE")

    server.upload = refuse  # type: ignore[method-assign]
    with pytest.raises(ServerRefusal, match="BLOB_TOO_LARGE"):
        await upload(server, blob)
    assert server.offsets == [0]


async def test_who_may_come_again_soon_waits_as_long_as_told_and_who_may_not_is_told(
    blob: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delay of seconds is kept; one of hours is the caller's to know."""
    server, delays, waits = BlobServer(), [3_000, 7_000_000], list[float]()
    real = server.upload

    async def refuse(requests: AsyncIterator[media_pb2.UploadRequest]) -> media_pb2.UploadResponse:
        if delays:
            raise ServerRefusal("RATE_LIMITED", retry_after_ms=delays.pop(0), recovery=Recovery.SAME_AGAIN)
        return await real(requests)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    server.upload = refuse  # type: ignore[method-assign]
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(ServerRefusal, match="RATE_LIMITED") as caught:
        await upload(server, blob)
    assert (waits, caught.value.retry_after_ms) == ([3.0], 7_000_000)
    assert await upload(server, blob) == "/v/t1"


async def test_a_blob_that_is_there_already_is_not_sent_again(blob: Blob) -> None:
    server = BlobServer()
    await upload(server, blob)
    assert await upload(server, blob) == "/v/t1"
    assert server.offsets == [0]


@pytest.mark.parametrize("change", ["flip", "cut", "lengthen"])
async def test_a_blob_that_was_changed_leaves_nothing(blob: Blob, tmp_path: Path, change: str) -> None:
    server = BlobServer()
    await upload(server, blob)
    stored = server.stored
    changed = {"flip": stored[:-1] + bytes([stored[-1] ^ 1]), "cut": stored[:-1], "lengthen": stored + bytes(1 << 20)}
    server.stored = changed[change]
    (tmp_path / "copy").write_bytes(b"before")
    with pytest.raises(MediaTampered):
        await download_over_grpc(server, reference_to(blob), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"before"
    assert names_in(tmp_path) == ["copy", "plaintext"]


async def test_a_wrong_digest_of_the_plaintext_leaves_nothing(blob: Blob, tmp_path: Path) -> None:
    server = BlobServer()
    await upload(server, blob)
    reference = reference_to(blob)
    lying = replace(reference, encrypted=replace(reference.encrypted, plaintext_sha256=bytes(32)))
    with pytest.raises(MediaTampered):
        await download_over_grpc(server, lying, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def test_http_brings_the_same_and_names_what_it_has_not(blob: Blob, plaintext: Path, tmp_path: Path) -> None:
    """A blob goes to the messenger's own media server with a PUT, and comes back with a GET."""
    stored: dict[str, bytes] = {}

    async def put(request: web.Request) -> web.Response:
        stored[request.path] = await request.read()
        return web.Response(status=201)

    async def get(request: web.Request) -> web.Response:
        if request.path == "/media/expired":
            return web.Response(status=410)
        if request.path == "/media/moved":
            raise web.HTTPFound("/media/expired")
        return web.Response(body=stored[request.path]) if request.path in stored else web.Response(status=404)

    application = web.Application(client_max_size=8 << 20)
    application.router.add_put("/media/{reference}", put)
    application.router.add_get("/media/{reference}", get)
    async with TestServer(application, host="127.0.0.1") as server:
        url = str(server.make_url("/"))
        path = f"/media/{await media_host(url + 'media/')(blob.path)}"
        await download_over_http(url, reference_to(blob, path), tmp_path / "copy")
        assert is_same(tmp_path / "copy", plaintext)
        for name, reason in (("none", "BLOB_NOT_FOUND"), ("expired", "BLOB_EXPIRED"), ("moved", "HTTP_302")):
            with pytest.raises(ServerRefusal, match=reason):
                await download_over_http(url, reference_to(blob, f"/media/{name}"), tmp_path / "other")


async def test_the_token_is_the_digest_of_what_is_uploaded(blob: Blob) -> None:
    digest = hashlib.sha256(blob.path.read_bytes()).digest()
    assert digest == blob.encrypted.ciphertext_sha256
    assert len(media_token(digest)) == 43


async def test_an_upload_that_is_given_up_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that encrypts cannot be cancelled: its folder goes when it has ended."""
    plaintext, folder = tmp_path / "plaintext", tmp_path / "temporary"
    plaintext.write_bytes(b"Hi")
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    began, go_on = threading.Event(), threading.Event()
    real = upload_module.encrypt_file

    def slow(*arguments: Any) -> Any:
        began.set()
        go_on.wait(10)
        return real(*arguments)

    monkeypatch.setattr(upload_module, "encrypt_file", slow)

    async def send() -> None:
        async with encrypted_blob(plaintext, MediaType.DOCUMENT):
            pass

    sending = asyncio.create_task(send())
    await asyncio.to_thread(began.wait, 10)
    for _ in range(2):
        sending.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert list(folder.iterdir()) == []
