"""One prefix in an object store, or a folder in its place: few calls, each with a deadline; knows no blob.

Whatever goes wrong is told in words of our own: what the libraries say may have signatures and keys in it.
"""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from interop_server.blobs import BlobsUnusable
from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import BLOBS, Troubles
from interop_server.crash_points import passing

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PATIENCE_SECONDS = 20.0
"""How long one request may take, its retries included; policy."""
READ_BYTES = 512 * 1024
"""Least size of a chunk that is read, but for the last."""
MAX_CHUNK_BYTES = 1 << 20
"""Most of it, as the port has it."""
LIST_OBJECTS = 1_000
"""How many objects one request lists or deletes: as many as S3 allows."""
_COMPOSE_BYTES = 8 << 20
"""Size of the parts in which a large object is written; S3 wants 5 MiB or more."""
_COMPOSE_AT_ONCE = 2
_LEAST_BYTES_PER_SECOND = 1 << 20
"""How fast a large object must be written at least; policy."""
_MARK = "interopsim.txt"
_MARK_TEXT = b"Blobs of an interopsim world: uploads/ has what is unfinished, blobs/ what is whole.\n"
_FAILURES = (BaseError, OSError, NotImplementedError)
"""What obstore raises; a deadline that has passed is an `OSError`, too."""
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_NOT_ACCEPTED = re.compile(
    r"<Code>(InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|InvalidClientTokenId|AuthFailure"
    r"|AuthenticationFailed)</Code>"
)
_NO_CREDENTIALS = re.compile(
    r"must be specified|169\.254\.|metadata\.google|no credential|missing.*credential", re.IGNORECASE
)
_STATUS = re.compile(r"status code: (\d{3})\b")
_SYSTEM_SAYS = re.compile(r"(?:^|: )([A-Z][a-z ]+) \(os error \d+\)")


class Found(NamedTuple):
    """An object that is there."""

    path: str
    """Below the prefix."""
    size: int
    """In bytes."""


class Missing(Exception):
    """There is no such object."""


class Bucket:
    """A prefix in an object store.

    Args:
        store: What obstore opened there.
        url: What people call it.
        troubles: Where it is kept what is wrong with it.
        patience_seconds: How long one request may take.

    Where the store fails, or does not answer in time, every call raises `Refusal` STORAGE_UNAVAILABLE. After it has not
    answered in time, calls do so at once, until `check` has found that it answers.
    """

    def __init__(
        self, store: "ObjectStore", url: str, troubles: Troubles, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._store = store
        self._url = url
        self._troubles = troubles
        self._patience = patience_seconds
        self._is_failing = False
        self._is_silent = False
        """Whether it has not answered in time: then nobody else waits for it, until it answers again."""
        folder = url.removeprefix("file://")
        self._folder = Path(unquote(folder)) if folder != url else None
        """The folder in the place of an object store, which knows of no power cut."""

    @classmethod
    def at(cls, url: str, troubles: Troubles, patience_seconds: float = PATIENCE_SECONDS) -> "Bucket":
        """Returns the place that a URL names, as `urls.checked` has it; asks nobody yet.

        Raises:
            BlobsUnusable: It cannot be used.
        """
        try:
            return cls(_opened(url), url, troubles, patience_seconds)
        except (*_FAILURES, ValueError) as error:
            raise _unusable(url, _said(error)) from None

    async def begin(self) -> None:
        """Tries what blobs need of the place.

        Raises:
            BlobsUnusable: It cannot be used.
        """
        try:
            async with asyncio.timeout(self._patience):
                is_overwritten = await self._try_out()
        except _FAILURES as error:
            raise _unusable(self._url, _said(error)) from None
        if is_overwritten:
            said = "it overwrites what it is told not to, and two streams of one upload would spoil each other"
            raise _unusable(self._url, said)

    async def _try_out(self) -> bool:
        """Says whether an object that is there can be created."""
        store = self._store
        await obstore.put_async(store, _MARK, _MARK_TEXT)
        with suppress(StopAsyncIteration):
            await obstore.list(store, "uploads", chunk_size=1).__anext__()
        await obstore.get_range_async(store, _MARK, start=0, length=1)
        try:
            await obstore.put_async(store, _MARK, _MARK_TEXT, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    async def check(self) -> None:
        """After a failure, looks whether the store works again, and says so."""
        if not self._is_failing:
            return
        try:
            async with asyncio.timeout(self._patience):
                await obstore.put_async(self._store, _MARK, _MARK_TEXT)
        except _FAILURES:
            return
        self._is_failing = self._is_silent = False
        self._troubles.end(BLOBS)

    async def put(self, path: str, content: bytes | bytearray) -> None:
        """Writes a small object, over one that is there."""
        with self._met():
            async with asyncio.timeout(self._patience):
                await obstore.put_async(self._store, path, content, use_multipart=False)
            await self._sync(path)

    async def create(self, path: str, content: bytes | bytearray) -> bool:
        """Writes a small object if none is there, and says whether none was, or one with just this content."""
        with self._met():
            async with asyncio.timeout(self._patience):
                try:
                    await obstore.put_async(self._store, path, content, mode="create")
                except (AlreadyExistsError, PreconditionError):
                    if not await self._is_there(path, content):
                        return False
            await self._sync(path)
            return True

    async def _is_there(self, path: str, content: bytes | bytearray) -> bool:
        # Perhaps by ourselves: a request whose answer was lost has been made again.
        try:
            present = await obstore.get_async(self._store, path)
        except FileNotFoundError:  # it was deleted meanwhile
            return False
        return present.meta["size"] == len(content) and bytes(await present.bytes_async()) == content

    async def compose(self, path: str, chunks: AsyncIterator[bytes], length: int) -> None:
        """Writes a large object from chunks: whole, or not at all.

        Args:
            path: Where.
            chunks: What they raise is raised here.
            length: About how many bytes come.
        """
        with self._met():
            async with asyncio.timeout(self._patience + length / _LEAST_BYTES_PER_SECOND):
                await obstore.put_async(
                    self._store, path, chunks, chunk_size=_COMPOSE_BYTES, max_concurrency=_COMPOSE_AT_ONCE
                )
            await self._sync(path)

    async def list(self, prefix: str) -> AsyncGenerator[Found]:
        """Yields all objects below a folder, in no order."""
        stream = obstore.list(self._store, prefix, chunk_size=LIST_OBJECTS)
        while True:
            with self._met():
                async with asyncio.timeout(self._patience):
                    try:
                        batch = await stream.__anext__()
                    except StopAsyncIteration:
                        return
            for each in batch:
                yield Found(each["path"], each["size"])

    async def read(self, path: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yields the bytes of an object from `start` to before `end`, in chunks of at most 1 MiB.

        A store may end a stream that is read slowly: then it is read on from there.

        Raises:
            Missing: There is no such object.
            Refusal: STORAGE_UNAVAILABLE, also where the object is shorter.
        """
        at = start
        while at < end:
            began_at = at
            with self._met():
                stream = await self._stream(path, at, end)
            while at < end:
                try:
                    async with asyncio.timeout(self._patience):
                        chunk = await stream.__anext__()
                except StopAsyncIteration:
                    break
                except _FAILURES as error:
                    if at == began_at:
                        raise self._refusal(error) from None
                    break
                at += len(chunk)
                for cut in range(0, len(chunk), MAX_CHUNK_BYTES):
                    yield chunk[cut : cut + MAX_CHUNK_BYTES]
            if at == began_at:
                raise Refusal(Reason.STORAGE_UNAVAILABLE, cause="a stored blob is shorter than it was")

    async def delete(self, paths: Sequence[str]) -> None:
        """Deletes objects; that one is gone already is no failure."""
        for first in range(0, len(paths), LIST_OBJECTS):
            some = list(paths[first : first + LIST_OBJECTS])
            with self._met():
                async with asyncio.timeout(self._patience):
                    try:
                        await obstore.delete_async(self._store, some)
                    except FileNotFoundError as error:
                        if _NO_BUCKET.search(str(error)):
                            raise
                        await self._delete_each(some)  # stores differ in what they do with the others

    async def _delete_each(self, paths: Sequence[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, path)

    async def _stream(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        async with asyncio.timeout(self._patience):
            try:
                found = await obstore.get_async(self._store, path, options={"range": (start, end)})
            except FileNotFoundError as error:
                if _NO_BUCKET.search(str(error)):
                    raise
                raise Missing from None
        return aiter(found.stream(min_chunk_size=READ_BYTES))

    async def _sync(self, path: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_sync_file, self._folder, self._folder / path)

    @contextmanager
    def _met(self) -> Iterator[None]:
        if self._is_silent:
            raise self._refusal(TimeoutError())
        try:
            yield
        except _FAILURES as error:
            raise self._refusal(error) from None  # whose text may have secrets in it

    def _refusal(self, error: Exception) -> Refusal:
        said = _said(error)
        self._is_failing = True
        self._is_silent |= isinstance(error, TimeoutError)
        self._troubles.meet(BLOBS, f"{self._url} cannot be used ({said}): uploads and downloads are refused.")
        return Refusal(Reason.STORAGE_UNAVAILABLE, cause=f"the blobs cannot be used: {said}")


def _unusable(url: str, said: str) -> BlobsUnusable:
    return BlobsUnusable(f"{url} cannot be used for blobs: {said}.")


def _opened(url: str) -> "ObjectStore":
    if url.startswith("file://"):
        return from_url(url, mkdir=True, automatic_cleanup=True)
    return from_url(
        url,
        # A stream lasts as long as somebody reads it; each step of it has a deadline here.
        client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "1day"},
        retry_config={
            "max_retries": 2,
            "retry_timeout": timedelta(seconds=5),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
        },
    )


def _said(error: Exception) -> str:
    """Says what is wrong without a word of the error that could be a secret."""
    text = str(error)
    status = _STATUS.search(text)
    for is_so, sentence in (
        (isinstance(error, TimeoutError), "it does not answer"),
        (isinstance(error, NotImplementedError), "it cannot be told not to overwrite, which uploads need"),
        (_NO_BUCKET.search(text), "there is no such bucket"),
        (_NOT_ACCEPTED.search(text), "it does not accept the credentials"),
        (isinstance(error, UnauthenticatedError), "it does not accept the credentials"),
        (isinstance(error, PermissionDeniedError), "the credentials do not allow that"),
        (_NO_CREDENTIALS.search(text), "there are no credentials for it in the environment"),
        (status, f"it answers with status {status[1] if status else ''}"),
        ("error sending request" in text, "it cannot be reached"),
    ):
        if is_so:
            return sentence
    system = _SYSTEM_SAYS.search(text)
    if system:
        return system[1]
    return getattr(error, "strerror", None) or f"obstore says {type(error).__name__}"


def _sync_file(root: Path, file: Path) -> None:
    # A folder with a power cut before it is no object store: file and names are written through.
    for each in (file, *(folder for folder in file.parents if folder.is_relative_to(root)), root.parent):
        with suppress(FileNotFoundError):  # deleted meanwhile by another process
            descriptor = os.open(each, os.O_RDONLY)
            try:
                passing("object.sync")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
