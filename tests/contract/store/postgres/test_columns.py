"""What the tables of the PostgreSQL engine keep about people: each column is in the catalogue shown to operators."""

from pathlib import Path

import pytest

from interop_server.core.abuse.audit import STORED
from interop_server.storage.postgres.audit import COUNTED, NOT_ABOUT_PEOPLE, SHOWN_AS_IN_MEMORY
from interop_server.storage.postgres.store import PostgresStore
from tests.postgres import address_in, delete_in

pytestmark = pytest.mark.requirement("ABU-08")

_LIST = """
    SELECT table_name::text, column_name::text FROM information_schema.columns JOIN information_schema.tables
        USING (table_schema, table_name)
    WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
"""


async def test_every_column_has_a_purpose(tmp_path: Path) -> None:
    """A new column is explained in core/abuse/audit.py, unless its table holds nothing about people."""
    store = await PostgresStore.open(await address_in(tmp_path))
    rows = await store.engine.read(lambda db: db.rows(_LIST))
    await store.close()
    await delete_in(tmp_path)
    tables = {table for table, _ in rows}
    others = NOT_ABOUT_PEOPLE | SHOWN_AS_IN_MEMORY
    columns = {(table, column) for table, column in rows if table not in others} | COUNTED.keys()
    explained = {(table, column) for table, kept in STORED.items() for column in kept.fields}
    assert columns - explained == set(), "add them to STORED in core/abuse/audit.py, with what they are kept for"
    assert explained - columns == set(), "these are not in the schema any more"
    assert tables >= others and not others & STORED.keys()
