"""Partners and their key sets in SQLite; knows no HTTP and no token."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from interop_server.core.model import IdentifierType, Partner, PartnerStatus
from interop_server.core.stores import PartnerStore
from interop_server.storage.sqlite.engine_user import EngineUser

_SELECT = """
    SELECT integrator, name, issuer, base_url, push_url, media_url, status, identifier_type, icon, proxy_allowed,
           group_messaging
    FROM partner
"""


def _partner(row: tuple[Any, ...]) -> Partner:
    integrator, name, issuer, base_url, push_url, media_url, status, identifier_type, icon, *flags = row
    proxy_allowed, group_messaging = map(bool, flags)
    return Partner(
        integrator=integrator,
        name=name,
        issuer=issuer,
        base_url=base_url,
        push_url=push_url,
        media_url=media_url,
        status=PartnerStatus(status),
        identifier_type=IdentifierType(identifier_type),
        icon=icon,
        proxy_allowed=proxy_allowed,
        group_messaging=group_messaging,
    )


class SqlitePartners(EngineUser, PartnerStore):
    """The partner tables."""

    async def put_partner(self, partner: Partner) -> None:  # noqa: D102
        def put(db: sqlite3.Connection) -> None:
            others = "SELECT 1 FROM partner WHERE issuer = ?1 AND integrator <> ?2"
            if db.execute(others, (partner.issuer, partner.integrator)).fetchone():
                raise KeyError(partner.issuer)
            db.execute(
                """
                INSERT INTO partner (integrator, name, issuer, base_url, push_url, media_url, status, identifier_type,
                                     icon, proxy_allowed, group_messaging)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                ON CONFLICT (integrator) DO UPDATE SET
                    name = excluded.name, issuer = excluded.issuer, base_url = excluded.base_url,
                    push_url = excluded.push_url, media_url = excluded.media_url, status = excluded.status,
                    identifier_type = excluded.identifier_type, icon = excluded.icon,
                    proxy_allowed = excluded.proxy_allowed, group_messaging = excluded.group_messaging
                """,
                (
                    partner.integrator,
                    partner.name,
                    partner.issuer,
                    partner.base_url,
                    partner.push_url,
                    partner.media_url,
                    partner.status,
                    partner.identifier_type,
                    partner.icon,
                    partner.proxy_allowed,
                    partner.group_messaging,
                ),
            )

        await self._engine.write(put)

    async def get_partner(self, integrator: int) -> Partner | None:  # noqa: D102
        return await self._find_partner("integrator = ?1", integrator)

    async def get_partner_by_issuer(self, issuer: str) -> Partner | None:  # noqa: D102
        return await self._find_partner("issuer = ?1", issuer)

    async def get_identifier_types(self, integrators: Sequence[int]) -> dict[int, IdentifierType]:  # noqa: D102
        def get(db: sqlite3.Connection) -> dict[int, IdentifierType]:
            rows = db.execute(
                "SELECT integrator, identifier_type FROM json_each(?1) CROSS JOIN partner ON integrator = value",
                (json.dumps(list(integrators)),),
            ).fetchall()
            return {integrator: IdentifierType(identifier_type) for integrator, identifier_type in rows}

        return await self._engine.read(get)

    async def list_partners(self) -> list[Partner]:  # noqa: D102
        return await self._engine.read(
            lambda db: [_partner(row) for row in db.execute(f"{_SELECT} ORDER BY integrator").fetchall()]
        )

    async def put_jwks(self, integrator: int, jwks: str, fetched_at_ms: int) -> None:  # noqa: D102
        def put(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO jwks VALUES (?1, ?2, ?3)", (integrator, jwks, fetched_at_ms))

        await self._engine.write(put)

    async def delete_jwks(self, integrator: int) -> None:  # noqa: D102
        def delete(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM jwks WHERE integrator = ?1", (integrator,))

        await self._engine.write(delete)

    async def get_jwks(self, integrator: int) -> str | None:  # noqa: D102
        def get(db: sqlite3.Connection) -> str | None:
            row = db.execute("SELECT jwks FROM jwks WHERE integrator = ?1", (integrator,)).fetchone()
            return row[0] if row else None

        return await self._engine.read(get)

    async def _find_partner(self, condition: str, value: int | str) -> Partner | None:
        def find(db: sqlite3.Connection) -> Partner | None:
            row = db.execute(f"{_SELECT} WHERE {condition}", (value,)).fetchone()
            return _partner(row) if row else None

        return await self._engine.read(find)
