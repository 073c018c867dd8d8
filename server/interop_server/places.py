"""Where a simulator keeps its database and its blobs, as its configuration says; knows what opens each, and no rule."""

import asyncio
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from interop_server.blobs import BlobsUnusable
from interop_server.blobs.local import LocalBlobStore
from interop_server.config import Config
from interop_server.core.ports import Clock, SharedHolds
from interop_server.core.store import Store
from interop_server.core.troubles import Troubles
from interop_server.runtime.shutdown import Shutdown
from interop_server.storage import open_holds, open_server_store, open_store

if TYPE_CHECKING:
    from interop_server.blobs.objects import ObjectBlobStore

_BLOBS = "interopsim.blobs"
"""The folder that a reset deletes, in the one that is named for blobs: there may be other things in that."""


class FileUnusable(Exception):
    """A file cannot be used for what it was chosen for; the message is a sentence that says which and why."""


class Places:
    """The places of one simulator, the same over a reset.

    Args:
        config: What was chosen.
        last: Removes the temporary folder, when there is one.
    """

    def __init__(self, config: Config, last: Shutdown) -> None:
        self._config = config
        self._last = last
        self._folder: Path | None = None

    async def open(
        self, clock: Clock, troubles: Troubles, shutdown: Shutdown, *, is_emptied: bool
    ) -> "tuple[Store, LocalBlobStore | ObjectBlobStore]":
        """Opens the database, then the place of the blobs.

        Args:
            clock: Tells the server's time.
            troubles: Where it is kept what is wrong with them.
            shutdown: Closes the database.
            is_emptied: Whether all is deleted first that is in them, except the server's keys.

        Raises:
            BlobsUnusable, FileUnusable, WrongDatabase, WrongStore: One of them cannot be opened.
        """
        address = self._config.store
        if address is None:
            store = await open_store(self._files()[0], clock.now_ms, troubles, is_emptied=is_emptied)
        else:
            node = "" if self._config.bus is None else self._config.node
            store = await open_server_store(address, clock.now_ms, troubles, is_emptied=is_emptied, node=node)
        shutdown.add("the database", store.close)
        # Emptied after the database: what no row names is swept at the next start, too.
        return store, await self._open_blobs(clock, troubles, shutdown, is_emptied=is_emptied)

    async def _open_blobs(
        self, clock: Clock, troubles: Troubles, shutdown: Shutdown, *, is_emptied: bool
    ) -> "LocalBlobStore | ObjectBlobStore":
        place = self._config.blobs
        if isinstance(place, str):
            holds = None
            if self._config.store is not None:
                holds = open_holds(self._config.store)
                shutdown.add("the holds on blobs", holds.close)
            objects = await _open_objects(place, clock, troubles, holds)
            if is_emptied:
                await objects.clear()
            return objects
        folder = self._files()[1]
        if is_emptied:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return LocalBlobStore(folder, clock, troubles)

    def _files(self) -> tuple[Path, Path]:
        """Returns the file of the database and the folder of the blobs, whether or not both are used."""
        config = self._config
        if config.db is not None:
            db, blobs = config.db, config.db.with_name(config.db.name + ".blobs")
        elif config.store is not None and config.blobs is not None:
            db = blobs = Path()
        else:
            folder = self._temporary_folder()
            db, blobs = folder / "interopsim.db", folder / "blobs"
        if isinstance(config.blobs, Path):
            blobs = config.blobs / _BLOBS
        # Where they stand beside the database, that says what is wrong with the folder of both.
        _check_folder(blobs, with_parents=isinstance(config.blobs, Path))
        return db, blobs

    def _temporary_folder(self) -> Path:
        """Returns the folder of what is gone at the end.

        Raises:
            FileUnusable: There is no place for it.
        """
        if self._folder is None:
            try:
                folder = self._folder = Path(tempfile.mkdtemp(prefix="interopsim-"))
            except OSError as error:  # in a container that writes to nothing, say
                raise FileUnusable(
                    f"no temporary folder can be made ({error.strerror}): set TMPDIR to a folder with room that can be "
                    "written, or choose --db FILE."
                ) from error
            remove = partial(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
            self._last.add("the temporary folder", remove)
        return self._folder


def _check_folder(folder: Path, *, with_parents: bool) -> None:
    """Checks that a folder is there, or that nothing stands in its place, or in that of a folder above it.

    Raises:
        FileUnusable: It is something else, or cannot be there.
    """
    try:
        # A link to nothing stands there, too, and no folder can be made in its place.
        found = next(each for each in (folder, *folder.absolute().parents) if each.is_symlink() or each.exists())
    except OSError as error:
        raise FileUnusable(f"{folder} cannot hold the blobs: {error.strerror}.") from error
    if not found.is_dir() and (with_parents or found == folder):
        raise FileUnusable(f"{found} is no folder, and the blobs belong there: move it, or choose another place.")


def is_of_database(path: Path, db: Path) -> bool:
    """Says whether a path leads to one of the files of an open database, by whatever name."""
    files = [db.with_name(db.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
    return any(path.absolute() == file.absolute() or _is_same(path, file) for file in files)


def _is_same(path: Path, file: Path) -> bool:
    # Not by methods of a path: these raise for a name that is too long, and such a file is simply not there.
    return os.path.exists(path) and os.path.exists(file) and os.path.samefile(path, file)  # noqa: PTH110, PTH121


async def _open_objects(url: str, clock: Clock, troubles: Troubles, holds: SharedHolds | None) -> "ObjectBlobStore":
    try:
        from interop_server.blobs.objects import ObjectBlobStore  # an extra, which a plain start does not load
    except ModuleNotFoundError as error:
        raise BlobsUnusable(
            f"--blobs needs {error.name}, which is not installed: pip install 'interopsim[cluster]'"
        ) from error
    return await ObjectBlobStore.open(url, clock, troubles, holds)
