"""Engines of the `Store` port, each a folder with its own SQL; knows no rule of the protocol, no wire and no blob.

A new engine is a folder whose classes implement every concern of `core/store.py`, an opener here, and an entry in
`tests/stores.py`, which runs the contract of all engines against it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interop_server.core.store import Store
    from interop_server.core.troubles import Troubles


class WrongDatabase(Exception):
    """A database cannot serve as the store; the message is a sentence that says why and what to do."""


async def open_store(path: Path, now_ms: Callable[[], int], troubles: "Troubles") -> "Store":
    """Opens the store in a SQLite file, the default engine; without a file it creates one.

    Args:
        path: The file.
        now_ms: Tells the server's time, which is noted with everything that is stored.
        troubles: Where it is kept what is wrong with the file.

    Raises:
        WrongDatabase: The file cannot serve as the store.
    """
    from interop_server.storage.sqlite.store import SqliteStore  # not every command needs a database

    return await SqliteStore.open(path, now_ms, troubles)
