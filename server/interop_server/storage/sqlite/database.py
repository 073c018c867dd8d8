"""Creates a database file, or recognises one as ours; knows what is in the schema files only by their numbers."""

import asyncio
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

APPLICATION_ID = 0x49_4F_50_53
"""Marks a database file as ours in its header: "IOPS"."""


class WrongDatabase(Exception):
    """A file cannot serve as the store; the message is a sentence that says why and what to do."""


def _schema() -> list[str]:
    folder = files("interop_server.storage.sqlite").joinpath("schema")
    return [file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name)]


async def prepare_database(path: Path) -> str:
    """Creates the database when there is none or an empty one; changes nothing of any other.

    Returns:
        Its `file:` URI.

    Raises:
        WrongDatabase: The file is no database, somebody else's, of another version, or cannot be opened.
    """
    # Not through aiosqlite: a connection of it that fails to open leaves a thread behind that answers to nobody.
    return await asyncio.to_thread(_prepare, path)


def _prepare(path: Path) -> str:
    try:
        uri = _create_file(path)
        with closing(sqlite3.connect(f"{uri}?mode=rw", isolation_level=None, uri=True)) as db:
            if _is_new(db, path):
                _apply_schema(db)
        return uri
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise WrongDatabase(f"{path} is not a SQLite database: choose another file.") from error
        raise WrongDatabase(f"{path} cannot be used as the database: {error}.") from error
    except OSError as error:
        raise WrongDatabase(f"{path} cannot be opened: {error.strerror}.") from error


def _create_file(path: Path) -> str:
    # It holds the server's private keys. SQLite gives the files beside it the same mode.
    path.touch(mode=0o600, exist_ok=True)
    return path.absolute().as_uri()


def _is_new(db: sqlite3.Connection, path: Path) -> bool:
    [(application_id, version, tables)] = db.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    )
    if (application_id, version, tables) == (0, 0, 0):
        return True
    if application_id != APPLICATION_ID:
        raise WrongDatabase(f"{path} is the database of another application: choose another file.")
    known = len(_schema())
    if version != known:
        raise WrongDatabase(
            f"{path} has schema version {version}, and this program needs version {known}: "
            "use the program that wrote it, or choose another file."
        )
    return False


def _apply_schema(db: sqlite3.Connection) -> None:
    schema = _schema()
    # One transaction, header fields included: a killed process leaves an empty database or a whole one.
    db.executescript(
        "\n".join(
            [
                "BEGIN IMMEDIATE;",
                *schema,
                f"PRAGMA application_id = {APPLICATION_ID};",
                f"PRAGMA user_version = {len(schema)};",
                "COMMIT;",
            ]
        )
    )
