"""The mailbox in SQLite: what waits, what was sent before, whose chats it touched; knows no connection.

Rows travel as two parameters, a JSON array of their fields and all contents in one blob, so that a group of any size is
one statement: the work is done in C, without the interpreter lock, and the statement is compiled once.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from interop_server.core.messages import (
    Backlog,
    Delivery,
    MailboxItem,
    NotificationType,
    RetryOutcome,
    SentMessage,
    StanzaKind,
    Stored,
)
from interop_server.core.model import InboxMode, MessageRequestState
from interop_server.storage.sqlite.engine_user import EngineUser

REQUEST_STATES = (None, *MessageRequestState)
"""By their number in the tables; 0 for no chat."""
# Looked up for each message that is delivered: calling an enumeration takes far longer.
_KINDS = {int(kind): kind for kind in StanzaKind}
_INBOX_MODES = {int(mode): mode for mode in InboxMode}


def put_items(db: sqlite3.Connection, items: list[MailboxItem]) -> list[Stored]:
    """Stores items in their order, messages once per (sender, id) unless they were asked for again."""
    before = _sent_before(db, [(item.sender_id, item.stanza_id) for item in items if item.kind is StanzaKind.MESSAGE])
    gone = _gone(db, items)
    sent: dict[tuple[int, str], int] = {}
    stored: list[Stored] = []
    fresh: list[MailboxItem] = []
    for item in items:
        timestamp_ms, duplicate = item.timestamp_ms, False
        if item.kind is StanzaKind.MESSAGE:
            key = (item.sender_id, item.stanza_id)
            known = before.get(key)
            if known is not None and known.allows_resend(item.recipient_id, item.retry_count):
                before[key] = known._replace(retry_count=item.retry_count)
                _mark_sent_again(db, item)
            else:
                duplicate = known is not None or key in sent
                timestamp_ms = known.timestamp_ms if known is not None else sent.setdefault(key, timestamp_ms)
        # Accounts can go while their messages are under way: those vanish, like what was in the mailbox (LIF-05).
        if not duplicate and item.recipient_id not in gone and item.sender_id not in gone:
            fresh.append(item)
        stored.append(Stored(timestamp_ms, duplicate))
    messages = [item for item in fresh if item.kind is StanzaKind.MESSAGE]
    _insert(db, [item for item in fresh if not item.is_dropped])
    _insert_sent(db, [item for item in messages if (item.sender_id, item.stanza_id) not in before])
    _touch_chats(db, messages)
    return stored


def _sent_before(db: sqlite3.Connection, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], SentMessage]:
    # A cross join is read from left to right: from the few messages into the index, not from the sender's whole past.
    rows = db.execute(
        """
        SELECT sender_id, stanza_id, recipient_id, timestamp_ms, reporting_token, is_dropped, retry_count,
               retries_allowed
        FROM json_each(?1) CROSS JOIN sent_message ON sender_id = value ->> 0 AND stanza_id = value ->> 1
        """,
        (json.dumps(keys),),
    ).fetchall()
    return {(sender_id, stanza_id): _sent_message(facts) for sender_id, stanza_id, *facts in rows}


def _sent_message(facts: Sequence[Any]) -> SentMessage:
    recipient_id, timestamp_ms, reporting_token, is_dropped, *retries = facts
    return SentMessage(recipient_id, timestamp_ms, bytes.fromhex(reporting_token), bool(is_dropped), *retries)


def _mark_sent_again(db: sqlite3.Connection, message: MailboxItem) -> None:
    # The token is that of what reaches the recipient last: what came before could not be read.
    db.execute(
        """
        UPDATE sent_message SET retry_count = ?3, reporting_token = ?4 WHERE sender_id = ?1 AND stanza_id = ?2
        """,
        (message.sender_id, message.stanza_id, message.retry_count, message.reporting_token.hex()),
    )


def _gone(db: sqlite3.Connection, items: Iterable[MailboxItem]) -> set[int]:
    account_ids = {account_id for item in items for account_id in (item.recipient_id, item.sender_id) if account_id}
    rows = db.execute(
        "SELECT value FROM json_each(?1) WHERE NOT EXISTS (SELECT 1 FROM account WHERE account_id = value)",
        (json.dumps(list(account_ids)),),
    ).fetchall()
    return {account_id for (account_id,) in rows}


def _insert(db: sqlite3.Connection, items: Sequence[MailboxItem]) -> None:
    fields: list[tuple[Any, ...]] = []
    contents = [b"-"]  # part of an empty blob is NULL: with this one nothing is cut from an empty blob
    start = 2
    for item in items:
        content = item.content + item.reporting_token
        contents.append(content)
        fields.append((*item[:8], item.retry_count, len(item.content), start, len(content)))
        start += len(content)
    db.execute(
        """
        INSERT INTO mailbox (recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                             retry_count, size, content)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
               value ->> 8, value ->> 9, substr(?2, value ->> 10, value ->> 11)
        FROM json_each(?1) WHERE true ORDER BY key
        ON CONFLICT DO NOTHING
        """,
        (json.dumps(fields), b"".join(contents)),
    )


def _insert_sent(db: sqlite3.Connection, messages: Sequence[MailboxItem]) -> None:
    if not messages:
        return
    fields = [
        (
            message.sender_id,
            message.stanza_id,
            message.timestamp_ms,
            message.recipient_id,
            message.reporting_token.hex(),
        )
        for message in messages
    ]
    db.execute(
        """
        INSERT INTO sent_message (sender_id, stanza_id, timestamp_ms, recipient_id, reporting_token)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1)
        """,
        (json.dumps(fields),),
    )
    for message in messages:
        if message.is_dropped or message.retry_count:  # seldom, so that the others need not carry it
            db.execute(
                "UPDATE sent_message SET is_dropped = ?3, retry_count = ?4 WHERE sender_id = ?1 AND stanza_id = ?2",
                (message.sender_id, message.stanza_id, message.is_dropped, message.retry_count),
            )


def _touch_chats(db: sqlite3.Connection, messages: Sequence[MailboxItem]) -> None:
    if not messages:
        return
    newest: dict[tuple[int, int, bool], int] = {}
    for message in messages:
        chat = (message.sender_id, message.recipient_id, message.is_dropped)
        newest[chat] = max(message.timestamp_ms, newest.get(chat, 0))
    # A list is the WhatsApp user's: it shows what they sent, dropped or not, and what has reached them.
    db.execute(
        """
        INSERT INTO chat (whatsapp_id, third_party_id, opened_at_ms, last_message_at_ms, request_state, listed)
        SELECT iif(sender.integrator = 0, sender.account_id, recipient.account_id),
               iif(sender.integrator = 0, recipient.account_id, sender.account_id),
               value ->> 3, value ->> 3, iif(sender.integrator = 0, ?3, ?2),
               sender.integrator = 0 OR NOT value ->> 2
        FROM json_each(?1)
        CROSS JOIN account AS sender ON sender.account_id = value ->> 0
        CROSS JOIN account AS recipient ON recipient.account_id = value ->> 1
        WHERE (sender.integrator = 0) <> (recipient.integrator = 0)
        ON CONFLICT (whatsapp_id, third_party_id) DO UPDATE
            SET last_message_at_ms = max(last_message_at_ms, excluded.last_message_at_ms), listed = 1
            WHERE excluded.listed
        """,
        (
            json.dumps([(*chat, timestamp_ms) for chat, timestamp_ms in newest.items()]),
            MessageRequestState.REQUESTED,
            MessageRequestState.ACCEPTED,
        ),
    )


def _put_retry_receipt(db: sqlite3.Connection, item: MailboxItem, most: int) -> RetryOutcome:
    sent = db.execute(
        """
        SELECT retries_forwarded FROM sent_message
        WHERE sender_id = ?1 AND stanza_id = ?2 AND recipient_id = ?3 AND NOT is_dropped
        """,
        (item.recipient_id, item.stanza_id, item.sender_id),
    ).fetchone()
    if sent is None:
        return RetryOutcome.NEVER_SENT
    if sent[0] >= most:
        return RetryOutcome.TOO_MANY
    db.execute(
        """
        UPDATE sent_message
        SET retries_forwarded = retries_forwarded + 1, retries_allowed = max(retries_allowed, ?3)
        WHERE sender_id = ?1 AND stanza_id = ?2
        """,
        (item.recipient_id, item.stanza_id, item.retry_count),
    )
    _insert(db, [item])
    return RetryOutcome.FORWARDED


def put_notice(db: sqlite3.Connection, notice: MailboxItem) -> None:
    """Stores a notification as part of a call that is no batch of mailbox items."""
    put_items(db, [notice._replace(timestamp_ms=_not_before_others(db, notice.timestamp_ms))])


def _not_before_others(db: sqlite3.Connection, now_ms: int) -> int:
    # What was called later may stand before it in the same group of calls: a recipient's times never decrease (MSG-14).
    return max(now_ms, newest_timestamp_ms(db))


def notify_identity_change(db: sqlite3.Connection, account_id: int, now_ms: int, recent_since_ms: int) -> list[int]:
    """Puts a notice into the mailbox of every recent peer, in place of one that waits there, and returns those peers.

    In place of it, because the one before may be with its recipient already and only its ack be under way: whoever has
    begun a session with the key in between must learn that it has changed again. A chat that does not stand on the
    WhatsApp user's list does not tell that user: they have heard nothing of it.
    """
    kinds = (StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED)
    db.execute("DELETE FROM mailbox WHERE sender_id = ?1 AND kind = ?2 AND subtype = ?3", (account_id, *kinds))
    rows = db.execute(
        """
        INSERT INTO mailbox (recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                             size, content)
        SELECT iif(whatsapp_id = ?1, third_party_id, whatsapp_id), ?1, jid, ?2, ?3, 0, '', ?4,
               length(CAST(jid AS BLOB)), CAST(jid AS BLOB)
        FROM chat JOIN account ON account_id = ?1
        WHERE (whatsapp_id = ?1 OR (third_party_id = ?1 AND listed)) AND last_message_at_ms >= ?5
        RETURNING recipient_id
        """,
        (account_id, *kinds, _not_before_others(db, now_ms), recent_since_ms),
    ).fetchall()
    return [recipient_id for (recipient_id,) in rows]


def _delete(db: sqlite3.Connection, deliveries: list[tuple[int, int]]) -> list[None]:
    db.execute(
        """
        DELETE FROM mailbox WHERE delivery_id IN (
            SELECT delivery_id FROM json_each(?1) CROSS JOIN mailbox
            ON delivery_id = value ->> 1 AND recipient_id = value ->> 0
        )
        """,
        (json.dumps(deliveries),),
    )
    return [None] * len(deliveries)


def _oldest(db: sqlite3.Connection, table: str) -> int | None:
    [(timestamp_ms,)] = db.execute(f"SELECT min(timestamp_ms) FROM {table}").fetchall()
    return None if timestamp_ms is None else int(timestamp_ms)


def newest_timestamp_ms(db: sqlite3.Connection) -> int:
    """The greatest timestamp of what waits and of messages that were sent before; 0 when there is none."""
    [(timestamp_ms,)] = db.execute(
        """
        SELECT max(timestamp_ms) FROM (
            SELECT max(timestamp_ms) AS timestamp_ms FROM mailbox
            UNION ALL SELECT max(timestamp_ms) FROM sent_message
        )
        """
    ).fetchall()
    return timestamp_ms or 0


def _delivery(row: tuple[Any, ...]) -> Delivery:
    (
        delivery_id,
        inbox_mode,
        request_state,
        recipient_id,
        sender_id,
        sender_jid,
        kind,
        subtype,
        message_type,
        stanza_id,
        timestamp_ms,
        retry_count,
        size,
        content,
    ) = row
    item = MailboxItem(
        recipient_id,
        sender_id,
        sender_jid,
        _KINDS[kind],
        subtype,
        message_type,
        stanza_id,
        timestamp_ms,
        content[:size],
        retry_count,
        content[size:],
    )
    return Delivery(delivery_id, item, _INBOX_MODES[inbox_mode], REQUEST_STATES[request_state])


class SqliteMailbox(EngineUser):
    """The mailbox table, and those that follow from it."""

    async def put_messages(self, items: Sequence[MailboxItem]) -> list[Stored]:  # noqa: D102
        return await self._engine.write_batch(put_items, items)

    async def get_sent_messages(self, sender_id: int, stanza_ids: Sequence[str]) -> dict[str, SentMessage]:  # noqa: D102
        keys = [(sender_id, stanza_id) for stanza_id in stanza_ids]
        sent = await self._engine.read(lambda db: _sent_before(db, keys))
        return {stanza_id: message for (_, stanza_id), message in sent.items()}

    async def put_retry_receipt(self, item: MailboxItem, most: int) -> RetryOutcome:  # noqa: D102
        return await self._engine.write(lambda db: _put_retry_receipt(db, item, most))

    async def put_items(self, items: Sequence[MailboxItem]) -> None:  # noqa: D102
        await self._engine.write_batch(put_items, items)

    async def list_deliveries(self, account_id: int, after: int, limit: int, since_ms: int) -> list[Delivery]:  # noqa: D102
        def list_items(db: sqlite3.Connection) -> list[Delivery]:
            rows = db.execute(
                """
                SELECT delivery_id, coalesce((SELECT inbox_mode FROM interop_settings WHERE account_id = ?1), ?5),
                       coalesce(iif(kind = 1, (
                           SELECT request_state FROM chat WHERE whatsapp_id = ?1 AND third_party_id = sender_id
                       ), 0), 0),
                       recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                       retry_count, size, content
                FROM mailbox WHERE recipient_id = ?1 AND delivery_id > ?2 AND timestamp_ms >= ?4
                ORDER BY delivery_id LIMIT ?3
                """,
                (account_id, after, limit, since_ms, InboxMode.SEPARATE),
            ).fetchall()
            return [_delivery(row) for row in rows]

        return await self._engine.read(list_items)

    async def get_backlog(self, account_id: int, since_ms: int) -> Backlog:  # noqa: D102
        def count(db: sqlite3.Connection) -> Backlog:
            [row] = db.execute(
                """
                SELECT count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 2),
                       count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind = 4),
                       coalesce(max(delivery_id), 0)
                FROM mailbox WHERE recipient_id = ?1 AND timestamp_ms >= ?2
                """,
                (account_id, since_ms),
            ).fetchall()
            return Backlog(*row)

        return await self._engine.read(count)

    async def delete_deliveries(self, account_id: int, delivery_ids: Sequence[int]) -> None:  # noqa: D102
        await self._engine.write_batch(_delete, [(account_id, delivery_id) for delivery_id in delivery_ids])

    async def delete_expired(self, before_ms: int) -> int:  # noqa: D102
        return await self._delete_before("mailbox", before_ms)

    async def oldest_timestamp_ms(self) -> int | None:  # noqa: D102
        return await self._engine.read(lambda db: _oldest(db, "mailbox"))

    async def delete_sent(self, before_ms: int) -> int:  # noqa: D102
        return await self._delete_before("sent_message", before_ms)

    async def oldest_sent_ms(self) -> int | None:  # noqa: D102
        return await self._engine.read(lambda db: _oldest(db, "sent_message"))

    async def _delete_before(self, table: str, before_ms: int) -> int:
        def delete(db: sqlite3.Connection) -> int:
            return db.execute(f"DELETE FROM {table} WHERE timestamp_ms < ?1", (before_ms,)).rowcount

        return await self._engine.write(delete)
