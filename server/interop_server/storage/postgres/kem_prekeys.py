"""KEM prekeys in PostgreSQL, as parts of the transactions that change or take an account's keys; knows no session."""

from collections.abc import Sequence

from interop_server.core.keys.store import LastResortMissing, PreKeyReused, PreKeysFull
from interop_server.core.model import KemPreKey, KemPreKeyIds, KemPreKeys
from interop_server.storage.postgres.prekey_history import History
from interop_server.storage.postgres.publications import is_repeated, note_publication
from interop_server.storage.postgres.session import Session
from interop_server.storage.records import check_distinct_kem, kem_hashes, publication_digest

_IS_HELD = "SELECT 1 FROM kem_prekey WHERE account_id = $1 AND key_id = ANY ($2::bigint[]) LIMIT 1"


async def add_kem_prekeys(db: Session, account_id: int, kem: KemPreKeys, most: int | None) -> int:
    """Adds KEM prekeys to the stored ones, and returns how many one-time ones there are now.

    Raises:
        PreKeyReused: An id is in the store, or a key was published before.
        LastResortMissing: There is no last-resort prekey.
        PreKeysFull: There would be more than `most` one-time ones.
    """
    held = await _last_resort(db, account_id)
    call = publication_digest("add KEM", [kem.last_resort or (), *kem.one_time])
    if await is_repeated(db, account_id, call):
        return await _count(db, account_id)
    last_resort = kem.last_resort or held
    if last_resort is None:
        raise LastResortMissing
    # The same key may come with a new signature.
    is_held = held is not None and last_resort[:2] == held[:2]
    fresh = [*kem.one_time, *([] if is_held else [last_resort])]
    check_distinct_kem([*kem.one_time, last_resort])
    await _check_unpublished(db, account_id, fresh)
    key_ids = [prekey.key_id for prekey in (*kem.one_time, last_resort)]
    if await db.row(_IS_HELD, account_id, key_ids):
        raise PreKeyReused
    if kem.one_time and most is not None and await _count(db, account_id) + len(kem.one_time) > most:
        raise PreKeysFull
    await _insert(db, account_id, KemPreKeys(last_resort, kem.one_time))
    await note_publication(db, account_id, call)
    return await _count(db, account_id)


_COUNT = "SELECT count(*) FROM kem_prekey WHERE account_id = $1"


async def _count(db: Session, account_id: int) -> int:
    [(count,)] = await db.rows(_COUNT, account_id)
    return int(count)


_LIST_PUBLIC_KEYS = "SELECT public_key FROM kem_prekey WHERE account_id = $1"


async def replace_kem_prekeys(db: Session, account_id: int, kem: KemPreKeys | None) -> None:
    """Puts KEM prekeys in place of the stored ones; None deletes them.

    Raises:
        PreKeyReused: A key was published before and is no longer in the store.
        LastResortMissing: There are one-time prekeys without a last-resort one.
    """
    if kem is None:
        await delete_kem_prekeys(db, account_id)
        return
    if kem.last_resort is None:
        raise LastResortMissing
    prekeys = [*kem.one_time, kem.last_resort]
    check_distinct_kem(prekeys)
    kept = {key for (key,) in await db.rows(_LIST_PUBLIC_KEYS, account_id)}
    if (held := await _last_resort(db, account_id)) is not None:
        kept.add(held.public_key)
    await _check_unpublished(db, account_id, [prekey for prekey in prekeys if prekey.public_key not in kept])
    await delete_kem_prekeys(db, account_id)
    await _insert(db, account_id, kem)


_EMPTY = "DELETE FROM kem_prekey WHERE account_id = $1"
_DELETE_LAST_RESORT = """
    UPDATE published_keys SET kem_last_resort_id = NULL, kem_last_resort = NULL, kem_last_resort_signature = NULL
    WHERE account_id = $1 AND kem_last_resort_id IS NOT NULL
"""


async def delete_kem_prekeys(db: Session, account_id: int) -> None:
    """Deletes all KEM prekeys of an account. Its history keeps them, and that there were some is remembered."""
    await db.change(_EMPTY, account_id)
    await db.change(_DELETE_LAST_RESORT, account_id)


_LIST_IDS = "SELECT key_id FROM kem_prekey WHERE account_id = $1 ORDER BY key_id"


async def kem_prekey_ids(db: Session, account_id: int) -> KemPreKeyIds:
    """Returns the ids of an account's KEM prekeys."""
    last_resort = await _last_resort(db, account_id)
    rows = await db.rows(_LIST_IDS, account_id)
    return KemPreKeyIds(last_resort and last_resort.key_id, [key_id for (key_id,) in rows])


_GET_LAST_RESORT = """
    SELECT kem_last_resort_id, kem_last_resort, kem_last_resort_signature FROM published_keys
    WHERE account_id = $1 AND kem_last_resort_id IS NOT NULL
"""


async def _last_resort(db: Session, account_id: int) -> KemPreKey | None:
    row = await db.row(_GET_LAST_RESORT, account_id)
    return None if row is None else KemPreKey(*row)


# The hashes of stored keys are not stored: an account that has so many forgets the oldest all the same.
KEM_HISTORY = History.of("kem_prekey_history", "sha256", "SELECT NULL::bytea WHERE false")


async def _check_unpublished(db: Session, account_id: int, prekeys: Sequence[KemPreKey]) -> None:
    if await KEM_HISTORY.has_any(db, account_id, kem_hashes(prekeys)):
        raise PreKeyReused


_INSERT = """
    INSERT INTO kem_prekey (account_id, key_id, public_key, signature)
    SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bytea[])
"""
_PUT_LAST_RESORT = """
    UPDATE published_keys
    SET kem_published = 1, kem_last_resort_id = $2, kem_last_resort = $3, kem_last_resort_signature = $4
    WHERE account_id = $1
"""


async def _insert(db: Session, account_id: int, kem: KemPreKeys) -> None:
    assert kem.last_resort is not None
    await KEM_HISTORY.add(db, account_id, kem_hashes((*kem.one_time, kem.last_resort)))
    columns = zip(*kem.one_time, strict=True) if kem.one_time else ((), (), ())
    await db.change(_INSERT, account_id, *columns)
    await db.change(_PUT_LAST_RESORT, account_id, *kem.last_resort)
