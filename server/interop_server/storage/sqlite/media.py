"""What is known of uploaded blobs, in SQLite; knows nothing of where their bytes lie."""

import sqlite3

from interop_server.core.model import MediaBlob
from interop_server.core.stores import MediaStore
from interop_server.storage.sqlite.engine_user import EngineUser

_COLUMNS = "direct_path, sha256, length, owner_id, created_at_ms, expires_at_ms"  # in the order of MediaBlob


class SqliteMedia(EngineUser, MediaStore):
    """The table of blobs."""

    async def put_media(self, blob: MediaBlob) -> MediaBlob:  # noqa: D102
        def put(db: sqlite3.Connection) -> MediaBlob:
            [row] = db.execute(
                f"""
                INSERT INTO media ({_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT (sha256) DO UPDATE SET expires_at_ms = max(expires_at_ms, excluded.expires_at_ms)
                RETURNING {_COLUMNS}
                """,
                (blob.direct_path, blob.sha256, blob.length, blob.owner_id, blob.created_at_ms, blob.expires_at_ms),
            ).fetchall()
            return MediaBlob(*row)

        return await self._engine.write(put)

    async def get_media(self, direct_path: str) -> MediaBlob | None:  # noqa: D102
        found = await self._list_media("direct_path = ?1", direct_path)
        return found[0] if found else None

    async def get_media_by_sha256(self, sha256: bytes) -> MediaBlob | None:  # noqa: D102
        found = await self._list_media("sha256 = ?1", sha256)
        return found[0] if found else None

    async def list_expired_media(self, from_ms: int, before_ms: int) -> list[MediaBlob]:  # noqa: D102
        return await self._list_media("expires_at_ms >= ?1 AND expires_at_ms < ?2", from_ms, before_ms)

    async def next_media_expiry(self, from_ms: int) -> int | None:  # noqa: D102
        def look(db: sqlite3.Connection) -> int | None:
            [(expires_at_ms,)] = db.execute(
                "SELECT min(expires_at_ms) FROM media WHERE expires_at_ms >= ?1", (from_ms,)
            ).fetchall()
            return None if expires_at_ms is None else int(expires_at_ms)

        return await self._engine.read(look)

    async def delete_media(self, before_ms: int) -> int:  # noqa: D102
        def delete(db: sqlite3.Connection) -> int:
            return db.execute("DELETE FROM media WHERE expires_at_ms < ?1", (before_ms,)).rowcount

        return await self._engine.write(delete)

    async def _list_media(self, condition: str, *values: str | bytes | int) -> list[MediaBlob]:
        def list_blobs(db: sqlite3.Connection) -> list[MediaBlob]:
            rows = db.execute(f"SELECT {_COLUMNS} FROM media WHERE {condition}", values).fetchall()
            return [MediaBlob(*row) for row in rows]

        return await self._engine.read(list_blobs)
