"""Which messages were sent, long after they were acked, in PostgreSQL; knows no mailbox and no content."""

from collections.abc import Sequence

from interop_server.core.messages import MailboxItem, SentMessage
from interop_server.core.shared_store import SentMessageStore
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.session import Session
from interop_server.storage.records import sent_message_of

_GET = """
    SELECT sender_id, stanza_id, recipient_id, timestamp_ms, reporting_token, is_dropped, retry_count, retries_allowed
    FROM unnest($1::bigint[], $2::text[]) AS named (sender, stanza)
    JOIN sent_message ON sender_id = sender AND stanza_id = stanza
"""


async def sent_before(db: Session, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], SentMessage]:
    """Returns what is remembered of messages, by sender and stanza id."""
    rows = await db.rows(_GET, [sender_id for sender_id, _ in keys], [stanza_id for _, stanza_id in keys])
    return {(sender_id, stanza_id): sent_message_of(facts) for sender_id, stanza_id, *facts in rows}


_MARK_SENT_AGAIN = """
    UPDATE sent_message SET retry_count = $3, reporting_token = $4 WHERE sender_id = $1 AND stanza_id = $2
"""


async def mark_sent_again(db: Session, message: MailboxItem) -> None:
    """Remembers a resend, with its reporting token, because the recipient could not read the earlier message."""
    values = (message.sender_id, message.stanza_id, message.retry_count, message.reporting_token.hex())
    await db.change(_MARK_SENT_AGAIN, *values)


_GET_FORWARDED = """
    SELECT retries_forwarded FROM sent_message
    WHERE sender_id = $1 AND stanza_id = $2 AND recipient_id = $3 AND is_dropped = 0 FOR UPDATE
"""


async def retries_forwarded(db: Session, retry_receipt: MailboxItem) -> int | None:
    """Returns how many retry receipts were forwarded for a message; None when it never reached their sender."""
    names = (retry_receipt.recipient_id, retry_receipt.stanza_id, retry_receipt.sender_id)
    row = await db.row(_GET_FORWARDED, *names)
    return None if row is None else int(row[0])


_ALLOW_RESEND = """
    UPDATE sent_message
    SET retries_forwarded = retries_forwarded + 1, retries_allowed = greatest(retries_allowed, $3)
    WHERE sender_id = $1 AND stanza_id = $2
"""


async def allow_resend(db: Session, retry_receipt: MailboxItem) -> None:
    """Counts a retry receipt, and lets its recipient resend the message."""
    await db.change(_ALLOW_RESEND, retry_receipt.recipient_id, retry_receipt.stanza_id, retry_receipt.retry_count)


class PostgresSentMessages(Concern, SentMessageStore):
    """The table of sent messages."""

    async def get(self, sender_id: int, stanza_ids: Sequence[str]) -> dict[str, SentMessage]:
        keys = [(sender_id, stanza_id) for stanza_id in stanza_ids]
        sent = await self._engine.read(lambda db: sent_before(db, keys))
        return {stanza_id: message for (_, stanza_id), message in sent.items()}

    _DELETE_EXPIRED = """
        DELETE FROM sent_message WHERE (sender_id, stanza_id) IN (
            SELECT sender_id, stanza_id FROM sent_message WHERE timestamp_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
    """

    async def delete_expired(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED, before_ms, most)

    _OLDEST = "SELECT min(timestamp_ms) FROM sent_message"

    async def oldest_ms(self) -> int | None:
        return await self._number(self._OLDEST)
