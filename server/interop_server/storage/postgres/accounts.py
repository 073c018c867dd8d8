"""Accounts and the JIDs given out to them, in PostgreSQL; knows no token and no connection."""

from collections.abc import Sequence

from interop_protocol.curve_keys import is_same_key
from interop_server.core.errors import Reason
from interop_server.core.model import (
    Account,
    AccountEnd,
    Enlisted,
    ExternalUser,
    NewEnlistment,
    PartnerStatus,
    PartnerTerms,
    Platform,
)
from interop_server.core.shared_store import AccountStore, JidTaken
from interop_server.storage.postgres.belongings import STEP_ROWS, delete_belongings
from interop_server.storage.postgres.concern import Concern, lock_account, lock_name
from interop_server.storage.postgres.connections import end_connection
from interop_server.storage.postgres.mailbox import empty_mailbox, notify_identity_change
from interop_server.storage.postgres.prekeys import delete_all_prekeys, put_published_keys
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.standing import move_standing
from interop_server.storage.records import ACCOUNT, account_of, other_form

_GIVE = "INSERT INTO given_jid (jid) VALUES ($1) ON CONFLICT DO NOTHING"
_ADD = f"""
    INSERT INTO account
        (jid, integrator, external_id, stated_id, auth_key, protocol_version, created_at_ms, last_connected_at_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING {ACCOUNT}
"""


async def _enlist_new(db: Session, new: NewEnlistment) -> Enlisted:
    if not await db.change(_GIVE, new.jid):
        raise JidTaken(new.jid)
    values = (new.auth_key, new.protocol_version, new.now_ms)
    [row] = await db.changed(_ADD, new.jid, new.integrator, new.external_id, other_form(new), *values)
    account = account_of(row)
    await put_published_keys(db, account.account_id, new.keys)
    return Enlisted(account, identity_changed=False, auth_key_changed=False, notified=[])


async def _lock_user(db: Session, integrator: int, external_id: str) -> None:
    """Has one call at a time decide which account somebody has: there may be none yet."""
    await lock_name(db, f"user {integrator} {external_id}")


_GET_KEYS = """
    SELECT account_id, auth_key, identity_key FROM account LEFT JOIN published_keys USING (account_id)
    WHERE integrator = $1 AND external_id = $2
"""
_RENEW = f"""
    UPDATE account SET auth_key = $2, protocol_version = $3, last_connected_at_ms = $4, stated_id = $5
    WHERE account_id = $1 RETURNING {ACCOUNT}
"""


async def _enlist(db: Session, new: NewEnlistment) -> Enlisted:
    await _lock_user(db, new.integrator, new.external_id)
    known = await db.row(_GET_KEYS, new.integrator, new.external_id)
    if known is None:
        return await _enlist_new(db, new)
    account_id, auth_key, identity_key = known
    values = (new.auth_key, new.protocol_version, new.now_ms, other_form(new))
    renewed = await db.changed(_RENEW, account_id, *values)
    if not renewed:  # it has just ended at another process
        return await _enlist_new(db, new)
    identity_changed = identity_key is None or not is_same_key(identity_key, new.keys.identity_key)
    notified = []
    if identity_changed:
        await delete_all_prekeys(db, account_id)
        await empty_mailbox(db, account_id)
        notified = await notify_identity_change(db, account_id, new.now_ms, new.recent_since_ms)
    await put_published_keys(db, account_id, new.keys)
    auth_key_changed = not is_same_key(auth_key, new.auth_key)
    if auth_key_changed:
        await end_connection(db, account_id, Reason.KEYS_REPLACED)
    return Enlisted(account_of(renewed[0]), identity_changed, auth_key_changed, notified)


# A WhatsApp user's JID is the phone number, which can return after a deletion: unlike a third-party JID it is reused.
_PUT_WHATSAPP_USER = f"""
    INSERT INTO account (jid, integrator, external_id, auth_key, platform, created_at_ms, last_connected_at_ms)
    VALUES ($1, 0, $2, $3, $4, $5, $5)
    ON CONFLICT (jid) DO UPDATE SET auth_key = excluded.auth_key, platform = excluded.platform
    RETURNING {ACCOUNT}
"""


_GET_AUTH_KEY = "SELECT auth_key FROM account WHERE jid = $1"


async def _put_whatsapp_user(
    db: Session, jid: str, phone_number: str, auth_key: bytes, platform: Platform, now_ms: int
) -> Account:
    await _lock_user(db, 0, phone_number)
    before = await db.row(_GET_AUTH_KEY, jid)
    await db.change(_GIVE, jid)
    [row] = await db.changed(_PUT_WHATSAPP_USER, jid, phone_number, auth_key, platform, now_ms)
    account = account_of(row)
    if before is not None and not is_same_key(before[0], auth_key):
        await end_connection(db, account.account_id, Reason.KEYS_REPLACED)
    return account


_IS_TAKEN = "SELECT 1 FROM account WHERE account_id <> $1 AND (jid = $2 OR (integrator = 0 AND external_id = $3))"
_GET_NUMBER = "SELECT external_id FROM account WHERE account_id = $1 AND integrator = 0"
_PUT_NUMBER = "UPDATE account SET jid = $2, external_id = $3 WHERE account_id = $1 AND integrator = 0"


async def _change_number(db: Session, account_id: int, jid: str, phone_number: str) -> None:
    await _lock_user(db, 0, phone_number)
    await lock_account(db, account_id)
    if await db.row(_IS_TAKEN, account_id, jid, phone_number):
        raise JidTaken(jid)
    await db.change(_GIVE, jid)
    for (old_number,) in await db.rows(_GET_NUMBER, account_id):
        await move_standing(db, ExternalUser(0, old_number), ExternalUser(0, phone_number))
    await db.change(_PUT_NUMBER, account_id, jid, phone_number)
    await end_connection(db, account_id, Reason.NOT_ENLISTED)


_DELETE = "DELETE FROM account WHERE account_id = $1 RETURNING jid, integrator"
_PUT_END = "UPDATE given_jid SET ended = $2 WHERE jid = $1"


async def _end(db: Session, account_id: int, how: AccountEnd) -> str:
    """Deletes an account; remembers how a third-party user's account ended."""
    rows = await db.changed(_DELETE, account_id)
    if not rows:
        return ""
    [(jid, integrator)] = rows
    await end_connection(db, account_id, Reason.NOT_ENLISTED)
    if integrator:  # a WhatsApp user's JID is the number, and can be registered again
        await db.change(_PUT_END, jid, how)
    return str(jid)


async def _end_some(db: Session, account_ids: Sequence[int], how: AccountEnd) -> tuple[list[str], bool]:
    """Ends accounts until so many rows are deleted; returns the JIDs of those that ended, and whether all have."""
    left = STEP_ROWS
    ended: list[str] = []
    for account_id in account_ids:
        await lock_account(db, account_id)
        left = await delete_belongings(db, account_id, left)
        if not left:
            return ended, False
        ended.append(await _end(db, account_id, how))
    return ended, True


# Locked, so that a login that is under way finds the account gone, or keeps it.
_LIST_STILL_ABSENT = """
    SELECT account_id FROM account WHERE account_id = ANY ($1::bigint[])
    AND integrator > 0 AND last_connected_at_ms <= $2
    ORDER BY account_id FOR NO KEY UPDATE
"""


async def _unenlist(db: Session, account_ids: Sequence[int], until_ms: int) -> tuple[list[str], bool]:
    rows = await db.rows(_LIST_STILL_ABSENT, list(account_ids), until_ms)
    return await _end_some(db, [account_id for (account_id,) in rows], AccountEnd.EXPIRED)


_SET_CONNECTED = f"""
    UPDATE account SET read_receipts = $2, last_connected_at_ms = $3 WHERE account_id = $1 RETURNING
        coalesce((SELECT status FROM partner WHERE partner.integrator = account.integrator), {PartnerStatus.ACTIVE:d}),
        coalesce((SELECT proxy_allowed FROM partner WHERE partner.integrator = account.integrator), 0)
"""


class PostgresAccounts(Concern, AccountStore):
    """The account tables."""

    async def enlist(self, enlistment: NewEnlistment) -> Enlisted:
        return await self._engine.write(lambda db: _enlist(db, enlistment))

    _GET = f"SELECT {ACCOUNT} FROM account WHERE jid = $1"

    async def get(self, jid: str) -> Account | None:
        row = await self._row(self._GET, jid)
        return account_of(row) if row else None

    _GET_BY_EXTERNAL_ID = f"SELECT {ACCOUNT} FROM account WHERE integrator = $1 AND external_id = $2"

    async def get_by_external_id(self, integrator: int, external_id: str) -> Account | None:
        row = await self._row(self._GET_BY_EXTERNAL_ID, integrator, external_id)
        return account_of(row) if row else None

    async def put_whatsapp_user(
        self, jid: str, phone_number: str, auth_key: bytes, platform: Platform, now_ms: int
    ) -> Account:
        return await self._engine.write(
            lambda db: _put_whatsapp_user(db, jid, phone_number, auth_key, platform, now_ms)
        )

    async def change_number(self, account_id: int, jid: str, phone_number: str) -> None:
        await self._engine.write(lambda db: _change_number(db, account_id, jid, phone_number))

    async def set_connected(self, account_id: int, read_receipts: bool, now_ms: int) -> PartnerTerms | None:
        values = (account_id, read_receipts, now_ms)
        rows = await self._engine.write(lambda db: db.changed(_SET_CONNECTED, *values))
        return PartnerTerms(PartnerStatus(rows[0][0]), bool(rows[0][1])) if rows else None

    _SET_LAST_CONNECTED = """
        WITH locked AS MATERIALIZED (
            SELECT account_id FROM account WHERE account_id = ANY ($1::bigint[]) ORDER BY account_id FOR NO KEY UPDATE
        )
        UPDATE account SET last_connected_at_ms = $2 FROM locked WHERE account.account_id = locked.account_id
    """

    async def set_last_connected(self, account_ids: Sequence[int], now_ms: int) -> None:
        await self._change(self._SET_LAST_CONNECTED, list(account_ids), now_ms)

    _OLDEST_CONNECTION = "SELECT min(last_connected_at_ms) FROM account WHERE integrator > 0"

    async def oldest_connection_ms(self) -> int | None:
        return await self._number(self._OLDEST_CONNECTION)

    _LIST_ABSENT = """
        SELECT account_id FROM account WHERE integrator > 0 AND last_connected_at_ms <= $1
        ORDER BY last_connected_at_ms, account_id LIMIT $2
    """

    async def list_absent(self, until_ms: int, limit: int) -> list[int]:
        return [account_id for (account_id,) in await self._rows(self._LIST_ABSENT, until_ms, limit)]

    async def unenlist(self, account_ids: Sequence[int], until_ms: int) -> list[str]:
        jids: list[str] = []
        while True:
            ended, are_all = await self._engine.write(lambda db: _unenlist(db, account_ids, until_ms))
            jids += ended
            if are_all:
                return jids

    async def delete(self, account_id: int) -> None:
        while not (await self._engine.write(lambda db: _end_some(db, [account_id], AccountEnd.DELETED)))[1]:
            pass  # others have had their turn

    _LIST_ENDS = "SELECT jid, ended FROM given_jid WHERE jid = ANY ($1::text[]) AND ended IS NOT NULL"

    async def list_ends(self, jids: Sequence[str]) -> dict[str, AccountEnd]:
        rows = await self._rows(self._LIST_ENDS, list(jids))
        return {jid: AccountEnd(ended) for jid, ended in rows}
