"""The contract of the `BlobStore` port: a store joins by adding an opener to `OPENERS`."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from interop_server.blobs.bucket import Bucket
from interop_server.blobs.local import LocalBlobStore
from interop_server.blobs.objects import ObjectBlobStore
from interop_server.blobs.urls import checked
from interop_server.core.ports import BlobStore, Clock, SharedHolds
from interop_server.core.troubles import Troubles
from interop_server.storage import StoreAddress
from interop_server.storage.postgres.holds import PostgresHolds
from tests.manual_clock import ManualClock
from tests.object_stores import S3Server, s3_server
from tests.postgres import ask, server_folder, url_of

__all__ = ["s3_server"]

NOW_MS = 1_700_000_000_000
SMALL_PIECE_BYTES = 700_000
"""So that what these tests write comes in several pieces."""


def _objects(url: str, clock: Clock, _: SharedHolds) -> BlobStore:
    return ObjectBlobStore(Bucket.at(checked(url), Troubles()), clock)


def _in_pieces(url: str, clock: Clock, holds: SharedHolds) -> BlobStore:
    """As one of several nodes."""
    return ObjectBlobStore(Bucket.at(checked(url), Troubles()), clock, holds, piece_bytes=SMALL_PIECE_BYTES)


Opener = Callable[[str, Path, Clock, SharedHolds], BlobStore]
OPENERS: dict[str, Opener] = {
    "local": lambda _bucket, folder, clock, _holds: LocalBlobStore(folder, clock),
    "file": lambda _, folder, clock, holds: _objects(folder.as_uri(), clock, holds),
    "file in pieces": lambda _, folder, clock, holds: _in_pieces(folder.as_uri(), clock, holds),
    "s3": lambda bucket, _, clock, holds: _objects(f"s3://{bucket}/a/prefix", clock, holds),
    "s3 in pieces": lambda bucket, _, clock, holds: _in_pieces(f"s3://{bucket}", clock, holds),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest_asyncio.fixture
async def new_holds() -> AsyncIterator[Callable[[], PostgresHolds]]:
    """Has as many nodes as are asked for hold names in one schema of a database."""
    opened: list[PostgresHolds] = []
    server = server_folder()
    name = f"h{uuid4().hex}"

    def new() -> PostgresHolds:
        opened.append(PostgresHolds(StoreAddress.parse(url_of(server, search_path=name))))
        return opened[-1]

    await ask(url_of(server), f"CREATE SCHEMA {name}")
    yield new
    for each in opened:
        await each.close()
    await ask(url_of(server), f"DROP SCHEMA {name} CASCADE")


@pytest.fixture(params=OPENERS)
def reopen(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    new_holds: Callable[[], PostgresHolds],
) -> Callable[[], BlobStore]:
    """Opens the store of this test; every call is a restart."""
    bucket = ""
    if request.param.startswith("s3"):
        server: S3Server = request.getfixturevalue("s3_server")
        server.tell(monkeypatch)
        bucket = server.new_bucket()
    return lambda: OPENERS[request.param](bucket, tmp_path / "blobs", clock, new_holds())


@pytest.fixture
def blobs(reopen: Callable[[], BlobStore]) -> BlobStore:
    return reopen()
