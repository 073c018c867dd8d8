"""Reachability pings in SQLite; knows no rule of who may be pinged."""

import json
import sqlite3

from interop_server.core.messages import MailboxItem
from interop_server.core.model import (
    Account,
    PartnerStatus,
    PingBounds,
    PingFacts,
    PingFate,
    Platform,
    ReachabilitySettings,
)
from interop_server.core.stores import PingsUsedUp, ReachabilityStore
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.mailbox import put_notice

# Goes the same way when nobody has the number: to rows of account 0, which there are not (OPT-11).
_FACTS = """
    SELECT name, status = ?4,
        EXISTS (
            SELECT 1 FROM interop_settings JOIN opt_in USING (account_id)
            WHERE enabled AND account_id = coalesce(account.account_id, 0) AND opt_in.integrator = ?1
        ),
        coalesce((SELECT pings_enabled FROM interop_settings WHERE account_id = coalesce(account.account_id, 0)), 1),
        EXISTS (SELECT 1 FROM muted_partner WHERE account_id = coalesce(account.account_id, 0) AND integrator = ?1),
        EXISTS (SELECT 1 FROM blocked WHERE blocked.account_id = coalesce(account.account_id, 0) AND blocked.jid = ?2),
        account_id, account.jid, external_id, auth_key, platform
    FROM partner LEFT JOIN account ON account.integrator = 0 AND external_id = ?3
    WHERE partner.integrator = ?1
"""


def _ping_facts(db: sqlite3.Connection, sender: Account, phone_number: str) -> PingFacts:
    [row] = db.execute(_FACTS, (sender.integrator, sender.jid, phone_number, PartnerStatus.ACTIVE)).fetchall()
    partner_name, *flags, account_id, jid, external_id, auth_key, platform = row
    recipient = None
    if account_id is not None:
        recipient = Account(account_id, jid, 0, external_id, auth_key, Platform(platform))
    active, opted_in, enabled, muted, blocked = map(bool, flags)
    return PingFacts(partner_name, active, recipient, opted_in, enabled, muted, blocked)


def _check_count(db: sqlite3.Connection, sender_id: int, sent_at_ms: int, bounds: PingBounds) -> None:
    if not bounds.most_counted:
        raise PingsUsedUp(sent_at_ms)
    row = db.execute(
        """
        SELECT sent_at_ms FROM reachability_ping WHERE sender_id = ?1 AND sent_at_ms > ?2
        ORDER BY sent_at_ms DESC LIMIT 1 OFFSET ?3
        """,
        (sender_id, bounds.counted_since_ms, bounds.most_counted - 1),
    ).fetchone()
    if row is not None:
        raise PingsUsedUp(row[0])


def _is_crowded(db: sqlite3.Connection, notice: MailboxItem, bounds: PingBounds) -> bool:
    (outstanding,) = db.execute(
        "SELECT count(*) FROM reachability_ping WHERE recipient_id = ?1 AND sender_id <> ?2 AND sent_at_ms > ?3",
        (notice.recipient_id, notice.sender_id, bounds.outstanding_since_ms),
    ).fetchone()
    return bool(outstanding >= bounds.most_outstanding)


def _put_outstanding(db: sqlite3.Connection, notice: MailboxItem, sent_at_ms: int, bounds: PingBounds) -> PingFate:
    """Delivers a ping, unless one of the same pair is outstanding; one that is not any more makes room."""
    if _is_crowded(db, notice, bounds):
        return PingFate.CROWDED
    put = db.execute(
        """
        INSERT INTO reachability_ping (sender_id, recipient_id, sent_at_ms)
        SELECT sender.account_id, recipient.account_id, ?3 FROM account AS sender, account AS recipient
        WHERE sender.account_id = ?1 AND recipient.account_id = ?2
        ON CONFLICT (recipient_id, sender_id) WHERE recipient_id IS NOT NULL
            DO UPDATE SET sent_at_ms = excluded.sent_at_ms WHERE sent_at_ms <= ?4
        """,
        (notice.sender_id, notice.recipient_id, sent_at_ms, bounds.outstanding_since_ms),
    )
    if not put.rowcount:
        return PingFate.OUTSTANDING
    put_notice(db, notice)
    return PingFate.DELIVERED


def _put_ping(
    db: sqlite3.Connection, sender_id: int, sent_at_ms: int, bounds: PingBounds, notice: MailboxItem | None
) -> PingFate:
    _check_count(db, sender_id, sent_at_ms, bounds)
    fate = PingFate.DROPPED if notice is None else _put_outstanding(db, notice, sent_at_ms, bounds)
    if fate is not PingFate.DELIVERED:
        db.execute(
            """
            INSERT INTO reachability_ping (sender_id, sent_at_ms)
            SELECT account_id, ?2 FROM account WHERE account_id = ?1
            """,
            (sender_id, sent_at_ms),
        )
    return fate


def answer_pings(db: sqlite3.Connection, account_id: int) -> None:
    """Lets pings to a WhatsApp user be outstanding no more whose senders' partners the user has opted in for."""
    db.execute(
        """
        UPDATE reachability_ping SET recipient_id = NULL WHERE recipient_id = ?1 AND sender_id IN (
            SELECT sender.account_id FROM account AS sender JOIN opt_in ON opt_in.integrator = sender.integrator
            JOIN interop_settings ON interop_settings.account_id = opt_in.account_id
            WHERE opt_in.account_id = ?1 AND enabled
        )
        """,
        (account_id,),
    )


def _reachability(db: sqlite3.Connection, account_id: int) -> ReachabilitySettings:
    row = db.execute(
        """
        SELECT pings_enabled, (SELECT json_group_array(integrator) FROM muted_partner WHERE account_id = ?1)
        FROM interop_settings WHERE account_id = ?1
        """,
        (account_id,),
    ).fetchone()
    return ReachabilitySettings() if row is None else ReachabilitySettings(bool(row[0]), frozenset(json.loads(row[1])))


def _put_reachability(db: sqlite3.Connection, account_id: int, settings: ReachabilitySettings) -> None:
    db.execute(
        """
        INSERT INTO interop_settings (account_id, pings_enabled) VALUES (?1, ?2)
        ON CONFLICT (account_id) DO UPDATE SET pings_enabled = excluded.pings_enabled
        """,
        (account_id, settings.enabled),
    )
    db.execute("DELETE FROM muted_partner WHERE account_id = ?1", (account_id,))
    db.execute(
        "INSERT INTO muted_partner (account_id, integrator) SELECT ?1, value FROM json_each(?2)",
        (account_id, json.dumps(sorted(settings.muted))),
    )


class SqliteReachability(EngineUser, ReachabilityStore):
    """The tables of pings and of who lets them through."""

    async def get_reachability(self, account_id: int) -> ReachabilitySettings:  # noqa: D102
        return await self._engine.read(lambda db: _reachability(db, account_id))

    async def put_reachability(self, account_id: int, settings: ReachabilitySettings) -> None:  # noqa: D102
        await self._engine.write(lambda db: _put_reachability(db, account_id, settings))

    async def get_ping_facts(self, sender: Account, phone_number: str) -> PingFacts:  # noqa: D102
        return await self._engine.read(lambda db: _ping_facts(db, sender, phone_number))

    async def put_ping(  # noqa: D102
        self, sender_id: int, sent_at_ms: int, bounds: PingBounds, notice: MailboxItem | None
    ) -> PingFate:
        return await self._engine.write(lambda db: _put_ping(db, sender_id, sent_at_ms, bounds, notice))

    async def oldest_ping_ms(self) -> int | None:  # noqa: D102
        def oldest(db: sqlite3.Connection) -> int | None:
            (sent_at_ms,) = db.execute("SELECT min(sent_at_ms) FROM reachability_ping").fetchone()
            return None if sent_at_ms is None else int(sent_at_ms)

        return await self._engine.read(oldest)

    async def delete_pings(self, before_ms: int) -> int:  # noqa: D102
        def delete(db: sqlite3.Connection) -> int:
            return db.execute("DELETE FROM reachability_ping WHERE sent_at_ms < ?1", (before_ms,)).rowcount

        return await self._engine.write(delete)
