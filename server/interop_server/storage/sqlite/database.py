"""Creates a database file, or recognises one of this program and brings it up; knows what no schema file says."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

from interop_server.crash_points import passing
from interop_server.storage import WrongDatabase
from interop_server.storage.schema_files import missing_files, schema_files, version

APPLICATION_ID = 0x49_4F_50_53
"""Marks a database file in its header as one of this program: "IOPS"."""


def _schema() -> list[str]:
    return schema_files("interop_server.storage.sqlite")


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


async def prepare_database(path: Path, *, is_emptied: bool = False) -> PreparedDatabase:
    """Creates the database if the file is absent or empty, and locks other servers out; changes no other file.

    Args:
        path: The file.
        is_emptied: Whether all is deleted that is in it, except the server's keys.

    Raises:
        WrongDatabase: The file is not a database, is another application's or version's, is in use, or cannot be
            opened.
    """
    # Not through aiosqlite: a connection that fails to open leaves a thread behind that cannot be stopped.
    return await asyncio.to_thread(_prepare, path, is_emptied)


def _prepare(path: Path, is_emptied: bool) -> PreparedDatabase:
    try:
        _create_file(path)
        lock = _lock_file(path)
    except OSError as error:
        raise WrongDatabase(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        uri = path.absolute().as_uri()
        _check_or_create(uri, path, is_emptied)
        return PreparedDatabase(uri, lock, path.absolute())
    except BaseException:
        lock.close()
        raise


def _check_or_create(uri: str, path: Path, is_emptied: bool) -> None:
    try:
        with closing(sqlite3.connect(f"{uri}?mode=rw", isolation_level=None, uri=True)) as db:
            schema = _schema()
            missing = _missing_files(db, path, schema)
            for number in range(len(schema) - len(missing), len(schema)):
                _apply(db, schema, number)
            _look_into_all(db)
            if is_emptied:
                _empty(db)
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


def _missing_files(db: sqlite3.Connection, path: Path, schema: Sequence[str]) -> Sequence[str]:
    """Returns the schema files that bring a database up to date: all for a new one."""
    [(application_id, present, tables)] = db.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    )
    if (application_id, present, tables) == (0, 0, 0):
        return schema
    if application_id != APPLICATION_ID:
        raise WrongDatabase(f"{path} is the database of another application: choose another file.")
    missing = missing_files(schema, present)
    if missing is None:
        raise WrongDatabase(
            f"{path} has schema version {present}, and this program needs version {version(schema)}: "
            "use the program that wrote it, or choose another file."
        )
    return missing


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


_LIST_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('server', 'secret')"


def _empty(db: sqlite3.Connection) -> None:
    """Deletes every row, and has every number be given anew, as in a new file; the server's keys stay."""
    tables = [name for (name,) in db.execute(_LIST_TABLES).fetchall()]
    passing("schema.empty")
    db.executescript(
        "\n".join(
            [
                "BEGIN IMMEDIATE;",
                *(f"DELETE FROM {table};" for table in tables),  # sqlite_sequence is one of them
                "UPDATE server SET starts = 0, time_floor_ms = 0, time_ahead_ms = 0;",
                "COMMIT;",
            ]
        )
    )


def _apply(db: sqlite3.Connection, schema: Sequence[str], number: int) -> None:
    """Applies one file; those before it have been."""
    # One transaction, header fields included: a killed process leaves a complete database, of this version or of the
    # one before, or an empty one.
    passing("schema.create")
    db.executescript(
        "\n".join(
            [
                "BEGIN IMMEDIATE;",
                schema[number],
                f"PRAGMA application_id = {APPLICATION_ID};",
                f"PRAGMA user_version = {version(schema[: number + 1])};",
                "COMMIT;",
            ]
        )
    )
