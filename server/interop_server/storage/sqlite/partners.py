"""Partners and their key sets in SQLite; knows no HTTP and no token."""

import json
import sqlite3
from collections.abc import Callable, Sequence

from interop_server.core.model import IdentifierType, Partner
from interop_server.core.shared_store import PartnerStore
from interop_server.storage.records import PARTNER, partner_of, partner_values
from interop_server.storage.sqlite.concern import Concern

_ISSUER_OF_ANOTHER = "SELECT 1 FROM partner WHERE issuer = ?1 AND integrator <> ?2"
_PUT = f"""
    INSERT INTO partner ({PARTNER}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (integrator) DO UPDATE SET
        name = excluded.name, issuer = excluded.issuer, base_url = excluded.base_url,
        push_url = excluded.push_url, media_url = excluded.media_url, status = excluded.status,
        identifier_type = excluded.identifier_type, icon = excluded.icon,
        proxy_allowed = excluded.proxy_allowed, group_messaging = excluded.group_messaging
"""


def _put(db: sqlite3.Connection, partner: Partner) -> None:
    if db.execute(_ISSUER_OF_ANOTHER, (partner.issuer, partner.integrator)).fetchone():
        raise KeyError(partner.issuer)
    db.execute(_PUT, partner_values(partner))


class SqlitePartners(Concern, PartnerStore):
    """The partner tables."""

    async def put(self, partner: Partner) -> None:
        await self._engine.write(lambda db: _put(db, partner))

    _GET = f"SELECT {PARTNER} FROM partner WHERE integrator = ?1"

    async def change(
        self, integrator: int, change: Callable[[Partner | None], Partner]
    ) -> tuple[Partner | None, Partner]:
        def put_changed(db: sqlite3.Connection) -> tuple[Partner | None, Partner]:
            row = db.execute(self._GET, (integrator,)).fetchone()
            before = partner_of(row) if row else None
            after = change(before)
            _put(db, after)
            return before, after

        return await self._engine.write(put_changed)

    async def get(self, integrator: int) -> Partner | None:
        row = await self._row(self._GET, integrator)
        return partner_of(row) if row else None

    _GET_BY_ISSUER = f"SELECT {PARTNER} FROM partner WHERE issuer = ?1"

    async def get_by_issuer(self, issuer: str) -> Partner | None:
        row = await self._row(self._GET_BY_ISSUER, issuer)
        return partner_of(row) if row else None

    _GET_IDENTIFIER_TYPES = """
        SELECT integrator, identifier_type FROM json_each(?1) CROSS JOIN partner ON integrator = value
    """

    async def get_identifier_types(self, integrators: Sequence[int]) -> dict[int, IdentifierType]:
        rows = await self._rows(self._GET_IDENTIFIER_TYPES, json.dumps(list(integrators)))
        return {integrator: IdentifierType(identifier_type) for integrator, identifier_type in rows}

    _LIST_ALL = f"SELECT {PARTNER} FROM partner ORDER BY integrator"

    async def list_all(self) -> list[Partner]:
        return [partner_of(row) for row in await self._rows(self._LIST_ALL)]

    _PUT_JWKS = """
        INSERT INTO jwks (integrator, jwks, fetched_at_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (integrator) DO UPDATE SET jwks = excluded.jwks, fetched_at_ms = excluded.fetched_at_ms
    """

    async def put_jwks(self, integrator: int, jwks: str, fetched_at_ms: int) -> None:
        await self._change(self._PUT_JWKS, integrator, jwks, fetched_at_ms)

    _GET_JWKS = "SELECT jwks FROM jwks WHERE integrator = ?1"

    async def get_jwks(self, integrator: int) -> str | None:
        row = await self._row(self._GET_JWKS, integrator)
        return row[0] if row else None

    _DELETE_JWKS = "DELETE FROM jwks WHERE integrator = ?1"

    async def delete_jwks(self, integrator: int) -> None:
        await self._change(self._DELETE_JWKS, integrator)
