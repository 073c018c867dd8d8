"""Which prekeys an account has published, the newest of them, in SQLite; knows nothing of those that are still there.

Keys are passed in one blob of 32 bytes each: the key itself, or the hash of a longer one.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple


class History(NamedTuple):
    """The statements of one history: tables and columns cannot be parameters."""

    is_published: str
    insert: str
    newest: str
    forget: str

    @classmethod
    def of(cls, table: str, column: str, stored: str) -> "History":
        """Returns the history in a table.

        Args:
            table: Its name.
            column: The column that holds the 32 bytes.
            stored: The query for the keys of account ?1 that are still stored: these are never forgotten.
        """
        return cls(
            f"""
            SELECT 1 FROM json_each(?2) CROSS JOIN {table}
            WHERE account_id = ?1 AND {column} = substr(?3, key * 32 + 1, 32) LIMIT 1
            """,
            f"""
            INSERT INTO {table} (account_id, number, {column})
            SELECT ?1, ?4 + key + 1, substr(?3, key * 32 + 1, 32) FROM json_each(?2) WHERE true
            ON CONFLICT DO NOTHING
            """,
            f"SELECT coalesce(max(number), 0) FROM {table} WHERE account_id = ?1",
            f"DELETE FROM {table} WHERE account_id = ?1 AND number <= ?2 AND {column} NOT IN ({stored})",
        )

    def has_any(self, db: sqlite3.Connection, account_id: int, keys: Iterable[bytes]) -> bool:
        """Says whether the account is known to have published one of the keys."""
        places, joined = _joined(keys)
        return db.execute(self.is_published, (account_id, places, joined)).fetchone() is not None

    def add(self, db: sqlite3.Connection, account_id: int, keys: Iterable[bytes]) -> None:
        """Adds keys; those that are there stay where they are."""
        places, joined = _joined(keys)
        [(newest,)] = db.execute(self.newest, (account_id,)).fetchall()
        db.execute(self.insert, (account_id, places, joined, newest))

    def keep(self, db: sqlite3.Connection, account_id: int, most: int) -> None:
        """Forgets all but the newest keys of an account, and those that are still stored."""
        [(newest,)] = db.execute(self.newest, (account_id,)).fetchall()
        if newest > most:
            db.execute(self.forget, (account_id, newest - most))


def _joined(keys: Iterable[bytes]) -> tuple[str, bytes]:
    joined = b"".join(keys)
    return json.dumps([0] * (len(joined) // 32)), joined
