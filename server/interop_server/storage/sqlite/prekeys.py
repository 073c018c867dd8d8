"""Published keys and one-time prekeys in SQLite; knows nothing of signatures.

Lists of keys are passed as two parameters, a JSON array of ids and the keys in one blob, so that 20,000 of them take
one statement and not 20,000 turns at the interpreter lock.
"""

import json
import sqlite3
from collections.abc import Sequence

from interop_protocol.curve_keys import both_forms, canonical_key, is_same_key
from interop_server.core.keys.store import PreKeyReused, PreKeysFull, PreKeyStore
from interop_server.core.model import (
    KemPreKey,
    KemPreKeyIds,
    KemPreKeys,
    OneTimePreKey,
    PreKeyCounts,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)
from interop_server.storage.records import KEYS, check_distinct, publication_digest, published_keys_of, put_digest
from interop_server.storage.sqlite.concern import Concern, choose
from interop_server.storage.sqlite.kem_prekeys import (
    KEM_HISTORY,
    add_kem_prekeys,
    delete_kem_prekeys,
    kem_prekey_ids,
    replace_kem_prekeys,
    take_kem_prekeys,
)
from interop_server.storage.sqlite.mailbox import notify_identity_change
from interop_server.storage.sqlite.prekey_history import History
from interop_server.storage.sqlite.publications import forget_publications, is_repeated, note_publication

_PUT_PUBLISHED = f"""
    INSERT INTO published_keys ({KEYS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (account_id) DO UPDATE SET
        registration_id = excluded.registration_id, identity_key = excluded.identity_key,
        signed_prekey_id = excluded.signed_prekey_id, signed_prekey = excluded.signed_prekey,
        signed_prekey_signature = excluded.signed_prekey_signature
"""


def put_published_keys(db: sqlite3.Connection, account_id: int, keys: PublishedKeys) -> None:
    """Inserts or replaces an account's published keys, without its one-time prekeys."""
    db.execute(_PUT_PUBLISHED, (account_id, keys.registration_id, keys.identity_key, *keys.signed_prekey))


_EMPTY = "DELETE FROM one_time_prekey WHERE account_id = ?1"


def delete_all_prekeys(db: sqlite3.Connection, account_id: int) -> None:
    """Deletes an account's one-time and KEM prekeys; its history keeps them."""
    db.execute(_EMPTY, (account_id,))
    _recount(db, account_id)
    delete_kem_prekeys(db, account_id)
    forget_publications(db, account_id)


_RECOUNT = """
    UPDATE published_keys SET one_time_count = (SELECT count(*) FROM one_time_prekey WHERE account_id = ?1)
    WHERE account_id = ?1 RETURNING one_time_count
"""


def _recount(db: sqlite3.Connection, account_id: int) -> int:
    row = db.execute(_RECOUNT, (account_id,)).fetchall()
    return int(row[0][0]) if row else 0


_INSERT = """
    INSERT INTO one_time_prekey (account_id, key_id, public_key)
    SELECT ?1, value, substr(?3, key * 32 + 1, 32) FROM json_each(?2)
"""
ONE_TIME_HISTORY = History.of(
    "one_time_prekey_history", "public_key", "SELECT public_key FROM one_time_prekey WHERE account_id = ?1"
)


def _insert(db: sqlite3.Connection, account_id: int, one_time: Sequence[OneTimePreKey]) -> None:
    key_ids = json.dumps([key.key_id for key in one_time])
    db.execute(_INSERT, (account_id, key_ids, b"".join(key.public_key for key in one_time)))
    ONE_TIME_HISTORY.add(db, account_id, (key.public_key for key in one_time))


def _check_unpublished(db: sqlite3.Connection, account_id: int, one_time: Sequence[OneTimePreKey]) -> None:
    forms = (form for key in one_time for form in both_forms(key.public_key))
    if ONE_TIME_HISTORY.has_any(db, account_id, forms):
        raise PreKeyReused


_LIST_PUBLIC_KEYS = "SELECT public_key FROM one_time_prekey WHERE account_id = ?1"
_GET_IDENTITY = "SELECT identity_key FROM published_keys WHERE account_id = ?1"


def _put(
    db: sqlite3.Connection,
    account_id: int,
    keys: PublishedKeys,
    one_time: Sequence[OneTimePreKey],
    kem: KemPreKeys | None,
) -> bool:
    """Replaces all keys, and says whether the identity key has changed."""
    check_distinct(one_time)
    call = put_digest(keys, one_time, kem)
    try:
        has_changed = _replace(db, account_id, keys, one_time, kem)
    except PreKeyReused:
        if is_repeated(db, account_id, call):
            return False  # some of its keys have been taken since: what is left stays
        raise
    forget_publications(db, account_id)
    note_publication(db, account_id, call)
    return has_changed


def _replace(
    db: sqlite3.Connection,
    account_id: int,
    keys: PublishedKeys,
    one_time: Sequence[OneTimePreKey],
    kem: KemPreKeys | None,
) -> bool:
    kept = {canonical_key(public_key) for (public_key,) in db.execute(_LIST_PUBLIC_KEYS, (account_id,))}
    _check_unpublished(db, account_id, [key for key in one_time if canonical_key(key.public_key) not in kept])
    before = db.execute(_GET_IDENTITY, (account_id,)).fetchone()
    put_published_keys(db, account_id, keys)
    db.execute(_EMPTY, (account_id,))
    _insert(db, account_id, one_time)
    _recount(db, account_id)
    replace_kem_prekeys(db, account_id, kem)
    return before is not None and not is_same_key(before[0], keys.identity_key)


_IS_HELD = """
    SELECT 1 FROM one_time_prekey WHERE account_id = ?1 AND key_id IN (SELECT value FROM json_each(?2)) LIMIT 1
"""


def _add_one_time(db: sqlite3.Connection, account_id: int, one_time: Sequence[OneTimePreKey], most: int | None) -> int:
    check_distinct(one_time)
    call = publication_digest("add", one_time)
    if is_repeated(db, account_id, call):
        return _recount(db, account_id)
    _check_unpublished(db, account_id, one_time)
    if db.execute(_IS_HELD, (account_id, json.dumps([key.key_id for key in one_time]))).fetchone():
        raise PreKeyReused
    _insert(db, account_id, one_time)
    count = _recount(db, account_id)
    if most is not None and count > most:
        raise PreKeysFull
    note_publication(db, account_id, call)
    return count


_DELETE_ONE_TIME = """
    DELETE FROM one_time_prekey WHERE account_id = ?1 AND key_id IN (SELECT value FROM json_each(?2))
"""


def _delete_one_time(db: sqlite3.Connection, account_id: int, key_ids: Sequence[int]) -> None:
    db.execute(_DELETE_ONE_TIME, (account_id, json.dumps(list(key_ids))))
    _recount(db, account_id)
    forget_publications(db, account_id)


_TAKE_ONE_TIME = """
    DELETE FROM one_time_prekey WHERE (account_id, key_id) IN (
        SELECT value, (SELECT min(key_id) FROM one_time_prekey WHERE account_id = value) FROM json_each(?1)
    ) RETURNING account_id, key_id, public_key
"""
_COUNT_TAKEN = f"""
    UPDATE published_keys
    SET one_time_count = {choose("one_time_count > 0", "one_time_count - 1", "0")}
    WHERE account_id IN (SELECT value FROM json_each(?1)) RETURNING {KEYS}, one_time_count, kem_published
"""


def _take_bundles(db: sqlite3.Connection, account_ids: Sequence[int], with_kem: bool) -> dict[int, TakenBundle]:
    accounts = json.dumps(list(account_ids))
    taken = {
        account_id: OneTimePreKey(key_id, public_key)
        for account_id, key_id, public_key in db.execute(_TAKE_ONE_TIME, (accounts,)).fetchall()
    }
    rows = db.execute(_COUNT_TAKEN, (accounts,)).fetchall()
    bundles = {row[0]: TakenBundle(published_keys_of(row[:-2]), taken.get(row[0]), row[-2]) for row in rows}
    if with_kem and (publishers := [row[0] for row in rows if row[-1]]):
        _add_kem_to(bundles, db, publishers)
    return bundles


_COUNT_KEM_TAKEN = f"""
    UPDATE published_keys SET kem_count = {choose("kem_count > 0", "kem_count - 1", "0")}
    WHERE account_id IN (SELECT value FROM json_each(?1))
    RETURNING account_id, kem_count, kem_last_resort_id, kem_last_resort, kem_last_resort_signature
"""


def _add_kem_to(bundles: dict[int, TakenBundle], db: sqlite3.Connection, account_ids: Sequence[int]) -> None:
    taken = take_kem_prekeys(db, account_ids)
    rows = db.execute(_COUNT_KEM_TAKEN, (json.dumps(account_ids),)).fetchall()
    for account_id, kem_count, *last_resort in rows:
        one_time = taken.get(account_id)
        if last_resort[0] is None:
            bundles[account_id] = bundles[account_id]._replace(kem_withdrawn=True)
        else:
            bundles[account_id] = bundles[account_id]._replace(
                kem_prekey=one_time or KemPreKey(*last_resort),
                kem_is_last_resort=one_time is None,
                kem_remaining=kem_count,
            )


class SqlitePreKeys(Concern, PreKeyStore):
    """The key tables."""

    async def put(
        self,
        account_id: int,
        keys: PublishedKeys,
        one_time: Sequence[OneTimePreKey],
        now_ms: int,
        recent_since_ms: int = 0,
        kem: KemPreKeys | None = None,
    ) -> list[int]:
        def put(db: sqlite3.Connection) -> list[int]:
            if _put(db, account_id, keys, one_time, kem):
                return notify_identity_change(db, account_id, now_ms, recent_since_ms)
            return []

        return await self._engine.write(put)

    async def add_one_time(self, account_id: int, one_time: Sequence[OneTimePreKey], most: int | None = None) -> int:
        return await self._engine.write(lambda db: _add_one_time(db, account_id, one_time, most))

    async def forget_published(self, account_id: int, most: int) -> None:
        def forget(db: sqlite3.Connection) -> None:
            for history in (ONE_TIME_HISTORY, KEM_HISTORY):
                history.keep(db, account_id, most)

        await self._engine.write(forget)

    async def delete_one_time(self, account_id: int, key_ids: Sequence[int]) -> None:
        await self._engine.write(lambda db: _delete_one_time(db, account_id, key_ids))

    _LIST_ONE_TIME = """
        SELECT key_id, public_key FROM one_time_prekey WHERE account_id = ?1 AND key_id > ?2
        ORDER BY key_id LIMIT coalesce(?3, -1)
    """

    async def list_one_time(self, account_id: int, above_id: int = 0, most: int | None = None) -> list[OneTimePreKey]:
        return [OneTimePreKey(*row) for row in await self._rows(self._LIST_ONE_TIME, account_id, above_id, most)]

    async def add_kem(self, account_id: int, kem: KemPreKeys, most: int | None = None) -> int:
        return await self._engine.write(lambda db: add_kem_prekeys(db, account_id, kem, most))

    async def delete_kem(self, account_id: int) -> None:
        def delete(db: sqlite3.Connection) -> None:
            delete_kem_prekeys(db, account_id)
            forget_publications(db, account_id)

        await self._engine.write(delete)

    async def get_kem_ids(self, account_id: int) -> KemPreKeyIds:
        return await self._engine.read(lambda db: kem_prekey_ids(db, account_id))

    _COUNT = f"""
        SELECT one_time_count, {choose("kem_last_resort_id IS NULL", "NULL", "kem_count")} FROM published_keys
        WHERE account_id = ?1
    """

    async def count(self, account_id: int) -> PreKeyCounts:
        row = await self._row(self._COUNT, account_id)
        return PreKeyCounts(*row) if row else PreKeyCounts(0)

    _GET_PUBLISHED = f"SELECT {KEYS} FROM published_keys WHERE account_id IN (SELECT value FROM json_each(?1))"

    async def get_published(self, account_ids: Sequence[int]) -> dict[int, PublishedKeys]:
        rows = await self._rows(self._GET_PUBLISHED, json.dumps(list(account_ids)))
        return {row[0]: published_keys_of(row) for row in rows}

    async def take_bundles(self, account_ids: Sequence[int], *, with_kem: bool = True) -> dict[int, TakenBundle]:
        return await self._engine.write(lambda db: _take_bundles(db, account_ids, with_kem))

    _ROTATE_SIGNED = """
        UPDATE published_keys SET signed_prekey_id = ?2, signed_prekey = ?3, signed_prekey_signature = ?4
        WHERE account_id = ?1
    """

    async def rotate_signed(self, account_id: int, signed_prekey: SignedPreKey) -> bool:
        return await self._change(self._ROTATE_SIGNED, account_id, *signed_prekey) == 1
