"""Accounts and the JIDs given out to them, in SQLite; knows no token and no connection."""

import json
import sqlite3
from collections.abc import Sequence

from interop_protocol.curve_keys import is_same_key
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
from interop_server.storage.records import ACCOUNT, account_of, other_form
from interop_server.storage.sqlite.belongings import STEP_ROWS, delete_belongings
from interop_server.storage.sqlite.concern import Concern
from interop_server.storage.sqlite.mailbox import empty_mailbox, notify_identity_change
from interop_server.storage.sqlite.prekeys import delete_all_prekeys, put_published_keys
from interop_server.storage.sqlite.standing import move_standing

_IS_GIVEN = "SELECT 1 FROM given_jid WHERE jid = ?1"
_GIVE = "INSERT INTO given_jid (jid) VALUES (?1)"
_ADD = f"""
    INSERT INTO account
        (jid, integrator, external_id, stated_id, auth_key, protocol_version, created_at_ms, last_connected_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) RETURNING {ACCOUNT}
"""


def _enlist_new(db: sqlite3.Connection, new: NewEnlistment) -> Enlisted:
    if db.execute(_IS_GIVEN, (new.jid,)).fetchone():
        raise JidTaken(new.jid)
    db.execute(_GIVE, (new.jid,))
    values = (new.auth_key, new.protocol_version, new.now_ms)
    [row] = db.execute(_ADD, (new.jid, new.integrator, new.external_id, other_form(new), *values)).fetchall()
    account = account_of(row)
    put_published_keys(db, account.account_id, new.keys)
    return Enlisted(account, identity_changed=False, auth_key_changed=False, notified=[])


_GET_KEYS = """
    SELECT account_id, auth_key, identity_key FROM account LEFT JOIN published_keys USING (account_id)
    WHERE integrator = ?1 AND external_id = ?2
"""
_RENEW = f"""
    UPDATE account SET auth_key = ?2, protocol_version = ?3, last_connected_at_ms = ?4, stated_id = ?5
    WHERE account_id = ?1 RETURNING {ACCOUNT}
"""


def _enlist(db: sqlite3.Connection, new: NewEnlistment) -> Enlisted:
    known = db.execute(_GET_KEYS, (new.integrator, new.external_id)).fetchone()
    if known is None:
        return _enlist_new(db, new)
    account_id, auth_key, identity_key = known
    values = (new.auth_key, new.protocol_version, new.now_ms, other_form(new))
    [row] = db.execute(_RENEW, (account_id, *values)).fetchall()
    identity_changed = identity_key is None or not is_same_key(identity_key, new.keys.identity_key)
    notified = []
    if identity_changed:
        delete_all_prekeys(db, account_id)
        empty_mailbox(db, account_id)
        notified = notify_identity_change(db, account_id, new.now_ms, new.recent_since_ms)
    put_published_keys(db, account_id, new.keys)
    return Enlisted(account_of(row), identity_changed, not is_same_key(auth_key, new.auth_key), notified)


# A WhatsApp user's JID is the phone number, which can return after a deletion: unlike a third-party JID it is reused.
_GIVE_AGAIN = "INSERT INTO given_jid (jid) VALUES (?1) ON CONFLICT DO NOTHING"
_PUT_WHATSAPP_USER = f"""
    INSERT INTO account (jid, integrator, external_id, auth_key, platform, created_at_ms, last_connected_at_ms)
    VALUES (?1, 0, ?2, ?3, ?4, ?5, ?5)
    ON CONFLICT (jid) DO UPDATE SET auth_key = excluded.auth_key, platform = excluded.platform
    RETURNING {ACCOUNT}
"""


def _put_whatsapp_user(db: sqlite3.Connection, jid: str, *values: str | bytes | int) -> Account:
    db.execute(_GIVE_AGAIN, (jid,))
    [row] = db.execute(_PUT_WHATSAPP_USER, (jid, *values)).fetchall()
    return account_of(row)


_IS_TAKEN = "SELECT 1 FROM account WHERE account_id <> ?1 AND (jid = ?2 OR (integrator = 0 AND external_id = ?3))"
_GET_NUMBER = "SELECT external_id FROM account WHERE account_id = ?1 AND integrator = 0"
_PUT_NUMBER = "UPDATE account SET jid = ?2, external_id = ?3 WHERE account_id = ?1 AND integrator = 0"


def _change_number(db: sqlite3.Connection, account_id: int, jid: str, phone_number: str) -> None:
    if db.execute(_IS_TAKEN, (account_id, jid, phone_number)).fetchone():
        raise JidTaken(jid)
    db.execute(_GIVE_AGAIN, (jid,))
    for (old_number,) in db.execute(_GET_NUMBER, (account_id,)).fetchall():
        move_standing(db, ExternalUser(0, old_number), ExternalUser(0, phone_number))
    db.execute(_PUT_NUMBER, (account_id, jid, phone_number))


_DELETE = "DELETE FROM account WHERE account_id = ?1 RETURNING jid, integrator"
_PUT_END = "UPDATE given_jid SET ended = ?2 WHERE jid = ?1"


def _end(db: sqlite3.Connection, account_id: int, how: AccountEnd) -> str:
    """Deletes an account; remembers how a third-party user's account ended."""
    rows = db.execute(_DELETE, (account_id,)).fetchall()
    if not rows:
        return ""
    [(jid, integrator)] = rows
    if integrator:  # a WhatsApp user's JID is the number, and can be registered again
        db.execute(_PUT_END, (jid, how))
    return str(jid)


_LIST_STILL_ABSENT = """
    SELECT account_id FROM account WHERE account_id IN (SELECT value FROM json_each(?1))
    AND integrator > 0 AND last_connected_at_ms <= ?2
"""


def _end_some(db: sqlite3.Connection, account_ids: Sequence[int], how: AccountEnd) -> tuple[list[str], bool]:
    """Ends accounts until so many rows are deleted; returns the JIDs of those that ended, and whether all have."""
    left = STEP_ROWS
    ended: list[str] = []
    for account_id in account_ids:
        left = delete_belongings(db, account_id, left)
        if not left:
            return ended, False
        ended.append(_end(db, account_id, how))
    return ended, True


def _unenlist(db: sqlite3.Connection, account_ids: Sequence[int], until_ms: int) -> tuple[list[str], bool]:
    rows = db.execute(_LIST_STILL_ABSENT, (json.dumps(list(account_ids)), until_ms)).fetchall()
    return _end_some(db, [account_id for (account_id,) in rows], AccountEnd.EXPIRED)


_SET_CONNECTED = f"""
    UPDATE account SET read_receipts = ?2, last_connected_at_ms = ?3 WHERE account_id = ?1 RETURNING
        coalesce((SELECT status FROM partner WHERE partner.integrator = account.integrator), {PartnerStatus.ACTIVE:d}),
        coalesce((SELECT proxy_allowed FROM partner WHERE partner.integrator = account.integrator), 0)
"""


class SqliteAccounts(Concern, AccountStore):
    """The account tables."""

    async def enlist(self, enlistment: NewEnlistment) -> Enlisted:
        return await self._engine.write(lambda db: _enlist(db, enlistment))

    _GET = f"SELECT {ACCOUNT} FROM account WHERE jid = ?1"

    async def get(self, jid: str) -> Account | None:
        row = await self._row(self._GET, jid)
        return account_of(row) if row else None

    _GET_BY_EXTERNAL_ID = f"SELECT {ACCOUNT} FROM account WHERE integrator = ?1 AND external_id = ?2"

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
        rows = await self._engine.write(lambda db: db.execute(_SET_CONNECTED, values).fetchall())
        return PartnerTerms(PartnerStatus(rows[0][0]), bool(rows[0][1])) if rows else None

    _SET_LAST_CONNECTED = """
        UPDATE account SET last_connected_at_ms = ?2 WHERE account_id IN (SELECT value FROM json_each(?1))
    """

    async def set_last_connected(self, account_ids: Sequence[int], now_ms: int) -> None:
        await self._change(self._SET_LAST_CONNECTED, json.dumps(list(account_ids)), now_ms)

    _OLDEST_CONNECTION = "SELECT min(last_connected_at_ms) FROM account WHERE integrator > 0"

    async def oldest_connection_ms(self) -> int | None:
        return await self._number(self._OLDEST_CONNECTION)

    _LIST_ABSENT = """
        SELECT account_id FROM account WHERE integrator > 0 AND last_connected_at_ms <= ?1
        ORDER BY last_connected_at_ms, account_id LIMIT ?2
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

    _LIST_ENDS = """
        SELECT jid, ended FROM given_jid WHERE jid IN (SELECT value FROM json_each(?1)) AND ended IS NOT NULL
    """

    async def list_ends(self, jids: Sequence[str]) -> dict[str, AccountEnd]:
        rows = await self._rows(self._LIST_ENDS, json.dumps(list(jids)))
        return {jid: AccountEnd(ended) for jid, ended in rows}
