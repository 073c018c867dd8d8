"""Which messages were sent, long after they were acked, in SQLite; knows no mailbox and no content."""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from interop_server.core.messages import MailboxItem, SentMessage
from interop_server.core.shared_store import SentMessageStore
from interop_server.storage.records import sent_message_of
from interop_server.storage.sqlite.concern import Concern, choose
from interop_server.storage.sqlite.rows import Rows

# A cross join is read from left to right: from the few messages into the index, not from the sender's whole past.
_GET = Rows(
    "WITH named (sender, stanza) AS (VALUES",
    2,
    """)
    SELECT sender_id, stanza_id, recipient_id, timestamp_ms, reporting_token, is_dropped, retry_count, retries_allowed
    FROM named CROSS JOIN sent_message ON sender_id = sender AND stanza_id = stanza
    """,
)


def sent_before(db: sqlite3.Connection, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], SentMessage]:
    """Returns what is remembered of messages, by sender and stanza id."""
    found = _GET.execute(db, list(chain.from_iterable(keys)))
    return {(sender_id, stanza_id): sent_message_of(facts) for sender_id, stanza_id, *facts in found}


_ADD = Rows("INSERT INTO sent_message (sender_id, stanza_id, timestamp_ms, recipient_id, reporting_token) VALUES", 5)
_MARK = "UPDATE sent_message SET is_dropped = ?3, retry_count = ?4 WHERE sender_id = ?1 AND stanza_id = ?2"


def add_sent(db: sqlite3.Connection, messages: Sequence[MailboxItem]) -> None:
    """Remembers messages that were not sent before."""
    values: list[Any] = []
    marked: list[tuple[int, str, bool, int]] = []  # rarely any, so the insert does not carry these columns
    for recipient_id, sender_id, _, _, _, _, stanza_id, timestamp_ms, _, retry_count, token, is_dropped, _ in messages:
        values += (sender_id, stanza_id, timestamp_ms, recipient_id, token.hex() if token else "")
        if is_dropped or retry_count:
            marked.append((sender_id, stanza_id, is_dropped, retry_count))
    _ADD.execute(db, values)
    for marks in marked:
        db.execute(_MARK, marks)


_MARK_SENT_AGAIN = """
    UPDATE sent_message SET retry_count = ?3, reporting_token = ?4 WHERE sender_id = ?1 AND stanza_id = ?2
"""


def mark_sent_again(db: sqlite3.Connection, message: MailboxItem) -> None:
    """Remembers a resend, with its reporting token, because the recipient could not read the earlier message."""
    values = (message.sender_id, message.stanza_id, message.retry_count, message.reporting_token.hex())
    db.execute(_MARK_SENT_AGAIN, values)


_GET_FORWARDED = """
    SELECT retries_forwarded FROM sent_message
    WHERE sender_id = ?1 AND stanza_id = ?2 AND recipient_id = ?3 AND is_dropped = 0
"""


def retries_forwarded(db: sqlite3.Connection, retry_receipt: MailboxItem) -> int | None:
    """Returns how many retry receipts were forwarded for a message; None when it never reached their sender."""
    names = (retry_receipt.recipient_id, retry_receipt.stanza_id, retry_receipt.sender_id)
    row = db.execute(_GET_FORWARDED, names).fetchone()
    return None if row is None else int(row[0])


_ALLOW_RESEND = f"""
    UPDATE sent_message SET retries_forwarded = retries_forwarded + 1,
        retries_allowed = {choose("retries_allowed < ?3", "?3", "retries_allowed")}
    WHERE sender_id = ?1 AND stanza_id = ?2
"""


def allow_resend(db: sqlite3.Connection, retry_receipt: MailboxItem) -> None:
    """Counts a retry receipt, and lets its recipient resend the message."""
    db.execute(_ALLOW_RESEND, (retry_receipt.recipient_id, retry_receipt.stanza_id, retry_receipt.retry_count))


class SqliteSentMessages(Concern, SentMessageStore):
    """The table of sent messages."""

    async def get(self, sender_id: int, stanza_ids: Sequence[str]) -> dict[str, SentMessage]:
        keys = [(sender_id, stanza_id) for stanza_id in stanza_ids]
        sent = await self._engine.read(lambda db: sent_before(db, keys))
        return {stanza_id: message for (_, stanza_id), message in sent.items()}

    _DELETE_EXPIRED = """
        DELETE FROM sent_message WHERE (sender_id, stanza_id) IN (
            SELECT sender_id, stanza_id FROM sent_message WHERE timestamp_ms < ?1 LIMIT ?2
        )
    """

    async def delete_expired(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED, before_ms, most)

    _OLDEST = "SELECT min(timestamp_ms) FROM sent_message"

    async def oldest_ms(self) -> int | None:
        return await self._number(self._OLDEST)
