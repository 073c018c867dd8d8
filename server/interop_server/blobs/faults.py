"""What a failure of the blob folder means to whoever called the store, and to health; knows no blob."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import BLOBS, Troubles

_PROBE_BYTES = 1 << 20
"""What must fit again before the folder counts as usable: as much as an upload writes at once."""


class BlobFaults:
    """Says once what is wrong with the folder of the blobs, and that it works again.

    Args:
        root: The folder.
        troubles: Where the present trouble is kept.
    """

    def __init__(self, root: Path, troubles: Troubles) -> None:
        self._root = root
        self._troubles = troubles
        self._failed: Path | None = None
        """The folder in which the last call failed; None while all works."""

    @contextmanager
    def met(self) -> Iterator[None]:
        """Makes a failure of the disk a refusal.

        Raises:
            Refusal: STORAGE_UNAVAILABLE, whose cause is for the operator.
        """
        try:
            yield
        except OSError as error:
            if error.errno is not None:  # otherwise one blob is wrong, not the folder
                self._failed = self._folder_of(error)
                sentence = f"{self._root} cannot be used ({error.strerror}): uploads and downloads are refused."
                self._troubles.meet(BLOBS, sentence)
            raise Refusal(Reason.STORAGE_UNAVAILABLE, cause=f"the blobs cannot be used: {error}") from error

    async def check(self) -> None:
        """After a failure, looks whether the folder works again, and says so."""
        failed = self._failed
        if failed is None:
            return
        try:
            await asyncio.to_thread(_probe, failed)
        except OSError:
            return
        if self._failed == failed:
            self._failed = None
            self._troubles.end(BLOBS)

    def _folder_of(self, error: OSError) -> Path:
        name = error.filename2 or error.filename
        if not isinstance(name, str | os.PathLike):
            return self._root / "uploads"
        # What is there although it must not be is in a folder's place.
        return Path(name) if isinstance(error, FileExistsError) else Path(name).parent


def _probe(folder: Path) -> None:
    # Without a name, so that nothing is left of it. A folder that has gone is made again by the next upload.
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, _PROBE_BYTES)
