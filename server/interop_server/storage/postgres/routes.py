"""The facts that decide whether a sender may reach a recipient, in PostgreSQL; knows no rule that uses them."""

from collections.abc import Sequence

from interop_server.core.consent.store import RouteStore
from interop_server.core.messages import RouteFacts
from interop_server.core.model import Account, PartnerStatus
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.session import Row, Session
from interop_server.storage.records import REQUEST_STATES

_MAX_COUNTED_ITEMS = 100_000
"""Items counted per look-up: five times the default limit, so that no mailbox makes routing slow."""


def _facts_query(asked: str, accounts: str, who: tuple[str, str, str], waiting: str) -> str:
    """Returns the query for facts of recipients, each as seen from the sender of its row.

    A row of `asked` has its place, and the sender's account id, integrator and JID. The third-party end is the
    recipient, unless the recipient is a WhatsApp user; the WhatsApp end is the other one. Two users of the same side
    have no opt-in: WhatsApp users cannot choose partner 0, and third-party users cannot choose.

    Args:
        asked: The rows.
        accounts: Joins `account` to the rows by the recipient's JID or identifier.
        who: Integrator, account id and JID of the recipient.
        waiting: Items and bytes in the recipient's mailbox. Evaluated only when the two accounts may talk, because a
            full mailbox takes longer to count (OPT-09).
    """
    integrator, account_id, jid = who
    return f"""
    SELECT place, account.account_id, account.jid, account.integrator, account.external_id, coalesce(stated_id, ''),
        EXISTS (SELECT 1 FROM partner WHERE partner.integrator = ends.partner AND status = {PartnerStatus.ACTIVE:d}),
        choice.is_opted_in,
        EXISTS (SELECT 1 FROM blocked WHERE blocked.account_id = sender AND blocked.jid = {jid}),
        EXISTS (SELECT 1 FROM blocked WHERE blocked.account_id = {account_id} AND blocked.jid = sender_jid),
        read_receipts, coalesce(request_state, 0), coalesce(trusted_until_ms, 0),
        CASE WHEN choice.is_opted_in THEN {waiting} ELSE '{{0, 0}}'::bigint[] END,
        (SELECT registration_id FROM published_keys WHERE published_keys.account_id = {account_id})
    FROM {asked} {accounts}
    CROSS JOIN LATERAL (
        SELECT CASE WHEN sender_integrator = 0 THEN sender ELSE {account_id} END AS whatsapp_id,
            CASE WHEN sender_integrator = 0 THEN {account_id} ELSE sender END AS third_party_id,
            CASE WHEN {integrator} = 0 THEN sender_integrator ELSE {integrator} END AS partner
    ) AS ends
    CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT 1 FROM opted_in WHERE opted_in.account_id = ends.whatsapp_id AND opted_in.integrator = ends.partner
        ) AS is_opted_in
        OFFSET 0
    ) AS choice
    LEFT JOIN chat ON chat.whatsapp_id = ends.whatsapp_id AND chat.third_party_id = ends.third_party_id
    """


_GET_FACTS = _facts_query(
    """unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
        WITH ORDINALITY AS asked (sender, sender_integrator, sender_jid, recipient_jid, place)""",
    "JOIN account ON jid = recipient_jid",
    ("account.integrator", "account.account_id", "account.jid"),
    f"""(
        SELECT ARRAY[count(*), coalesce(sum(size), 0)::bigint] FROM (
            SELECT size FROM mailbox WHERE recipient_id = account.account_id LIMIT {_MAX_COUNTED_ITEMS}
        ) AS waiting
    )""",
)

# For a user who does not exist it does the same work, on rows of account 0, which does not exist (OPT-09).
_LOOK_UP = _facts_query(
    """unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[])
        WITH ORDINALITY
        AS asked (sender, sender_integrator, sender_jid, recipient_integrator, recipient_name, place)""",
    "LEFT JOIN account ON account.integrator = recipient_integrator AND external_id = recipient_name",
    ("recipient_integrator", "coalesce(account.account_id, 0)", "coalesce(account.jid, '')"),
    "'{0, 0}'::bigint[]",
)


def _facts(row: Row) -> RouteFacts:
    account_id, jid, integrator, external_id, stated_id = row[1:6]
    partner_active, opted_in, sender_blocked, recipient_blocked, read_receipts = map(bool, row[6:11])
    request_state, trusted_until_ms, (mailbox_items, mailbox_bytes), registration_id = row[11:]
    return RouteFacts(
        account_id=account_id,
        jid=jid,
        integrator=integrator,
        external_id=external_id,
        stated_id=stated_id,
        partner_active=partner_active,
        opted_in=opted_in,
        sender_blocked_recipient=sender_blocked,
        recipient_blocked_sender=recipient_blocked,
        read_receipts=read_receipts,
        mailbox_items=mailbox_items,
        mailbox_bytes=mailbox_bytes,
        request_state=REQUEST_STATES[request_state],
        trusted_until_ms=trusted_until_ms,
        registration_id=registration_id,
    )


async def _found(db: Session, sql: str, ends: Sequence[tuple[int | str, ...]]) -> list[RouteFacts | None]:
    facts: list[RouteFacts | None] = [None] * len(ends)
    if ends:
        for row in await db.rows(sql, *zip(*ends, strict=True)):
            if row[1] is not None:
                facts[row[0] - 1] = _facts(row)
    return facts


async def _route_facts(db: Session, ends: list[tuple[int, int, str, str]]) -> list[RouteFacts | None]:
    """Looks up pairs of sender (account id, integrator, JID) and recipient (JID)."""
    return await _found(db, _GET_FACTS, ends)


async def _look_up(db: Session, ends: list[tuple[int, int, str, int, str]]) -> list[RouteFacts | None]:
    """Looks up pairs of sender (account id, integrator, JID) and recipient (integrator, external id)."""
    return await _found(db, _LOOK_UP, ends)


class PostgresRoutes(Concern, RouteStore):
    """Reads the facts that decide a route from all tables, in one query."""

    async def get_facts(self, sender: Account, jids: Sequence[str]) -> dict[str, RouteFacts]:
        ends = [(sender.account_id, sender.integrator, sender.jid, jid) for jid in jids]
        facts = await self._engine.read_batch(_route_facts, ends)
        return {found.jid: found for found in facts if found is not None}

    async def look_up(self, sender: Account, users: Sequence[tuple[int, str]]) -> list[RouteFacts | None]:
        ends = [(sender.account_id, sender.integrator, sender.jid, *user) for user in users]
        return await self._engine.read_batch(_look_up, ends)
