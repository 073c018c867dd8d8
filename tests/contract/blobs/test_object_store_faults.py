"""An object store that is killed, stands still, loses answers, or has gone: refusals, a trouble, and no broken blob."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from interop_server.blobs import BlobsUnusable
from interop_server.blobs.bucket import Bucket
from interop_server.blobs.objects import ObjectBlobStore
from interop_server.blobs.urls import checked
from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import BlobReader
from interop_server.core.troubles import BLOBS, Troubles
from tests.manual_clock import ManualClock
from tests.object_stores import ACCESS_KEY, SECRET_KEY, CuttingProxy, S3Server

pytestmark = [pytest.mark.requirement("SIM-03"), pytest.mark.timeout(180)]

CONTENT = random.Random(11).randbytes(3_000_000)
NAME = hashlib.sha256(CONTENT).hexdigest()
PIECE_BYTES = 1_000_000
IMPATIENT_SECONDS = 1.0
PATIENT_SECONDS = 30.0


@pytest.fixture
def lasting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server of this test's own, which keeps what it has acknowledged when it is killed."""
    server = S3Server(tmp_path / "requests")
    server.start()
    server.tell(monkeypatch)
    yield server
    server.close()


@pytest.fixture
def troubles() -> Troubles:
    return Troubles()


@contextmanager
def fails_for(cause: str) -> Iterator[None]:
    """What is in it is refused as a fault of the server, whose cause the operator is told; it names no secret."""
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE and cause in caught.value.cause
    refusal = caught.value
    assert refusal.__cause__ is None and (refusal.__context__ is None or refusal.__suppress_context__)


def opened(
    bucket: str, clock: ManualClock, troubles: Troubles, patience_seconds: float = PATIENT_SECONDS
) -> ObjectBlobStore:
    url = checked(f"s3://{bucket}/prefix")
    return ObjectBlobStore(Bucket.at(url, troubles, patience_seconds), clock, piece_bytes=PIECE_BYTES)


async def store_all(blobs: ObjectBlobStore, start: int = 0) -> None:
    writer = await blobs.open_writer(NAME)
    assert writer.committed_bytes == start
    try:
        for at in range(start, len(CONTENT), 250_000):
            await writer.write(CONTENT[at : at + 250_000])
        assert (await writer.sha256()).hex() == NAME
        await writer.commit()
    finally:
        with suppress(Refusal):
            await writer.suspend()


async def read(reader: BlobReader | None) -> bytes:
    assert reader is not None
    return b"".join([chunk async for chunk in reader.chunks(0, reader.length)])


async def test_what_was_stored_before_a_kill_is_kept(lasting: S3Server, clock: ManualClock, troubles: Troubles) -> None:
    """Amid an upload: it is refused, goes on after the restart where the server says, and the blob is whole."""
    bucket = lasting.new_bucket()
    blobs = opened(bucket, clock, troubles)
    writer = await blobs.open_writer(NAME)
    await writer.write(CONTENT[:PIECE_BYTES])
    await writer.write(CONTENT[PIECE_BYTES : 2 * PIECE_BYTES])
    await writer.sha256()  # and so the first piece is stored
    lasting.kill()
    with fails_for("cannot be reached"):
        await writer.suspend()
    with fails_for("cannot be reached"):
        await blobs.committed_bytes(NAME)
    await blobs.check()
    assert list(troubles.present) == [BLOBS]
    lasting.start()
    await blobs.check()
    assert not troubles.present
    assert await blobs.committed_bytes(NAME) == PIECE_BYTES
    await store_all(blobs, PIECE_BYTES)
    lasting.kill()
    lasting.start()
    assert await read(await blobs.open_reader(NAME)) == CONTENT


@pytest.mark.parametrize("requests", [2, 4, 6], ids=["amid the pieces", "as it is composed", "when it is whole"])
async def test_a_kill_at_any_request_breaks_no_blob(
    lasting: S3Server, clock: ManualClock, troubles: Troubles, requests: int
) -> None:
    """However far it came: what can be read is whole, and what was said to be stored is there."""
    bucket = lasting.new_bucket()
    blobs = opened(bucket, clock, troubles)
    upload = asyncio.create_task(store_all(blobs))
    journal = lasting.journal
    lines = 1 + requests  # after that which made the bucket
    while journal.read_bytes().count(b"\n") < lines and not upload.done():
        await asyncio.wait([upload], timeout=0.01)
    lasting.kill()
    await asyncio.wait([upload])
    lasting.start()
    await blobs.check()
    assert not troubles.present
    if upload.exception() is None:
        assert await read(await blobs.open_reader(NAME)) == CONTENT
        return
    assert isinstance(upload.exception(), Refusal)
    if (reader := await blobs.open_reader(NAME)) is not None:
        assert await read(reader) == CONTENT
    await store_all(blobs, await blobs.committed_bytes(NAME))
    assert await read(await blobs.open_reader(NAME)) == CONTENT


async def test_a_store_that_stands_still_is_not_waited_for(
    lasting: S3Server, clock: ManualClock, troubles: Troubles
) -> None:
    """Every call ends after its time with a refusal; when the store goes on, the upload does, too."""
    bucket = lasting.new_bucket()
    blobs = opened(bucket, clock, troubles, IMPATIENT_SECONDS)
    other = hashlib.sha256(b"other").hexdigest()
    writer = await blobs.open_writer(other)
    await writer.write(b"other")
    await writer.commit()
    reader = await blobs.open_reader(other)
    writer = await blobs.open_writer(NAME)
    await writer.write(CONTENT[:PIECE_BYTES])
    lasting.stop()
    for call in (writer.suspend, lambda: blobs.open_writer(other), lambda: read(reader), lambda: blobs.delete(other)):
        with fails_for("does not answer"):
            await call()
    await blobs.check()
    assert list(troubles.present) == [BLOBS]
    assert "s3://" in troubles.present[BLOBS] and "does not answer" in troubles.present[BLOBS]
    lasting.go_on()
    patient = opened(bucket, clock, troubles)
    while troubles.present:
        await blobs.check()
    # What was on its way when it stood still may have been stored, as with any answer that is lost.
    start = await patient.committed_bytes(NAME)
    assert start in (0, PIECE_BYTES)
    await store_all(patient, start)
    assert await read(await patient.open_reader(NAME)) == CONTENT
    assert await read(await patient.open_reader(other)) == b"other"


async def test_a_bucket_that_has_gone_is_a_trouble_and_no_expired_blob(
    lasting: S3Server, clock: ManualClock, troubles: Troubles
) -> None:
    """Until it is there again; then what was in it has expired."""
    lasting.journal.unlink(missing_ok=True)
    bucket = lasting.new_bucket()
    blobs = opened(bucket, clock, troubles)
    await store_all(blobs)
    reader = await blobs.open_reader(NAME)
    lasting.kill()
    lasting.journal.unlink()
    lasting.start()
    for call in (
        lambda: blobs.open_reader(NAME),
        lambda: read(reader),
        lambda: blobs.open_writer(NAME),
        lambda: blobs.list_stored(),
    ):
        with fails_for("no such bucket"):
            await call()
    await blobs.check()
    assert list(troubles.present) == [BLOBS]
    lasting.make_bucket(bucket)
    await blobs.check()
    assert not troubles.present
    assert await blobs.open_reader(NAME) is None
    with pytest.raises(Refusal, match="BLOB_EXPIRED"):
        await read(reader)
    await store_all(blobs)
    assert await read(await blobs.open_reader(NAME)) == CONTENT


@pytest_asyncio.fixture
async def proxy(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CuttingProxy]:
    """Between the store and its server."""
    s3_server.tell(monkeypatch)
    async with CuttingProxy(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


async def test_a_download_that_breaks_goes_on_where_it_was(
    proxy: CuttingProxy, s3_server: S3Server, clock: ManualClock, troubles: Troubles
) -> None:
    """Three times; nothing is lost, doubled, or a trouble."""
    blobs = opened(s3_server.new_bucket(), clock, troubles)
    await store_all(blobs)
    reader = await blobs.open_reader(NAME)
    proxy.most_bytes, proxy.cuts = 700_000, 3
    assert await read(reader) == CONTENT
    assert proxy.has_cut == 3 and not troubles.present


async def test_a_download_that_always_breaks_is_refused(
    proxy: CuttingProxy, s3_server: S3Server, clock: ManualClock, troubles: Troubles
) -> None:
    """Rather than tried for ever, or served as if it were whole."""
    blobs = opened(s3_server.new_bucket(), clock, troubles)
    await store_all(blobs)
    reader = await blobs.open_reader(NAME)
    proxy.most_bytes, proxy.cuts = 0, 1_000
    with fails_for(""):
        await read(reader)
    assert list(troubles.present) == [BLOBS]
    proxy.cuts = 0
    await blobs.check()
    assert not troubles.present
    assert await read(reader) == CONTENT


async def test_a_lost_answer_is_no_other_stream(
    proxy: CuttingProxy, s3_server: S3Server, clock: ManualClock, troubles: Troubles
) -> None:
    """A piece that was stored although nobody heard it is known again by what is in it."""
    blobs = opened(s3_server.new_bucket(), clock, troubles)
    writer = await blobs.open_writer(NAME)
    await writer.write(CONTENT[:PIECE_BYTES])
    proxy.most_bytes, proxy.cuts = 0, 2
    await writer.suspend()
    assert proxy.has_cut == 2
    await store_all(blobs, PIECE_BYTES)
    assert await read(await blobs.open_reader(NAME)) == CONTENT


@pytest.fixture(scope="module")
def strict() -> Iterator[S3Server]:
    """A server that looks at signatures, once it has a bucket; no key is good there."""
    server = S3Server(environment={"INITIAL_NO_AUTH_ACTION_COUNT": "1"})
    server.start()
    server.make_bucket("strict")
    yield server
    server.close()


async def test_credentials_that_are_not_accepted_are_told_without_them(
    strict: S3Server, monkeypatch: pytest.MonkeyPatch, troubles: Troubles
) -> None:
    """At the start, in one sentence."""
    strict.tell(monkeypatch)
    bucket = Bucket.at("s3://strict/prefix", troubles)
    with pytest.raises(BlobsUnusable, match="does not accept the credentials") as caught:
        await bucket.begin()
    assert SECRET_KEY not in str(caught.value) and ACCESS_KEY not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


async def test_a_bucket_that_is_not_there_is_told(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, troubles: Troubles
) -> None:
    """At the start; it is not made."""
    s3_server.tell(monkeypatch)
    for _ in range(2):
        with pytest.raises(BlobsUnusable, match="s3://nowhere cannot be used for blobs: there is no such bucket"):
            await Bucket.at("s3://nowhere", troubles).begin()


async def test_a_store_that_overwrites_what_it_must_not_is_told(
    proxy: CuttingProxy, s3_server: S3Server, troubles: Troubles
) -> None:
    """Two streams of one upload would spoil each other there."""
    proxy.is_forgetful = True
    with pytest.raises(BlobsUnusable, match="it overwrites what it is told not to"):
        await Bucket.at(f"s3://{s3_server.new_bucket()}", troubles).begin()
    proxy.is_forgetful = False
    await Bucket.at(f"s3://{s3_server.new_bucket()}", troubles).begin()


async def test_a_store_that_is_not_to_be_told_is_told(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, troubles: Troubles
) -> None:
    """Where the environment switches such requests off."""
    s3_server.tell(monkeypatch)
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    with pytest.raises(BlobsUnusable, match="it cannot be told not to overwrite"):
        await Bucket.at(f"s3://{s3_server.new_bucket()}", troubles).begin()


def test_what_is_no_url_is_not_repeated() -> None:
    """A key could be anywhere in it, also in what led to the error."""
    for url in ("s3://me:word℀@bucket", "s3://me:word@[::1"):
        with pytest.raises(BlobsUnusable, match=r"^that is no URL[.]$") as caught:
            checked(url)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
