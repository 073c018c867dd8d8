"""What must hold in a simulator's database and blobs whatever was done to it; knows no client and no protocol rule."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from interop_server.core.media.strays import blob_name

_NEVER = {
    "one-time prekeys that are not in the history": """
        SELECT account_id, key_id FROM one_time_prekey
        WHERE (account_id, public_key) NOT IN (SELECT account_id, public_key FROM one_time_prekey_history)""",
    "mailbox items whose size is not that of their content, a message's reporting token aside": """
        SELECT delivery_id, kind, size, length(content) FROM mailbox
        WHERE length(content) <> size AND NOT (kind = 1 AND length(content) = size + 16)""",
    "accounts whose JID was not given out": """
        SELECT jid FROM account WHERE jid NOT IN (SELECT jid FROM given_jid)""",
    "accounts whose JID has ended": """
        SELECT jid FROM account JOIN given_jid USING (jid) WHERE ended IS NOT NULL""",
    "JIDs that do not belong to their integrator": """
        SELECT jid, integrator FROM account
        WHERE jid NOT LIKE CASE WHEN integrator = 0 THEN '%@s.whatsapp.net' ELSE integrator || '-%@interop' END""",
    "chats whose ends are not a WhatsApp user and a third-party user": """
        SELECT whatsapp_id, third_party_id FROM chat
        JOIN account w ON w.account_id = whatsapp_id JOIN account t ON t.account_id = third_party_id
        WHERE w.integrator <> 0 OR t.integrator = 0""",
    "settings of accounts that are no WhatsApp users": """
        SELECT account_id FROM interop_settings JOIN account USING (account_id) WHERE integrator <> 0""",
    "third-party chats that are on without accepted terms": """
        SELECT account_id FROM interop_settings
        WHERE enabled = 1 AND (terms_accepted_at_ms IS NULL OR terms_shown_at_ms IS NULL)""",
    "messages to somebody on the sender's own side": """
        SELECT delivery_id FROM mailbox JOIN account r ON r.account_id = recipient_id
        WHERE kind = 1 AND (r.integrator = 0) = (sender_jid LIKE '%@s.whatsapp.net')""",
    "senders of remembered messages that are gone": """
        SELECT sender_id FROM sent_message WHERE sender_id NOT IN (SELECT account_id FROM account)""",
    "messages that wait and were never recorded as sent": """
        SELECT delivery_id, sender_id, stanza_id FROM mailbox JOIN account ON account_id = sender_id
        WHERE kind = 1 AND (sender_id, stanza_id) NOT IN (SELECT sender_id, stanza_id FROM sent_message)""",
    "pings that are not from a third-party user to a WhatsApp user": """
        SELECT ping_id FROM reachability_ping
        JOIN account s ON s.account_id = sender_id LEFT JOIN account r ON r.account_id = recipient_id
        WHERE s.integrator = 0 OR r.integrator > 0""",
}
"""What never is, and the rows that would show it."""
_NEVER_IN_A_FILE = {
    "published keys whose one_time_count is not the number of their one-time prekeys": """
        SELECT account_id, one_time_count, (
            SELECT count(*) FROM one_time_prekey o WHERE o.account_id = p.account_id) AS n
        FROM published_keys p WHERE one_time_count <> n""",
    "published keys whose kem_count is not the number of their one-time KEM prekeys": """
        SELECT account_id, kem_count, (
            SELECT count(*) FROM kem_prekey k WHERE k.account_id = p.account_id) AS n
        FROM published_keys p WHERE kem_count <> n""",
}
"""What the engine that counts in advance must get right, too."""


SizesOf = Callable[[str], Sequence[int]]
"""Returns how long what is stored under a blob's name is."""


def violations(db: Path, sizes_of: SizesOf | None = None) -> list[str]:
    """Returns what is wrong with a database, which a server may be using: nothing, as a rule.

    Args:
        db: Its file.
        sizes_of: Looks at the blobs; None where they are files beside the database.
    """
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        files = partial(_sizes_of_files, db.with_name(f"{db.name}.blobs"))
        return [*_violations(connection), *_lost_blobs(connection, sizes_of or files)]


async def violations_on_server(url: str) -> list[str]:
    """Returns what is wrong with a database on a PostgreSQL server, which a simulator may be using."""
    import asyncpg  # most tests need no server

    found: list[str] = []
    connection = await asyncpg.connect(url)
    try:
        for name, query in _NEVER.items():
            if rows := [tuple(row) for row in (await connection.fetch(query))[:5]]:
                found.append(f"{name}: {rows}")
    finally:
        await connection.close()
    return found


def _violations(connection: sqlite3.Connection) -> Iterator[str]:
    for (problem,) in connection.execute("PRAGMA integrity_check"):
        if problem != "ok":
            yield f"integrity_check: {problem}"
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"foreign_key_check: {row}"
    for name, query in (_NEVER | _NEVER_IN_A_FILE).items():
        rows = connection.execute(query).fetchmany(5)
        if rows:
            yield f"{name}: {rows}"


def _lost_blobs(connection: sqlite3.Connection, sizes_of: SizesOf) -> Iterator[str]:
    alive = "SELECT owner_id, sha256, length FROM media WHERE expires_at_ms > (SELECT time_floor_ms FROM server)"
    for owner_id, sha256, length in connection.execute(alive):
        name = blob_name(owner_id, sha256)
        if length not in (sizes := sizes_of(name)):
            yield f"a blob of {length} bytes is not there: {name}, {sizes}"


def _sizes_of_files(blobs: Path, name: str) -> list[int]:
    return [path.stat().st_size for path in blobs.glob(f"**/*{name}*") if path.is_file()]
