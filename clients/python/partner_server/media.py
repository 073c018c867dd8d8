"""The partner's media server: keeps ciphertext blobs by reference; knows no key, no content and no WhatsApp.

WhatsApp's media proxy GETs `{media URL}/{reference}` (MED-02). Uploads come from the partner's own clients; a real
partner would ask them for their login here.
"""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from partner_server.files import FileAnswer
from partner_server.routes import this_machine_only

MAX_CHUNK_BYTES = 256 * 1024
_REFERENCE = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,255}")


class BlobTooLarge(Exception):
    """A blob is larger than the limit; nothing of it was kept."""


def is_storage_reference(reference: str) -> bool:
    """Says whether a reference is 1 to 256 unreserved characters of RFC 3986, the first of them no dot (MED-03)."""
    return _REFERENCE.fullmatch(reference) is not None


class MediaFolder:
    """Blobs as files. A blob appears whole or not at all, and a second upload replaces the first."""

    def __init__(self, folder: Path, max_blob_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_blob_bytes = max_blob_bytes

    def path_of(self, reference: str) -> Path:
        """Returns the path for the blob of a reference, whether the blob exists or not."""
        # Hashed, since file systems differ in case, length and reserved names.
        return self._folder / hashlib.sha256(reference.encode()).hexdigest()

    async def put(self, reference: str, chunks: AsyncIterator[bytes]) -> int:
        """Stores a blob as it arrives and returns its length in bytes.

        Raises:
            BlobTooLarge: The blob is larger than the limit.
        """
        length = 0
        partial = await asyncio.to_thread(self._create_partial)
        try:
            async for chunk in chunks:
                length += len(chunk)
                if length > self._max_blob_bytes:
                    raise BlobTooLarge
                await asyncio.to_thread(_append, partial, chunk)
            await asyncio.to_thread(partial.replace, self.path_of(reference))
        finally:
            partial.unlink(missing_ok=True)
        return length

    def _create_partial(self) -> Path:
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="partial-", delete=False) as file:
            return Path(file.name)


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)


class MediaRoutes:
    """`PUT` and `GET /media/{reference}`."""

    def __init__(self, folder: MediaFolder) -> None:
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes for an application."""
        return [
            web.put("/media/{reference}", this_machine_only(self._put)),
            web.get("/media/{reference}", self._get),
        ]

    async def _put(self, request: web.Request) -> web.Response:
        reference = _reference_of(request)
        try:
            length = await self._folder.put(reference, request.content.iter_chunked(MAX_CHUNK_BYTES))
        except BlobTooLarge:
            raise web.HTTPRequestEntityTooLarge(max_size=0, actual_size=0, text="the blob is too large") from None
        return web.json_response({"reference": reference, "bytes": length}, status=201)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = self._folder.path_of(_reference_of(request))
        if not await asyncio.to_thread(path.is_file):
            raise web.HTTPNotFound(text="no such blob")
        return FileAnswer(path, headers={"Content-Type": "application/octet-stream"})


def _reference_of(request: web.Request) -> str:
    reference = request.match_info["reference"]
    if not is_storage_reference(reference):
        raise web.HTTPBadRequest(
            text="a reference is 1 to 256 characters of A-Z a-z 0-9 - _ . ~, and begins with no dot"
        )
    return reference
