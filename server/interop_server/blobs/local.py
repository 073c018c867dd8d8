"""Blobs as local files, one per name; knows nothing of their content or of access rights.

A blob lies at `ab/<name>` under the root, where `ab` are the first two digits of its name; an unfinished upload at
`uploads/<name>.part`. Files are read, written and hashed in worker threads.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from interop_server.blobs.faults import BlobFaults
from interop_server.blobs.names import checked_name, is_name
from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import Clock
from interop_server.core.troubles import Troubles
from interop_server.crash_points import passing

READ_BYTES = 512 * 1024
"""Chunk size of a reader: larger chunks measured no faster, and cost memory per download."""
WRITE_BYTES = 1024 * 1024
"""How much a writer gathers before it writes in a thread: below this, the hand-over costs more than the write."""
WRITE_CHUNKS = 1_024
"""How many chunks a writer gathers at most: one of a byte takes up as much memory as three hundred; policy."""
HASH_BYTES = 1 << 20
"""How much a thread reads and hashes of what was written before an upload went on, until it takes another call: others
wait for a few of these, not for whole blobs."""
SYNC_BYTES = 16 << 20
"""How much a writer writes before it starts to sync it to disk."""
_NS_PER_MS = 1_000_000
_P = ParamSpec("_P")
_T = TypeVar("_T")


class LocalBlobStore:
    """Keeps blobs below a directory, which is created when first needed.

    Args:
        root: The directory; no other process may write to it.
        clock: Dates unfinished uploads, so that they age by the server's time.
        troubles: Where it is kept what is wrong with the directory.

    Where the disk fails, every call raises `Refusal` STORAGE_UNAVAILABLE.
    """

    def __init__(self, root: Path, clock: Clock, troubles: Troubles | None = None) -> None:
        self._root = root
        self._faults = BlobFaults(root, troubles or Troubles())
        self._clock = clock
        self._writing: set[str] = set()
        self._held: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._durable_folders: set[Path] = set()
        """Folders of blobs that will still be there after a power cut."""
        self._may_have_uploads = True
        """False when there is certainly no unfinished upload, so that the folder need not be read."""

    async def check(self) -> None:
        """After a failure of the disk, looks whether the directory works again."""
        await self._faults.check()

    @property
    def is_shared(self) -> bool:
        """Whether other processes store blobs there, too: they do not."""
        return False

    async def open_writer(self, name: str) -> "LocalBlobWriter":
        """Opens a new upload, or the suspended one of that name, at its end.

        Raises:
            BlockingIOError: Another writer has it open.
            ValueError: The name is not 64 hexadecimal digits.
        """
        part, blob = self._part_path(name), self._blob_path(name)
        if name in self._writing:
            raise BlockingIOError("this blob is being written")
        self._writing.add(name)
        self._may_have_uploads = True
        file = _PartFile(part, blob, self._clock, self._durable_folders)
        try:
            with self._faults.met():
                await _in_thread(file.open)
        except BaseException:
            self._writing.discard(name)
            file.close()
            raise
        return LocalBlobWriter(file, self._faults, lambda: self._writing.discard(name))

    async def committed_bytes(self, name: str) -> int:
        """Returns how many bytes of an unfinished upload are kept; 0 when there is none of that name.

        Raises:
            ValueError: The name is not 64 hexadecimal digits.
        """
        part = self._part_path(name)
        with self._faults.met():
            return await asyncio.to_thread(_size, part) or 0

    async def open_reader(self, name: str) -> "LocalBlobReader | None":
        """Finds a blob; None when it does not exist.

        Raises:
            ValueError: The name is not 64 hexadecimal digits.
        """
        path = self._blob_path(name)
        with self._faults.met():
            length = await asyncio.to_thread(_size, path)
        return None if length is None else LocalBlobReader(path, length, self._faults)

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Waits until nobody else holds the name, and holds it. It binds only those who ask."""
        async with self._held.setdefault(name, asyncio.Lock()):
            yield

    async def delete(self, name: str, before_ms: int | None = None) -> bool:
        """Deletes a blob, and says whether it did.

        Args:
            name: Its name.
            before_ms: One that was stored then or later, by the server's clock, stays. None for any time.

        Raises:
            ValueError: The name is not 64 hexadecimal digits.
        """
        path = self._blob_path(name)
        with self._faults.met():
            return await asyncio.to_thread(_delete, path, before_ms)

    async def list_stored(self) -> dict[str, int]:
        """Returns the names of all blobs but those that are held, each with the time at which it was stored."""
        with self._faults.met():
            stored = await asyncio.to_thread(_list_stored, self._root)
        for name in [name for name, lock in self._held.items() if lock.locked()]:
            stored.pop(name, None)
        return stored

    async def oldest_upload_ms(self) -> int | None:
        """Returns when the oldest idle upload was last written; None when there is no idle upload."""
        if not self._may_have_uploads:
            return None
        self._may_have_uploads = False  # before listing: an upload that begins meanwhile sets it again
        with self._faults.met():
            idle = [name for name in await asyncio.to_thread(self._list_uploads) if name not in self._writing]
            touched = await asyncio.to_thread(self._touched_ms, idle)
        self._may_have_uploads |= bool(touched) or bool(self._writing)
        return min(touched, default=None)

    async def delete_stale_uploads(self, before_ms: int, most: int) -> int:
        """Deletes unfinished uploads last written before then, at most that many; returns how many.

        Those being written stay.
        """
        with self._faults.met():
            names = await asyncio.to_thread(self._list_uploads)
        idle = [name for name in names if name not in self._writing]
        self._writing.update(idle)  # so that no client resumes an upload that is about to be deleted
        try:
            with self._faults.met():
                return await _in_thread(self._delete_stale, idle, before_ms, most)
        finally:
            self._writing.difference_update(idle)

    def _list_uploads(self) -> list[str]:
        return [part.stem for part in (self._root / "uploads").glob("*.part") if is_name(part.stem)]

    def _touched_ms(self, names: list[str]) -> list[int]:
        return [_dated_ms(part.stat()) for name in names if (part := self._part_path(name)).exists()]

    def _delete_stale(self, names: list[str], before_ms: int, most: int) -> int:
        parts = [self._part_path(name) for name in names]
        stale = [part for part in parts if part.exists() and part.stat().st_mtime_ns < before_ms * _NS_PER_MS]
        for part in stale[:most]:
            passing("blob.delete_stale")
            part.unlink()
        return len(stale[:most])

    def _part_path(self, name: str) -> Path:
        return self._root / "uploads" / f"{checked_name(name)}.part"

    def _blob_path(self, name: str) -> Path:
        return self._root / checked_name(name)[:2] / name


class LocalBlobWriter:
    """An upload in progress: hashes and writes one batch while the next one arrives.

    Only one task may use it. Each closing method is idempotent, and the first one called decides.
    """

    def __init__(self, file: "_PartFile", faults: BlobFaults, release: Callable[[], None]) -> None:
        self._file = file
        self._faults = faults
        self._release = release
        self._accepted = file.size
        self._gathered: list[bytes | memoryview] = []
        self._gathered_bytes = 0
        self._appending: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._synced_bytes = file.size
        self._closing: asyncio.Future[None] | None = None

    @property
    def committed_bytes(self) -> int:
        """How many bytes were accepted, including those before a resumption."""
        return self._accepted

    async def write(self, chunk: bytes | memoryview) -> None:
        """Appends a chunk. A failed write may raise only in a later call.

        Raises:
            ValueError: The writer is closed.
            Refusal: STORAGE_UNAVAILABLE when a write failed.
        """
        if self._closing is not None:
            raise ValueError("the writer is closed")
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        self._accepted += len(chunk)
        if self._gathered_bytes >= WRITE_BYTES or len(self._gathered) >= WRITE_CHUNKS:
            await self._settle()
            self._start_append()

    async def sha256(self) -> bytes:
        """Returns the hash of everything written, including before a resumption: 32 bytes.

        What was written before is read for it here, and not where an upload goes on: whoever breaks off each time would
        have it read as often.
        """
        await self._flush()
        while not self._file.is_hashed:
            self._appending = asyncio.ensure_future(asyncio.to_thread(self._file.hash_more))
            await self._settle()
        return self._file.hash.digest()

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
        await self._flush()
        await asyncio.to_thread(self._file.commit)

    async def _keep(self) -> None:
        await self._flush()
        await asyncio.to_thread(self._file.keep)

    async def _forget(self) -> None:
        if self._appending is not None:
            await asyncio.gather(self._appending, return_exceptions=True)
        await asyncio.to_thread(self._file.forget)

    async def _flush(self) -> None:
        await self._settle()
        if self._gathered:
            self._start_append()
            await self._settle()

    def _start_append(self) -> None:
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        self._appending = asyncio.ensure_future(asyncio.to_thread(self._file.append, gathered))
        self._sync_early()

    def _sync_early(self) -> None:
        # Keeps the disk busy while bytes still arrive: otherwise the commit would have to wait for all of them.
        if self._file.size - self._synced_bytes >= SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            self._synced_bytes = self._file.size
            self._syncing = asyncio.ensure_future(asyncio.to_thread(self._file.sync))
            self._syncing.add_done_callback(_ignore_failure)

    async def _settle(self) -> None:
        # Shielded, and cleared only when done: after a cancelled call, the next one must not write at the same time.
        if self._appending is not None:
            with self._faults.met():
                await asyncio.shield(self._appending)
            self._appending = None

    async def _close(self, last: Callable[[], Awaitable[None]]) -> None:
        # A task of its own, so that a caller cancelled while closing leaves no open file and releases the name.
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close_and_release(last))
        await asyncio.shield(self._closing)

    async def _close_and_release(self, last: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._faults.met():
                await last()
        finally:
            if self._syncing is not None:
                await asyncio.gather(self._syncing, return_exceptions=True)
            try:
                with self._faults.met():
                    await asyncio.to_thread(self._file.close)
            finally:
                self._release()


class LocalBlobReader:
    """A stored blob; opens its file only when it is read."""

    def __init__(self, path: Path, length: int, faults: BlobFaults) -> None:
        self._path = path
        self._length = length
        self._faults = faults

    @property
    def length(self) -> int:
        """Length in bytes."""
        return self._length

    async def chunks(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yields `length` bytes from `offset` on, in chunks of at most 512 KiB.

        Raises:
            Refusal: BLOB_EXPIRED when the blob was deleted after it was found; STORAGE_UNAVAILABLE when the file
                cannot be read, or is shorter than it was.
        """
        file = _BlobFile(self._path)
        end = offset + length
        ahead = file.start_read(offset, end)
        try:
            while offset < end:
                with self._faults.met():
                    chunk = await self._next(ahead)
                offset += len(chunk)
                # Read the next chunk while this one is being sent.
                ahead = file.start_read(offset, end)
                yield chunk
        finally:
            # The thread that reads ahead is left to its end, and the file open until then, also when who waits for it
            # here is cancelled once more.
            ahead.add_done_callback(lambda _: file.close())
            await asyncio.shield(asyncio.gather(ahead, return_exceptions=True))

    async def _next(self, ahead: asyncio.Future[bytes]) -> bytes:
        try:
            # Shielded: after a cancelled reader, no read may still run on a closed file.
            return await asyncio.shield(ahead)
        except FileNotFoundError as error:
            raise Refusal(Reason.BLOB_EXPIRED) from error


class _BlobFile:
    """A blob's file, opened at the first read. It blocks, and one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def start_read(self, offset: int, end: int) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(asyncio.to_thread(self._read, offset, min(end - offset, READ_BYTES)))

    def _read(self, offset: int, length: int) -> bytes:
        if length <= 0:
            return b""
        if self._file is None:
            self._file = self._path.open("rb")
        chunk = os.pread(self._file.fileno(), length, offset)
        if not chunk:
            raise OSError("a stored blob is shorter than it was")
        return chunk

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _PartFile:
    """The file of an upload and its hash. It blocks, and one thread at a time may use it."""

    def __init__(self, part: Path, blob: Path, clock: Clock, durable_folders: set[Path]) -> None:
        self._part = part
        self._blob = blob
        self._clock = clock
        self._durable_folders = durable_folders
        self._file: BinaryIO | None = None
        self._hashed = 0
        self.hash = hashlib.sha256()
        """Of its first bytes: of all that is written, where nothing was there before."""
        self.size = 0

    @property
    def is_hashed(self) -> bool:
        return self._hashed == self.size

    def open(self) -> None:
        passing("blob.open")
        self._part.parent.mkdir(parents=True, exist_ok=True)
        file = self._file = self._part.open("a+b")
        self.size = file.seek(0, os.SEEK_END)

    def hash_more(self) -> None:
        file = self._opened()
        file.flush()
        chunk = os.pread(file.fileno(), HASH_BYTES, self._hashed)
        if not chunk:
            raise OSError("an unfinished upload is shorter than it was")
        self._hash(chunk)

    def _hash(self, chunk: bytes | memoryview) -> None:
        self.hash.update(chunk)
        self._hashed += len(chunk)

    def append(self, chunks: list[bytes | memoryview]) -> None:
        file = self._opened()
        for chunk in chunks:
            passing("blob.append")
            file.write(chunk)
            if self.is_hashed:
                self._hash(chunk)
            self.size += len(chunk)

    def sync(self) -> None:
        passing("blob.sync_early")
        os.fdatasync(self._opened().fileno())

    def commit(self) -> None:
        file = self._opened()
        file.flush()
        passing("blob.date")
        os.utime(self._part, ns=self._now_ns())
        passing("blob.sync")
        os.fsync(file.fileno())
        self._make_folder(self._blob.parent)
        passing("blob.rename")
        self._part.replace(self._blob)
        _sync_directory(self._blob.parent)
        passing("blob.answer")

    def _make_folder(self, folder: Path) -> None:
        # Once in each process, unless it has vanished; and also when it is there, because who made it may have been
        # killed before it was synced.
        if folder in self._durable_folders and folder.is_dir():
            return
        passing("blob.make_folder")
        folder.mkdir(exist_ok=True)
        root = folder.parent
        for parent in (root, root.parent):
            _sync_directory(parent)
        self._durable_folders.add(folder)

    def keep(self) -> None:
        file = self._opened()
        file.flush()
        passing("blob.keep")
        os.utime(self._part, ns=self._now_ns())

    def _now_ns(self) -> tuple[int, int]:
        # The server's time, by which it is swept; in both places that a file has for a time.
        now_ns = self._clock.now_ms() * _NS_PER_MS
        return now_ns, now_ns

    def forget(self) -> None:
        passing("blob.forget")
        self._part.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the file is not open")
        return self._file


async def _in_thread(call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Runs a call in a worker thread; a cancellation first waits for its end, so that it never outlives the caller."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


def _ignore_failure(syncing: asyncio.Future[None]) -> None:
    # A disk that fails now fails again at the sync of the commit, before the blob gets its name.
    if not syncing.cancelled():
        syncing.exception()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _delete(path: Path, before_ms: int | None) -> bool:
    try:
        if before_ms is not None and _dated_ms(path.stat()) >= before_ms:
            return False
        passing("blob.delete")
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _list_stored(root: Path) -> dict[str, int]:
    stored: dict[str, int] = {}
    for folder in root.glob("[0-9a-f][0-9a-f]"):
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_name(entry.name) and entry.name.startswith(folder.name):
                    with suppress(FileNotFoundError):  # it has just been deleted
                        stored[entry.name] = _dated_ms(entry.stat())
    return stored


def _dated_ms(status: os.stat_result) -> int:
    return status.st_mtime_ns // _NS_PER_MS


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        passing("blob.sync_folder")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
