"""KEM prekeys in SQLite, as parts of the transactions that change or take an account's keys; knows no session.

As with one-time prekeys, a list is passed as a JSON array of ids and one blob for each kind of value.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from interop_server.core.keys.store import LastResortMissing, PreKeyReused, PreKeysFull
from interop_server.core.model import KemPreKey, KemPreKeyIds, KemPreKeys
from interop_server.storage.records import check_distinct_kem, kem_hashes, publication_digest
from interop_server.storage.sqlite.prekey_history import History
from interop_server.storage.sqlite.publications import is_repeated, note_publication

_IS_HELD = """
    SELECT 1 FROM kem_prekey WHERE account_id = ?1 AND key_id IN (SELECT value FROM json_each(?2)) LIMIT 1
"""


def add_kem_prekeys(db: sqlite3.Connection, account_id: int, kem: KemPreKeys, most: int | None) -> int:
    """Adds KEM prekeys to the stored ones, and returns how many one-time ones there are now.

    Raises:
        PreKeyReused: An id is in the store, or a key was published before.
        LastResortMissing: There is no last-resort prekey.
        PreKeysFull: There would be more than `most` one-time ones.
    """
    held = _last_resort(db, account_id)
    call = publication_digest("add KEM", [kem.last_resort or (), *kem.one_time])
    if is_repeated(db, account_id, call):
        return _count(db, account_id)
    last_resort = kem.last_resort or held
    if last_resort is None:
        raise LastResortMissing
    # The same key may come with a new signature.
    is_held = held is not None and last_resort[:2] == held[:2]
    fresh = [*kem.one_time, *([] if is_held else [last_resort])]
    check_distinct_kem([*kem.one_time, last_resort])
    _check_unpublished(db, account_id, fresh)
    key_ids = [prekey.key_id for prekey in (*kem.one_time, last_resort)]
    if db.execute(_IS_HELD, (account_id, json.dumps(key_ids))).fetchone():
        raise PreKeyReused
    count = _insert(db, account_id, KemPreKeys(last_resort, kem.one_time))
    if kem.one_time and most is not None and count > most:
        raise PreKeysFull
    note_publication(db, account_id, call)
    return count


def _count(db: sqlite3.Connection, account_id: int) -> int:
    [(count,)] = db.execute("SELECT kem_count FROM published_keys WHERE account_id = ?1", (account_id,)).fetchall()
    return int(count)


_LIST_PUBLIC_KEYS = "SELECT public_key FROM kem_prekey WHERE account_id = ?1"


def replace_kem_prekeys(db: sqlite3.Connection, account_id: int, kem: KemPreKeys | None) -> None:
    """Puts KEM prekeys in place of the stored ones; None deletes them.

    Raises:
        PreKeyReused: A key was published before and is no longer in the store.
        LastResortMissing: There are one-time prekeys without a last-resort one.
    """
    if kem is None:
        delete_kem_prekeys(db, account_id)
        return
    if kem.last_resort is None:
        raise LastResortMissing
    prekeys = [*kem.one_time, kem.last_resort]
    check_distinct_kem(prekeys)
    kept = {key for (key,) in db.execute(_LIST_PUBLIC_KEYS, (account_id,))}
    if (held := _last_resort(db, account_id)) is not None:
        kept.add(held.public_key)
    _check_unpublished(db, account_id, [prekey for prekey in prekeys if prekey.public_key not in kept])
    delete_kem_prekeys(db, account_id)
    _insert(db, account_id, kem)


_EMPTY = "DELETE FROM kem_prekey WHERE account_id = ?1"
_DELETE_LAST_RESORT = """
    UPDATE published_keys SET kem_count = 0, kem_last_resort_id = NULL, kem_last_resort = NULL,
        kem_last_resort_signature = NULL
    WHERE account_id = ?1 AND kem_last_resort_id IS NOT NULL
"""


def delete_kem_prekeys(db: sqlite3.Connection, account_id: int) -> None:
    """Deletes all KEM prekeys of an account. Its history keeps them, and that there were some is remembered."""
    db.execute(_EMPTY, (account_id,))
    db.execute(_DELETE_LAST_RESORT, (account_id,))


_TAKE = """
    DELETE FROM kem_prekey WHERE (account_id, key_id) IN (
        SELECT value, (SELECT min(key_id) FROM kem_prekey WHERE account_id = value) FROM json_each(?1)
    ) RETURNING account_id, key_id, public_key, signature
"""


def take_kem_prekeys(db: sqlite3.Connection, account_ids: Iterable[int]) -> dict[int, KemPreKey]:
    """Takes one one-time KEM prekey per account that has any, the lowest id first; the caller updates the counts."""
    rows = db.execute(_TAKE, (json.dumps(list(account_ids)),)).fetchall()
    return {account_id: KemPreKey(*prekey) for account_id, *prekey in rows}


_LIST_IDS = "SELECT key_id FROM kem_prekey WHERE account_id = ?1 ORDER BY key_id"


def kem_prekey_ids(db: sqlite3.Connection, account_id: int) -> KemPreKeyIds:
    """Returns the ids of an account's KEM prekeys."""
    last_resort = _last_resort(db, account_id)
    rows = db.execute(_LIST_IDS, (account_id,)).fetchall()
    return KemPreKeyIds(last_resort and last_resort.key_id, [key_id for (key_id,) in rows])


_GET_LAST_RESORT = """
    SELECT kem_last_resort_id, kem_last_resort, kem_last_resort_signature FROM published_keys
    WHERE account_id = ?1 AND kem_last_resort_id IS NOT NULL
"""


def _last_resort(db: sqlite3.Connection, account_id: int) -> KemPreKey | None:
    row = db.execute(_GET_LAST_RESORT, (account_id,)).fetchone()
    return None if row is None else KemPreKey(*row)


# The hashes of stored keys are not stored: an account that has so many forgets the oldest all the same.
KEM_HISTORY = History.of("kem_prekey_history", "sha256", "SELECT NULL WHERE false")


def _check_unpublished(db: sqlite3.Connection, account_id: int, prekeys: Sequence[KemPreKey]) -> None:
    if KEM_HISTORY.has_any(db, account_id, kem_hashes(prekeys)):
        raise PreKeyReused


_INSERT = f"""
    INSERT INTO kem_prekey (account_id, key_id, public_key, signature)
    SELECT ?1, value, substr(?3, key * {KEM_PUBLIC_KEY_BYTES} + 1, {KEM_PUBLIC_KEY_BYTES}),
           substr(?4, key * {SIGNATURE_BYTES} + 1, {SIGNATURE_BYTES})
    FROM json_each(?2)
"""
_PUT_LAST_RESORT = """
    UPDATE published_keys SET kem_published = 1, kem_last_resort_id = ?2, kem_last_resort = ?3,
        kem_last_resort_signature = ?4,
        kem_count = (SELECT count(*) FROM kem_prekey WHERE account_id = ?1)
    WHERE account_id = ?1 RETURNING kem_count
"""


def _insert(db: sqlite3.Connection, account_id: int, kem: KemPreKeys) -> int:
    assert kem.last_resort is not None
    prekeys = (*kem.one_time, kem.last_resort)
    KEM_HISTORY.add(db, account_id, kem_hashes(prekeys))
    key_ids = json.dumps([prekey.key_id for prekey in kem.one_time])
    public_keys = b"".join(prekey.public_key for prekey in kem.one_time)
    signatures = b"".join(prekey.signature for prekey in kem.one_time)
    db.execute(_INSERT, (account_id, key_ids, public_keys, signatures))
    [(count,)] = db.execute(_PUT_LAST_RESORT, (account_id, *kem.last_resort)).fetchall()
    return int(count)
