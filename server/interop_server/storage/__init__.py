"""Engines of the `Store` port, each a folder with its own SQL; knows no rule of the protocol, no wire and no blob.

A new engine is a folder whose classes implement every concern of `core/store.py`, an opener here, and an entry in
`tests/stores.py`, which runs the contract of all engines against it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, urlsplit

from interop_protocol.whole_numbers import read_whole

if TYPE_CHECKING:
    from interop_server.core.store import Store
    from interop_server.core.troubles import Troubles
    from interop_server.storage.postgres.holds import PostgresHolds

_UNREADABLE = (
    "The address of the store cannot be read: it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where what is "
    "special in a URL is percent-encoded, such as %40 for @ and %2F for /."
)


class WrongDatabase(Exception):
    """A database cannot serve as the store; the message is a sentence that says why and what to do."""


class WrongStore(WrongDatabase):
    """The same of a database on a server, or the address is none, or what speaks with it is not installed."""


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a database on a server is. Only `url` may have a password, and only `shown` may be shown."""

    url: str = field(repr=False)
    """As asyncpg takes it: `postgresql://user:password@host:port/database?setting=value`."""
    shown: str
    """The same without user, password and settings."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Reads an address.

        Raises:
            WrongStore: It is none. The message has nothing of it: the password could be anywhere.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise WrongStore(_UNREADABLE) from None  # the cause would say the password
        if parts.scheme not in ("postgresql", "postgres"):
            raise WrongStore("The address of a store begins with postgresql://.")
        if _is_cut_at_the_wrong_place(parts):
            raise WrongStore(_UNREADABLE)
        return cls(url, f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _is_cut_at_the_wrong_place(parts: SplitResult) -> bool:
    """Says whether an address has a part that looks like the rest of a password."""
    if any("@" in part for part in (parts.path, parts.query, parts.fragment)) or parts.netloc.count("@") > 1:
        return True
    places = parts.netloc.rpartition("@")[2].split(",")  # several servers, one of which can be written to
    ports = [place.rpartition("]")[2].partition(":")[2] for place in places]
    return bool(parts.fragment) or not all(not port or read_whole(port, 0, 65_535) is not None for port in ports)


async def open_store(
    path: Path, now_ms: Callable[[], int], troubles: "Troubles", *, is_emptied: bool = False
) -> "Store":
    """Opens the store in a SQLite file, the default engine; without a file it creates one.

    Args:
        path: The file.
        now_ms: Tells the server's time, which is noted with everything that is stored.
        troubles: Where it is kept what is wrong with the file.
        is_emptied: Whether all is deleted first that is in the file, except the server's keys.

    Raises:
        WrongDatabase: The file cannot serve as the store.
    """
    from interop_server.storage.sqlite.store import SqliteStore  # not every command needs a database

    return await SqliteStore.open(path, now_ms, troubles, is_emptied=is_emptied)


async def open_server_store(
    address: StoreAddress, now_ms: Callable[[], int], troubles: "Troubles", *, is_emptied: bool = False, node: str = ""
) -> "Store":
    """Opens the store in a database of a PostgreSQL server, and makes its tables if there are none.

    Args:
        address: Where it is.
        now_ms: Tells the server's time, which is noted with everything that is stored.
        troubles: Where it is kept what is wrong with the database.
        is_emptied: Whether all is deleted first that is in the database, except the server's keys.
        node: The name of this process among several that are one world; empty for one that is alone.

    Raises:
        WrongStore: The database cannot serve as the store, or the package that speaks with it is not installed.
    """
    try:
        import asyncpg  # noqa: F401 - a plain start needs none of it
    except ModuleNotFoundError as error:
        raise WrongStore(
            "A store on a server needs the package asyncpg, which is not installed: pip install 'interopsim[cluster]'"
        ) from error
    from interop_server.storage.postgres.store import PostgresStore

    return await PostgresStore.open(address, now_ms, troubles, is_emptied=is_emptied, node=node)


def open_holds(address: StoreAddress) -> "PostgresHolds":
    """Returns what the processes on one database hold; it connects when the first name is taken."""
    from interop_server.storage.postgres.holds import PostgresHolds

    return PostgresHolds(address)
