"""The server's own key material in SQLite; knows no use of a key."""

import sqlite3

from interop_server.core.shared_store import SecretStore
from interop_server.storage.sqlite.concern import Concern

_GET = "SELECT value FROM secret WHERE name = ?1"
_ADD = "INSERT INTO secret (name, value) VALUES (?1, ?2)"


def _get_or_put(db: sqlite3.Connection, name: str, candidate: bytes) -> bytes:
    row = db.execute(_GET, (name,)).fetchone()
    if row is None:
        db.execute(_ADD, (name, candidate))
        return candidate
    return bytes(row[0])


class SqliteSecrets(Concern, SecretStore):
    """The table of secrets."""

    async def get_or_put(self, name: str, candidate: bytes) -> bytes:
        return await self._engine.write(lambda db: _get_or_put(db, name, candidate))

    async def get(self, name: str) -> bytes | None:
        row = await self._row(_GET, name)
        return row[0] if row else None
