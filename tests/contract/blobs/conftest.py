"""The contract of the `BlobStore` port: a store joins by adding an opener to `OPENERS`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from interop_server.blobs.local import LocalBlobStore
from interop_server.core.ports import BlobStore, Clock
from tests.manual_clock import ManualClock

OPENERS: dict[str, Callable[[Path, Clock], BlobStore]] = {"local": LocalBlobStore}
NOW_MS = 1_700_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture(params=OPENERS)
def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Callable[[], BlobStore]:
    """Opens the store of this test; every call is a restart."""
    return lambda: OPENERS[request.param](tmp_path / "blobs", clock)


@pytest.fixture
def blobs(reopen: Callable[[], BlobStore]) -> BlobStore:
    return reopen()
