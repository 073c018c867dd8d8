"""How people stand with the server, in SQLite; knows nothing of what a sanction keeps anybody from."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence

from interop_server.core.model import ExternalUser, Sanction, SanctionKind
from interop_server.core.stores import StandingStore
from interop_server.storage.sqlite.engine_user import EngineUser


def user_sha256(user: ExternalUser) -> bytes:
    """Returns what stands for a person where how they stand outlives their account: 32 bytes."""
    return hashlib.sha256(f"{user.integrator}:{user.external_id}".encode()).digest()


def move_standing(db: sqlite3.Connection, old: ExternalUser, new: ExternalUser) -> None:
    """Lets how somebody stands go with them to another identifier, in place of how that one stood."""
    hashes = (user_sha256(old), user_sha256(new))
    for table, column in (
        ("sanction", "user_sha256"),
        ("counted_report", "reported_sha256"),
        ("counted_report", "reporter_sha256"),
    ):
        db.execute(f"DELETE FROM {table} WHERE {column} = ?2 AND ?1 <> ?2", hashes)
        db.execute(f"UPDATE {table} SET {column} = ?2 WHERE {column} = ?1", hashes)


class SqliteStanding(EngineUser, StandingStore):
    """The tables of sanctions."""

    async def list_sanctions(self, user: ExternalUser, now_ms: int) -> list[Sanction]:  # noqa: D102
        def list_in_force(db: sqlite3.Connection) -> list[Sanction]:
            rows = db.execute(
                """
                SELECT kind, sub_code, expires_at_ms FROM sanction
                WHERE integrator = ?1 AND user_sha256 = ?2 AND (expires_at_ms IS NULL OR expires_at_ms > ?3)
                ORDER BY kind
                """,
                (user.integrator, user_sha256(user), now_ms),
            ).fetchall()
            return [Sanction(SanctionKind(kind), sub_code, expires_at_ms) for kind, sub_code, expires_at_ms in rows]

        return await self._engine.read(list_in_force)

    async def put_sanction(self, user: ExternalUser, sanction: Sanction) -> None:  # noqa: D102
        def put(db: sqlite3.Connection) -> None:
            db.execute(
                """
                INSERT OR REPLACE INTO sanction (integrator, user_sha256, kind, sub_code, expires_at_ms)
                VALUES (?1, ?2, ?3, ?4, ?5)
                """,
                (user.integrator, user_sha256(user), sanction.kind, sanction.sub_code, sanction.expires_at_ms),
            )

        await self._engine.write(put)

    async def delete_sanctions(self, user: ExternalUser, kinds: Sequence[SanctionKind]) -> None:  # noqa: D102
        def delete(db: sqlite3.Connection) -> None:
            db.execute(
                """
                DELETE FROM sanction
                WHERE integrator = ?1 AND user_sha256 = ?2 AND kind IN (SELECT value FROM json_each(?3))
                """,
                (user.integrator, user_sha256(user), json.dumps(list(kinds))),
            )

        await self._engine.write(delete)

    async def count_banned(self, integrator: int) -> int:  # noqa: D102
        def count(db: sqlite3.Connection) -> int:
            sql = "SELECT count(*) FROM sanction WHERE integrator = ?1 AND kind = ?2"
            return int(db.execute(sql, (integrator, SanctionKind.BAN)).fetchone()[0])

        return await self._engine.read(count)

    async def delete_ended_sanctions(self, before_ms: int) -> int:  # noqa: D102
        def delete(db: sqlite3.Connection) -> int:
            return db.execute("DELETE FROM sanction WHERE expires_at_ms < ?1", (before_ms,)).rowcount

        return await self._engine.write(delete)

    async def next_sanction_end(self) -> int | None:  # noqa: D102
        def look(db: sqlite3.Connection) -> int | None:
            [(expires_at_ms,)] = db.execute("SELECT min(expires_at_ms) FROM sanction").fetchall()
            return None if expires_at_ms is None else int(expires_at_ms)

        return await self._engine.read(look)
