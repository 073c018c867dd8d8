"""Downloads, verifies and decrypts blobs; knows no message and no session.

Source: MED-01 to MED-06; interop_api/v1/media.proto.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from interop_api.v1 import media_pb2
from interop_client.cancellation import to_its_end
from interop_client.connection.transport import BlobStreams
from interop_client.errors import ServerRefusal
from interop_client.media.crypto import (
    CHUNK_BYTES,
    MediaCheck,
    MediaTampered,
    decrypt_file,
)
from interop_client.media.reference import MediaReference

_HTTP_REASONS = {"HTTP_404": "BLOB_NOT_FOUND", "HTTP_410": "BLOB_EXPIRED"}


async def download_over_grpc(streams: BlobStreams, reference: MediaReference, target: Path) -> None:
    """Downloads a blob in the session of a connection, and decrypts it.

    Args:
        streams: The connection.
        reference: Describes the blob.
        target: Path of the plaintext, which is written completely or not at all.

    Raises:
        ServerRefusal: The server does not have the blob.
        MediaTampered: The blob is not the one that the sender described.
        OSError: The file cannot be written.
    """
    responses = streams.download(media_pb2.DownloadRequest(direct_path=reference.direct_path))
    await _receive(_chunks(responses), reference, target)


async def download_over_http(base_url: str, reference: MediaReference, target: Path, ca: str = "") -> None:
    """Downloads a blob with a plain GET of its path, and decrypts it.

    Args:
        base_url: Of the server's HTTP surface.
        reference: Describes the blob.
        target: Path of the plaintext, which is written completely or not at all.
        ca: The certificate to trust, as PEM; empty for those of the system.

    Raises:
        ServerRefusal: BLOB_NOT_FOUND for status 404, BLOB_EXPIRED for 410, or else `HTTP_{status}`.
        MediaTampered: The blob is not the one that the sender described.
        OSError: The server cannot be reached or is too slow, or the file cannot be written.
    """
    from interop_client.connection.http import http_request  # imported here: it is slow, as its docstring says

    try:
        async with http_request("GET", base_url.rstrip("/") + reference.direct_path, ca=ca) as response:
            await _receive(response.content.iter_chunked(CHUNK_BYTES), reference, target)
    except ServerRefusal as refusal:
        raise ServerRefusal(_HTTP_REASONS.get(refusal.reason, refusal.reason)) from refusal


async def _chunks(responses: AsyncIterator[media_pb2.DownloadResponse]) -> AsyncIterator[bytes]:
    async for response in responses:
        if response.HasField("chunk"):
            yield response.chunk


async def _receive(chunks: AsyncIterator[bytes], reference: MediaReference, target: Path) -> None:
    left = reference.encrypted.ciphertext_length
    # Beside the target, so that the plaintext gets the target's name only when it is complete and verified.
    with TemporaryDirectory(dir=target.parent, prefix=".interop-") as folder:  # a name of 255 bytes leaves no room
        blob_path, plaintext_path = Path(folder) / "blob", Path(folder) / "plaintext"
        with await to_its_end(blob_path.open, "wb") as blob:
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise MediaTampered(MediaCheck.CIPHERTEXT_LENGTH)
                await to_its_end(blob.write, chunk)
        await to_its_end(_decrypt, blob_path, plaintext_path, reference)
        plaintext_path.replace(target)


def _decrypt(blob_path: Path, plaintext_path: Path, reference: MediaReference) -> None:
    with blob_path.open("rb") as blob, plaintext_path.open("wb") as plaintext:
        decrypt_file(blob, plaintext, reference.media_key, reference.media_type, reference.encrypted)
