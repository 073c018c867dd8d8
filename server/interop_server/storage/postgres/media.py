"""What is known about uploaded blobs, in PostgreSQL; knows nothing of where their bytes are stored."""

from interop_server.core.media.store import MediaStore
from interop_server.core.model import MediaBlob
from interop_server.storage.postgres.concern import Concern

_COLUMNS = "direct_path, sha256, length, owner_id, created_at_ms, expires_at_ms"  # in the order of MediaBlob
_PUT = f"""
    INSERT INTO media ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (owner_id, sha256) DO UPDATE
        SET expires_at_ms = greatest(media.expires_at_ms, excluded.expires_at_ms)
    RETURNING {_COLUMNS}
"""


class PostgresMedia(Concern, MediaStore):
    """The table of blobs."""

    async def put(self, blob: MediaBlob) -> MediaBlob:
        values = (blob.direct_path, blob.sha256, blob.length, blob.owner_id, blob.created_at_ms, blob.expires_at_ms)
        [row] = await self._engine.write(lambda db: db.changed(_PUT, *values))
        return MediaBlob(*row)

    _GET = f"SELECT {_COLUMNS} FROM media WHERE direct_path = $1"

    async def get(self, direct_path: str) -> MediaBlob | None:
        row = await self._row(self._GET, direct_path)
        return MediaBlob(*row) if row else None

    _GET_OWN = f"SELECT {_COLUMNS} FROM media WHERE owner_id = $1 AND sha256 = $2"

    async def get_own(self, owner_id: int, sha256: bytes) -> MediaBlob | None:
        row = await self._row(self._GET_OWN, owner_id, sha256)
        return MediaBlob(*row) if row else None

    _LIST_KEYS = """
        SELECT owner_id, sha256 FROM media WHERE (owner_id, sha256) > ($1, $2) ORDER BY owner_id, sha256 LIMIT $3
    """

    async def list_keys(self, after: tuple[int, bytes], most: int) -> list[tuple[int, bytes]]:
        return [(owner_id, sha256) for owner_id, sha256 in await self._rows(self._LIST_KEYS, *after, most)]

    _LIST_EXPIRED = f"""
        SELECT {_COLUMNS} FROM media WHERE (expires_at_ms, direct_path) > ($1, $2) AND expires_at_ms < $3
        ORDER BY expires_at_ms, direct_path LIMIT $4
    """

    async def list_expired(self, after: tuple[int, str], before_ms: int, most: int) -> list[MediaBlob]:
        return [MediaBlob(*row) for row in await self._rows(self._LIST_EXPIRED, *after, before_ms, most)]

    _NEXT_EXPIRY = "SELECT min(expires_at_ms) FROM media WHERE expires_at_ms >= $1"

    async def next_expiry_ms(self, from_ms: int) -> int | None:
        return await self._number(self._NEXT_EXPIRY, from_ms)

    _DELETE_EXPIRED = """
        DELETE FROM media WHERE direct_path IN (
            SELECT direct_path FROM media WHERE expires_at_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
    """

    async def delete_expired(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED, before_ms, most)
