"""The mailbox in PostgreSQL: what waits, and what else changes when a message is stored; knows no connection.

Whoever puts something into a mailbox has locked the row of its recipient, and that of its sender. So ids of deliveries
become visible in their order, whichever process stores them, and a message is new or not for one transaction at a time.
"""

from collections.abc import Iterable, Sequence

from interop_server.core.mailbox_content import IdentityChanged, encode
from interop_server.core.messages import (
    Backlog,
    ChatEntry,
    Delivery,
    MailboxItem,
    NotificationType,
    RequestAnswer,
    RetryOutcome,
    StanzaKind,
    Stored,
)
from interop_server.core.model import InboxMode, MessageRequestState
from interop_server.core.shared_store import MailboxStore
from interop_server.storage.arrivals import Arrivals, End, answers_in, message_keys, named_in
from interop_server.storage.postgres.concern import LOCK_ACCOUNTS, Concern
from interop_server.storage.postgres.sent_messages import (
    allow_resend,
    mark_sent_again,
    retries_forwarded,
    sent_before,
)
from interop_server.storage.postgres.session import Session
from interop_server.storage.records import INBOX_MODES, REQUEST_STATES, delivery_of


async def put_items(db: Session, items: list[MailboxItem]) -> list[Stored]:
    """Stores items in their order, messages once per (sender, id) unless a retry receipt allows a resend."""
    named = named_in(items)
    ends, ids, floor_ms = await _ends(db, named, len(items))
    if floor_ms:
        items = [item._replace(timestamp_ms=max(item.timestamp_ms, floor_ms)) for item in items]
    keys = message_keys(items)
    arrivals = Arrivals(items, named, keys, await sent_before(db, keys) if keys else {}, ends)
    for message in arrivals.sent_again:
        await mark_sent_again(db, message)
    waiting = list(zip(ids, arrivals.waiting, strict=False))
    states = await _insert(db, arrivals.first_sent, arrivals.messages, waiting)
    await put_answers(db, answers_in(arrivals.messages))
    return arrivals.stored(ids, states)


# Read when the accounts are locked, hence in a statement of its own: one that had waited for the lock would see what
# was there before.
_GET_ENDS = f"""
    SELECT id, coalesce((
            SELECT delivery_id FROM mailbox WHERE recipient_id = id ORDER BY delivery_id DESC LIMIT 1
        ), 0),
        coalesce((
            SELECT inbox_mode FROM interop_settings WHERE interop_settings.account_id = id
        ), {InboxMode.SEPARATE:d}),
        NULL::bigint[]
    FROM unnest($1::bigint[]) AS named (id)
    UNION ALL
    SELECT 0, coalesce((SELECT max(noted_ms) FROM noted_time WHERE seat <> $3), 0), 0,
        ARRAY (SELECT nextval('delivery_id') FROM generate_series(1, $2::integer))
"""


async def _ends(db: Session, account_ids: Iterable[int], items: int) -> tuple[dict[int, End], list[int], int]:
    """Locks the accounts that items come from or go to.

    Args:
        db: In a transaction.
        account_ids: These accounts.
        items: How many items there are.

    Returns:
        Those that exist; ids for as many deliveries as there are items; and a time before which none may be stored:
        another process has noted it, perhaps with what it stored for the same people (MSG-14).
    """
    found = await db.rows(LOCK_ACCOUNTS, list(account_ids))
    *ends, (_, floor_ms, _, ids) = await db.rows(_GET_ENDS, [account_id for (account_id,) in found], items, db.seat)
    by_id = {account_id: End(newest_id, INBOX_MODES[mode]) for account_id, newest_id, mode, _ in ends}
    return by_id, ids, floor_ms


# All of it in one statement. Only chats say what became of them.
_INSERT = """
    WITH remembered AS (
        INSERT INTO sent_message
            (sender_id, stanza_id, timestamp_ms, recipient_id, reporting_token, is_dropped, retry_count)
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::integer[],
                             $7::integer[])
    ), put AS (
        INSERT INTO mailbox (delivery_id, recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id,
                             timestamp_ms, retry_count, size, content)
        SELECT * FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::integer[], $13::integer[],
                             $14::integer[], $15::text[], $16::bigint[], $17::integer[], $18::bigint[], $19::bytea[])
        ON CONFLICT DO NOTHING
    )
    INSERT INTO chat (whatsapp_id, third_party_id, request_state, listed, opened_at_ms, last_message_at_ms)
    SELECT * FROM unnest($20::bigint[], $21::bigint[], $22::integer[], $23::integer[], $24::bigint[], $25::bigint[])
    ON CONFLICT (whatsapp_id, third_party_id) DO UPDATE
        SET listed = 1, last_message_at_ms = greatest(chat.last_message_at_ms, excluded.last_message_at_ms)
        WHERE excluded.listed = 1
    RETURNING whatsapp_id, third_party_id, request_state
"""
_SENT_COLUMNS, _MAILBOX_COLUMNS, _CHAT_COLUMNS = 7, 12, 6


async def _insert(
    db: Session,
    first_sent: Sequence[MailboxItem],
    messages: Sequence[MailboxItem],
    waiting: Sequence[tuple[int, MailboxItem]],
) -> dict[tuple[int, int], MessageRequestState | None]:
    """Stores what is new.

    Args:
        db: In a transaction.
        first_sent: Messages that are remembered as sent.
        messages: Messages that open or update chats.
        waiting: Items that go into mailboxes, each with the id of its delivery.

    Returns:
        Where first contacts stand then, by WhatsApp user and third-party user.
    """
    touched = _touched(messages)
    if not waiting and not first_sent and not touched:
        return {}
    rows = await db.changed(
        _INSERT,
        *_columns(map(_sent_row, first_sent), _SENT_COLUMNS),
        *_columns((_mailbox_row(*each) for each in waiting), _MAILBOX_COLUMNS),
        *_columns(touched, _CHAT_COLUMNS),
    )
    db.changes += 1  # the other tables say nothing
    return {(whatsapp_id, third_party_id): REQUEST_STATES[state] for whatsapp_id, third_party_id, state in rows}


def _columns(rows: Iterable[tuple[int | str | bytes, ...]], count: int) -> list[Sequence[int]]:
    """Returns rows as one sequence for each column."""
    return list(zip(*rows, strict=True)) or [()] * count


def _sent_row(message: MailboxItem) -> tuple[int | str | bytes, ...]:
    recipient_id, sender_id, _, _, _, _, stanza_id, timestamp_ms, _, retry_count, token, is_dropped, _ = message
    return sender_id, stanza_id, timestamp_ms, recipient_id, token.hex(), is_dropped, retry_count


def _mailbox_row(delivery_id: int, item: MailboxItem) -> tuple[int | str | bytes, ...]:
    recipient_id, sender_id, sender_jid, kind, subtype, about, stanza_id, at_ms, content, retry_count, token, _, _ = (
        item
    )
    names = (recipient_id, sender_id, sender_jid, kind, subtype, about, stanza_id)
    return (delivery_id, *names, at_ms, retry_count, len(content), content + token)


def _touched(messages: Iterable[MailboxItem]) -> list[tuple[int, ...]]:
    """Returns the rows of chats that messages open or update, each chat once, by ids ascending.

    A message that does not list its chat changes none that is there, and dates none.
    """
    rows: dict[tuple[int, int], tuple[int, ...]] = {}
    before: tuple[ChatEntry | None, int] = (None, 0)
    for message in messages:
        entry, at_ms = message.chat, message.timestamp_ms
        if entry is None or (entry is before[0] and at_ms == before[1]):
            continue
        before = (entry, at_ms)
        row = rows.get(entry[:2])
        if row is None:
            rows[entry[:2]] = (*entry[:4], at_ms, at_ms)
        elif row[3] == entry.is_listed:
            rows[entry[:2]] = (*row[:4], *(max(each, at_ms) for each in row[4:]))
        elif entry.is_listed:
            rows[entry[:2]] = (*row[:3], True, row[4], at_ms)
    return [rows[pair] for pair in sorted(rows)]


async def _put_retry_receipt(db: Session, item: MailboxItem, most: int) -> RetryOutcome:
    _, ids, floor_ms = await _ends(db, named_in([item]), 1)
    forwarded = await retries_forwarded(db, item)
    if forwarded is None:
        return RetryOutcome.NEVER_SENT
    if forwarded >= most:
        return RetryOutcome.TOO_MANY
    await allow_resend(db, item)
    await _insert(db, [], [], [(ids[0], item._replace(timestamp_ms=max(item.timestamp_ms, floor_ms)))])
    return RetryOutcome.FORWARDED


_PUT_STATE = """
    UPDATE chat SET request_state = $3 WHERE whatsapp_id = $1 AND third_party_id = $2 AND request_state <> $3
"""
_PUT_MARK = """
    UPDATE chat SET trusted_until_ms = $3 WHERE whatsapp_id = $1 AND third_party_id = $2 AND trusted_until_ms < $3
"""


async def put_answers(db: Session, answers: Sequence[RequestAnswer]) -> None:
    """Stores what WhatsApp users answer to message requests, and the notices of new marks."""
    if not answers:
        return
    ends = {end for answer in answers for end in (answer.whatsapp_id, answer.third_party_id)}
    await db.rows(LOCK_ACCOUNTS, sorted(ends))
    for answer in answers:
        pair = (answer.whatsapp_id, answer.third_party_id)
        await db.change(_PUT_STATE, *pair, answer.state)
        if answer.notice is not None and await db.change(_PUT_MARK, *pair, answer.trusted_until_ms):
            await put_notice(db, answer.notice)


async def put_notice(db: Session, notice: MailboxItem) -> None:
    """Stores a notification as part of a call that is not a batch of mailbox items."""
    await put_items(db, [notice._replace(timestamp_ms=await _not_before_others(db, notice.timestamp_ms))])


async def _not_before_others(db: Session, now_ms: int) -> int:
    # A later call may run earlier in the same group: a recipient's timestamps must not decrease (MSG-14).
    return max(now_ms, await newest_timestamp_ms(db))


_NEWEST_TIMESTAMP = """
    SELECT coalesce(greatest((SELECT max(timestamp_ms) FROM mailbox), (SELECT max(timestamp_ms) FROM sent_message)), 0)
"""


async def newest_timestamp_ms(db: Session) -> int:
    """Returns the greatest timestamp of waiting items and of sent messages; 0 without any."""
    [(timestamp_ms,)] = await db.rows(_NEWEST_TIMESTAMP)
    return int(timestamp_ms)


_EMPTY = "DELETE FROM mailbox WHERE recipient_id = $1"


async def empty_mailbox(db: Session, account_id: int) -> None:
    """Deletes an account's whole mailbox."""
    await db.change(_EMPTY, account_id)


_GET_JID = "SELECT jid FROM account WHERE account_id = $1"
# Literals: plans are made without looking at parameters, and then the index of these notices is not known to fit.
_DELETE_NOTICES = f"""
    DELETE FROM mailbox
    WHERE sender_id = $1 AND kind = {StanzaKind.NOTIFICATION:d} AND subtype = {NotificationType.IDENTITY_CHANGED:d}
"""
_LIST_PEERS = """
    SELECT CASE WHEN whatsapp_id = $1 THEN third_party_id ELSE whatsapp_id END FROM chat
    WHERE (whatsapp_id = $1 OR (third_party_id = $1 AND listed = 1)) AND last_message_at_ms >= $2
"""


async def notify_identity_change(db: Session, account_id: int, now_ms: int, recent_since_ms: int) -> list[int]:
    """Puts a notification into every recent peer's mailbox, replacing a waiting one, and returns the peers.

    The recipient may have received the earlier notification, with only its ack on the way. A peer who has begun a
    session with the earlier key must learn that the key has changed again. So the new notification replaces the earlier
    one, and is not left out. A WhatsApp user whose list does not show the chat is not notified: they never heard of the
    account.
    """
    [(jid,)] = await db.rows(_GET_JID, account_id)
    notice = encode(IdentityChanged(jid), 0, await _not_before_others(db, now_ms), sender_id=account_id, sender_jid=jid)
    await db.change(_DELETE_NOTICES, account_id)
    peers = [peer_id for (peer_id,) in await db.rows(_LIST_PEERS, account_id, recent_since_ms)]
    if peers:
        await put_items(db, [notice._replace(recipient_id=peer_id) for peer_id in peers])
    return peers


_DELETE = """
    DELETE FROM mailbox USING unnest($1::bigint[], $2::bigint[]) AS acked (recipient, delivery)
    WHERE recipient_id = recipient AND delivery_id = delivery
"""


async def _delete(db: Session, acked: list[tuple[int, Sequence[int]]]) -> list[None]:
    """Deletes deliveries, for each of some recipients."""
    # In one order, whoever deletes: a client may ack the same ones twice, at two processes.
    pairs = sorted({(recipient_id, each) for recipient_id, delivery_ids in acked for each in delivery_ids})
    await db.change(_DELETE, [recipient_id for recipient_id, _ in pairs], [each for _, each in pairs])
    return [None] * len(acked)


class PostgresMailbox(Concern, MailboxStore):
    """The mailbox table."""

    async def put(self, items: Sequence[MailboxItem]) -> list[Stored]:
        return await self._engine.write_batch(put_items, items)

    async def put_retry_receipt(self, item: MailboxItem, most: int) -> RetryOutcome:
        return await self._engine.write(lambda db: _put_retry_receipt(db, item, most))

    # How many bytes come before a row is known without reading any content: that stands in the index.
    _LIST_DELIVERIES = f"""
        WITH page AS MATERIALIZED (
            SELECT id FROM (
                SELECT id, row_number() OVER in_order AS place, sum(bytes) OVER in_order AS total FROM (
                    SELECT delivery_id AS id, size AS bytes FROM mailbox
                    WHERE recipient_id = $1 AND delivery_id > $2 AND timestamp_ms >= $4
                    ORDER BY delivery_id LIMIT $3
                ) AS first
                WINDOW in_order AS (ORDER BY id)
            ) AS summed
            WHERE $5::bigint IS NULL OR place = 1 OR total <= $5
        )
        SELECT delivery_id,
               coalesce((SELECT inbox_mode FROM interop_settings WHERE account_id = $1), {InboxMode.SEPARATE:d}),
               CASE WHEN kind = {StanzaKind.MESSAGE:d} THEN coalesce((
                   SELECT request_state FROM chat WHERE whatsapp_id = $1 AND third_party_id = sender_id
               ), 0) ELSE 0 END,
               recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms,
               retry_count, size, content
        FROM page JOIN mailbox ON recipient_id = $1 AND delivery_id = id
        ORDER BY delivery_id
    """

    async def list_deliveries(
        self, account_id: int, after: int, limit: int, since_ms: int, most_bytes: int | None = None
    ) -> list[Delivery]:
        values = (account_id, after, limit, since_ms, most_bytes)
        return [delivery_of(row) for row in await self._rows(self._LIST_DELIVERIES, *values)]

    _GET_BACKLOG = f"""
        SELECT count(*) FILTER (WHERE kind = {StanzaKind.MESSAGE:d}),
               count(*) FILTER (WHERE kind = {StanzaKind.RECEIPT:d}),
               count(*) FILTER (WHERE kind = {StanzaKind.NOTIFICATION:d}),
               count(*) FILTER (WHERE kind = {StanzaKind.RETRY_RECEIPT:d}),
               coalesce(max(delivery_id), 0)
        FROM mailbox WHERE recipient_id = $1 AND timestamp_ms >= $2
    """

    async def get_backlog(self, account_id: int, since_ms: int) -> Backlog:
        [row] = await self._rows(self._GET_BACKLOG, account_id, since_ms)
        return Backlog(*row)

    async def delete(self, account_id: int, delivery_ids: Sequence[int]) -> None:
        await self._engine.write_batch(_delete, [(account_id, delivery_ids)])

    _DELETE_EXPIRED = """
        DELETE FROM mailbox WHERE (recipient_id, delivery_id) IN (
            SELECT recipient_id, delivery_id FROM mailbox WHERE timestamp_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
    """

    async def delete_expired(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED, before_ms, most)

    _OLDEST = "SELECT min(timestamp_ms) FROM mailbox"

    async def oldest_ms(self) -> int | None:
        return await self._number(self._OLDEST)
