"""The mailbox in SQLite: what waits, what was sent before, whose chats it touched; knows no connection.

Rows travel as two parameters, a JSON array of their fields and all contents in one blob, so that a group of any size is
one statement: the work is done in C, without the interpreter lock, and the statement is compiled once.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from interop_server.core.model import (
    Backlog,
    Delivery,
    InboxMode,
    MailboxItem,
    NotificationType,
    StanzaKind,
    Stored,
)
from interop_server.storage.sqlite.engine_user import EngineUser


def _put(db: sqlite3.Connection, items: list[MailboxItem]) -> list[Stored]:
    """Stores items in their order, messages once per (sender, id)."""
    sent = _sent_before(db, [item for item in items if item.kind is StanzaKind.MESSAGE])
    gone = _gone(db, items)
    stored: list[Stored] = []
    fresh: list[MailboxItem] = []
    for item in items:
        duplicate = False
        timestamp_ms = item.timestamp_ms
        if item.kind is StanzaKind.MESSAGE:
            key = (item.sender_id, item.stanza_id)
            duplicate = key in sent
            timestamp_ms = sent.setdefault(key, timestamp_ms)
        # Accounts can go while their messages are under way: those vanish, like what was in the mailbox (LIF-05).
        if not duplicate and item.recipient_id not in gone and item.sender_id not in gone:
            fresh.append(item)
        stored.append(Stored(timestamp_ms, duplicate))
    _insert(db, fresh)
    _insert_sent(db, [item for item in fresh if item.kind is StanzaKind.MESSAGE])
    return stored


def _sent_before(db: sqlite3.Connection, messages: Sequence[MailboxItem]) -> dict[tuple[int, str], int]:
    # A cross join is read from left to right: from the few messages into the index, not from the sender's whole past.
    rows = db.execute(
        """
        SELECT sender_id, stanza_id, timestamp_ms FROM json_each(?1)
        CROSS JOIN sent_message ON sender_id = value ->> 0 AND stanza_id = value ->> 1
        """,
        (json.dumps([(message.sender_id, message.stanza_id) for message in messages]),),
    ).fetchall()
    return {(sender_id, stanza_id): timestamp_ms for sender_id, stanza_id, timestamp_ms in rows}


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
        contents.append(item.content)
        fields.append((*item[:-1], len(item.content), start))
        start += len(item.content)
    db.execute(
        """
        INSERT INTO mailbox (recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                             size, content)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
               value ->> 8, substr(?2, value ->> 9, value ->> 8)
        FROM json_each(?1) WHERE true ORDER BY key
        ON CONFLICT DO NOTHING
        """,
        (json.dumps(fields), b"".join(contents)),
    )


def _insert_sent(db: sqlite3.Connection, messages: Sequence[MailboxItem]) -> None:
    if not messages:
        return
    db.execute(
        """
        INSERT INTO sent_message (sender_id, stanza_id, timestamp_ms)
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)
        """,
        (json.dumps([(message.sender_id, message.stanza_id, message.timestamp_ms) for message in messages]),),
    )
    newest: dict[tuple[int, int], int] = {}
    for message in messages:
        pair = (message.sender_id, message.recipient_id)
        newest[pair] = max(message.timestamp_ms, newest.get(pair, 0))
    db.execute(
        """
        INSERT INTO chat (whatsapp_id, third_party_id, last_message_at_ms)
        SELECT iif(sender.integrator = 0, sender.account_id, recipient.account_id),
               iif(sender.integrator = 0, recipient.account_id, sender.account_id),
               value ->> 2
        FROM json_each(?1)
        CROSS JOIN account AS sender ON sender.account_id = value ->> 0
        CROSS JOIN account AS recipient ON recipient.account_id = value ->> 1
        WHERE (sender.integrator = 0) <> (recipient.integrator = 0)
        ON CONFLICT (whatsapp_id, third_party_id) DO UPDATE
            SET last_message_at_ms = max(last_message_at_ms, excluded.last_message_at_ms)
        """,
        (json.dumps([(*pair, timestamp_ms) for pair, timestamp_ms in newest.items()]),),
    )


def notify_identity_change(db: sqlite3.Connection, account_id: int, now_ms: int) -> list[int]:
    """Puts a notice into the mailbox of every chat peer that has none of this account, and returns those peers."""
    rows = db.execute(
        """
        INSERT INTO mailbox (recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                             size, content)
        SELECT iif(whatsapp_id = ?1, third_party_id, whatsapp_id), ?1, jid, ?2, ?3, 0, '', ?4,
               length(CAST(jid AS BLOB)), CAST(jid AS BLOB)
        FROM chat JOIN account ON account_id = ?1
        WHERE whatsapp_id = ?1 OR third_party_id = ?1
        ON CONFLICT DO NOTHING RETURNING recipient_id
        """,
        (account_id, StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED, now_ms),
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


def _timestamp(db: sqlite3.Connection, extreme: str) -> int | None:
    """The least or greatest timestamp that is known; two looks into indexes, however much is stored."""
    [(timestamp_ms,)] = db.execute(
        f"""
        SELECT {extreme}(timestamp_ms) FROM (
            SELECT {extreme}(timestamp_ms) AS timestamp_ms FROM mailbox
            UNION ALL SELECT {extreme}(timestamp_ms) FROM sent_message
        )
        """
    ).fetchall()
    return None if timestamp_ms is None else int(timestamp_ms)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    delivery_id, inbox_mode, recipient_id, sender_id, sender_jid, kind, *rest = row
    item = MailboxItem(recipient_id, sender_id, sender_jid, StanzaKind(kind), *rest)
    return Delivery(delivery_id, item, InboxMode(inbox_mode))


class SqliteMailbox(EngineUser):
    """The mailbox table, and those that follow from it."""

    async def put_messages(self, items: Sequence[MailboxItem]) -> list[Stored]:  # noqa: D102
        return await self._engine.write_batch(_put, items)

    async def put_items(self, items: Sequence[MailboxItem]) -> None:  # noqa: D102
        await self._engine.write_batch(_put, items)

    async def list_deliveries(self, account_id: int, after: int, limit: int, since_ms: int) -> list[Delivery]:  # noqa: D102
        def list_items(db: sqlite3.Connection) -> list[Delivery]:
            rows = db.execute(
                """
                SELECT delivery_id, coalesce((SELECT inbox_mode FROM interop_settings WHERE account_id = ?1), ?5),
                       recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
                       content
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
                       count(*) FILTER (WHERE kind = 3), coalesce(max(delivery_id), 0)
                FROM mailbox WHERE recipient_id = ?1 AND timestamp_ms >= ?2
                """,
                (account_id, since_ms),
            ).fetchall()
            return Backlog(*row)

        return await self._engine.read(count)

    async def delete_deliveries(self, account_id: int, delivery_ids: Sequence[int]) -> None:  # noqa: D102
        await self._engine.write_batch(_delete, [(account_id, delivery_id) for delivery_id in delivery_ids])

    async def delete_expired(self, before_ms: int) -> int:  # noqa: D102
        def delete(db: sqlite3.Connection) -> int:
            db.execute("DELETE FROM sent_message WHERE timestamp_ms < ?1", (before_ms,))
            return db.execute("DELETE FROM mailbox WHERE timestamp_ms < ?1", (before_ms,)).rowcount

        return await self._engine.write(delete)

    async def oldest_timestamp_ms(self) -> int | None:  # noqa: D102
        return await self._engine.read(lambda db: _timestamp(db, "min"))

    async def newest_timestamp_ms(self) -> int | None:  # noqa: D102
        return await self._engine.read(lambda db: _timestamp(db, "max"))
