"""What every blob store promises (MED-04, MED-05, MED-07)."""

import asyncio
import hashlib
import os
import random
from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from typing import Any

import pytest

from interop_server.blobs.bucket import Bucket
from interop_server.core.ports import BlobReader, BlobStore, BlobWriter
from tests.manual_clock import ManualClock

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(2 * MIB + 4_321)
NAME = hashlib.sha256(CONTENT).hexdigest()
OTHER_NAME = "ab" * 32


async def write(writer: BlobWriter, content: bytes, sizes: Iterable[int]) -> None:
    for start, end in pairwise(accumulate(sizes, initial=0)):
        await writer.write(content[start:end])


async def store_blob(blobs: BlobStore, content: bytes = CONTENT, name: str = NAME) -> None:
    writer = await blobs.open_writer(name)
    await writer.write(content)
    await writer.commit()


async def read(reader: BlobReader | None, offset: int = 0, length: int | None = None) -> bytes:
    assert reader is not None
    chunks = [chunk async for chunk in reader.chunks(offset, reader.length - offset if length is None else length)]
    assert all(0 < len(chunk) <= MIB for chunk in chunks)
    return b"".join(chunks)


@pytest.mark.parametrize("chunk_bytes", [997, 64 * 1024, MIB, len(CONTENT)])
async def test_a_committed_blob_reads_back_whole(
    blobs: BlobStore, reopen: Callable[[], BlobStore], chunk_bytes: int
) -> None:
    """In chunks of any size, with the hash of the whole; also after a restart."""
    writer = await blobs.open_writer(NAME)
    assert writer.committed_bytes == 0
    for start in range(0, len(CONTENT), chunk_bytes):
        await writer.write(CONTENT[start : start + chunk_bytes])
    assert writer.committed_bytes == len(CONTENT)
    assert (await writer.sha256()).hex() == NAME
    await writer.commit()
    reader = await reopen().open_reader(NAME)
    assert reader is not None
    assert reader.length == len(CONTENT)
    assert await read(reader) == CONTENT
    assert await reopen().committed_bytes(NAME) == 0


async def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    """Nothing written, nothing read, but there."""
    writer = await blobs.open_writer(NAME)
    assert await writer.sha256() == hashlib.sha256().digest()
    await writer.commit()
    assert await read(await blobs.open_reader(NAME)) == b""


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (1, MIB), (MIB - 1, 2), (len(CONTENT) - 1, 1), (4_321, 2 * MIB), (7, 0)]
)
async def test_a_range_reads_exactly_that(blobs: BlobStore, offset: int, length: int) -> None:
    """Across chunk borders and at both ends."""
    await store_blob(blobs)
    assert await read(await blobs.open_reader(NAME), offset, length) == CONTENT[offset : offset + length]


async def test_an_unfinished_blob_cannot_be_read(blobs: BlobStore) -> None:
    """Neither while it is written, nor suspended, nor discarded."""
    writer = await blobs.open_writer(NAME)
    await writer.write(CONTENT)
    assert await blobs.open_reader(NAME) is None
    await writer.suspend()
    assert await blobs.open_reader(NAME) is None
    await (await blobs.open_writer(NAME)).discard()
    assert await blobs.open_reader(NAME) is None


async def test_a_suspended_upload_goes_on_where_it_stopped(blobs: BlobStore, reopen: Callable[[], BlobStore]) -> None:
    """Three sittings with a restart between each: the hash covers all of them."""
    borders = (0, 1_000, MIB + 77, len(CONTENT))
    for start, end in pairwise(borders):
        store = reopen()
        assert await store.committed_bytes(NAME) == start
        writer = await store.open_writer(NAME)
        assert writer.committed_bytes == start
        await writer.write(CONTENT[start:end])
        assert await writer.sha256() == hashlib.sha256(CONTENT[:end]).digest()
        await (writer.suspend() if end < len(CONTENT) else writer.commit())
    assert await read(await blobs.open_reader(NAME)) == CONTENT


@pytest.mark.requirement("SIM-06")
async def test_whoever_takes_up_an_upload_and_leaves_it_has_nothing_read(
    blobs: BlobStore, reopen: Callable[[], BlobStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a request without a byte would cost as much as all of the blob, as often as it is made; the end reads it."""
    reads = list[str]()
    pread, read_object = os.pread, Bucket.read

    def read_file(file: int, length: int, offset: int) -> bytes:
        reads.append(f"file at {offset}")
        return pread(file, length, offset)

    def read_piece(bucket: Bucket, path: str, start: int, end: int) -> Any:
        reads.append(path)
        return read_object(bucket, path, start, end)

    monkeypatch.setattr(os, "pread", read_file)
    monkeypatch.setattr(Bucket, "read", read_piece)
    for store in (blobs, blobs, reopen(), reopen()):
        writer = await store.open_writer(NAME)
        if not writer.committed_bytes:
            await writer.write(CONTENT[: MIB + 77])
        assert writer.committed_bytes == MIB + 77
        await writer.suspend()
    assert reads == []
    writer = await reopen().open_writer(NAME)
    await writer.write(CONTENT[MIB + 77 :])
    for _ in range(2):
        assert await writer.sha256() == hashlib.sha256(CONTENT).digest()
    assert len(reads) == len(set(reads)) > 0
    await writer.commit()
    assert await read(await blobs.open_reader(NAME)) == CONTENT


async def test_a_discarded_upload_starts_again_at_zero(blobs: BlobStore) -> None:
    """Nothing of it is kept."""
    writer = await blobs.open_writer(NAME)
    await writer.write(CONTENT)
    await writer.discard()
    assert await blobs.committed_bytes(NAME) == 0
    writer = await blobs.open_writer(NAME)
    assert writer.committed_bytes == 0
    await writer.discard()


async def test_one_writer_at_a_time(blobs: BlobStore) -> None:
    """A second one for the same name is refused until the first has closed; another name is free."""
    writer = await blobs.open_writer(NAME)
    with pytest.raises(BlockingIOError):
        await blobs.open_writer(NAME)
    await (await blobs.open_writer(OTHER_NAME)).discard()
    await writer.write(b"abc")
    await writer.suspend()
    writer = await blobs.open_writer(NAME)
    assert writer.committed_bytes == 3
    await writer.commit()
    await (await blobs.open_writer(NAME)).discard()


async def test_of_many_writers_at_once_one_gets_in(blobs: BlobStore) -> None:
    """Eight tasks open the same name at the same time."""
    opened = await asyncio.gather(*(blobs.open_writer(NAME) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(writer, BlockingIOError) for writer in opened) == 7
    for writer in opened:
        if not isinstance(writer, BaseException):
            await writer.discard()


async def test_the_first_way_to_close_counts(blobs: BlobStore) -> None:
    """A commit followed by the usual clean-up stays a commit; a closed writer takes nothing."""
    writer = await blobs.open_writer(NAME)
    await writer.write(CONTENT)
    await writer.commit()
    await writer.suspend()
    await writer.discard()
    with pytest.raises(ValueError, match="closed"):
        await writer.write(b"more")
    assert await read(await blobs.open_reader(NAME)) == CONTENT


async def test_a_cancelled_upload_keeps_what_came(blobs: BlobStore) -> None:
    """The uploader's task is cancelled in the middle of the stream and suspends on its way out."""
    arrived, never = asyncio.Event(), asyncio.Event()

    async def upload() -> None:
        writer = await blobs.open_writer(NAME)
        try:
            await write(writer, CONTENT, [MIB, 100, MIB])
            arrived.set()
            await never.wait()
        finally:
            await writer.suspend()

    task = asyncio.create_task(upload())
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    writer = await blobs.open_writer(NAME)
    assert writer.committed_bytes == 2 * MIB + 100
    assert await writer.sha256() == hashlib.sha256(CONTENT[: 2 * MIB + 100]).digest()
    await writer.discard()


@pytest.mark.parametrize("steps", range(12))
async def test_a_writer_cancelled_at_any_step_leaves_the_name_free(blobs: BlobStore, steps: int) -> None:
    """However far it got: open, write or close; the name can be taken again and what is kept hashes right."""

    async def upload() -> None:
        writer = await blobs.open_writer(NAME)
        try:
            await write(writer, CONTENT, [MIB, MIB])
        finally:
            await writer.suspend()

    task = asyncio.create_task(upload())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    writer = await _open_when_free(blobs)
    assert await writer.sha256() == hashlib.sha256(CONTENT[: writer.committed_bytes]).digest()
    await writer.discard()


async def _open_when_free(blobs: BlobStore) -> BlobWriter:
    # A close that was itself cancelled ends in the background.
    while True:
        try:
            return await blobs.open_writer(NAME)
        except BlockingIOError:
            await asyncio.sleep(0)


async def test_a_deleted_blob_is_gone(blobs: BlobStore) -> None:
    """Once and again; and it can be stored anew."""
    await store_blob(blobs)
    await blobs.delete(NAME)
    await blobs.delete(NAME)
    assert await blobs.open_reader(NAME) is None
    await store_blob(blobs)
    assert await read(await blobs.open_reader(NAME)) == CONTENT


async def test_stored_blobs_are_dated_by_the_clock_of_the_service(
    blobs: BlobStore, reopen: Callable[[], BlobStore], clock: ManualClock
) -> None:
    """By when they became whole, also after a restart; unfinished ones are not stored."""
    assert await blobs.list_stored() == {}
    await store_blob(blobs)
    clock.advance(3_600_000)
    writing = await blobs.open_writer(OTHER_NAME)
    await writing.write(b"abc")
    assert await blobs.list_stored() == {NAME: clock.now_ms() - 3_600_000}
    await writing.commit()
    assert await reopen().list_stored() == {NAME: clock.now_ms() - 3_600_000, OTHER_NAME: clock.now_ms()}


async def test_only_what_was_stored_before_a_time_is_deleted(blobs: BlobStore, clock: ManualClock) -> None:
    """What was stored again meanwhile stays."""
    await store_blob(blobs)
    clock.advance(1)
    await store_blob(blobs)
    assert not await blobs.delete(NAME, clock.now_ms())
    assert await read(await blobs.open_reader(NAME)) == CONTENT
    assert await blobs.delete(NAME, clock.now_ms() + 1)
    assert not await blobs.delete(NAME, clock.now_ms() + 1)


async def test_a_name_is_held_by_one_at_a_time(blobs: BlobStore) -> None:
    """In the order of asking; others are not held up, and what is held is not listed."""
    await store_blob(blobs)
    order: list[int] = []

    async def take(number: int) -> None:
        async with blobs.hold(NAME):
            order.append(number)
            assert await blobs.list_stored() == {}
            order.append(number)

    async with blobs.hold(OTHER_NAME):
        await asyncio.gather(*(take(number) for number in range(3)))
    assert order == [0, 0, 1, 1, 2, 2]
    assert list(await blobs.list_stored()) == [NAME]


async def test_a_reader_under_way_outlives_the_deletion(blobs: BlobStore) -> None:
    """A download that has begun ends well; one that has not is told that the blob is no longer kept."""
    await store_blob(blobs)
    under_way, too_late = await blobs.open_reader(NAME), await blobs.open_reader(NAME)
    assert under_way is not None
    chunks = under_way.chunks(0, len(CONTENT))
    first = await anext(chunks)
    await blobs.delete(NAME)
    assert first + b"".join([chunk async for chunk in chunks]) == CONTENT
    with pytest.raises(Exception, match="BLOB_EXPIRED"):
        await read(too_late)


async def test_readers_do_not_disturb_each_other(blobs: BlobStore) -> None:
    """Eight at once, each its own range."""
    await store_blob(blobs)
    reader = await blobs.open_reader(NAME)
    parts = await asyncio.gather(*(read(reader, start * 1_000, MIB) for start in range(8)))
    assert parts == [CONTENT[start * 1_000 : start * 1_000 + MIB] for start in range(8)]


async def test_a_reader_may_stop_early(blobs: BlobStore) -> None:
    """After one chunk of several; nothing stays open, which the warnings would show."""
    await store_blob(blobs)
    reader = await blobs.open_reader(NAME)
    assert reader is not None
    chunks = reader.chunks(0, len(CONTENT))
    assert CONTENT.startswith(await anext(chunks))
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_stale_uploads_go_by_the_clock_of_the_service(blobs: BlobStore, clock: ManualClock) -> None:
    """Of three uploads, the one suspended too long ago goes; the later one and the one being written stay."""
    suspended = await blobs.open_writer(NAME)
    await suspended.write(b"abc")
    await suspended.suspend()
    writing = await blobs.open_writer("cd" * 32)
    clock.advance(3_600_000)
    later = await blobs.open_writer(OTHER_NAME)
    await later.write(b"abcd")
    await later.suspend()
    assert await blobs.oldest_upload_ms() == clock.now_ms() - 3_600_000
    assert await blobs.delete_stale_uploads(clock.now_ms() - 3_600_000, 1_000) == 0
    assert await blobs.delete_stale_uploads(clock.now_ms() - 1, 1_000) == 1
    assert await blobs.oldest_upload_ms() == clock.now_ms()
    assert (await blobs.committed_bytes(NAME), await blobs.committed_bytes(OTHER_NAME)) == (0, 4)
    await writing.write(b"ab")
    await writing.commit()
    assert await read(await blobs.open_reader("cd" * 32)) == b"ab"


async def test_nothing_is_stale_in_an_empty_store(blobs: BlobStore, clock: ManualClock) -> None:
    """Before the first upload, and when the last one is whole."""
    assert await blobs.oldest_upload_ms() is None
    assert await blobs.delete_stale_uploads(clock.now_ms(), 1_000) == 0
    writing = await blobs.open_writer(NAME)
    await writing.write(b"abc")
    assert await blobs.oldest_upload_ms() is None
    await writing.suspend()
    assert await blobs.oldest_upload_ms() == clock.now_ms()
    writing = await blobs.open_writer(NAME)
    await writing.commit()
    assert await blobs.oldest_upload_ms() is None
    assert await blobs.oldest_upload_ms() is None


@pytest.mark.parametrize(
    "name", ["", "ab", "AB" * 32, "../" * 21 + "x", "ab" * 33, "gg" * 32, "ab" * 32 + "\n", "é" * 64]
)
async def test_a_name_is_64_hexadecimal_digits(blobs: BlobStore, name: str) -> None:
    """Nothing else reaches the store behind, whichever call it comes by."""
    for call in (blobs.open_writer, blobs.committed_bytes, blobs.open_reader, blobs.delete):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            await call(name)
