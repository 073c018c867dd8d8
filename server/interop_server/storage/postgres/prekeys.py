"""Published keys and one-time prekeys in PostgreSQL; knows nothing of signatures.

Calls that publish lock their account. Those that take do not: a taker skips what another one is about to take, and
waits for nobody. So how many are left is counted when somebody asks, and is no number in a row that all would write.
"""

from collections.abc import Sequence
from typing import Any

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
from interop_server.storage.postgres.concern import Concern, lock_account
from interop_server.storage.postgres.kem_prekeys import (
    KEM_HISTORY,
    add_kem_prekeys,
    delete_kem_prekeys,
    kem_prekey_ids,
    replace_kem_prekeys,
)
from interop_server.storage.postgres.mailbox import notify_identity_change
from interop_server.storage.postgres.prekey_history import History
from interop_server.storage.postgres.publications import forget_publications, is_repeated, note_publication
from interop_server.storage.postgres.session import Session
from interop_server.storage.records import KEYS, check_distinct, publication_digest, published_keys_of, put_digest

_KEY_COLUMNS = 6


_PUT_PUBLISHED = f"""
    INSERT INTO published_keys ({KEYS}) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account_id) DO UPDATE SET
        registration_id = excluded.registration_id, identity_key = excluded.identity_key,
        signed_prekey_id = excluded.signed_prekey_id, signed_prekey = excluded.signed_prekey,
        signed_prekey_signature = excluded.signed_prekey_signature
"""


async def put_published_keys(db: Session, account_id: int, keys: PublishedKeys) -> None:
    """Inserts or replaces an account's published keys, without its one-time prekeys."""
    await db.change(_PUT_PUBLISHED, account_id, keys.registration_id, keys.identity_key, *keys.signed_prekey)


_EMPTY = "DELETE FROM one_time_prekey WHERE account_id = $1"


async def delete_all_prekeys(db: Session, account_id: int) -> None:
    """Deletes an account's one-time and KEM prekeys; its history keeps them."""
    await db.change(_EMPTY, account_id)
    await delete_kem_prekeys(db, account_id)
    await forget_publications(db, account_id)


_COUNT = "SELECT count(*) FROM one_time_prekey WHERE account_id = $1"


async def _count(db: Session, account_id: int) -> int:
    [(count,)] = await db.rows(_COUNT, account_id)
    return int(count)


_INSERT = """
    INSERT INTO one_time_prekey (account_id, key_id, public_key)
    SELECT $1, * FROM unnest($2::bigint[], $3::bytea[])
"""
ONE_TIME_HISTORY = History.of(
    "one_time_prekey_history", "public_key", "SELECT public_key FROM one_time_prekey WHERE account_id = $1"
)


async def _insert(db: Session, account_id: int, one_time: Sequence[OneTimePreKey]) -> None:
    await db.change(_INSERT, account_id, [key.key_id for key in one_time], [key.public_key for key in one_time])
    await ONE_TIME_HISTORY.add(db, account_id, (key.public_key for key in one_time))


async def _check_unpublished(db: Session, account_id: int, one_time: Sequence[OneTimePreKey]) -> None:
    forms = (form for key in one_time for form in both_forms(key.public_key))
    if await ONE_TIME_HISTORY.has_any(db, account_id, forms):
        raise PreKeyReused


_LIST_PUBLIC_KEYS = "SELECT public_key FROM one_time_prekey WHERE account_id = $1"
_GET_IDENTITY = "SELECT identity_key FROM published_keys WHERE account_id = $1"


async def _put(
    db: Session,
    account_id: int,
    keys: PublishedKeys,
    one_time: Sequence[OneTimePreKey],
    kem: KemPreKeys | None,
) -> bool:
    """Replaces all keys, and says whether the identity key has changed."""
    check_distinct(one_time)
    await lock_account(db, account_id)
    call = put_digest(keys, one_time, kem)
    try:
        has_changed = await _replace(db, account_id, keys, one_time, kem)
    except PreKeyReused:
        if await is_repeated(db, account_id, call):
            return False  # some of its keys have been taken since: what is left stays
        raise
    await forget_publications(db, account_id)
    await note_publication(db, account_id, call)
    return has_changed


async def _replace(
    db: Session,
    account_id: int,
    keys: PublishedKeys,
    one_time: Sequence[OneTimePreKey],
    kem: KemPreKeys | None,
) -> bool:
    kept = {canonical_key(public_key) for (public_key,) in await db.rows(_LIST_PUBLIC_KEYS, account_id)}
    await _check_unpublished(db, account_id, [key for key in one_time if canonical_key(key.public_key) not in kept])
    before = await db.row(_GET_IDENTITY, account_id)
    await put_published_keys(db, account_id, keys)
    await db.change(_EMPTY, account_id)
    await _insert(db, account_id, one_time)
    await replace_kem_prekeys(db, account_id, kem)
    return before is not None and not is_same_key(before[0], keys.identity_key)


_IS_HELD = "SELECT 1 FROM one_time_prekey WHERE account_id = $1 AND key_id = ANY ($2::bigint[]) LIMIT 1"


async def _add_one_time(db: Session, account_id: int, one_time: Sequence[OneTimePreKey], most: int | None) -> int:
    check_distinct(one_time)
    await lock_account(db, account_id)
    call = publication_digest("add", one_time)
    if await is_repeated(db, account_id, call):
        return await _count(db, account_id)
    await _check_unpublished(db, account_id, one_time)
    if await db.row(_IS_HELD, account_id, [key.key_id for key in one_time]):
        raise PreKeyReused
    if most is not None and await _count(db, account_id) + len(one_time) > most:
        raise PreKeysFull
    await _insert(db, account_id, one_time)
    await note_publication(db, account_id, call)
    return await _count(db, account_id)


_DELETE_ONE_TIME = "DELETE FROM one_time_prekey WHERE account_id = $1 AND key_id = ANY ($2::bigint[])"


async def _delete_one_time(db: Session, account_id: int, key_ids: Sequence[int]) -> None:
    await lock_account(db, account_id)
    await db.change(_DELETE_ONE_TIME, account_id, list(key_ids))
    await forget_publications(db, account_id)


def _take_statement(table: str, columns: str, also: str) -> str:
    """Returns the statement that takes the lowest key of each account $1, but those that others are about to take.

    It returns a row for each account that has published: `also`, how many keys are left, and the key that was taken.
    """
    names = ", ".join(f"taken.{name}" for name in columns.split(", "))
    return f"""
    WITH lowest AS MATERIALIZED (
        SELECT {table}.account_id, {table}.key_id
        FROM unnest($1::bigint[]) AS wanted (account_id) CROSS JOIN LATERAL (
            SELECT * FROM {table} WHERE {table}.account_id = wanted.account_id
            ORDER BY key_id LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS {table}
    ), taken AS (
        DELETE FROM {table} USING lowest
        WHERE {table}.account_id = lowest.account_id AND {table}.key_id = lowest.key_id
        RETURNING {table}.account_id, {columns.replace("key_id", f"{table}.key_id")}
    )
    SELECT {also},
        (SELECT count(*) FROM {table} WHERE {table}.account_id = published_keys.account_id)
            - (taken.key_id IS NOT NULL)::integer,
        {names}
    FROM published_keys LEFT JOIN taken ON taken.account_id = published_keys.account_id
    WHERE published_keys.account_id = ANY ($1)
    """


_TAKE = _take_statement(
    "one_time_prekey",
    "key_id, public_key",
    ", ".join(f"published_keys.{name}" for name in KEYS.split(", ")) + ", kem_published",
)
_TAKE_KEM = _take_statement(
    "kem_prekey",
    "key_id, public_key, signature",
    "published_keys.account_id, kem_last_resort_id, kem_last_resort, kem_last_resort_signature",
)


async def _take_bundles(db: Session, account_ids: Sequence[int], with_kem: bool) -> dict[int, TakenBundle]:
    rows = await db.changed(_TAKE, sorted(set(account_ids)))
    bundles = {}
    publishers = []
    for row in rows:
        kem_published, left, *taken = row[_KEY_COLUMNS:]
        one_time = None if taken[0] is None else OneTimePreKey(*taken)
        bundles[row[0]] = TakenBundle(published_keys_of(row[:_KEY_COLUMNS]), one_time, left)
        if kem_published:
            publishers.append(row[0])
    if with_kem and publishers:
        await _add_kem_to(bundles, db, publishers)
    return bundles


async def _add_kem_to(bundles: dict[int, TakenBundle], db: Session, account_ids: Sequence[int]) -> None:
    for account_id, *facts in await db.changed(_TAKE_KEM, list(account_ids)):
        last_resort, left, taken = facts[:3], facts[3], facts[4:]
        bundles[account_id] = _with_kem(bundles[account_id], last_resort, left, taken)


def _with_kem(bundle: TakenBundle, last_resort: list[Any], left: int, taken: list[Any]) -> TakenBundle:
    if last_resort[0] is None:
        return bundle._replace(kem_withdrawn=True)
    is_last_resort = taken[0] is None
    return bundle._replace(
        kem_prekey=KemPreKey(*(last_resort if is_last_resort else taken)),
        kem_is_last_resort=is_last_resort,
        kem_remaining=left,
    )


class PostgresPreKeys(Concern, PreKeyStore):
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
        async def put(db: Session) -> list[int]:
            if await _put(db, account_id, keys, one_time, kem):
                return await notify_identity_change(db, account_id, now_ms, recent_since_ms)
            return []

        return await self._engine.write(put)

    async def add_one_time(self, account_id: int, one_time: Sequence[OneTimePreKey], most: int | None = None) -> int:
        return await self._engine.write(lambda db: _add_one_time(db, account_id, one_time, most))

    async def forget_published(self, account_id: int, most: int) -> None:
        async def forget(db: Session) -> None:
            await lock_account(db, account_id)
            for history in (ONE_TIME_HISTORY, KEM_HISTORY):
                await history.keep(db, account_id, most)

        await self._engine.write(forget)

    async def delete_one_time(self, account_id: int, key_ids: Sequence[int]) -> None:
        await self._engine.write(lambda db: _delete_one_time(db, account_id, key_ids))

    _LIST_ONE_TIME = """
        SELECT key_id, public_key FROM one_time_prekey WHERE account_id = $1 AND key_id > $2
        ORDER BY key_id LIMIT $3::bigint
    """

    async def list_one_time(self, account_id: int, above_id: int = 0, most: int | None = None) -> list[OneTimePreKey]:
        return [OneTimePreKey(*row) for row in await self._rows(self._LIST_ONE_TIME, account_id, above_id, most)]

    async def add_kem(self, account_id: int, kem: KemPreKeys, most: int | None = None) -> int:
        async def add(db: Session) -> int:
            await lock_account(db, account_id)
            return await add_kem_prekeys(db, account_id, kem, most)

        return await self._engine.write(add)

    async def delete_kem(self, account_id: int) -> None:
        async def delete(db: Session) -> None:
            await lock_account(db, account_id)
            await delete_kem_prekeys(db, account_id)
            await forget_publications(db, account_id)

        await self._engine.write(delete)

    async def get_kem_ids(self, account_id: int) -> KemPreKeyIds:
        return await self._engine.read(lambda db: kem_prekey_ids(db, account_id))

    _COUNT_ALL = """
        SELECT (SELECT count(*) FROM one_time_prekey WHERE one_time_prekey.account_id = $1),
            CASE WHEN kem_last_resort_id IS NULL THEN NULL
                ELSE (SELECT count(*) FROM kem_prekey WHERE kem_prekey.account_id = $1) END
        FROM published_keys WHERE account_id = $1
    """

    async def count(self, account_id: int) -> PreKeyCounts:
        row = await self._row(self._COUNT_ALL, account_id)
        return PreKeyCounts(*row) if row else PreKeyCounts(0)

    _GET_PUBLISHED = f"SELECT {KEYS} FROM published_keys WHERE account_id = ANY ($1::bigint[])"

    async def get_published(self, account_ids: Sequence[int]) -> dict[int, PublishedKeys]:
        rows = await self._rows(self._GET_PUBLISHED, list(account_ids))
        return {row[0]: published_keys_of(row) for row in rows}

    async def take_bundles(self, account_ids: Sequence[int], *, with_kem: bool = True) -> dict[int, TakenBundle]:
        return await self._engine.write(lambda db: _take_bundles(db, account_ids, with_kem))

    _ROTATE_SIGNED = """
        UPDATE published_keys SET signed_prekey_id = $2, signed_prekey = $3, signed_prekey_signature = $4
        WHERE account_id = $1
    """

    async def rotate_signed(self, account_id: int, signed_prekey: SignedPreKey) -> bool:
        return await self._change(self._ROTATE_SIGNED, account_id, *signed_prekey) == 1
