"""What the tables of the SQLite engine keep about people: each column is in the catalogue that operators are shown."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from interop_server.core.abuse.audit import STORED
from interop_server.storage.sqlite.audit import NOT_ABOUT_PEOPLE
from interop_server.storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.requirement("ABU-08")


async def test_every_column_has_a_purpose(tmp_path: Path) -> None:
    """A new column is explained in core/abuse/audit.py, unless its table holds nothing about people."""
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
        columns = {
            (table, column)
            for table in tables
            if not table.startswith("sqlite_") and table not in NOT_ABOUT_PEOPLE
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
        }
    explained = {(table, column) for table, kept in STORED.items() for column in kept.fields}
    assert columns - explained == set(), "add them to STORED in core/abuse/audit.py, with what they are kept for"
    assert explained - columns == set(), "these are not in the schema any more"
    assert set(tables) >= NOT_ABOUT_PEOPLE and not NOT_ABOUT_PEOPLE & STORED.keys()
