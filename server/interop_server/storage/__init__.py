"""Engines of the `Store` port, each a folder with its own SQL; knows no rule of the protocol, no wire and no blob.

`SqliteStore` is the default. Names are loaded when they are asked for, because not every command needs a database.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interop_server.storage.sqlite.database import WrongDatabase
    from interop_server.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "WrongDatabase"]


def __getattr__(name: str) -> object:
    if name == "SqliteStore":
        from interop_server.storage.sqlite.store import SqliteStore

        return SqliteStore
    if name == "WrongDatabase":
        from interop_server.storage.sqlite.database import WrongDatabase

        return WrongDatabase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
