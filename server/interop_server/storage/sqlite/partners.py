"""Partners and their key sets in SQLite; knows no HTTP and no token."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from interop_server.core.model import IdentifierType, Partner, PartnerStatus
from interop_server.core.shared_store import PartnerStore
from interop_server.storage.sqlite.concern import Concern

_COLUMNS = """
    integrator, name, issuer, base_url, push_url, media_url, status, identifier_type, icon, proxy_allowed,
    group_messaging
"""
_ISSUER_OF_ANOTHER = "SELECT 1 FROM partner WHERE issuer = ?1 AND integrator <> ?2"
_PUT = f"""
    INSERT INTO partner ({_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
    ON CONFLICT (integrator) DO UPDATE SET
        name = excluded.name, issuer = excluded.issuer, base_url = excluded.base_url,
        push_url = excluded.push_url, media_url = excluded.media_url, status = excluded.status,
        identifier_type = excluded.identifier_type, icon = excluded.icon,
        proxy_allowed = excluded.proxy_allowed, group_messaging = excluded.group_messaging
"""


def _put(db: sqlite3.Connection, partner: Partner) -> None:
    if db.execute(_ISSUER_OF_ANOTHER, (partner.issuer, partner.integrator)).fetchone():
        raise KeyError(partner.issuer)
    db.execute(
        _PUT,
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


class SqlitePartners(Concern, PartnerStore):
    """The partner tables."""

    async def put(self, partner: Partner) -> None:
        await self._engine.write(lambda db: _put(db, partner))

    _GET = f"SELECT {_COLUMNS} FROM partner WHERE integrator = ?1"

    async def change(
        self, integrator: int, change: Callable[[Partner | None], Partner]
    ) -> tuple[Partner | None, Partner]:
        def put_changed(db: sqlite3.Connection) -> tuple[Partner | None, Partner]:
            row = db.execute(self._GET, (integrator,)).fetchone()
            before = _partner(row) if row else None
            after = change(before)
            _put(db, after)
            return before, after

        return await self._engine.write(put_changed)

    async def get(self, integrator: int) -> Partner | None:
        row = await self._row(self._GET, integrator)
        return _partner(row) if row else None

    _GET_BY_ISSUER = f"SELECT {_COLUMNS} FROM partner WHERE issuer = ?1"

    async def get_by_issuer(self, issuer: str) -> Partner | None:
        row = await self._row(self._GET_BY_ISSUER, issuer)
        return _partner(row) if row else None

    _GET_IDENTIFIER_TYPES = """
        SELECT integrator, identifier_type FROM json_each(?1) CROSS JOIN partner ON integrator = value
    """

    async def get_identifier_types(self, integrators: Sequence[int]) -> dict[int, IdentifierType]:
        rows = await self._rows(self._GET_IDENTIFIER_TYPES, json.dumps(list(integrators)))
        return {integrator: IdentifierType(identifier_type) for integrator, identifier_type in rows}

    _LIST_ALL = f"SELECT {_COLUMNS} FROM partner ORDER BY integrator"

    async def list_all(self) -> list[Partner]:
        return [_partner(row) for row in await self._rows(self._LIST_ALL)]

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
