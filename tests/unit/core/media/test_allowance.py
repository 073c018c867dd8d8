"""How much one account may store: bytes in a time, given back where they were not stored (MED-07)."""

import hashlib
from collections.abc import Awaitable, Callable

import pytest

from interop_protocol.encoding import media_token
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import LEAST_UPLOAD_BYTES as LEAST
from interop_server.core.media.media import Upload, UploadRequest
from interop_server.core.model import Account
from tests.unit.core.world import World, refused

BURST, A_SECOND = 4 * LEAST, 64


@pytest.fixture
async def small(build_world: Callable[..., Awaitable[World]]) -> World:
    """A world in which four small blobs are all that an account may upload at once."""
    return await build_world(max_blob_bytes=BURST, upload_burst=BURST, upload_per_second=float(A_SECOND))


def blob(number: int, length: int = 1) -> bytes:
    return number.to_bytes(length, "little")


async def start(world: World, user: Account, content: bytes, offset: int = 0) -> Upload:
    token = media_token(hashlib.sha256(content).digest())
    request = UploadRequest(await world.media.grant_upload(user), token, len(content), offset)
    upload = await world.media.start_upload(user, request)
    assert isinstance(upload, Upload)
    return upload


async def store(world: World, user: Account, content: bytes) -> None:
    upload = await start(world, user, content)
    await upload.write(content)
    await upload.finish()
    await upload.suspend()  # as whoever reads the stream does in the end


async def left(world: World, user: Account) -> int:
    """Returns how many more small blobs the account may upload now; they leave nothing behind."""
    begun = []
    try:
        while True:
            begun.append(await start(world, user, blob(1_000 + len(begun), 2)))
    except Refusal as refusal:
        assert refusal.reason is Reason.RATE_LIMITED
    for upload in begun:
        with refused(Reason.UPLOAD_LENGTH_MISMATCH):
            await upload.write(bytes(3))
    return len(begun)


async def test_an_account_stores_so_much_and_then_waits(small: World) -> None:
    """As long as it is told, and nobody else with it."""
    user, other = await small.whatsapp_user(), await small.whatsapp_user("+33612345678")
    for number in range(4):
        await store(small, user, blob(number))
    with refused(Reason.RATE_LIMITED, "MED-07") as caught:
        await start(small, user, blob(4))
    await store(small, other, blob(4))
    assert caught.value.retry_after_ms == LEAST // A_SECOND * 1_000 + 1
    small.clock.advance(caught.value.retry_after_ms)
    await store(small, user, blob(4))
    assert await left(small, user) == 0


async def test_large_blobs_count_by_their_bytes(small: World) -> None:
    """To the last one."""
    user = await small.whatsapp_user()
    await store(small, user, blob(0, 2 * LEAST))
    await store(small, user, blob(1, LEAST + 1))
    assert await left(small, user) == 0
    small.clock.advance(1_000)
    assert await left(small, user) == 1


async def test_what_is_there_already_counts_once(small: World) -> None:
    """Its path is answered however often it is uploaded."""
    user = await small.whatsapp_user()
    for number in range(4):
        await store(small, user, blob(number))
    token = media_token(hashlib.sha256(blob(0)).digest())
    for _ in range(2):
        again = UploadRequest(await small.media.grant_upload(user), token, 1, 0)
        assert isinstance(await small.media.start_upload(user, again), str)


async def test_an_upload_that_broke_counts_by_what_is_kept(small: World) -> None:
    """And goes on with the rest; so the whole is counted once, however often it broke."""
    user = await small.whatsapp_user()
    whole = blob(0, 3 * LEAST)
    upload = await start(small, user, whole)
    await upload.write(whole[: 2 * LEAST])
    assert await left(small, user) == 1
    await upload.suspend()
    assert await left(small, user) == 2
    rest = await start(small, user, whole, 2 * LEAST)
    await rest.write(whole[2 * LEAST :])
    await rest.finish()
    await rest.suspend()
    assert await left(small, user) == 1


async def test_an_upload_that_breaks_at_once_counts(small: World) -> None:
    """It leaves a file, too."""
    user = await small.whatsapp_user()
    for number in range(4):
        await (await start(small, user, blob(number, 9))).suspend()
    assert await left(small, user) == 0


async def test_what_is_thrown_away_does_not_count(small: World) -> None:
    """Neither too much, nor what has another hash; nor is it given back twice."""
    user = await small.whatsapp_user()
    await store(small, user, blob(0))
    for _ in range(5):
        upload = await start(small, user, blob(1, LEAST))
        with refused(Reason.UPLOAD_LENGTH_MISMATCH):
            await upload.write(bytes(LEAST + 1))
        await upload.suspend()
        upload = await start(small, user, blob(1, LEAST))
        await upload.write(bytes(LEAST))
        with refused(Reason.UPLOAD_HASH_MISMATCH):
            await upload.finish()
        await upload.suspend()
    assert await left(small, user) == 3


async def test_an_upload_that_cannot_begin_counts_for_nothing(small: World) -> None:
    """Nor does it leave a file: one for each hash that somebody names would be many."""
    user = await small.whatsapp_user()
    held = await start(small, user, blob(0))
    for number in range(9):
        with refused(Reason.UPLOAD_OFFSET_MISMATCH):
            await start(small, user, blob(number, 3), offset=2)
        with refused(Reason.UPLOAD_OFFSET_MISMATCH):
            await start(small, user, blob(0))
    await held.suspend()
    assert await left(small, user) == 3
    small.clock.advance(1)
    [unfinished] = [sweep for sweep in small.media.sweeps() if sweep.name == "unfinished_uploads"]
    assert await unfinished.delete(small.clock.now_ms(), 100) == 1
