"""The server's own key material in PostgreSQL; knows no use of a key."""

from interop_server.core.shared_store import SecretStore
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.session import Session

_GET = "SELECT value FROM secret WHERE name = $1"
_ADD = "INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"


async def _get_or_put(db: Session, name: str, candidate: bytes) -> bytes:
    if await db.change(_ADD, name, candidate):
        return candidate
    [(value,)] = await db.rows(_GET, name)
    return bytes(value)


class PostgresSecrets(Concern, SecretStore):
    """The table of secrets."""

    async def get_or_put(self, name: str, candidate: bytes) -> bytes:
        return await self._engine.write(lambda db: _get_or_put(db, name, candidate))

    async def get(self, name: str) -> bytes | None:
        row = await self._row(_GET, name)
        return row[0] if row else None
