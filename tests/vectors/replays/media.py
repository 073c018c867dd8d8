"""Replays what is about media."""

import asyncio
import hashlib
import hmac
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from interop_client.media.crypto import (
    MAC_BYTES,
    EncryptedMedia,
    MediaKeys,
    MediaTampered,
    MediaType,
    decrypt_file,
    encrypt_file,
)
from interop_protocol.encoding import media_token
from interop_server.core.errors import Refusal
from interop_server.core.journal import Journal
from interop_server.core.media.media import Download, check_range
from interop_server.http.downloads import respond_with_blob
from interop_server.http.refusals import JOURNAL
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.rng import SeededRng
from tests.vectors.documents import Vector
from tests.vectors.replays.reading import number_or_none, octets, optional_octets

KINDS = {
    "image": MediaType.IMAGE,
    "video": MediaType.VIDEO,
    "audio": MediaType.AUDIO,
    "voice": MediaType.PTT,
    "document": MediaType.DOCUMENT,
}


def blob(vector: Vector) -> None:
    """Encrypts the file, and decrypts the blob."""
    kind, key, file = KINDS[vector["kind"]], octets(vector, "media_key"), octets(vector, "file")
    assert vector["info"].encode() == kind.value
    keys, encrypted = MediaKeys.expand(key, kind), io.BytesIO()
    assert (keys.iv, keys.cipher_key, keys.mac_key) == tuple(
        octets(vector, name) for name in ("iv", "cipher_key", "mac_key")
    )
    assert encrypt_file(io.BytesIO(file), encrypted, key, kind) == _described(vector)
    assert encrypted.getvalue() == octets(vector, "blob")
    assert len(encrypted.getvalue()) == _described(vector).ciphertext_length
    decrypted = io.BytesIO()
    decrypt_file(io.BytesIO(octets(vector, "blob")), decrypted, key, kind, _described(vector))
    assert decrypted.getvalue() == file
    assert vector["upload_token"] == media_token(hashlib.sha256(octets(vector, "blob")).digest())
    mac = keys.new_mac()
    mac.update(octets(vector, "blob")[:-MAC_BYTES])
    assert mac.digest() == octets(vector, "mac")
    assert octets(vector, "reference_key") == _reference_key(key, kind)


def _reference_key(key: bytes, kind: MediaType) -> bytes:
    """The last 32 bytes of HKDF, written out: nothing in the code needs it."""
    pseudorandom = hmac.digest(bytes(32), key, "sha256")
    block, expanded = b"", b""
    for number in range(1, 5):
        block = hmac.digest(pseudorandom, block + kind.value + bytes((number,)), "sha256")
        expanded += block
    return expanded[80:112]


def _described(vector: Vector) -> EncryptedMedia:
    return EncryptedMedia(octets(vector, "file_sha256"), int(vector["file_length"]), octets(vector, "file_enc_sha256"))


def refused_blob(vector: Vector) -> None:
    """Decrypts the blob, as far as it goes; nothing comes out before the first three checks hold."""
    target = io.BytesIO()
    kind, key = KINDS[vector["kind"]], octets(vector, "media_key")
    try:
        decrypt_file(io.BytesIO(octets(vector, "blob")), target, key, kind, _described(vector))
        failed = None
    except MediaTampered as error:
        failed = error.check.name
    assert vector["failed_check"] == failed
    if failed in ("CIPHERTEXT_LENGTH", "CIPHERTEXT_SHA256", "MAC"):
        assert target.getvalue() == b""


def _served(whole: bytes, header: str) -> tuple[int, str | None, bytes | None]:
    """What the server's own HTTP surface answers to a Range header: status, Content-Range, and a blob if it is one."""
    return asyncio.run(_serve(whole, header))


async def _serve(whole: bytes, header: str) -> tuple[int, str | None, bytes | None]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await respond_with_blob(request, _Media(whole), request.path)

    application = web.Application()
    application[JOURNAL] = Journal(AdjustableClock(), SeededRng(1))
    application.router.add_get("/v/t", answer)
    async with TestClient(TestServer(application)) as client, client.get("/v/t", headers={"Range": header}) as response:
        body = await response.read() if response.status in (200, 206) else None
        return response.status, response.headers.get("Content-Range"), body


class _Media:
    """Has one blob, whatever the path."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    @asynccontextmanager
    async def open_download(self, direct_path: str, offset: int | None, length: int | None) -> AsyncIterator[Download]:
        start, count = check_range(len(self._whole), offset, length)

        async def chunks() -> AsyncIterator[bytes]:
            yield self._whole[start : start + count]

        yield Download(len(self._whole), start, count, chunks())


def part(vector: Vector) -> None:
    """Takes the part of the blob."""
    whole, offset, length = octets(vector, "blob"), number_or_none(vector, "offset"), number_or_none(vector, "length")
    assert int(vector["total_bytes"]) == len(whole)
    if vector["range_header"] is not None:
        answer = vector["http_status"], vector["content_range"], optional_octets(vector, "bytes")
        assert _served(whole, vector["range_header"]) == answer
    try:
        start, count = check_range(len(whole), offset, length)
    except Refusal as refusal:
        assert vector["reason"] == refusal.reason.name
        assert (vector["bytes"], vector["start_offset"]) == (None, None)
        assert (vector["http_status"], vector["content_range"]) == (416, f"bytes */{len(whole)}")
        return
    assert vector["reason"] is None
    assert number_or_none(vector, "start_offset") == start
    assert optional_octets(vector, "bytes") == whole[start : start + count]
    if vector["range_header"] is None:
        assert (vector["http_status"], vector["content_range"]) == (200, None)
    else:
        assert vector["http_status"] == 206
        assert vector["content_range"] == f"bytes {start}-{start + count - 1}/{len(whole)}"
