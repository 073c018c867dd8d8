"""Which calls have published an account's prekeys, as parts of the transactions that do; knows no key's form.

A client whose answer was lost sends the same call again: it was done, and is not to be taken for keys published twice.
"""

import sqlite3

from interop_server.core.keys.store import MAX_PUBLICATIONS

_IS_KNOWN = "SELECT 1 FROM prekey_publication WHERE account_id = ?1 AND digest = ?2"
_INSERT = "INSERT INTO prekey_publication (account_id, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
_KEEP_NEWEST = """
    DELETE FROM prekey_publication WHERE account_id = ?1 AND publication_id <= (
        SELECT publication_id FROM prekey_publication WHERE account_id = ?1
        ORDER BY publication_id DESC LIMIT 1 OFFSET ?2
    )
"""
_FORGET = "DELETE FROM prekey_publication WHERE account_id = ?1"


def is_repeated(db: sqlite3.Connection, account_id: int, digest: bytes) -> bool:
    """Says whether the account has made just this call since its keys were last replaced or deleted (KEY-04)."""
    return db.execute(_IS_KNOWN, (account_id, digest)).fetchone() is not None


def note_publication(db: sqlite3.Connection, account_id: int, digest: bytes) -> None:
    """Notes that the account has made this call, and forgets the oldest of too many."""
    db.execute(_INSERT, (account_id, digest))
    db.execute(_KEEP_NEWEST, (account_id, MAX_PUBLICATIONS))


def forget_publications(db: sqlite3.Connection, account_id: int) -> None:
    """Forgets the account's calls: what they published is not there any more."""
    db.execute(_FORGET, (account_id,))
