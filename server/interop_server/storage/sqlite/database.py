"""Creates a database file, or recognises one of this program; knows the schema files only by their version numbers."""

import asyncio
import fcntl
import os
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, NamedTuple

from interop_server.crash_points import passing
from interop_server.storage import WrongDatabase

APPLICATION_ID = 0x49_4F_50_53
"""Marks a database file in its header as one of this program: "IOPS"."""


def _schema() -> list[str]:
    folder = files("interop_server.storage.sqlite").joinpath("schema")
    return [file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name)]


def _version(schema: Sequence[str]) -> int:
    """Returns a positive number for the text of a schema: nothing is migrated, so each text is its own version."""
    return zlib.crc32("\0".join(schema).encode()) >> 1 | 1


class PreparedDatabase(NamedTuple):
    """A database file of this program, locked for this process until it is released."""

    uri: str
    """`file:` URI without a query."""
    lock: BinaryIO
    path: Path

    def is_in_place(self) -> bool:
        """Says whether the file that was opened still lies under its name; it may block."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.lock.fileno()))
        except OSError:
            return False

    def release(self) -> None:
        """Unlocks the file for other processes; call it after every connection to the file is closed."""
        self.lock.close()


async def prepare_database(path: Path) -> PreparedDatabase:
    """Creates the database if the file is absent or empty, and locks other servers out; changes no other file.

    Raises:
        WrongDatabase: The file is not a database, is another application's or version's, is in use, or cannot be
            opened.
    """
    # Not through aiosqlite: a connection that fails to open leaves a thread behind that cannot be stopped.
    return await asyncio.to_thread(_prepare, path)


def _prepare(path: Path) -> PreparedDatabase:
    try:
        _create_file(path)
        lock = _lock_file(path)
    except OSError as error:
        raise WrongDatabase(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        uri = path.absolute().as_uri()
        _check_or_create(uri, path)
        return PreparedDatabase(uri, lock, path.absolute())
    except BaseException:
        lock.close()
        raise


def _check_or_create(uri: str, path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{uri}?mode=rw", isolation_level=None, uri=True)) as db:
            if _is_new(db, path):
                _apply_schema(db)
            _look_into_all(db)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise WrongDatabase(f"{path} is not a SQLite database: choose another file.") from error
        raise WrongDatabase(f"{path} cannot be used as the database: {error}.") from error


def _lock_file(path: Path) -> BinaryIO:
    lock = path.open("rb")
    try:
        # Held while the file is open; released when the process is killed. Independent of SQLite's own locks.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise WrongDatabase(f"{path} is in use by another simulator: stop that one, or choose another file.") from error
    return lock


def _create_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise WrongDatabase(f"{path} is not a file in which a database can be kept: choose another.")
    # The file holds the server's private keys. SQLite gives its companion files the same mode.
    path.touch(mode=0o600, exist_ok=True)


def _is_new(db: sqlite3.Connection, path: Path) -> bool:
    [(application_id, version, tables)] = db.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    )
    if (application_id, version, tables) == (0, 0, 0):
        return True
    if application_id != APPLICATION_ID:
        raise WrongDatabase(f"{path} is the database of another application: choose another file.")
    known = _version(_schema())
    if version != known:
        raise WrongDatabase(
            f"{path} has schema version {version}, and this program needs version {known}: "
            "use the program that wrote it, or choose another file."
        )
    return False


_GET_PRIMARY_KEY = "SELECT name FROM pragma_index_list(?1) WHERE origin = 'pk'"
_LIST_TREES = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE type IN ('table', 'index')"


def _look_into_all(db: sqlite3.Connection) -> None:
    """Reads the first page of each table and each index: one that is damaged there must not come up in a call."""
    for kind, name, table, sql in db.execute(_LIST_TREES).fetchall():
        _, has_condition, condition = sql.partition(" WHERE ")
        where = f"WHERE {condition}" if kind == "index" and has_condition else ""
        if kind == "index":
            by = f"INDEXED BY {name}"
        elif "WITHOUT ROWID" in sql:  # such a table is the index of its primary key
            [(primary_key,)] = db.execute(_GET_PRIMARY_KEY, (name,)).fetchall()
            by = f"INDEXED BY {primary_key}"
        else:
            by = "NOT INDEXED"
        db.execute(f"SELECT * FROM {table} {by} {where} LIMIT 1").fetchall()


def _apply_schema(db: sqlite3.Connection) -> None:
    schema = _schema()
    # One transaction, header fields included: a killed process leaves either an empty or a complete database.
    passing("schema.create")
    db.executescript(
        "\n".join(
            [
                "BEGIN IMMEDIATE;",
                *schema,
                f"PRAGMA application_id = {APPLICATION_ID};",
                f"PRAGMA user_version = {_version(schema)};",
                "COMMIT;",
            ]
        )
    )
