"""How the local blob store lays out its files, and what it does when the disk fails it."""

import asyncio
import hashlib
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from interop_server.blobs.local import HASH_BYTES, WRITE_BYTES, WRITE_CHUNKS, LocalBlobStore
from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import BLOBS, Troubles
from tests.manual_clock import ManualClock

NAME, OTHER = "ab" + "12" * 31, "cd" + "12" * 31


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def local(root: Path, clock: ManualClock) -> LocalBlobStore:
    return LocalBlobStore(root, clock)


@contextmanager
def fails_for(cause: str) -> Iterator[None]:
    """What is in it is refused as a fault of the server, whose cause the operator is told."""
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE and cause in caught.value.cause


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_files_lie_where_an_operator_expects_them(root: Path, local: LocalBlobStore) -> None:
    """Unfinished ones apart, finished ones in 256 folders."""
    writer = await local.open_writer(NAME)
    assert files(root) == [f"uploads/{NAME}.part"]
    await writer.commit()
    assert files(root) == [f"ab/{NAME}"]


@pytest.mark.requirement("SIM-06")
async def test_a_blob_in_tiny_chunks_takes_no_more_memory_than_another(local: LocalBlobStore) -> None:
    """A megabyte that came byte by byte took up 360 while it was gathered."""
    writer, most = await local.open_writer(NAME), 0
    for number in range(10_000):
        await writer.write(memoryview(bytes((number % 256,))))
        most = max(most, len(writer._gathered))
    assert most == WRITE_CHUNKS - 1
    content = bytes(number % 256 for number in range(10_000))
    assert (writer.committed_bytes, await writer.sha256()) == (10_000, hashlib.sha256(content).digest())
    await writer.discard()


async def test_a_strange_file_among_the_uploads_is_left_alone(root: Path, local: LocalBlobStore) -> None:
    """It is not ours to delete."""
    (root / "uploads").mkdir(parents=True)
    (root / "uploads" / "notes.part").write_text("mine")
    assert await local.delete_stale_uploads(1 << 45, 1_000) == 0
    assert files(root) == ["uploads/notes.part"]


async def test_a_strange_file_among_the_blobs_is_no_blob(root: Path, local: LocalBlobStore) -> None:
    """By its name, or by its place."""
    for folder, name in (("ab", "notes"), ("cd", NAME), ("uploads", NAME)):
        (root / folder).mkdir(parents=True)
        (root / folder / name).write_text("mine")
    assert await local.list_stored() == {}


async def test_hashing_a_large_upload_that_went_on_lets_others_through(root: Path, local: LocalBlobStore) -> None:
    """With one thread for all, who asks something small waits for one step of the hash, not for all of it."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    first, content = await local.open_writer(NAME), os.urandom(3 * HASH_BYTES)
    await first.write(content[:-1])
    await first.suspend()
    writer = await local.open_writer(NAME)
    await writer.write(content[-1:])
    hashing = asyncio.create_task(writer.sha256())
    for _ in range(2):
        assert await local.committed_bytes(OTHER) == 0
    assert not hashing.done()
    assert await hashing == hashlib.sha256(content).digest()
    await writer.suspend()
    writer = await local.open_writer(NAME)
    os.truncate(root / "uploads" / f"{NAME}.part", 3)
    with fails_for("shorter"):
        await writer.sha256()
    await writer.discard()


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system refuses to let a file of this process grow past 1,000 bytes, as it does when a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files")
async def test_a_full_disk_is_told_and_leaves_the_name_free(root: Path, local: LocalBlobStore) -> None:
    """Writing fails at the hash at the latest, suspending too; the name can be taken again, with what did fit."""
    writer = await local.open_writer(NAME)
    await writer.write(bytes(WRITE_BYTES))
    with fails_for("File too large"):
        await writer.sha256()
    with fails_for("File too large"):
        await writer.suspend()
    writer = await local.open_writer(NAME)
    assert writer.committed_bytes == 1_000
    await writer.discard()
    assert files(root) == []


@pytest.mark.usefixtures("small_files")
async def test_an_upload_that_did_not_fit_can_be_discarded(root: Path, local: LocalBlobStore) -> None:
    """Though its last bytes never reached the disk."""
    writer = await local.open_writer(NAME)
    await writer.write(bytes(WRITE_BYTES))
    await writer.discard()
    assert files(root) == []


async def test_a_root_that_cannot_be_made_is_told(tmp_path: Path, clock: ManualClock) -> None:
    """Opening fails, and fails again the same way: no name is left taken."""
    (tmp_path / "file").touch()
    blobs = LocalBlobStore(tmp_path / "file" / "below", clock)
    for _ in range(2):
        with fails_for("Not a directory"):
            await blobs.open_writer(NAME)


async def test_a_blob_cut_short_behind_the_back_is_told(root: Path, local: LocalBlobStore) -> None:
    """Rather than served as if it were whole."""
    writer = await local.open_writer(NAME)
    await writer.write(b"abcdef")
    await writer.commit()
    reader = await local.open_reader(NAME)
    assert reader is not None
    os.truncate(root / "ab" / NAME, 3)
    with fails_for("shorter"):
        assert [chunk async for chunk in reader.chunks(0, reader.length)] == []


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is synced from now on, in order; it is synced indeed."""
    paths: list[Path] = []

    def note(descriptor: int, sync: Callable[[int], None] = os.fsync) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


@pytest.mark.requirement("SIM-03")
async def test_a_blob_outlives_a_power_cut_with_all_its_folders(
    root: Path, clock: ManualClock, synced: list[Path]
) -> None:
    """The file is synced before it gets its name, then every folder on the way to it.

    Also a folder that is there already: the process that made it may have been killed before it was synced.
    """
    (root / "ab").mkdir(parents=True)
    local = LocalBlobStore(root, clock)
    for last, folders in (("12", [root, root.parent, root / "ab"]), ("34", [root / "ab"])):
        name = NAME[:-2] + last
        writer = await local.open_writer(name)
        await writer.write(b"abc")
        synced.clear()
        await writer.commit()
        assert synced == [root / "uploads" / f"{name}.part", *folders]


@contextmanager
def file_in_place_of(folder: Path) -> Iterator[None]:
    """As a folder that is read-only, which root would not notice."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.touch()
    yield
    folder.unlink()
    aside.rename(folder)


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize("place", ["uploads", "ab", ""])
async def test_a_folder_that_fails_is_said_once_and_works_again(root: Path, clock: ManualClock, place: str) -> None:
    """Whichever folder it is: every call is refused, the trouble stands until the folder works, and then it is over."""
    troubles, told = Troubles(), list[tuple[str, str]]()
    troubles.watch(lambda part, sentence: told.append((part, sentence)))
    local = LocalBlobStore(root, clock, troubles)
    writer = await local.open_writer(NAME)
    await writer.commit()
    other = NAME[:-1] + "3"
    with file_in_place_of(root / place if place else root):
        for _ in range(3):
            with fails_for("exists" if place else "Not a directory"):
                await (await local.open_writer(other)).commit()
            await local.check()
        assert list(troubles.present) == [BLOBS]
    await local.check()
    assert not troubles.present
    assert [(part, bool(sentence)) for part, sentence in told] == [(BLOBS, True), (BLOBS, False)]
    writer = await local.open_writer(other)
    await writer.commit()
    assert await local.open_reader(other) is not None


@pytest.mark.requirement("SIM-03")
async def test_a_folder_that_vanishes_is_made_again(root: Path, clock: ManualClock) -> None:
    """What was in it is gone; the upload under way is refused, the next one is kept."""
    troubles = Troubles()
    local = LocalBlobStore(root, clock, troubles)
    await (await local.open_writer(NAME)).commit()
    writer = await local.open_writer(NAME)
    shutil.rmtree(root)
    with fails_for("No such file"):
        await writer.commit()
    assert list(troubles.present) == [BLOBS]
    await local.check()
    assert not troubles.present
    await (await local.open_writer(NAME)).commit()
    assert files(root) == [f"ab/{NAME}"]


@pytest.mark.requirement("SIM-03")
async def test_a_full_disk_is_in_trouble_until_there_is_room(root: Path, clock: ManualClock) -> None:
    """A little room is not enough: what an upload writes at once must fit."""
    troubles = Troubles()
    local = LocalBlobStore(root, clock, troubles)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = await local.open_writer(NAME)
    try:
        for most in (1_000, WRITE_BYTES - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
            if most == 1_000:
                await writer.write(bytes(WRITE_BYTES))
                with fails_for("File too large"):
                    await writer.commit()
            await local.check()
            assert list(troubles.present) == [BLOBS]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await local.check()
    assert not troubles.present


@pytest.mark.parametrize("cancellations", [1, 2, 3])
async def test_a_reader_that_leaves_closes_its_file(
    local: LocalBlobStore, monkeypatch: pytest.MonkeyPatch, cancellations: int
) -> None:
    """However often it is cancelled while a thread reads ahead for it: the thread opens nothing that stays open."""
    writer = await local.open_writer(NAME)
    await writer.write(bytes(1_000))
    await writer.commit()
    is_reading, may_go_on, is_open = asyncio.Event(), threading.Event(), threading.Event()
    opened: list[BinaryIO] = []
    loop, open_file = asyncio.get_running_loop(), Path.open

    def slowly(path: Path, *arguments: Any, **options: Any) -> Any:
        loop.call_soon_threadsafe(is_reading.set)
        assert may_go_on.wait(10)
        opened.append(open_file(path, *arguments, **options))
        is_open.set()
        return opened[-1]

    reader = await local.open_reader(NAME)

    async def read() -> None:
        async with aclosing(reader.chunks(0, 1_000)) as chunks:
            async for _ in chunks:
                pass

    monkeypatch.setattr(Path, "open", slowly)
    task = asyncio.create_task(read())
    await is_reading.wait()
    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    may_go_on.set()
    assert await asyncio.to_thread(is_open.wait, 10)
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    await asyncio.sleep(0)  # what follows from their end
    assert [file.closed for file in opened] == [True]
