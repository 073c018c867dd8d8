"""An upload into an object store: a chain of pieces, each durable when it is stored, and one object in the end.

The chain is the same for all nodes: a piece is created at the offset where the one before ends, and of two that create
it, the store lets one. So whoever has stored the last piece goes on from all before it, and reads later what others
wrote. What becomes the blob is read back from the pieces and hashed once more: nothing another node did can break it.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import NamedTuple

from interop_server.blobs.bucket import Bucket, Missing
from interop_server.blobs.names import touched, touched_ms
from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import Clock
from interop_server.crash_points import passing

PIECE_BYTES = 4 << 20
"""Most of a piece, and of a blob that is stored at once; policy: a request each, and up to two in memory an upload."""
MAX_SMALL_PIECES = 256
"""How many pieces of an upload may be small, as an upload that breaks leaves one each time; policy."""
_SMALL_BYTES = 1 << 20


class _Piece(NamedTuple):
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class Pieces:
    """What is stored of an unfinished upload.

    Args:
        bucket: Where.
        folder: The upload's folder there.
        clock: Tells when it was last written.
    """

    def __init__(self, bucket: Bucket, folder: str, clock: Clock) -> None:
        self._bucket = bucket
        self._folder = folder
        self._clock = clock
        self._chain: list[_Piece] = []
        self._times: list[str] = []
        """Paths of the empty objects that say when it was written."""
        self._loose: list[str] = []
        """Paths of pieces whose predecessors are gone, as an upload that was deleted while it went on leaves them."""
        self._touched_ms = -1

    @classmethod
    async def found(cls, bucket: Bucket, folder: str, clock: Clock) -> "Pieces":
        """Looks for what is stored of an upload."""
        pieces, stored = cls(bucket, folder, clock), dict[int, int]()
        async for each in bucket.list(folder):
            name = each.path.rpartition("/")[2]
            if name.isdecimal() and each.size:
                stored[int(name)] = each.size
            elif touched_ms(name) >= 0:
                pieces._times.append(each.path)
        while (size := stored.pop(pieces.end, 0)) > 0:
            pieces._chain.append(_Piece(pieces.end, size))
        pieces._loose = [pieces._path(offset) for offset in stored]
        return pieces

    @property
    def end(self) -> int:
        """How many bytes are stored."""
        return self._chain[-1].end if self._chain else 0

    async def take_up(self) -> None:
        """Deletes what it cannot go on with: all of it when it has broken too often."""
        if sum(piece.size < _SMALL_BYTES for piece in self._chain) > MAX_SMALL_PIECES:
            await self.delete()
        elif self._loose:
            await self._bucket.delete(self._loose)
            self._loose = []

    async def add(self, content: bytearray) -> None:
        """Stores the next piece.

        Raises:
            Refusal: UPLOAD_OFFSET_MISMATCH when another node has stored another one there; STORAGE_UNAVAILABLE.
        """
        await self.touch()
        passing("object.piece")
        if not await self._bucket.create(self._path(self.end), content):
            raise Refusal(Reason.UPLOAD_OFFSET_MISMATCH, "another stream of yours has gone on with this upload")
        self._chain.append(_Piece(self.end, len(content)))

    async def touch(self) -> None:
        """Notes that it is being written now."""
        now_ms = self._clock.now_ms()
        if now_ms != self._touched_ms:
            passing("object.touch")
            path = f"{self._folder}/{touched(now_ms)}"
            await self._bucket.put(path, b"")
            self._times.append(path)
            self._touched_ms = now_ms

    async def read(self) -> AsyncGenerator[bytes]:
        """Yields all that is stored, in order.

        Raises:
            Refusal: STORAGE_UNAVAILABLE, also where a piece is gone.
        """
        for piece in self._chain:
            try:
                async with aclosing(self._bucket.read(self._path(piece.offset), 0, piece.size)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except Missing:
                cause = "a piece of the upload was deleted meanwhile"
                raise Refusal(Reason.STORAGE_UNAVAILABLE, cause=cause) from None

    async def delete(self) -> None:
        """Deletes all of it."""
        # From the end: what a kill leaves is the beginning, with which an upload can go on.
        chain = [self._path(piece.offset) for piece in reversed(self._chain)]
        if paths := [*self._loose, *chain, *self._times]:
            passing("object.forget")
            await self._bucket.delete(paths)
        self._chain, self._loose, self._times, self._touched_ms = [], [], [], -1

    def _path(self, offset: int) -> str:
        return f"{self._folder}/{offset}"


class ObjectBlobWriter:
    """An upload in progress: stores one piece while the next one arrives.

    Only one task may use it. Each closing method is idempotent, and the first one called decides.
    """

    def __init__(
        self,
        bucket: Bucket,
        pieces: Pieces,
        place: Callable[[], str],
        release: Callable[[], Awaitable[None]],
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        """Opens an upload; `take_up` comes first.

        Args:
            bucket: Where.
            pieces: What is stored of it.
            place: Returns the path that the blob gets if it becomes whole now.
            release: Is called at the end.
            piece_bytes: Most of a piece.
        """
        self._bucket = bucket
        self._pieces = pieces
        self._place = place
        self._release = release
        self._piece_bytes = piece_bytes
        self._accepted = 0
        self._hash: hashlib._Hash | None = None
        """Of what is stored, and of what is being stored; None when that must be read first."""
        self._gathered = bytearray()
        self._storing: asyncio.Future[None] | None = None
        self._closing: asyncio.Future[None] | None = None

    async def take_up(self) -> None:
        """Begins where what was stored before ends."""
        await self._pieces.take_up()
        self._accepted = self._pieces.end
        if not self._accepted:
            self._hash = hashlib.sha256()

    @property
    def committed_bytes(self) -> int:
        """How many bytes were accepted, including those before a resumption."""
        return self._accepted

    async def write(self, chunk: bytes | memoryview) -> None:
        """Appends a chunk. A piece that cannot be stored may raise only in a later call.

        Raises:
            ValueError: The writer is closed.
            Refusal: STORAGE_UNAVAILABLE when a piece could not be stored; UPLOAD_OFFSET_MISMATCH when another node has
                gone on with the upload.
        """
        if self._closing is not None:
            raise ValueError("the writer is closed")
        # Before, not after: what fits into one piece is held until it is whole, and stored at once.
        if self._gathered and len(self._gathered) + len(chunk) > self._piece_bytes:
            await self._settle()
            self._start_storing()
        self._gathered += chunk
        self._accepted += len(chunk)

    async def sha256(self) -> bytes:
        """Returns the hash of everything written, including before a resumption: 32 bytes.

        What was stored before is read for it here, and not where an upload goes on: whoever breaks off each time would
        have it read as often.
        """
        await self._settle()
        if self._hash is None:
            self._hash = await self._read_hash()
        hashed = self._hash.copy()
        await asyncio.to_thread(hashed.update, self._gathered)
        return hashed.digest()

    async def _read_hash(self) -> "hashlib._Hash":
        hashed = hashlib.sha256()
        async with aclosing(self._pieces.read()) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(hashed.update, chunk)
        return hashed

    async def commit(self) -> None:
        """Makes the blob durable under its name and closes."""
        await self._close(self._commit)

    async def suspend(self) -> None:
        """Closes, and keeps the bytes written for a resumption."""
        await self._close(self._keep)

    async def discard(self) -> None:
        """Closes and deletes the bytes written."""
        await self._close(self._forget)

    async def _commit(self) -> None:
        await self._settle()
        if self._pieces.end:
            expected = await self.sha256()
            passing("object.compose")
            await self._bucket.compose(self._place(), self._whole(expected), self._accepted)
        else:
            passing("object.whole")
            await self._bucket.put(self._place(), self._gathered)
        passing("object.tidy")
        with suppress(Refusal):  # the blob is whole; what is left goes as an upload that nobody has finished
            await self._pieces.delete()
        passing("object.answer")

    async def _whole(self, expected: bytes) -> AsyncGenerator[bytes]:
        """Yields the whole blob; at its end raises `Refusal` STORAGE_UNAVAILABLE if that was not what was written."""
        read = hashlib.sha256()
        async with aclosing(self._pieces.read()) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(read.update, chunk)
                yield chunk
        await asyncio.to_thread(read.update, self._gathered)
        yield bytes(self._gathered)
        if read.digest() != expected:
            raise Refusal(Reason.STORAGE_UNAVAILABLE, cause="the pieces of an upload are not those that were stored")

    async def _keep(self) -> None:
        await self._settle()
        if self._gathered:
            self._start_storing()
            await self._settle()
        if self._pieces.end:
            await self._pieces.touch()

    async def _forget(self) -> None:
        if self._storing is not None:
            await asyncio.gather(self._storing, return_exceptions=True)
        await self._pieces.delete()

    def _start_storing(self) -> None:
        piece, self._gathered = self._gathered, bytearray()
        self._storing = asyncio.ensure_future(self._store(piece))
        self._storing.add_done_callback(_ignore_failure)

    async def _store(self, piece: bytearray) -> None:
        if self._hash is not None:
            await asyncio.to_thread(self._hash.update, piece)
        await self._pieces.add(piece)

    async def _settle(self) -> None:
        # Shielded, and cleared only when done well: after a cancelled call, the next one must not store at the same
        # time, and after one that failed, nothing may follow.
        if self._storing is not None:
            await asyncio.shield(self._storing)
            self._storing = None

    async def _close(self, last: Callable[[], Awaitable[None]]) -> None:
        # A task of its own, so that a caller cancelled while closing releases the name.
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close_and_release(last))
        await asyncio.shield(self._closing)

    async def _close_and_release(self, last: Callable[[], Awaitable[None]]) -> None:
        try:
            await last()
        finally:
            if self._storing is not None:
                await asyncio.gather(self._storing, return_exceptions=True)
            self._gathered = bytearray()
            await self._release()


def _ignore_failure(storing: asyncio.Future[None]) -> None:
    # What failed is raised by the next call; if none comes, nobody wants to know.
    if not storing.cancelled():
        storing.exception()
