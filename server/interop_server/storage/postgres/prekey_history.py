"""Which prekeys an account has published, the newest of them, in PostgreSQL; knows nothing of those still there."""

from collections.abc import Iterable
from typing import NamedTuple

from interop_server.storage.postgres.session import Session


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
            stored: The query for the keys of account $1 that are still stored: these are never forgotten.
        """
        return cls(
            f"SELECT 1 FROM unnest($2::bytea[]) AS key JOIN {table} ON account_id = $1 AND {column} = key LIMIT 1",
            f"""
            INSERT INTO {table} (account_id, {column}, number)
            SELECT $1, key, $3 + place FROM unnest($2::bytea[]) WITH ORDINALITY AS added (key, place)
            ON CONFLICT DO NOTHING
            """,
            f"SELECT coalesce(max(number), 0) FROM {table} WHERE account_id = $1",
            f"DELETE FROM {table} WHERE account_id = $1 AND number <= $2 AND {column} NOT IN ({stored})",
        )

    async def has_any(self, db: Session, account_id: int, keys: Iterable[bytes]) -> bool:
        """Says whether the account is known to have published one of the keys."""
        return await db.row(self.is_published, account_id, list(keys)) is not None

    async def add(self, db: Session, account_id: int, keys: Iterable[bytes]) -> None:
        """Adds keys; those that are there stay where they are."""
        [(newest,)] = await db.rows(self.newest, account_id)
        await db.change(self.insert, account_id, list(keys), newest)

    async def keep(self, db: Session, account_id: int, most: int) -> None:
        """Forgets all but the newest keys of an account, and those that are still stored."""
        [(newest,)] = await db.rows(self.newest, account_id)
        if newest > most:
            await db.change(self.forget, account_id, newest - most)
