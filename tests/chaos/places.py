"""Places for blobs beside the usual one: a folder in the place of an object store, and an S3 server that is killed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from interop_server.crash_points import OBJECT_POINTS, POINTS
from tests.object_stores import S3Server

OBJECT_STORE = "object store"
"""The object store is killed and comes back; then the server is killed."""
_OTHERS = tuple(point for point in POINTS if not point.startswith("blob."))


@dataclass(frozen=True)
class BlobPlace:
    """Where blobs are kept."""

    url: str = ""
    """As `--blobs` takes it; empty for beside the database."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """How the server finds it."""
    server: S3Server | None = None
    """What can be killed there, and started again."""


FreshBlobs = Callable[[Path], AbstractContextManager[BlobPlace]]
"""Has a place for blobs; gets a folder of its own."""


def beside_the_database(_: Path) -> AbstractContextManager[BlobPlace]:
    """The usual place."""
    return nullcontext(BlobPlace())


def in_a_folder(folder: Path) -> AbstractContextManager[BlobPlace]:
    """A folder in the place of an object store."""
    return nullcontext(BlobPlace((folder / "objects").as_uri()))


@contextmanager
def in_an_object_store(folder: Path) -> Iterator[BlobPlace]:
    """An S3 server that keeps what it has acknowledged when it is killed."""
    server = S3Server(folder / "requests")
    server.start()
    try:
        yield BlobPlace(f"s3://{server.new_bucket()}/world", server.environment(), server)
    finally:
        server.close()


PLACES: dict[str, tuple[FreshBlobs, tuple[str, ...]]] = {
    "": (beside_the_database, POINTS),
    "file": (in_a_folder, (*_OTHERS, *OBJECT_POINTS)),
    "s3": (in_an_object_store, (*_OTHERS, *(each for each in OBJECT_POINTS if each != "object.sync"), OBJECT_STORE)),
}
"""Each with where a server dies that has its blobs there, by its name."""
