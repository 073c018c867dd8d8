"""The facts that decide whether a sender may reach a recipient, in SQLite; knows no rule that uses them."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from interop_server.core.consent.store import RouteStore
from interop_server.core.messages import RouteFacts
from interop_server.core.model import Account, PartnerStatus
from interop_server.storage.records import REQUEST_STATES
from interop_server.storage.sqlite.concern import Concern, choose

_MAX_COUNTED_ITEMS = 100_000
"""Items counted per look-up: five times the default limit, so that no mailbox makes routing slow."""


def _facts_query(accounts: str, integrator: str, account_id: str, jid: str, waiting: str) -> str:
    """Returns the query for facts of recipients, each as seen from the sender of its row.

    A row names the sender: account id, integrator and JID are `value ->> 0`, `value ->> 1` and `value ->> 2`. The
    third-party end is the recipient, unless the recipient is a WhatsApp user; the WhatsApp end is the other one. Two
    users of the same side have no opt-in: WhatsApp users cannot choose partner 0, and third-party users cannot choose.

    Args:
        accounts: Joins `account` to the rows by the recipient's JID or identifier.
        integrator: Of the recipient.
        account_id: Of the recipient.
        jid: Of the recipient.
        waiting: Items and bytes in the recipient's mailbox. Evaluated only when the two accounts may talk, because a
            full mailbox takes longer to count (OPT-09).
    """
    whatsapp_id = choose("value ->> 1 = 0", "value ->> 0", account_id)
    third_party_id = choose("value ->> 1 = 0", account_id, "value ->> 0")
    partner = choose(f"{integrator} = 0", "value ->> 1", integrator)
    opted_in = f"""EXISTS (
            SELECT 1 FROM opted_in WHERE opted_in.account_id = {whatsapp_id} AND opted_in.integrator = {partner}
        )"""
    return f"""
    SELECT json_each.key, account.account_id, account.jid, account.integrator, account.external_id,
        coalesce(stated_id, ''),
        EXISTS (SELECT 1 FROM partner WHERE partner.integrator = {partner} AND status = {PartnerStatus.ACTIVE:d}),
        {opted_in},
        EXISTS (SELECT 1 FROM blocked WHERE blocked.account_id = value ->> 0 AND blocked.jid = {jid}),
        EXISTS (SELECT 1 FROM blocked WHERE blocked.account_id = {account_id} AND blocked.jid = value ->> 2),
        read_receipts, coalesce(request_state, 0), coalesce(trusted_until_ms, 0),
        {choose(opted_in, waiting, "'[0, 0]'")},
        (SELECT registration_id FROM published_keys WHERE published_keys.account_id = {account_id})
    FROM json_each(?1) {accounts}
    LEFT JOIN chat ON whatsapp_id = {whatsapp_id} AND third_party_id = {third_party_id}
    """


_GET_FACTS = _facts_query(
    "CROSS JOIN account ON jid = value ->> 3",
    "account.integrator",
    "account.account_id",
    "account.jid",
    f"""(
        SELECT json_array(count(*), coalesce(sum(size), 0)) FROM (
            SELECT size FROM mailbox WHERE recipient_id = account.account_id LIMIT {_MAX_COUNTED_ITEMS}
        ) AS waiting
    )""",
)

# For a user who does not exist it does the same work, on rows of account 0, which does not exist (OPT-09).
_LOOK_UP = _facts_query(
    "LEFT JOIN account ON account.integrator = value ->> 3 AND external_id = value ->> 4",
    "value ->> 3",
    "coalesce(account.account_id, 0)",
    "coalesce(account.jid, '')",
    "'[0, 0]'",
)


def _facts(row: Sequence[Any]) -> RouteFacts:
    account_id, jid, integrator, external_id, stated_id = row[:5]
    partner_active, opted_in, sender_blocked, recipient_blocked, read_receipts = map(bool, row[5:10])
    request_state, trusted_until_ms = row[10:12]
    mailbox_items, mailbox_bytes = json.loads(row[12])
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
        registration_id=row[-1],
    )


def _route_facts(db: sqlite3.Connection, ends: list[tuple[int, int, str, str]]) -> list[RouteFacts | None]:
    """Looks up pairs of sender (account id, integrator, JID) and recipient (JID)."""
    facts: list[RouteFacts | None] = [None] * len(ends)
    for index, *row in db.execute(_GET_FACTS, (json.dumps(ends),)).fetchall():
        facts[index] = _facts(row)
    return facts


def _look_up(db: sqlite3.Connection, ends: list[tuple[int, int, str, int, str]]) -> list[RouteFacts | None]:
    """Looks up pairs of sender (account id, integrator, JID) and recipient (integrator, external id)."""
    facts: list[RouteFacts | None] = [None] * len(ends)
    for index, *row in db.execute(_LOOK_UP, (json.dumps(ends),)).fetchall():
        facts[index] = _facts(row) if row[0] is not None else None
    return facts


class SqliteRoutes(Concern, RouteStore):
    """Reads the facts that decide a route from all tables, in one query."""

    async def get_facts(self, sender: Account, jids: Sequence[str]) -> dict[str, RouteFacts]:
        ends = [(sender.account_id, sender.integrator, sender.jid, jid) for jid in jids]
        facts = await self._engine.read_batch(_route_facts, ends)
        return {found.jid: found for found in facts if found is not None}

    async def look_up(self, sender: Account, users: Sequence[tuple[int, str]]) -> list[RouteFacts | None]:
        ends = [(sender.account_id, sender.integrator, sender.jid, *user) for user in users]
        return await self._engine.read_batch(_look_up, ends)
