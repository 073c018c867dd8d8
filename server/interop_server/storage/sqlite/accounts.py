"""Accounts and the JIDs given to them, in SQLite; knows no token and no connection."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

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
from interop_server.core.stores import AccountStore, JidTaken
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.mailbox import notify_identity_change
from interop_server.storage.sqlite.prekeys import delete_all_prekeys, put_published_keys
from interop_server.storage.sqlite.standing import move_standing

_COLUMNS = "account_id, jid, integrator, external_id, auth_key, platform, last_connected_at_ms"


def _account(row: tuple[Any, ...]) -> Account:
    account_id, jid, integrator, external_id, auth_key, platform, last_connected_at_ms = row
    return Account(
        account_id,
        jid,
        integrator,
        external_id,
        auth_key,
        None if platform is None else Platform(platform),
        last_connected_at_ms,
    )


def _enlist_new(db: sqlite3.Connection, new: NewEnlistment) -> Enlisted:
    if db.execute("SELECT 1 FROM given_jid WHERE jid = ?1", (new.jid,)).fetchone():
        raise JidTaken(new.jid)
    db.execute("INSERT INTO given_jid (jid) VALUES (?1)", (new.jid,))
    [row] = db.execute(
        f"""
        INSERT INTO account
            (jid, integrator, external_id, auth_key, protocol_version, created_at_ms, last_connected_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) RETURNING {_COLUMNS}
        """,
        (new.jid, new.integrator, new.external_id, new.auth_key, new.protocol_version, new.now_ms),
    ).fetchall()
    account = _account(row)
    put_published_keys(db, account.account_id, new.keys)
    return Enlisted(account, identity_changed=False, auth_key_changed=False, notified=[])


def _enlist(db: sqlite3.Connection, new: NewEnlistment) -> Enlisted:
    known = db.execute(
        """
        SELECT account_id, auth_key, identity_key FROM account LEFT JOIN published_keys USING (account_id)
        WHERE integrator = ?1 AND external_id = ?2
        """,
        (new.integrator, new.external_id),
    ).fetchone()
    if known is None:
        return _enlist_new(db, new)
    account_id, auth_key, identity_key = known
    [row] = db.execute(
        f"""
        UPDATE account SET auth_key = ?2, protocol_version = ?3, last_connected_at_ms = ?4
        WHERE account_id = ?1 RETURNING {_COLUMNS}
        """,
        (account_id, new.auth_key, new.protocol_version, new.now_ms),
    ).fetchall()
    account = _account(row)
    identity_changed = identity_key != new.keys.identity_key
    notified = []
    if identity_changed:
        delete_all_prekeys(db, account_id)
        db.execute("DELETE FROM mailbox WHERE recipient_id = ?1", (account_id,))
        notified = notify_identity_change(db, account_id, new.now_ms, new.recent_since_ms)
    put_published_keys(db, account_id, new.keys)
    return Enlisted(account, identity_changed, auth_key != new.auth_key, notified)


def _end(db: sqlite3.Connection, account_id: int, how: AccountEnd) -> str:
    """Deletes an account; of a third-party user's stays how it ended."""
    rows = db.execute("DELETE FROM account WHERE account_id = ?1 RETURNING jid, integrator", (account_id,)).fetchall()
    if not rows:
        return ""
    [(jid, integrator)] = rows
    if integrator:  # a WhatsApp user's JID is the number, and can come back
        db.execute("UPDATE given_jid SET ended = ?2 WHERE jid = ?1", (jid, how))
    return str(jid)


def _change_number(db: sqlite3.Connection, account_id: int, jid: str, phone_number: str) -> None:
    taken = """
        SELECT 1 FROM account WHERE account_id <> ?1 AND (jid = ?2 OR (integrator = 0 AND external_id = ?3))
    """
    if db.execute(taken, (account_id, jid, phone_number)).fetchone():
        raise JidTaken(jid)
    db.execute("INSERT INTO given_jid (jid) VALUES (?1) ON CONFLICT DO NOTHING", (jid,))
    for (old_number,) in db.execute("SELECT external_id FROM account WHERE account_id = ?1", (account_id,)).fetchall():
        move_standing(db, ExternalUser(0, old_number), ExternalUser(0, phone_number))
    db.execute(
        "UPDATE account SET jid = ?2, external_id = ?3 WHERE account_id = ?1 AND integrator = 0",
        (account_id, jid, phone_number),
    )


class SqliteAccounts(EngineUser, AccountStore):
    """The account tables."""

    async def enlist(self, enlistment: NewEnlistment) -> Enlisted:  # noqa: D102
        return await self._engine.write(lambda db: _enlist(db, enlistment))

    async def get_account(self, jid: str) -> Account | None:  # noqa: D102
        return await self._find_account("jid = ?1", jid)

    async def get_account_by_external_id(self, integrator: int, external_id: str) -> Account | None:  # noqa: D102
        return await self._find_account("integrator = ?1 AND external_id = ?2", integrator, external_id)

    async def put_whatsapp_user(  # noqa: D102
        self, jid: str, phone_number: str, auth_key: bytes, platform: Platform, now_ms: int
    ) -> Account:
        def put(db: sqlite3.Connection) -> Account:
            # A WhatsApp JID is the number, which may come back after a deletion: unlike a partner's it is reused.
            db.execute("INSERT INTO given_jid (jid) VALUES (?1) ON CONFLICT DO NOTHING", (jid,))
            [row] = db.execute(
                f"""
                INSERT INTO account
                    (jid, integrator, external_id, auth_key, platform, created_at_ms, last_connected_at_ms)
                VALUES (?1, 0, ?2, ?3, ?4, ?5, ?5)
                ON CONFLICT (jid) DO UPDATE SET auth_key = excluded.auth_key, platform = excluded.platform
                RETURNING {_COLUMNS}
                """,
                (jid, phone_number, auth_key, platform, now_ms),
            ).fetchall()
            return _account(row)

        return await self._engine.write(put)

    async def change_number(self, account_id: int, jid: str, phone_number: str) -> None:  # noqa: D102
        await self._engine.write(lambda db: _change_number(db, account_id, jid, phone_number))

    async def set_connected(self, account_id: int, read_receipts: bool, now_ms: int) -> PartnerTerms | None:  # noqa: D102
        def set_connected(db: sqlite3.Connection) -> PartnerTerms | None:
            rows = db.execute(
                """
                UPDATE account SET read_receipts = ?2, last_connected_at_ms = ?3 WHERE account_id = ?1 RETURNING
                    coalesce((SELECT status FROM partner WHERE partner.integrator = account.integrator), ?4),
                    coalesce((SELECT proxy_allowed FROM partner WHERE partner.integrator = account.integrator), 0)
                """,
                (account_id, read_receipts, now_ms, PartnerStatus.ACTIVE),
            ).fetchall()
            return PartnerTerms(PartnerStatus(rows[0][0]), bool(rows[0][1])) if rows else None

        return await self._engine.write(set_connected)

    async def set_last_connected(self, account_ids: Sequence[int], now_ms: int) -> None:  # noqa: D102
        def set_last_connected(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE account SET last_connected_at_ms = ?2 WHERE account_id IN (SELECT value FROM json_each(?1))",
                (json.dumps(list(account_ids)), now_ms),
            )

        await self._engine.write(set_last_connected)

    async def oldest_connection_ms(self) -> int | None:  # noqa: D102
        def oldest(db: sqlite3.Connection) -> int | None:
            [(last_ms,)] = db.execute("SELECT min(last_connected_at_ms) FROM account WHERE integrator > 0").fetchall()
            return None if last_ms is None else int(last_ms)

        return await self._engine.read(oldest)

    async def list_absent(self, until_ms: int, limit: int) -> list[int]:  # noqa: D102
        def list_absent(db: sqlite3.Connection) -> list[int]:
            rows = db.execute(
                """
                SELECT account_id FROM account WHERE integrator > 0 AND last_connected_at_ms <= ?1
                ORDER BY last_connected_at_ms, account_id LIMIT ?2
                """,
                (until_ms, limit),
            ).fetchall()
            return [account_id for (account_id,) in rows]

        return await self._engine.read(list_absent)

    async def unenlist(self, account_ids: Sequence[int], until_ms: int) -> list[str]:  # noqa: D102
        def unenlist(db: sqlite3.Connection) -> list[str]:
            rows = db.execute(
                """
                SELECT account_id FROM account WHERE account_id IN (SELECT value FROM json_each(?1))
                AND integrator > 0 AND last_connected_at_ms <= ?2
                """,
                (json.dumps(list(account_ids)), until_ms),
            ).fetchall()
            return [_end(db, account_id, AccountEnd.EXPIRED) for (account_id,) in rows]

        return await self._engine.write(unenlist)

    async def delete_account(self, account_id: int) -> None:  # noqa: D102
        await self._engine.write(lambda db: _end(db, account_id, AccountEnd.DELETED))

    async def _find_account(self, condition: str, *values: int | str) -> Account | None:
        def find(db: sqlite3.Connection) -> Account | None:
            row = db.execute(f"SELECT {_COLUMNS} FROM account WHERE {condition}", values).fetchone()
            return _account(row) if row else None

        return await self._engine.read(find)
