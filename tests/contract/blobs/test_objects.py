"""How blobs lie in an object store, and what several nodes do to one upload there."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from obstore.store import ObjectStore, from_url

from interop_server.blobs.bucket import Bucket
from interop_server.blobs.object_writer import MAX_SMALL_PIECES
from interop_server.blobs.objects import ObjectBlobStore
from interop_server.blobs.urls import checked
from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import BlobReader
from interop_server.core.troubles import Troubles
from interop_server.storage.postgres.holds import PostgresHolds
from tests.manual_clock import ManualClock
from tests.object_stores import S3Server

CONTENT = random.Random(7).randbytes(250_000)
NAME = hashlib.sha256(CONTENT).hexdigest()
OTHER_NAME = "cd" * 32
PIECE_BYTES = 100_000
MARK = "interopsim.txt"
"""What the store tries itself out with."""
NOT_OURS = ("notes", "blobs/notes/5", "blobs/notes", "uploads/notes/t5", f"elsewhere/{NAME}/5")


@dataclass(frozen=True)
class Place:
    """A place for blobs, and a look at what lies there."""

    url: str
    raw: ObjectStore
    clock: ManualClock
    new_holds: Callable[[], PostgresHolds]

    def node(self, holds: PostgresHolds | None = None) -> ObjectBlobStore:
        """One of several processes that keep blobs there."""
        bucket = Bucket.at(self.url, Troubles())
        return ObjectBlobStore(bucket, self.clock, holds or self.new_holds(), piece_bytes=PIECE_BYTES)

    def without_holds(self) -> ObjectBlobStore:
        """One that behaves as if it had lost all its holds and did not know."""
        return ObjectBlobStore(Bucket.at(self.url, Troubles()), self.clock, piece_bytes=PIECE_BYTES)

    def paths(self) -> list[str]:
        found = (each["path"] for batch in obstore.list(self.raw) for each in batch)
        return sorted(path for path in found if path != MARK)

    def put(self, path: str, content: bytes = b"mine") -> None:
        obstore.put(self.raw, path, content)


@pytest.fixture(params=["file", "s3"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    new_holds: Callable[[], PostgresHolds],
) -> Place:
    if request.param == "file":
        url = checked((tmp_path / "blobs").as_uri())
        return Place(url, from_url(url, mkdir=True), clock, new_holds)
    server: S3Server = request.getfixturevalue("s3_server")
    server.tell(monkeypatch)
    url = checked(f"s3://{server.new_bucket()}/some/prefix")
    return Place(url, from_url(url, client_options={"allow_http": True}), clock, new_holds)


async def upload(node: ObjectBlobStore, start: int, end: int) -> None:
    """Takes up an upload, and leaves it."""
    writer = await node.open_writer(NAME)
    assert writer.committed_bytes == start
    await write(writer.write, start, end)
    await writer.suspend()


async def write(to: Callable[[bytes], object], start: int, end: int, step: int = 10_000) -> None:
    for at in range(start, end, step):
        await to(CONTENT[at : min(at + step, end)])  # type: ignore[misc]


async def read(reader: BlobReader | None) -> bytes:
    assert reader is not None
    return b"".join([chunk async for chunk in reader.chunks(0, reader.length)])


async def test_objects_lie_where_an_operator_expects_them(place: Place) -> None:
    """An upload in pieces that begin where the last one ends, no larger than told; a blob as an object with a time."""
    node, now_ms = place.node(), place.clock.now_ms()
    await upload(node, 0, 210_000)
    pieces = [f"uploads/{NAME}/{offset}" for offset in (0, 100_000, 200_000)]
    assert place.paths() == sorted([*pieces, f"uploads/{NAME}/t{now_ms}"])
    assert [obstore.head(place.raw, piece)["size"] for piece in pieces] == [100_000, 100_000, 10_000]
    place.clock.advance(5)
    writer = await node.open_writer(NAME)
    await write(writer.write, 210_000, len(CONTENT))
    await writer.commit()
    assert place.paths() == [f"blobs/{NAME}/{now_ms + 5}"]
    assert await read(await node.open_reader(NAME)) == CONTENT


async def test_what_fits_into_a_piece_is_one_request(place: Place) -> None:
    """No piece is stored before the blob is."""
    writer = await place.node().open_writer(NAME)
    await write(writer.write, 0, PIECE_BYTES)
    assert place.paths() == []
    await writer.commit()
    assert place.paths() == [f"blobs/{NAME}/{place.clock.now_ms()}"]


async def test_what_is_not_ours_stays(place: Place) -> None:
    """It is no blob and no upload, and outlives a clean world, also below the same prefix."""
    for path in NOT_OURS:
        if not (place.url.startswith("file") and path == "blobs/notes"):  # which is a folder there
            place.put(path)
    before, node = place.paths(), place.node()
    await upload(node, 0, 150_000)
    writer = await node.open_writer(OTHER_NAME)
    await writer.write(b"abc")
    await writer.commit()
    assert list(await node.list_stored()) == [OTHER_NAME]
    assert await node.oldest_upload_ms() == place.clock.now_ms()
    place.clock.advance(1)
    assert await node.delete_stale_uploads(place.clock.now_ms(), 1_000) == 1
    await upload(node, 0, 150_000)
    await node.clear()
    assert place.paths() == before


async def test_an_upload_goes_on_at_another_node(place: Place) -> None:
    """Each of three nodes knows what the others have stored, and none has seen all."""
    nodes = [place.node() for _ in range(3)]
    await upload(nodes[0], 0, 123_456)
    assert await nodes[1].committed_bytes(NAME) == 123_456
    await upload(nodes[1], 123_456, 200_001)
    writer = await nodes[2].open_writer(NAME)
    assert writer.committed_bytes == 200_001
    await write(writer.write, 200_001, len(CONTENT))
    assert (await writer.sha256()).hex() == NAME
    await writer.commit()
    assert [await read(await node.open_reader(NAME)) for node in nodes] == [CONTENT] * 3


async def test_two_nodes_never_write_one_upload(place: Place) -> None:
    """The second is told that it is being written, until the first has closed or has gone, and goes on from there."""
    holds = place.new_holds()
    here, there = place.node(holds), place.node()
    writer = await here.open_writer(NAME)
    await write(writer.write, 0, 120_000)
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            await there.open_writer(NAME)
    await (await there.open_writer(OTHER_NAME)).discard()
    await writer.suspend()
    await upload(there, 120_000, 220_001)
    await here.open_writer(NAME)
    with pytest.raises(BlockingIOError):
        await there.open_writer(NAME)
    await holds.close()  # as the end of its process does
    writer = await there.open_writer(NAME)
    await write(writer.write, 220_001, len(CONTENT))
    assert (await writer.sha256()).hex() == NAME
    await writer.commit()
    assert await read(await there.open_reader(NAME)) == CONTENT


async def test_of_two_nodes_that_write_all_the_same_the_first_is_heard(place: Place) -> None:
    """The stream that was left behind cannot spoil what the new one stores: it is refused and told where to go on."""
    old, new = place.without_holds(), place.without_holds()
    await upload(old, 0, 120_000)
    left, taken_up = await old.open_writer(NAME), await new.open_writer(NAME)
    await left.write(bytes(50_000))
    await write(taken_up.write, 120_000, 220_001)
    await taken_up.suspend()
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await left.suspend()
        assert caught.value.reason is Reason.UPLOAD_OFFSET_MISMATCH
    assert await old.committed_bytes(NAME) == 220_001
    await upload(old, 220_001, 230_000)


async def test_a_blob_is_held_by_one_node_at_a_time(place: Place) -> None:
    """In turn; meanwhile no node lists it, and whoever has lost its hold hears of it at the end."""
    holds = place.new_holds()
    here, there = place.node(holds), place.node()
    writer = await here.open_writer(NAME)
    await writer.commit()
    order: list[str] = []

    async def take(node: ObjectBlobStore, who: str) -> None:
        async with node.hold(NAME):
            order.append(who)
            assert [await each.list_stored() for each in (here, there)] == [{}, {}]
            order.append(who)

    await asyncio.gather(take(here, "here"), take(there, "there"))
    assert order in (["here"] * 2 + ["there"] * 2, ["there"] * 2 + ["here"] * 2)
    with pytest.raises(Refusal) as caught:
        async with here.hold(NAME):
            await holds.close()
            await take(there, "there")
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert list(await here.list_stored()) == [NAME]


async def test_two_nodes_that_store_the_same_do_not_disturb_each_other(place: Place) -> None:
    """Although neither holds it any more; both become the blob."""
    writers = [await place.without_holds().open_writer(NAME) for _ in range(2)]
    for writer in writers:
        await write(writer.write, 0, len(CONTENT))
        assert (await writer.sha256()).hex() == NAME
    for writer in writers:
        try:
            await writer.commit()
        except Refusal as refusal:  # its pieces went when the other was whole
            assert refusal.reason is Reason.STORAGE_UNAVAILABLE
    assert await read(await place.node().open_reader(NAME)) == CONTENT


@pytest.mark.parametrize("how", ["swept", "discarded"])
async def test_what_is_deleted_under_way_never_becomes_a_blob(place: Place, how: str) -> None:
    """By another node, when this one has lost its hold: the upload is refused, leaves nothing, and can begin anew."""
    here, there = place.without_holds(), place.node()
    writer = await here.open_writer(NAME)
    await write(writer.write, 0, 230_000)
    assert await writer.sha256()  # so that all full pieces are stored
    if how == "swept":
        place.clock.advance(3_600_000)
        assert await there.oldest_upload_ms() == place.clock.now_ms() - 3_600_000
        assert await there.delete_stale_uploads(place.clock.now_ms(), 10) == 1
    else:
        await (await there.open_writer(NAME)).discard()
    await write(writer.write, 230_000, len(CONTENT))
    with pytest.raises(Refusal) as caught:
        await writer.commit()
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE and "deleted meanwhile" in caught.value.cause
    assert await here.open_reader(NAME) is None
    writer = await here.open_writer(NAME)
    assert writer.committed_bytes == 0
    await write(writer.write, 0, len(CONTENT))
    await writer.commit()
    assert await read(await there.open_reader(NAME)) == CONTENT
    assert place.paths() == [f"blobs/{NAME}/{place.clock.now_ms()}"]


async def test_what_is_under_way_at_another_node_is_spared(place: Place) -> None:
    """However far the clock leaps meanwhile, until its process has gone."""
    holds = place.new_holds()
    here, there = place.node(holds), place.node()
    await upload(there, 0, 120_000)
    writer = await here.open_writer(NAME)
    await write(writer.write, 120_000, 230_000)
    await writer.sha256()  # so that a piece is stored
    place.clock.advance(30 * 86_400_000)
    assert await there.oldest_upload_ms() is None
    assert await there.delete_stale_uploads(place.clock.now_ms(), 10) == 0
    await holds.close()
    assert await there.oldest_upload_ms() == place.clock.now_ms() - 30 * 86_400_000
    assert await there.delete_stale_uploads(place.clock.now_ms(), 10) == 1
    assert place.paths() == []


async def test_what_was_resumed_and_left_meanwhile_is_not_stale(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look for what is stale and the turn of the upload, another node has written it."""
    here, there = place.node(), place.node()
    await upload(there, 0, 120_000)
    place.clock.advance(3_600_000)
    begin = here._begin

    async def late(name: str) -> None:
        await upload(there, 120_000, 130_000)
        await begin(name)

    monkeypatch.setattr(here, "_begin", late)
    assert await here.delete_stale_uploads(place.clock.now_ms(), 10) == 0
    assert await there.committed_bytes(NAME) == 130_000


async def test_what_was_stored_meanwhile_is_not_deleted(place: Place) -> None:
    """Of the objects of a blob only those that are so old; the blob is there as long as one is."""
    node = place.node()
    for _ in range(2):
        await (await node.open_writer(NAME)).commit()
        place.clock.advance(1)
    assert not await node.delete(NAME, place.clock.now_ms() - 1)
    assert place.paths() == [f"blobs/{NAME}/{place.clock.now_ms() - 1}"]


async def test_a_piece_changed_behind_the_back_never_becomes_a_blob(place: Place) -> None:
    """What becomes the blob is hashed when it is read back."""
    node = place.node()
    writer = await node.open_writer(NAME)
    await write(writer.write, 0, len(CONTENT))
    assert (await writer.sha256()).hex() == NAME
    place.put(f"uploads/{NAME}/0", bytes(PIECE_BYTES))
    with pytest.raises(Refusal) as caught:
        await writer.commit()
    assert "not those that were stored" in caught.value.cause
    assert await node.open_reader(NAME) is None


async def test_pieces_without_a_beginning_are_no_upload(place: Place) -> None:
    """As a stream leaves them that went on after its upload was deleted; they do not stand in the way of the next."""
    place.put(f"uploads/{NAME}/{PIECE_BYTES}", bytes(PIECE_BYTES))
    node = place.node()
    assert await node.committed_bytes(NAME) == 0
    await upload(node, 0, len(CONTENT))
    assert await node.committed_bytes(NAME) == len(CONTENT)
    writer = await node.open_writer(NAME)
    assert (await writer.sha256()).hex() == NAME
    await writer.commit()
    assert await read(await node.open_reader(NAME)) == CONTENT


async def test_an_upload_that_breaks_too_often_begins_anew(place: Place) -> None:
    """Each break leaves a small piece, and each resumption asks for all of them."""
    for offset in range(MAX_SMALL_PIECES + 1):
        place.put(f"uploads/{NAME}/{offset}", CONTENT[offset : offset + 1])
    writer = await place.node().open_writer(NAME)
    assert writer.committed_bytes == 0
    await writer.discard()
    assert place.paths() == []


async def test_each_node_sees_what_is_stale_at_the_others(place: Place) -> None:
    """Also when it has looked before and found nothing; in steps as large as told."""
    here, there = place.node(), place.node()
    assert await here.oldest_upload_ms() is None
    for name in (NAME, OTHER_NAME, "ef" * 32):
        writer = await there.open_writer(name)
        await writer.write(b"abc")
        await writer.suspend()
        place.clock.advance(1)
    assert await here.oldest_upload_ms() == place.clock.now_ms() - 3
    assert [await here.delete_stale_uploads(place.clock.now_ms(), 2) for _ in range(3)] == [2, 1, 0]
    assert place.paths() == []


async def test_a_blob_that_is_stored_again_is_deleted_whole(place: Place) -> None:
    """Both of its objects."""
    node = place.node()
    for _ in range(2):
        writer = await node.open_writer(NAME)
        await write(writer.write, 0, len(CONTENT))
        await writer.commit()
        place.clock.advance(1)
    assert len(place.paths()) == 2
    assert await node.delete(NAME)
    assert place.paths() == []
    assert not await node.delete(NAME)
