"""Blobs in an object store; knows nothing of their content or of access rights.

A whole blob is one object, `blobs/{name}/{time}`; the time is that at which it was stored, by the server's clock, since
a store dates objects by its own. An unfinished upload is a chain of objects, `uploads/{name}/{offset}`, each of which
begins where the one before ends. Empty objects beside them, `uploads/{name}/t{time}`, say when it was written.

Where several processes keep blobs, one at a time writes an upload or holds a blob: `SharedHolds` says whose turn it is.
Nothing relies on that alone. Whoever has lost a hold without noticing creates no piece where one is, deletes nothing
that was stored meanwhile, and is told when it lets go.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from weakref import WeakValueDictionary

from interop_server.blobs.bucket import LIST_OBJECTS, Bucket, Missing
from interop_server.blobs.names import checked_name, is_name, touched_ms
from interop_server.blobs.object_writer import PIECE_BYTES, ObjectBlobWriter, Pieces
from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import Clock, SharedHolds
from interop_server.core.troubles import Troubles
from interop_server.crash_points import passing

_BLOBS, _UPLOADS = "blobs", "uploads"
_BLOB, _UPLOAD = "blob", "upload"
"""Kinds of names that are held."""


class ObjectBlobStore:
    """Keeps blobs below a prefix of an object store.

    Args:
        bucket: The prefix; nothing but the nodes of one world may write there.
        clock: Dates blobs and unfinished uploads, so that they age by the server's time.
        holds: Tells the processes that keep blobs there whose turn it is; None where there is one alone.
        piece_bytes: How much of an upload is held in memory before it is stored; twice that while it is being stored.

    Where the store fails, every call raises `Refusal` STORAGE_UNAVAILABLE.
    """

    def __init__(
        self,
        bucket: Bucket,
        clock: Clock,
        holds: SharedHolds | None = None,
        *,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._holds = holds
        self._piece_bytes = piece_bytes
        self._writing: set[str] = set()
        self._held: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._may_have_uploads = True
        """False when there is certainly no unfinished upload, so that none need be looked for."""

    @classmethod
    async def open(
        cls, url: str, clock: Clock, troubles: Troubles, holds: SharedHolds | None = None
    ) -> "ObjectBlobStore":
        """Opens the store in the place that a URL names.

        Raises:
            BlobsUnusable: It cannot be used.
        """
        bucket = Bucket.at(url, troubles)
        await bucket.begin()
        return cls(bucket, clock, holds)

    @property
    def is_shared(self) -> bool:
        """Whether other processes store blobs there, too."""
        return self._holds is not None

    async def check(self) -> None:
        """After a failure of the object store, looks whether it works again."""
        await self._bucket.check()

    async def clear(self) -> None:
        """Deletes all blobs and unfinished uploads, and nothing else that lies below the prefix."""
        for folder in (_BLOBS, _UPLOADS):
            while paths := await self._some_of_ours(folder):
                await self._bucket.delete(paths)

    async def open_writer(self, name: str) -> ObjectBlobWriter:
        """Opens a new upload, or the suspended one of that name, at its end.

        Raises:
            BlockingIOError: Another writer has it open, here or in another process.
            ValueError: The name is not 64 hexadecimal digits.
        """
        folder = f"{_UPLOADS}/{checked_name(name)}"
        await self._begin(name)
        try:
            pieces = await Pieces.found(self._bucket, folder, self._clock)
            writer = ObjectBlobWriter(
                self._bucket,
                pieces,
                lambda: f"{_BLOBS}/{name}/{self._clock.now_ms()}",
                lambda: self._end(name),
                self._piece_bytes,
            )
            await writer.take_up()
        except BaseException:
            await self._end(name)
            raise
        return writer

    async def _begin(self, name: str) -> None:
        """Has nobody else write an upload."""
        if name in self._writing:
            raise BlockingIOError("this blob is being written")
        self._writing.add(name)
        self._may_have_uploads = True
        try:
            if self._holds is not None and not await self._holds.take(_UPLOAD, name):
                raise BlockingIOError("this blob is being written at another node")
        except BaseException:
            self._writing.discard(name)
            raise

    async def _end(self, name: str) -> None:
        try:
            if self._holds is not None:
                await self._holds.let_go(_UPLOAD, name)
        finally:
            self._writing.discard(name)

    async def committed_bytes(self, name: str) -> int:
        """Returns how many bytes of an unfinished upload are stored; 0 when there is none of that name.

        Raises:
            ValueError: The name is not 64 hexadecimal digits.
        """
        return (await Pieces.found(self._bucket, f"{_UPLOADS}/{checked_name(name)}", self._clock)).end

    async def open_reader(self, name: str) -> "ObjectBlobReader | None":
        """Finds a blob; None when it does not exist.

        Raises:
            ValueError: The name is not 64 hexadecimal digits.
        """
        newest_ms, length = -1, 0
        async for each in self._bucket.list(f"{_BLOBS}/{checked_name(name)}"):
            time = _time_of(each.path)
            if time > newest_ms:
                newest_ms, length = time, each.size
        if newest_ms < 0:
            return None
        return ObjectBlobReader(self._bucket, f"{_BLOBS}/{name}/{newest_ms}", length)

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Waits until nobody else holds the name, and holds it. It binds only those who ask.

        Raises:
            Refusal: STORAGE_UNAVAILABLE when another process holds it for long, or, at the end, when this one has lost
                it meanwhile.
        """
        async with self._held.setdefault(name, asyncio.Lock()):
            if self._holds is None:
                yield
                return
            if not await self._holds.take(_BLOB, name, waits=True):
                raise Refusal(Reason.STORAGE_UNAVAILABLE, cause="another node has been at work on this blob for long")
            is_held = False
            try:
                yield
            finally:
                is_held = await self._holds.let_go(_BLOB, name)
            if not is_held:
                raise Refusal(Reason.STORAGE_UNAVAILABLE, cause="another node may have been at work on this blob, too")

    async def delete(self, name: str, before_ms: int | None = None) -> bool:
        """Deletes a blob, and says whether it did.

        Args:
            name: Its name.
            before_ms: What was stored then or later, by the server's clock, stays. None for any time.

        Raises:
            ValueError: The name is not 64 hexadecimal digits.
        """
        found = [each.path async for each in self._bucket.list(f"{_BLOBS}/{checked_name(name)}")]
        times = {path: time for path in found if (time := _time_of(path)) >= 0}
        old = [path for path, time in times.items() if before_ms is None or time < before_ms]
        if old:
            passing("object.delete")
            await self._bucket.delete(old)
        return bool(old) and len(old) == len(times)

    async def list_stored(self) -> dict[str, int]:
        """Returns the names of all blobs but those that are held, each with the time at which it was stored."""
        stored: dict[str, int] = {}
        async for each in self._bucket.list(_BLOBS):
            name = each.path.split("/")[1]
            if is_name(name) and (time := _time_of(each.path)) >= 0:
                stored[name] = max(time, stored.get(name, 0))
        held = {name for name, lock in self._held.items() if lock.locked()}
        for name in held if self._holds is None else held | await self._holds.held(_BLOB, stored):
            stored.pop(name, None)
        return stored

    async def oldest_upload_ms(self) -> int | None:
        """Returns when the oldest idle upload was last written; None when there is no idle upload."""
        if not self._may_have_uploads and not self.is_shared:
            return None
        self._may_have_uploads = False  # before listing: an upload that begins meanwhile sets it again
        try:
            touched = (await self._idle()).values()
        except BaseException:
            self._may_have_uploads = True
            raise
        self._may_have_uploads |= bool(touched) or bool(self._writing)
        return min(touched, default=None)

    async def delete_stale_uploads(self, before_ms: int, most: int) -> int:
        """Deletes unfinished uploads last written before then, at most that many; returns how many.

        Those being written stay, also by another process.
        """
        stale = [name for name, touched_ms in (await self._idle()).items() if touched_ms < before_ms][:most]
        taken = 0
        for name in stale:
            try:
                await self._begin(name)  # so that nobody resumes an upload that is about to be deleted
            except BlockingIOError:  # it was resumed meanwhile
                continue
            try:
                paths = [each.path async for each in self._bucket.list(f"{_UPLOADS}/{name}")]
                if paths and _last_touched_ms(paths) < before_ms:
                    passing("object.delete_stale")
                    await self._bucket.delete(paths)
                    taken += 1
            finally:
                await self._end(name)
        return taken

    async def _some_of_ours(self, folder: str) -> list[str]:
        some: list[str] = []
        async with aclosing(self._bucket.list(folder)) as found:
            async for each in found:
                if is_name(each.path.split("/")[1]):
                    some.append(each.path)
                if len(some) == LIST_OBJECTS:
                    break
        return some

    async def _idle(self) -> dict[str, int]:
        """Returns when each upload that nobody writes was last written; 0 where nothing says so."""
        uploads: defaultdict[str, int] = defaultdict(int)
        async for each in self._bucket.list(_UPLOADS):
            _, name, *rest = each.path.split("/")
            if is_name(name) and len(rest) == 1:
                uploads[name] = max(uploads[name], _last_touched_ms(rest))
        written = self._writing if self._holds is None else self._writing | await self._holds.held(_UPLOAD, uploads)
        return {name: touched_ms for name, touched_ms in uploads.items() if name not in written}


class ObjectBlobReader:
    """A stored blob; asks for its bytes only when it is read."""

    def __init__(self, bucket: Bucket, path: str, length: int) -> None:
        self._bucket = bucket
        self._path = path
        self._length = length

    @property
    def length(self) -> int:
        """Length in bytes."""
        return self._length

    async def chunks(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yields `length` bytes from `offset` on, in chunks of at most 1 MiB.

        Raises:
            Refusal: BLOB_EXPIRED when the blob was deleted after it was found; STORAGE_UNAVAILABLE when it cannot be
                read, or is shorter than it was.
        """
        try:
            async with aclosing(self._bucket.read(self._path, offset, offset + length)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Missing:
            raise Refusal(Reason.BLOB_EXPIRED) from None


def _time_of(path: str) -> int:
    """Returns the time in the path of a blob; -1 where it is no such path."""
    time = path.rpartition("/")[2]
    return int(time) if time.isdecimal() and path.count("/") == 2 else -1


def _last_touched_ms(paths: Iterable[str]) -> int:
    """Returns when an upload was last written, by the objects that say so; 0 where none does."""
    return max(0, *(touched_ms(path.rpartition("/")[2]) for path in paths))
