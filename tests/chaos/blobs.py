"""Blobs: one that was acked is whole until it expires, and a broken upload goes on where it stopped (MED-07)."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from interop_api.v1 import media_pb2 as pb
from interop_client.errors import ServerRefusal
from interop_protocol.encoding import media_token
from interop_server.blobs.local import SYNC_BYTES, WRITE_BYTES
from tests.chaos.people import MEDIA_DAYS, Broken, Person, is_gone

CHUNK_BYTES = 32 << 10
MOST_BYTES = 200 << 10
LARGE_BYTES = SYNC_BYTES + 2 * WRITE_BYTES
"""So long that it is synced before it is complete."""
REFUSED_SECONDS = 0.2
"""How long somebody waits who was refused because the object store is away."""
OLD_ONES = 3
"""How many older blobs a check downloads again."""
_DAY_MS = 86_400_000


@dataclass
class Blob:
    """Bytes that nobody else uploads."""

    seed: int
    length: int
    direct_path: str = ""
    uploaded_at_ms: int = 0
    """A time before the upload that was acked: between that and the ack, the clock may be moved by hours."""

    @property
    def content(self) -> bytes:
        return random.Random(self.seed).randbytes(self.length)

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.content).digest()


class Blobs:
    """A WhatsApp user who uploads whole blobs, halves, and wrong ones.

    Args:
        person: Who.
        rng: Chooses.
    """

    def __init__(self, person: Person, rng: random.Random) -> None:
        self._person = person
        self._rng = rng
        self._stored: list[Blob] = []
        self._unfinished: list[Blob] = []
        self._unseen: list[Blob] = []
        """Acked, and not downloaded since the last kill."""
        self._auth = ""
        self._renew_at_ms = 0
        self.favourite = ""
        """What is done most of the time: a method's name without its underscore."""
        self.pause_seconds = 0.0
        """Between two uploads."""
        self.large_bytes = LARGE_BYTES

    async def return_(self) -> None:
        """Connects, and gets a permission to upload."""
        await self._person.connect()
        await self._get_permission()

    async def check(self) -> None:
        """Completes what was broken off, and downloads what was acked."""
        for blob in list(self._unfinished):
            await self._complete(blob)
        old = self._rng.sample(self._stored, min(OLD_ONES, len(self._stored)))
        for blob in self._unseen + [each for each in old if each not in self._unseen]:
            await self._download(blob)
        self._unseen.clear()

    async def work(self) -> None:
        """Uploads until the server is gone."""
        kinds = {"whole": self._whole, "half": self._half, "wrong": self._wrong, "large": self._large}
        while True:
            if self._person.stage.now_ms > self._renew_at_ms:
                await self._get_permission()
            kind = self._rng.choices([*kinds], [10, 3, 2, 0.2])[0]
            try:
                await kinds[self.favourite if self.favourite and self._rng.random() < 0.7 else kind]()
            except ServerRefusal as refusal:
                if not self._person.stage.expects_faults or not await self._is_of_a_fault(refusal):
                    raise
                await asyncio.sleep(REFUSED_SECONDS)
            await asyncio.sleep(self.pause_seconds)

    async def close(self) -> None:
        """Ends the connection."""
        await self._person.close()

    async def _is_of_a_fault(self, refusal: ServerRefusal) -> bool:
        """Whether it comes of what was taken away: also a stream that broke off before its reason was there."""
        if refusal.reason == "STORAGE_UNAVAILABLE":
            return True
        return is_gone(refusal) and not await self._person.stage.died(0)

    async def _get_permission(self) -> None:
        connection = await self._person.call(
            "MediaService/GetMediaConnection", pb.GetMediaConnectionRequest(), pb.GetMediaConnectionResponse
        )
        self._auth = connection.auth
        self._renew_at_ms = self._person.stage.now_ms + connection.auth_expires_after_seconds * 1_000 // 2

    async def _whole(self) -> None:
        await self._complete(self._new())

    async def _large(self) -> None:
        await self._complete(self._new(self.large_bytes))

    async def _half(self) -> None:
        blob = self._new()
        await self._refused("UPLOAD_LENGTH_MISMATCH", self._upload(blob, 0, blob.content[: blob.length // 2]))
        if self._rng.random() < 0.5:
            await self._complete(blob)

    async def _wrong(self) -> None:
        blob = self._new()
        self._unfinished.remove(blob)  # whatever becomes of it: nobody goes on with wrong bytes
        await self._refused("UPLOAD_HASH_MISMATCH", self._upload(blob, 0, bytes(blob.length)))

    def _new(self, length: int = 0) -> Blob:
        blob = Blob(self._rng.getrandbits(64), length or self._rng.randint(2, MOST_BYTES))
        self._unfinished.append(blob)
        return blob

    async def _complete(self, blob: Blob) -> None:
        while not blob.direct_path:
            try:
                blob.direct_path = await self._go_on(blob)
            except ServerRefusal as refusal:
                if refusal.reason == "UPLOAD_HASH_MISMATCH":
                    raise Broken(f"what was kept of an unfinished upload is not what was sent: {refusal}") from refusal
                if refusal.reason != "UPLOAD_OFFSET_MISMATCH":  # what was kept has just become too old
                    raise
        self._unfinished.remove(blob)
        self._stored.append(blob)
        self._unseen.append(blob)

    async def _go_on(self, blob: Blob) -> str:
        request = pb.GetUploadStatusRequest(auth=self._auth, upload_token=media_token(blob.sha256))
        status = await self._person.call("MediaService/GetUploadStatus", request, pb.GetUploadStatusResponse)
        if status.direct_path:
            return status.direct_path
        return await self._upload(blob, status.committed_bytes, blob.content[status.committed_bytes :])

    async def _upload(self, blob: Blob, offset: int, content: bytes) -> str:
        blob.uploaded_at_ms = self._person.stage.earliest_ms
        start = pb.UploadStart(
            auth=self._auth, upload_token=media_token(blob.sha256), length=blob.length, offset=offset
        )

        async def requests() -> AsyncIterator[pb.UploadRequest]:
            yield pb.UploadRequest(start=start)
            for at in range(0, len(content), CHUNK_BYTES):
                yield pb.UploadRequest(chunk=content[at : at + CHUNK_BYTES])

        return (await self._person.transport.upload(requests())).direct_path

    async def _refused(self, reason: str, upload: "object") -> None:
        try:
            await upload  # type: ignore[misc]
        except ServerRefusal as refusal:
            if refusal.reason == reason:
                return
            raise
        raise Broken(f"an upload was taken that should have been refused: {reason}")

    async def _download(self, blob: Blob) -> None:
        digest = hashlib.sha256()
        try:
            async for response in self._person.transport.download(pb.DownloadRequest(direct_path=blob.direct_path)):
                digest.update(response.chunk)
        except ServerRefusal as refusal:
            age_ms = self._person.stage.now_ms - blob.uploaded_at_ms
            if refusal.reason in {"BLOB_EXPIRED", "BLOB_NOT_FOUND"} and age_ms > MEDIA_DAYS * _DAY_MS - 60_000:
                self._stored.remove(blob)
                return
            if refusal.reason in {"BLOB_EXPIRED", "BLOB_NOT_FOUND"}:
                raise Broken(
                    f"a blob of {blob.length} bytes, uploaded {age_ms} ms ago, is gone: {refusal}"
                ) from refusal
            raise
        if digest.digest() != blob.sha256:
            raise Broken(f"a blob of {blob.length} bytes came down with other bytes than went up")
