"""The mailbox in SQLite: what waits, and what else changes when a message is stored; knows no connection."""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Any

from interop_server.core.mailbox_content import IdentityChanged, encode
from interop_server.core.messages import (
    Backlog,
    ChatEntry,
    Delivery,
    MailboxItem,
    RequestAnswer,
    RetryOutcome,
    StanzaKind,
    Stored,
)
from interop_server.core.model import InboxMode, MessageRequestState
from interop_server.core.shared_store import MailboxStore
from interop_server.storage.arrivals import Arrivals, End, answers_in, message_keys, named_in
from interop_server.storage.records import INBOX_MODES, REQUEST_STATES, delivery_of
from interop_server.storage.sqlite.concern import Concern, choose
from interop_server.storage.sqlite.rows import Rows
from interop_server.storage.sqlite.sent_messages import (
    add_sent,
    allow_resend,
    mark_sent_again,
    retries_forwarded,
    sent_before,
)


def put_items(db: sqlite3.Connection, items: list[MailboxItem]) -> list[Stored]:
    """Stores items in their order, messages once per (sender, id) unless a retry receipt allows a resend."""
    keys, named = message_keys(items), named_in(items)
    arrivals = Arrivals(items, named, keys, sent_before(db, keys), _ends(db, named))
    for message in arrivals.sent_again:
        mark_sent_again(db, message)
    add_sent(db, arrivals.first_sent)
    states = _touch_chats(db, arrivals.messages)
    first_id = _insert(db, arrivals.waiting)
    put_answers(db, answers_in(arrivals.messages))
    return arrivals.stored(count(first_id), states)


_GET_ENDS = Rows(
    "WITH named (id) AS (VALUES",
    1,
    f""")
    SELECT id, coalesce((SELECT max(delivery_id) FROM mailbox WHERE recipient_id = id), 0),
           coalesce((SELECT inbox_mode FROM interop_settings WHERE interop_settings.account_id = id),
                    {InboxMode.SEPARATE:d})
    FROM named CROSS JOIN account ON account.account_id = id
    """,
)


def _ends(db: sqlite3.Connection, account_ids: Iterable[int]) -> dict[int, End]:
    """Returns those of some accounts that exist."""
    found = _GET_ENDS.execute(db, list(account_ids))
    return {account_id: End(newest_id, INBOX_MODES[mode]) for account_id, newest_id, mode in found}


# A delivery id never repeats, also when the newest items are gone: SQLite keeps the largest one that it ever stored.
_GET_LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'mailbox'"
_INSERT = Rows(
    """
    INSERT INTO mailbox (delivery_id, recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id,
                         timestamp_ms, retry_count, size, content)
    VALUES
    """,
    12,
    "ON CONFLICT DO NOTHING",
)


def _insert(db: sqlite3.Connection, items: Sequence[MailboxItem]) -> int:
    """Stores items in their order, and returns the delivery id of the first: the others have those after it."""
    last = db.execute(_GET_LAST_ID).fetchone()
    first_id = last[0] + 1 if last else 1
    values: list[Any] = []
    for delivery_id, item in enumerate(items, first_id):
        recipient_id, sender_id, jid, kind, subtype, about, stanza_id, at_ms, content, retry_count, token, _, _ = item
        values += (delivery_id, recipient_id, sender_id, jid)
        # Plain numbers: for a member of an enumeration sqlite3 looks for an adapter: that costs more than the row.
        values += (+kind, +subtype, +about)
        values += (stanza_id, at_ms, retry_count, len(content), content + token if token else content)
    _INSERT.execute(db, values)
    return first_id


_NEWEST_MESSAGE = choose(
    "chat.last_message_at_ms < excluded.last_message_at_ms", "excluded.last_message_at_ms", "chat.last_message_at_ms"
)
_TOUCH_CHATS = Rows(
    "INSERT INTO chat (whatsapp_id, third_party_id, request_state, listed, opened_at_ms, last_message_at_ms) VALUES",
    6,
    f"""
    ON CONFLICT (whatsapp_id, third_party_id) DO UPDATE
        SET listed = 1, last_message_at_ms = {_NEWEST_MESSAGE}
        WHERE excluded.listed = 1
    RETURNING whatsapp_id, third_party_id, request_state
    """,
)


def _touch_chats(
    db: sqlite3.Connection, messages: Sequence[MailboxItem]
) -> dict[tuple[int, int], MessageRequestState | None]:
    """Opens or updates chats, and returns where first contacts stand then, by WhatsApp user and third-party user."""
    newest: dict[ChatEntry, int] = {}
    before: tuple[ChatEntry | None, int] = (None, 0)
    for message in messages:
        entry, timestamp_ms = message.chat, message.timestamp_ms
        if entry is None or (entry is before[0] and timestamp_ms == before[1]):
            continue
        before = (entry, timestamp_ms)
        # One that does not list the chat opens it at most: what lists it in the same batch says how new it is.
        newest[entry] = max(timestamp_ms, newest.get(entry, 0)) if entry.is_listed else newest.get(entry, timestamp_ms)
    rows = ((*entry[:4], timestamp_ms, timestamp_ms) for entry, timestamp_ms in newest.items())
    touched = _TOUCH_CHATS.execute(db, list(chain.from_iterable(rows)))
    return {(whatsapp_id, third_party_id): REQUEST_STATES[state] for whatsapp_id, third_party_id, state in touched}


def _put_retry_receipt(db: sqlite3.Connection, item: MailboxItem, most: int) -> RetryOutcome:
    forwarded = retries_forwarded(db, item)
    if forwarded is None:
        return RetryOutcome.NEVER_SENT
    if forwarded >= most:
        return RetryOutcome.TOO_MANY
    allow_resend(db, item)
    _insert(db, [item])
    return RetryOutcome.FORWARDED


_PUT_STATE = """
    UPDATE chat SET request_state = ?3 WHERE whatsapp_id = ?1 AND third_party_id = ?2 AND request_state <> ?3
"""
_PUT_MARK = """
    UPDATE chat SET trusted_until_ms = ?3 WHERE whatsapp_id = ?1 AND third_party_id = ?2 AND trusted_until_ms < ?3
"""


def put_answers(db: sqlite3.Connection, answers: Sequence[RequestAnswer]) -> None:
    """Stores what WhatsApp users answer to message requests, and the notices of new marks."""
    for answer in answers:
        pair = (answer.whatsapp_id, answer.third_party_id)
        db.execute(_PUT_STATE, (*pair, answer.state))
        if answer.notice is not None and db.execute(_PUT_MARK, (*pair, answer.trusted_until_ms)).rowcount:
            put_notice(db, answer.notice)


def put_notice(db: sqlite3.Connection, notice: MailboxItem) -> None:
    """Stores a notification as part of a call that is not a batch of mailbox items."""
    put_items(db, [notice._replace(timestamp_ms=_not_before_others(db, notice.timestamp_ms))])


def _not_before_others(db: sqlite3.Connection, now_ms: int) -> int:
    # A later call may run earlier in the same group: a recipient's timestamps must not decrease (MSG-14).
    return max(now_ms, newest_timestamp_ms(db))


_NEWEST_TIMESTAMP = """
    SELECT max(timestamp_ms) FROM (
        SELECT max(timestamp_ms) AS timestamp_ms FROM mailbox
        UNION ALL SELECT max(timestamp_ms) FROM sent_message
    ) AS newest
"""


def newest_timestamp_ms(db: sqlite3.Connection) -> int:
    """Returns the greatest timestamp of waiting items and of sent messages; 0 without any."""
    [(timestamp_ms,)] = db.execute(_NEWEST_TIMESTAMP).fetchall()
    return timestamp_ms or 0


_EMPTY = "DELETE FROM mailbox WHERE recipient_id = ?1"


def empty_mailbox(db: sqlite3.Connection, account_id: int) -> None:
    """Deletes an account's whole mailbox."""
    db.execute(_EMPTY, (account_id,))


_GET_JID = "SELECT jid FROM account WHERE account_id = ?1"
_DELETE_NOTICES = "DELETE FROM mailbox WHERE sender_id = ?1 AND kind = ?2 AND subtype = ?3"
_PUT_NOTICES = f"""
    INSERT INTO mailbox (recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                         size, content)
    SELECT {choose("whatsapp_id = ?1", "third_party_id", "whatsapp_id")}, ?1, ?2, ?3, ?4, 0, '', ?5, length(?6), ?6
    FROM chat
    WHERE (whatsapp_id = ?1 OR (third_party_id = ?1 AND listed = 1)) AND last_message_at_ms >= ?7
    RETURNING recipient_id
"""


def notify_identity_change(db: sqlite3.Connection, account_id: int, now_ms: int, recent_since_ms: int) -> list[int]:
    """Puts a notification into every recent peer's mailbox, replacing a waiting one, and returns the peers.

    The recipient may have received the earlier notification, with only its ack on the way. A peer who has begun a
    session with the earlier key must learn that the key has changed again. So the new notification replaces the earlier
    one, and is not left out. A WhatsApp user whose list does not show the chat is not notified: they never heard of the
    account.
    """
    [(jid,)] = db.execute(_GET_JID, (account_id,)).fetchall()
    notice = encode(IdentityChanged(jid), 0, _not_before_others(db, now_ms), sender_id=account_id, sender_jid=jid)
    db.execute(_DELETE_NOTICES, (account_id, notice.kind, notice.subtype))
    values = (account_id, jid, notice.kind, notice.subtype, notice.timestamp_ms, notice.content, recent_since_ms)
    return [recipient_id for (recipient_id,) in db.execute(_PUT_NOTICES, values).fetchall()]


_DELETE = Rows(
    "WITH acked (recipient, delivery) AS (VALUES",
    2,
    """)
    DELETE FROM mailbox WHERE delivery_id IN (
        SELECT delivery_id FROM acked CROSS JOIN mailbox ON delivery_id = delivery AND recipient_id = recipient
    )
    """,
)


def _delete(db: sqlite3.Connection, acked: list[tuple[int, Sequence[int]]]) -> list[None]:
    """Deletes deliveries, for each of some recipients."""
    values: list[int] = []
    for recipient_id, delivery_ids in acked:
        for each in delivery_ids:
            values += (recipient_id, each)
    _DELETE.execute(db, values)
    return [None] * len(acked)


_STATE_OF_CHAT = "SELECT request_state FROM chat WHERE whatsapp_id = ?1 AND third_party_id = sender_id"


class SqliteMailbox(Concern, MailboxStore):
    """The mailbox table."""

    async def put(self, items: Sequence[MailboxItem]) -> list[Stored]:
        return await self._engine.write_batch(put_items, items)

    async def put_retry_receipt(self, item: MailboxItem, most: int) -> RetryOutcome:
        return await self._engine.write(lambda db: _put_retry_receipt(db, item, most))

    _LIST_DELIVERIES = f"""
        SELECT delivery_id,
               coalesce((SELECT inbox_mode FROM interop_settings WHERE account_id = ?1), {InboxMode.SEPARATE:d}),
               {choose(f"kind = {StanzaKind.MESSAGE:d}", f"coalesce(({_STATE_OF_CHAT}), 0)", "0")},
               recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
               retry_count, size, content
        FROM mailbox WHERE recipient_id = ?1 AND delivery_id > ?2 AND timestamp_ms >= ?4
        ORDER BY delivery_id LIMIT ?3
    """

    async def list_deliveries(
        self, account_id: int, after: int, limit: int, since_ms: int, most_bytes: int | None = None
    ) -> list[Delivery]:
        values = (account_id, after, limit, since_ms)

        def read(db: sqlite3.Connection) -> list[Delivery]:
            found: list[Delivery] = []
            size = 0
            rows = db.execute(self._LIST_DELIVERIES, values)
            for row in rows:
                size += len(row[-1])
                if found and most_bytes is not None and size > most_bytes:
                    break
                found.append(delivery_of(row))
            rows.close()
            return found

        return await self._engine.read(read)

    _GET_BACKLOG = f"""
        SELECT count(*) FILTER (WHERE kind = {StanzaKind.MESSAGE:d}),
               count(*) FILTER (WHERE kind = {StanzaKind.RECEIPT:d}),
               count(*) FILTER (WHERE kind = {StanzaKind.NOTIFICATION:d}),
               count(*) FILTER (WHERE kind = {StanzaKind.RETRY_RECEIPT:d}),
               coalesce(max(delivery_id), 0)
        FROM mailbox WHERE recipient_id = ?1 AND timestamp_ms >= ?2
    """

    async def get_backlog(self, account_id: int, since_ms: int) -> Backlog:
        [row] = await self._rows(self._GET_BACKLOG, account_id, since_ms)
        return Backlog(*row)

    async def delete(self, account_id: int, delivery_ids: Sequence[int]) -> None:
        await self._engine.write_batch(_delete, [(account_id, delivery_ids)])

    _DELETE_EXPIRED = """
        DELETE FROM mailbox WHERE delivery_id IN (
            SELECT delivery_id FROM mailbox WHERE timestamp_ms < ?1 LIMIT ?2
        )
    """

    async def delete_expired(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED, before_ms, most)

    _OLDEST = "SELECT min(timestamp_ms) FROM mailbox"

    async def oldest_ms(self) -> int | None:
        return await self._number(self._OLDEST)
