"""Partners and their key sets in PostgreSQL; knows no HTTP and no token."""

from collections.abc import Callable, Sequence

from interop_server.core.model import IdentifierType, Partner
from interop_server.core.shared_store import PartnerStore
from interop_server.storage.postgres.concern import Concern, lock_name
from interop_server.storage.postgres.connections import end_connections_of
from interop_server.storage.postgres.session import Session
from interop_server.storage.records import PARTNER, partner_of, partner_values

_ISSUER_OF_ANOTHER = "SELECT 1 FROM partner WHERE issuer = $1 AND integrator <> $2"
_PUT = f"""
    INSERT INTO partner ({PARTNER}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (integrator) DO UPDATE SET
        name = excluded.name, issuer = excluded.issuer, base_url = excluded.base_url,
        push_url = excluded.push_url, media_url = excluded.media_url, status = excluded.status,
        identifier_type = excluded.identifier_type, icon = excluded.icon,
        proxy_allowed = excluded.proxy_allowed, group_messaging = excluded.group_messaging
"""


async def _put(db: Session, partner: Partner) -> None:
    await lock_name(db, "partners")  # they are few and seldom changed, and an issuer belongs to one of them
    if await db.row(_ISSUER_OF_ANOTHER, partner.issuer, partner.integrator):
        raise KeyError(partner.issuer)
    await db.change(_PUT, *partner_values(partner))
    await end_connections_of(db, partner)


class PostgresPartners(Concern, PartnerStore):
    """The partner tables."""

    async def put(self, partner: Partner) -> None:
        await self._engine.write(lambda db: _put(db, partner))

    _GET = f"SELECT {PARTNER} FROM partner WHERE integrator = $1"

    async def change(
        self, integrator: int, change: Callable[[Partner | None], Partner]
    ) -> tuple[Partner | None, Partner]:
        async def put_changed(db: Session) -> tuple[Partner | None, Partner]:
            await lock_name(db, "partners")
            row = await db.row(self._GET, integrator)
            before = partner_of(row) if row else None
            after = change(before)
            await _put(db, after)
            return before, after

        return await self._engine.write(put_changed)

    async def get(self, integrator: int) -> Partner | None:
        row = await self._row(self._GET, integrator)
        return partner_of(row) if row else None

    _GET_BY_ISSUER = f"SELECT {PARTNER} FROM partner WHERE issuer = $1"

    async def get_by_issuer(self, issuer: str) -> Partner | None:
        row = await self._row(self._GET_BY_ISSUER, issuer)
        return partner_of(row) if row else None

    _GET_IDENTIFIER_TYPES = """
        SELECT integrator, identifier_type FROM partner WHERE integrator = ANY ($1::bigint[])
    """

    async def get_identifier_types(self, integrators: Sequence[int]) -> dict[int, IdentifierType]:
        rows = await self._rows(self._GET_IDENTIFIER_TYPES, list(integrators))
        return {integrator: IdentifierType(identifier_type) for integrator, identifier_type in rows}

    _LIST_ALL = f"SELECT {PARTNER} FROM partner ORDER BY integrator"

    async def list_all(self) -> list[Partner]:
        return [partner_of(row) for row in await self._rows(self._LIST_ALL)]

    _PUT_JWKS = """
        INSERT INTO jwks (integrator, jwks, fetched_at_ms) VALUES ($1, $2, $3)
        ON CONFLICT (integrator) DO UPDATE SET jwks = excluded.jwks, fetched_at_ms = excluded.fetched_at_ms
    """

    async def put_jwks(self, integrator: int, jwks: str, fetched_at_ms: int) -> None:
        await self._change(self._PUT_JWKS, integrator, jwks, fetched_at_ms)

    _GET_JWKS = "SELECT jwks FROM jwks WHERE integrator = $1"

    async def get_jwks(self, integrator: int) -> str | None:
        row = await self._row(self._GET_JWKS, integrator)
        return row[0] if row else None

    _DELETE_JWKS = "DELETE FROM jwks WHERE integrator = $1"

    async def delete_jwks(self, integrator: int) -> None:
        await self._change(self._DELETE_JWKS, integrator)
