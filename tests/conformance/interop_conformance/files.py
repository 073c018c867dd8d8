"""Files that the kit's WhatsApp users send and download, right ones and wrong ones; knows no check."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from interop_client.connection.transport import DirectTransport
from interop_client.media.crypto import EncryptedMedia, MediaTampered, MediaType
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, encrypted_blob, upload_blob
from interop_client.messaging.contents import media_content
from interop_client.messaging.events import MediaRetryRequested
from interop_client.messaging.outgoing import SentMessage
from interop_conformance.check import NotSo
from interop_conformance.people import Person

MIMETYPE = "application/octet-stream"
_LEAST_BYTES = 26
"""Length of the blob of an empty file: a block of padding, and the MAC."""


def as_it_is(blob: bytes) -> bytes:
    """Spoils nothing."""
    return blob


def flipped(place: int) -> Callable[[bytes], bytes]:
    """Returns what turns over a bit of the byte at a place."""

    def spoil(blob: bytes) -> bytes:
        changed = bytearray(blob)
        changed[place] ^= 1
        return bytes(changed)

    return spoil


@dataclass(frozen=True, slots=True)
class OddFile:
    """A file whose blob, or whose message, can be another than the right one."""

    content: bytes
    """The file."""
    media_type: MediaType = MediaType.DOCUMENT
    """What kind of file it is."""
    spoil: Callable[[bytes], bytes] = as_it_is
    """Makes of the right blob the one that is uploaded, which must be shorter or longer by whole blocks."""
    is_hashed: bool = False
    """Whether the message names the hash of what was uploaded; otherwise that of the right blob."""
    content_sha256: bytes = b""
    """What the message says of the content's hash; empty for the truth."""
    path: str = ""
    """Where the message says that the blob lies; empty for where it does."""


async def send_file(
    sender: Person, to: str, content: bytes, name: str = "file.bin", mimetype: str = MIMETYPE
) -> SentMessage:
    """Sends a document."""
    with TemporaryDirectory() as folder:
        path = _written(Path(folder) / name, content)
        return await sender.does("send a file", sender.client.send_document(to, path, mimetype=mimetype))


async def send_odd_file(sender: Person, to: str, file: OddFile) -> SentMessage:
    """Sends a file as told, however wrong it is."""
    with TemporaryDirectory() as folder:
        path = _written(Path(folder) / "file", file.content)
        async with encrypted_blob(path, file.media_type) as blob:
            reference = await _upload_odd(sender, file, blob, Path(folder))
    return await sender.does("send a file", sender.client.send_message(to, media_content(reference)))


async def send_file_again(sender: Person, request: MediaRetryRequested, content: bytes) -> None:
    """Uploads a file once more, for the same message."""
    with TemporaryDirectory() as folder:
        path = _written(Path(folder) / "again", content)
        await sender.does("send the file again", sender.client.resend_media(request, path))


async def fetched(recipient: Person, media: MediaReference) -> bytes:
    """Downloads a file as its message says.

    Raises:
        NotSo: It is not there, or another one.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        try:
            await recipient.does("download the file", recipient.client.download(media, path))
        except MediaTampered as error:
            raise NotSo("a blob that is as the message says", str(error)) from error
        return path.read_bytes()


async def _upload_odd(sender: Person, file: OddFile, blob: Blob, folder: Path) -> MediaReference:
    put = _written(folder / "blob", file.spoil(blob.path.read_bytes()))
    digest = hashlib.sha256(put.read_bytes()).digest()
    uploaded = Blob(
        put, file.media_type, blob.media_key, EncryptedMedia(b"", put.stat().st_size - _LEAST_BYTES, digest)
    )
    transport = sender.client.transport
    assert isinstance(transport, DirectTransport)
    path = await sender.does("upload a file", upload_blob(transport, uploaded))
    told = replace(
        blob.encrypted,
        ciphertext_sha256=digest if file.is_hashed else blob.encrypted.ciphertext_sha256,
        plaintext_sha256=file.content_sha256 or blob.encrypted.plaintext_sha256,
    )
    return MediaReference(file.media_type, file.path or path, blob.media_key, told, MIMETYPE)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
