"""The server's own key material in SQLite; knows nothing of what it opens."""

import sqlite3

from interop_server.core.stores import SecretStore
from interop_server.storage.sqlite.engine_user import EngineUser


def _secret(db: sqlite3.Connection, name: str) -> bytes | None:
    row = db.execute("SELECT value FROM secret WHERE name = ?1", (name,)).fetchone()
    return row[0] if row else None


class SqliteSecrets(EngineUser, SecretStore):
    """The table of secrets."""

    async def get_or_put_secret(self, name: str, candidate: bytes) -> bytes:  # noqa: D102
        def get_or_put(db: sqlite3.Connection) -> bytes:
            secret = _secret(db, name)
            if secret is not None:
                return secret
            db.execute("INSERT INTO secret (name, value) VALUES (?1, ?2)", (name, candidate))
            return candidate

        return await self._engine.write(get_or_put)

    async def get_secret(self, name: str) -> bytes | None:  # noqa: D102
        return await self._engine.read(lambda db: _secret(db, name))
