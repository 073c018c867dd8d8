"""What the tables of the SQLite engine keep about people: each column is in the catalogue that operators are shown."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from interop_server.core.abuse.audit import STORED
from interop_server.storage import SqliteStore
from interop_server.storage.sqlite.audit import ABOUT_NOBODY

pytestmark = pytest.mark.requirement("ABU-08")


async def test_every_column_has_a_purpose(tmp_path: Path) -> None:
    """Whoever adds a column says in core/abuse/audit.py what it is kept for, or that its table is about nobody."""
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
        columns = {
            (table, column)
            for table in tables
            if not table.startswith("sqlite_") and table not in ABOUT_NOBODY
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
        }
    explained = {(table, column) for table, kept in STORED.items() for column in kept.fields}
    assert columns - explained == set(), "add them to STORED in core/abuse/audit.py, with what they are kept for"
    assert explained - columns == set(), "these are not in the schema any more"
    assert set(tables) >= ABOUT_NOBODY and not ABOUT_NOBODY & STORED.keys()
