"""Encrypts files and uploads their blobs to the server or to a partner's media server; knows no message.

Source: MED-05 to MED-07; interop_api/v1/media.proto.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from interop_api.v1 import media_pb2
from interop_client.cancellation import to_its_end
from interop_client.connection.transport import BlobStreams, Transport
from interop_client.errors import Recovery, ServerRefusal
from interop_client.media.crypto import CHUNK_BYTES, MEDIA_KEY_BYTES, EncryptedMedia, MediaType, encrypt_file
from interop_protocol.encoding import media_token

MAX_RESUMPTIONS = 5
"""How often a broken upload is resumed before it fails."""

_SERVICE = "/interop_api.v1.MediaService"
_BREAKS = frozenset({"UNAVAILABLE", "CANCELLED", "UNKNOWN", "INTERNAL", "UPLOAD_OFFSET_MISMATCH"})
"""The gRPC statuses without a refusal, and the refusal, after which the upload may be resumable."""

Progress = Callable[[int, int], None]
"""Called with the number of bytes sent so far and the total."""
MediaHost = Callable[[Path], Awaitable[str]]
"""Stores a blob on the partner's own media server and returns its storage reference (MED-02)."""

_FIRST_PAUSE_SECONDS = 0.1
"""The wait before the first resumption, doubled before each further one: the server may still hold the old stream."""
_MOST_PAUSE_SECONDS = 30.0
"""Who is told to come back later than this is told so, and does not wait unheard."""

_REFERENCE_BYTES = 16


class UploadTransport(Transport, BlobStreams, Protocol):
    """The transport of an upload: calls and blob streams in the same session."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file encrypted for sending."""

    path: Path
    """The file with the ciphertext and its MAC."""
    media_type: MediaType
    """Decides which keys the media key expands to."""
    media_key: bytes = field(repr=False)
    """32 bytes, used for this file only."""
    encrypted: EncryptedMedia
    """The description of the blob for the recipient."""


@asynccontextmanager
async def encrypted_blob(source: Path, media_type: MediaType) -> AsyncIterator[Blob]:
    """Encrypts a file to a temporary one, which is deleted at the end of the block.

    Raises:
        OSError: The file cannot be read, or the blob cannot be written.
    """
    media_key = os.urandom(MEDIA_KEY_BYTES)
    with TemporaryDirectory(prefix="interop-") as folder:
        path = Path(folder) / "blob"
        encrypted = await to_its_end(_encrypt, source, path, media_key, media_type)  # then its folder can go
        yield Blob(path, media_type, media_key, encrypted)


def media_host(base_url: str) -> MediaHost:
    """Returns a host that stores each blob with a PUT of `{base_url}/{storage_reference}`, under a random reference.

    The host raises ServerRefusal, `HTTP_{status}`, or OSError.

    Args:
        base_url: Of the partner's own media server.
    """

    async def store(path: Path) -> str:
        from interop_client.connection.http import http_request  # imported here: it is slow, as its docstring says

        storage_reference = os.urandom(_REFERENCE_BYTES).hex()
        with await asyncio.to_thread(path.open, "rb") as blob:
            async with http_request("PUT", f"{base_url.rstrip('/')}/{storage_reference}", blob):
                return storage_reference

    return store


async def upload_blob(transport: UploadTransport, blob: Blob, progress: Progress | None = None) -> str:
    """Uploads a blob and returns its path; after a broken stream, resumes with the bytes that the server lacks.

    Args:
        transport: An open connection of a WhatsApp user.
        blob: The blob.
        progress: Called after each chunk; the number can fall after a break.

    Raises:
        ServerRefusal: The server refused the upload, for more than half a minute; or it broke more than
            `MAX_RESUMPTIONS` times.
    """
    connection = await transport.call(
        f"{_SERVICE}/GetMediaConnection", media_pb2.GetMediaConnectionRequest(), media_pb2.GetMediaConnectionResponse
    )
    token = media_token(blob.encrypted.ciphertext_sha256)
    status_request = media_pb2.GetUploadStatusRequest(auth=connection.auth, upload_token=token)
    attempt = 0
    while True:
        try:
            status = await transport.call(
                f"{_SERVICE}/GetUploadStatus", status_request, media_pb2.GetUploadStatusResponse
            )
            if status.direct_path:
                return status.direct_path
            start = media_pb2.UploadStart(
                auth=connection.auth,
                upload_token=token,
                length=blob.encrypted.ciphertext_length,
                offset=status.committed_bytes,
            )
            return (await transport.upload(_requests(blob, start, progress))).direct_path
        except ServerRefusal as refusal:
            attempt += 1
            can_go_on = refusal.recovery is Recovery.SAME_AGAIN or refusal.reason in _BREAKS
            pause = max(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), (refusal.retry_after_ms or 0) / 1_000)
            if not can_go_on or attempt > MAX_RESUMPTIONS or pause > _MOST_PAUSE_SECONDS:
                raise
            await asyncio.sleep(pause)


async def _requests(
    blob: Blob, start: media_pb2.UploadStart, progress: Progress | None
) -> AsyncIterator[media_pb2.UploadRequest]:
    yield media_pb2.UploadRequest(start=start)
    sent = start.offset
    with await asyncio.to_thread(blob.path.open, "rb") as file:
        file.seek(sent)
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield media_pb2.UploadRequest(chunk=chunk)
            sent += len(chunk)
            if progress is not None:
                progress(sent, start.length)


def _encrypt(source: Path, target: Path, media_key: bytes, media_type: MediaType) -> EncryptedMedia:
    with source.open("rb") as plaintext, target.open("wb") as blob:
        return encrypt_file(plaintext, blob, media_key, media_type)
