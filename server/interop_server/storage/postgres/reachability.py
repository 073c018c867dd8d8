"""Reachability pings in PostgreSQL; knows no rule about the users who may be pinged."""

from interop_server.core.consent.store import PingsUsedUp, ReachabilityStore
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
from interop_server.storage.postgres.concern import LOCK_ACCOUNTS, Concern
from interop_server.storage.postgres.mailbox import put_notice
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.settings import put_setting

# Without a user with that number it does the same work, on rows of account 0, which does not exist (OPT-11).
_PING_FACTS = f"""
    SELECT name, status = {PartnerStatus.ACTIVE:d},
        EXISTS (
            SELECT 1 FROM opted_in
            WHERE opted_in.account_id = coalesce(account.account_id, 0) AND opted_in.integrator = $1
        ),
        coalesce((
            SELECT pings_enabled FROM interop_settings
            WHERE interop_settings.account_id = coalesce(account.account_id, 0)
        ), 1),
        EXISTS (
            SELECT 1 FROM muted_partner
            WHERE muted_partner.account_id = coalesce(account.account_id, 0) AND muted_partner.integrator = $1
        ),
        EXISTS (SELECT 1 FROM blocked WHERE blocked.account_id = coalesce(account.account_id, 0) AND blocked.jid = $2),
        account.account_id, account.jid, external_id, auth_key, platform
    FROM partner LEFT JOIN account ON account.integrator = 0 AND external_id = $3
    WHERE partner.integrator = $1
"""

_GET_COUNTED = """
    SELECT sent_at_ms FROM reachability_ping WHERE sender_id = $1 AND sent_at_ms > $2
    ORDER BY sent_at_ms DESC LIMIT 1 OFFSET $3
"""


async def _check_count(db: Session, sender_id: int, sent_at_ms: int, bounds: PingBounds) -> None:
    if not bounds.most_counted:
        raise PingsUsedUp(sent_at_ms)
    row = await db.row(_GET_COUNTED, sender_id, bounds.counted_since_ms, bounds.most_counted - 1)
    if row is not None:
        raise PingsUsedUp(row[0])


_COUNT_OUTSTANDING = """
    SELECT count(*) FROM reachability_ping WHERE recipient_id = $1 AND sender_id <> $2 AND sent_at_ms > $3
"""


async def _is_crowded(db: Session, notice: MailboxItem, bounds: PingBounds) -> bool:
    pair = (notice.recipient_id, notice.sender_id)
    [(outstanding,)] = await db.rows(_COUNT_OUTSTANDING, *pair, bounds.outstanding_since_ms)
    return bool(outstanding >= bounds.most_outstanding)


_PUT_OUTSTANDING = """
    INSERT INTO reachability_ping (sender_id, recipient_id, sent_at_ms)
    SELECT sender.account_id, recipient.account_id, $3 FROM account AS sender, account AS recipient
    WHERE sender.account_id = $1 AND recipient.account_id = $2
    ON CONFLICT (recipient_id, sender_id) WHERE recipient_id IS NOT NULL
        DO UPDATE SET sent_at_ms = excluded.sent_at_ms WHERE reachability_ping.sent_at_ms <= $4
"""


async def _put_outstanding(db: Session, notice: MailboxItem, sent_at_ms: int, bounds: PingBounds) -> PingFate:
    """Delivers a ping, unless an earlier one of the same pair is still outstanding."""
    if await _is_crowded(db, notice, bounds):
        return PingFate.CROWDED
    pair = (notice.sender_id, notice.recipient_id)
    if not await db.change(_PUT_OUTSTANDING, *pair, sent_at_ms, bounds.outstanding_since_ms):
        return PingFate.OUTSTANDING
    await put_notice(db, notice)
    return PingFate.DELIVERED


_PUT_COUNTED = """
    INSERT INTO reachability_ping (sender_id, sent_at_ms) SELECT account_id, $2 FROM account WHERE account_id = $1
"""


async def _put_ping(
    db: Session, sender_id: int, sent_at_ms: int, bounds: PingBounds, notice: MailboxItem | None
) -> PingFate:
    await db.rows(LOCK_ACCOUNTS, [sender_id] if notice is None else sorted((sender_id, notice.recipient_id)))
    await _check_count(db, sender_id, sent_at_ms, bounds)
    fate = PingFate.DROPPED if notice is None else await _put_outstanding(db, notice, sent_at_ms, bounds)
    if fate is not PingFate.DELIVERED:
        await db.change(_PUT_COUNTED, sender_id, sent_at_ms)
    return fate


_ANSWER_PINGS = """
    UPDATE reachability_ping SET recipient_id = NULL WHERE recipient_id = $1 AND sender_id IN (
        SELECT sender.account_id FROM account AS sender JOIN opted_in ON opted_in.integrator = sender.integrator
        WHERE opted_in.account_id = $1 AND sender.account_id = reachability_ping.sender_id
    )
"""


async def answer_pings(db: Session, account_id: int) -> None:
    """Ends pings to a WhatsApp user from users of the partners that this user has opted in for."""
    await db.change(_ANSWER_PINGS, account_id)


_UNMUTE = "DELETE FROM muted_partner WHERE account_id = $1"
_MUTE = "INSERT INTO muted_partner (account_id, integrator) SELECT $1, unnest($2::bigint[])"


async def _put(db: Session, account_id: int, settings: ReachabilitySettings) -> None:
    await put_setting(db, account_id, "pings_enabled", settings.enabled)
    await db.change(_UNMUTE, account_id)
    await db.change(_MUTE, account_id, sorted(settings.muted))


class PostgresReachability(Concern, ReachabilityStore):
    """The tables of pings and of the settings that let pings through."""

    _GET = """
        SELECT pings_enabled, ARRAY (SELECT integrator FROM muted_partner WHERE account_id = $1)
        FROM interop_settings WHERE account_id = $1
    """

    async def get(self, account_id: int) -> ReachabilitySettings:
        row = await self._row(self._GET, account_id)
        if row is None:
            return ReachabilitySettings()
        return ReachabilitySettings(bool(row[0]), frozenset(row[1]))

    async def put(self, account_id: int, settings: ReachabilitySettings) -> None:
        await self._engine.write(lambda db: _put(db, account_id, settings))

    async def get_ping_facts(self, sender: Account, phone_number: str) -> PingFacts:
        [row] = await self._rows(_PING_FACTS, sender.integrator, sender.jid, phone_number)
        partner_name, *flags, account_id, jid, external_id, auth_key, platform = row
        recipient = None
        if account_id is not None:
            recipient = Account(account_id, jid, 0, external_id, auth_key, Platform(platform))
        active, opted_in, enabled, muted, blocked = map(bool, flags)
        return PingFacts(partner_name, active, recipient, opted_in, enabled, muted, blocked)

    async def put_ping(
        self, sender_id: int, sent_at_ms: int, bounds: PingBounds, notice: MailboxItem | None
    ) -> PingFate:
        return await self._engine.write(lambda db: _put_ping(db, sender_id, sent_at_ms, bounds, notice))

    _OLDEST_PING = "SELECT min(sent_at_ms) FROM reachability_ping"

    async def oldest_ping_ms(self) -> int | None:
        return await self._number(self._OLDEST_PING)

    _DELETE_EXPIRED_PINGS = """
        DELETE FROM reachability_ping WHERE ping_id IN (
            SELECT ping_id FROM reachability_ping WHERE sent_at_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
    """

    async def delete_expired_pings(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED_PINGS, before_ms, most)
