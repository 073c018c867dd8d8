"""WhatsApp users' choices about third-party chats, in PostgreSQL; knows no rule of eligibility."""

from collections.abc import Sequence

from interop_server.core.consent.store import OptInStore
from interop_server.core.model import InboxMode, InteropSettings
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.reachability import answer_pings
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.settings import put_setting

_CLEAR = "DELETE FROM opt_in WHERE account_id = $1"
_CHOOSE = "INSERT INTO opt_in (account_id, integrator) SELECT DISTINCT $1::bigint, unnest($2::bigint[])"


async def _put(db: Session, account_id: int, integrators: Sequence[int]) -> None:
    await put_setting(db, account_id, "enabled", True)  # locks the account's row of settings: one call at a time
    await db.change(_CLEAR, account_id)
    await db.change(_CHOOSE, account_id, list(integrators))
    await answer_pings(db, account_id)


async def _put_enabled(db: Session, account_id: int, enabled: bool) -> None:
    await put_setting(db, account_id, "enabled", enabled)
    await answer_pings(db, account_id)


class PostgresOptIns(Concern, OptInStore):
    """The tables of choices."""

    _GET = """
        SELECT enabled, inbox_mode, terms_shown_at_ms IS NOT NULL, terms_accepted_at_ms IS NOT NULL,
               ARRAY (SELECT integrator FROM opt_in WHERE account_id = $1)
        FROM interop_settings WHERE account_id = $1
    """

    async def get(self, account_id: int) -> InteropSettings:
        row = await self._row(self._GET, account_id)
        if row is None:
            return InteropSettings()
        enabled, inbox_mode, terms_shown, terms_accepted, integrators = row
        return InteropSettings(
            enabled=bool(enabled),
            integrators=frozenset(integrators),
            inbox_mode=InboxMode(inbox_mode),
            terms_shown=terms_shown,
            terms_accepted=terms_accepted,
        )

    async def put_terms(self, account_id: int, *, accepted: bool, now_ms: int) -> None:
        column = "terms_accepted_at_ms" if accepted else "terms_shown_at_ms"
        await self._engine.write(lambda db: put_setting(db, account_id, column, now_ms))

    async def put(self, account_id: int, integrators: Sequence[int]) -> None:
        await self._engine.write(lambda db: _put(db, account_id, integrators))

    _DELETE = "DELETE FROM opt_in WHERE account_id = $1 AND integrator = ANY ($2::bigint[])"

    async def delete(self, account_id: int, integrators: Sequence[int]) -> None:
        await self._change(self._DELETE, account_id, list(integrators))

    async def put_enabled(self, account_id: int, enabled: bool) -> None:
        await self._engine.write(lambda db: _put_enabled(db, account_id, enabled))

    async def put_inbox_mode(self, account_id: int, inbox_mode: InboxMode) -> None:
        await self._engine.write(lambda db: put_setting(db, account_id, "inbox_mode", inbox_mode))
