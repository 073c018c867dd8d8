"""Defects of files."""

import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.padding import PKCS7

from interop_client import third_party
from interop_client.client import InteropClient
from interop_client.connection.http import http_request
from interop_client.errors import ServerRefusal
from interop_client.media import crypto, download, upload
from interop_client.media.crypto import MAC_BYTES, EncryptedMedia, MediaCheck, MediaKeys, MediaTampered, MediaType
from interop_client.media.reference import MediaReference
from interop_client.media.upload import Blob, MediaHost
from interop_client.messaging import contents
from interop_client.messaging.events import MediaReceived
from interop_client.signal.errors import InvalidContent
from interop_client.third_party import ThirdPartyClient
from interop_driver import device
from interop_driver.device import Device
from interop_wrong.register import wrong_client
from interop_wrong.replace import replace

_BLOCK_BYTES = 16


@wrong_client("MED-01.messenger-keeps-ciphertext")
def keeps_a_readable_copy() -> None:
    """Stores the file with the messenger as it is, beside its blob."""
    send = ThirdPartyClient.send_image

    async def send_both(self: ThirdPartyClient, to: str, path: Path, host: MediaHost, **more: str) -> Any:
        await host(path)
        return await send(self, to, path, host, **more)

    replace(ThirdPartyClient, "send_image", send_both)


@wrong_client("MED-01.key-of-its-own")
def has_one_key_for_all_files() -> None:
    """Encrypts all files with the same media key."""
    key = os.urandom(crypto.MEDIA_KEY_BYTES)

    @asynccontextmanager
    async def encrypted_with_one_key(source: Path, media_type: MediaType) -> AsyncIterator[Blob]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "blob"
            yield Blob(path, media_type, key, upload._encrypt(source, path, key, media_type))

    replace(third_party, "encrypted_blob", encrypted_with_one_key)


@wrong_client("MED-02.sends-file", also=("MED-02.sends-empty-file", "MED-02.sends-large-file"))
def pads_whole_blocks_not_at_all() -> None:
    """Adds no padding to a file that fills its last block."""

    class Padding:
        def __init__(self, bits: int) -> None:
            self.unpadder = PKCS7(bits).unpadder
            self._padder, self._length = PKCS7(bits).padder(), 0

        def padder(self) -> "Padding":
            return self

        def update(self, data: bytes) -> bytes:
            self._length += len(data)
            return self._padder.update(data)

        def finalize(self) -> bytes:
            padded = self._padder.finalize()
            return padded if self._length % _BLOCK_BYTES else padded[:-_BLOCK_BYTES]

    replace(crypto, "PKCS7", Padding)


@wrong_client("MED-02.sends-empty-file")
def sends_no_empty_files() -> None:
    """Takes a file of no bytes for a mistake."""
    _sends_if(lambda size: size > 0)


@wrong_client("MED-02.sends-large-file")
def sends_no_large_files() -> None:
    """Takes files of up to 16 MB only."""
    _sends_if(lambda size: size <= 16_000_000)


@wrong_client("MED-02.names-the-partner-s-path", "MED-02.sends-file")
def names_its_own_url() -> None:
    """Names the path at the messenger, which WhatsApp does not know."""

    def path_of(self: ThirdPartyClient, storage_reference: str) -> str:
        return f"/media/{storage_reference}"

    replace(ThirdPartyClient, "_path_of", path_of)


@wrong_client("MED-02.describes-its-file")
def loses_captions() -> None:
    """Sends a file without what its user wrote under it."""
    send = ThirdPartyClient.send_image

    async def send_bare(self: ThirdPartyClient, *file: Any, mimetype: str, caption: str) -> Any:
        return await send(self, *file, mimetype=mimetype)

    replace(ThirdPartyClient, "send_image", send_bare)


@wrong_client("MED-02.no-message-without-its-file")
def names_files_that_were_not_stored() -> None:
    """Sends the message of a file that the messenger has not taken."""

    def careless_host(base_url: str) -> MediaHost:
        store = upload.media_host(base_url)

        async def store_or_not(path: Path) -> str:
            try:
                return await store(path)
            except (ServerRefusal, OSError):
                return os.urandom(16).hex()

        return store_or_not

    replace(device, "media_host", careless_host)


@wrong_client("MED-03.reference-cannot-be-guessed")
def counts_its_files() -> None:
    """Stores files under running numbers."""
    numbers = itertools.count(1)

    def numbered_host(base_url: str) -> MediaHost:
        async def store(path: Path) -> str:
            reference = f"image-of-our-user-{next(numbers):08}"
            with path.open("rb") as blob:
                async with http_request("PUT", f"{base_url}/{reference}", blob):
                    return reference

        return store

    replace(device, "media_host", numbered_host)


@wrong_client("MED-04.shows-file")
def leaves_whole_blocks_of_padding() -> None:
    """Removes no padding that fills a block, and then finds the file wrong."""
    _downloads_if(lambda size: size == 0 or size % _BLOCK_BYTES > 0)


@wrong_client("MED-04.shows-empty-file")
def shows_no_empty_files() -> None:
    """Takes a file of no bytes for a broken one."""
    _downloads_if(lambda size: size > 0)


@wrong_client("MED-04.shows-what-it-is-called")
def shows_names_in_ascii() -> None:
    """Leaves out of a file's name what is not ASCII."""

    def own_name(field: str, media: Any) -> str:
        name: str = media.file_name if field == "document_message" else ""
        return name.encode("ascii", "ignore").decode()

    replace(contents, "_own_name", own_name)


@wrong_client(
    "MED-06.other-bytes-are-not-shown",
    "MED-06.other-length-is-not-shown",
    "MED-06.wrong-mac-is-not-shown",
    "MED-06.other-content-is-not-shown",
    also=("MED-01.dishonest-bits", "MED-01.dishonest-length", "MED-01.dishonest-swap"),
)
def shows_whatever_it_can_decrypt() -> None:
    """Compares no hash and no MAC of a file."""

    def decrypt(source: BinaryIO, target: BinaryIO, key: bytes, media_type: MediaType, _: EncryptedMedia) -> None:
        decryptor = MediaKeys.expand(key, media_type).cipher.decryptor()
        padded = decryptor.update(source.read()[:-MAC_BYTES]) + decryptor.finalize()
        target.write(padded[: -padded[-1]] if 0 < padded[-1] <= _BLOCK_BYTES else padded)

    async def receive(chunks: Any, reference: Any, target: Path) -> None:
        with TemporaryDirectory() as folder:
            blob = Path(folder) / "blob"
            blob.write_bytes(b"".join([chunk async for chunk in chunks]))
            download._decrypt(blob, target, reference)

    replace(download, "decrypt_file", decrypt)
    replace(download, "_receive", receive)


@wrong_client("MED-06.wrong-mac-is-not-shown")
def looks_at_no_mac() -> None:
    """Compares the hash of a blob, and not its MAC."""

    def verify(source: BinaryIO, _: MediaKeys, expected: EncryptedMedia) -> None:
        if hashlib.sha256(source.read()).digest() != expected.ciphertext_sha256:
            raise MediaTampered(MediaCheck.CIPHERTEXT_SHA256)

    replace(crypto, "_verify_blob", verify)


@wrong_client("MED-06.other-content-is-not-shown")
def looks_at_no_hash_of_the_content() -> None:
    """Compares what it downloads with the message, and not what it decrypts."""
    decrypt = crypto._decrypt_verified

    def decrypt_any(*parts: Any) -> None:
        try:
            decrypt(*parts)
        except MediaTampered as error:
            if error.check is not MediaCheck.PLAINTEXT_SHA256:
                raise

    replace(crypto, "_decrypt_verified", decrypt_any)


@wrong_client("MED-06.each-kind-has-its-keys")
def takes_films_for_pictures() -> None:
    """Expands the media key of a film as that of a picture."""
    contents._MEDIA_TYPES["video_message"] = MediaType.IMAGE


@wrong_client("MED-08.asks-for-a-lost-file")
def never_asks_for_lost_files() -> None:
    """Leaves it at that when a file is gone."""

    async def ask_nobody(self: InteropClient, message: MediaReceived, refusal: ServerRefusal) -> bool:
        return False

    replace(InteropClient, "request_media_again", ask_nobody)


@wrong_client("MED-08.sends-a-lost-file-again")
def ignores_requests_for_files() -> None:
    """Does not upload a file again when its recipient asks for it."""

    async def do_nothing(self: Device, request: object) -> None:
        pass

    replace(Device, "_send_again", do_nothing)


def _sends_if(is_right: Callable[[int], bool]) -> None:
    send = ThirdPartyClient.send_image

    def size_of(path: Path) -> int:
        return path.stat().st_size

    async def send_some(self: ThirdPartyClient, to: str, path: Path, *rest: Any, **more: Any) -> Any:
        if not is_right(size_of(path)):
            raise InvalidContent("the length of the file is not right")
        return await send(self, to, path, *rest, **more)

    replace(ThirdPartyClient, "send_image", send_some)


def _downloads_if(is_right: Callable[[int], bool]) -> None:
    fetch = InteropClient.download

    async def fetch_some(self: InteropClient, media: MediaReference, *rest: Any) -> None:
        if not is_right(media.encrypted.plaintext_length):
            raise MediaTampered(MediaCheck.PLAINTEXT_SHA256)
        await fetch(self, media, *rest)

    replace(InteropClient, "download", fetch_some)
