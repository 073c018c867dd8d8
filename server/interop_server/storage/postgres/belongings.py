"""What belongs to an account, deleted in bounded steps before the account itself; knows no reason for its end."""

from typing import NamedTuple

from interop_server.storage.postgres.session import Session

STEP_ROWS = 1_000
"""Rows deleted in one transaction: others get a turn between two of them, however much an account has left."""


class _Rows(NamedTuple):
    table: str
    owner: str
    key: str


_ROWS = (
    _Rows("one_time_prekey", "account_id", "account_id, key_id"),
    _Rows("kem_prekey", "account_id", "account_id, key_id"),
    _Rows("one_time_prekey_history", "account_id", "account_id, public_key"),
    _Rows("kem_prekey_history", "account_id", "account_id, sha256"),
    _Rows("mailbox", "recipient_id", "recipient_id, delivery_id"),
    _Rows("sent_message", "sender_id", "sender_id, stanza_id"),
    _Rows("blocked", "account_id", "account_id, jid"),
    _Rows("chat", "third_party_id", "whatsapp_id, third_party_id"),
    _Rows("reachability_ping", "sender_id", "ping_id"),
)
"""The tables in which a third-party account can have many rows. The rest goes with the account."""


async def delete_belongings(db: Session, account_id: int, most: int) -> int:
    """Deletes so many rows of an account, which is about to end; returns how many more might have been deleted.

    Args:
        db: In a transaction that has locked the account.
        account_id: Whose rows.
        most: How many rows at most.

    Returns:
        0 when the account may have more rows.
    """
    left = most
    for rows in _ROWS:
        left -= await db.change(
            f"DELETE FROM {rows.table} WHERE ({rows.key}) IN"
            f" (SELECT {rows.key} FROM {rows.table} WHERE {rows.owner} = $1 LIMIT $2)",
            account_id,
            left,
        )
    return left
