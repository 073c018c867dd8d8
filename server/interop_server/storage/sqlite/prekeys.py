"""Published keys and one-time prekeys in SQLite; knows nothing of signatures.

Lists of keys travel as two parameters, a JSON array of ids and the keys in one blob, so that 20,000 of them take one
statement and not 20,000 turns at the interpreter lock.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

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
from interop_server.core.stores import PreKeyReused, PreKeyStore
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.kem_prekeys import (
    add_kem_prekeys,
    delete_kem_prekeys,
    kem_prekey_ids,
    replace_kem_prekeys,
    take_kem_prekeys,
)
from interop_server.storage.sqlite.mailbox import notify_identity_change

_KEYS = "account_id, registration_id, identity_key, signed_prekey_id, signed_prekey, signed_prekey_signature"


def _published_keys(row: tuple[Any, ...]) -> PublishedKeys:
    _, registration_id, identity_key, *signed_prekey = row
    return PublishedKeys(registration_id, identity_key, SignedPreKey(*signed_prekey))


def put_published_keys(db: sqlite3.Connection, account_id: int, keys: PublishedKeys) -> None:
    """Inserts or replaces what an account publishes, leaving its one-time prekeys alone."""
    db.execute(
        f"""
        INSERT INTO published_keys ({_KEYS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (account_id) DO UPDATE SET
            registration_id = excluded.registration_id, identity_key = excluded.identity_key,
            signed_prekey_id = excluded.signed_prekey_id, signed_prekey = excluded.signed_prekey,
            signed_prekey_signature = excluded.signed_prekey_signature
        """,
        (account_id, keys.registration_id, keys.identity_key, *keys.signed_prekey),
    )


def delete_all_prekeys(db: sqlite3.Connection, account_id: int) -> None:
    """Empties an account's one-time and KEM prekeys; they stay in its history."""
    db.execute("DELETE FROM one_time_prekey WHERE account_id = ?1", (account_id,))
    _recount(db, account_id)
    delete_kem_prekeys(db, account_id)


def _recount(db: sqlite3.Connection, account_id: int) -> int:
    row = db.execute(
        """
        UPDATE published_keys
        SET one_time_count = (SELECT count(*) FROM one_time_prekey WHERE account_id = ?1)
        WHERE account_id = ?1 RETURNING one_time_count
        """,
        (account_id,),
    ).fetchall()
    return int(row[0][0]) if row else 0


def _insert(db: sqlite3.Connection, account_id: int, one_time: Sequence[OneTimePreKey]) -> None:
    parameters = (
        account_id,
        json.dumps([key.key_id for key in one_time]),
        b"".join(key.public_key for key in one_time),
    )
    db.execute(
        """
        INSERT INTO one_time_prekey (account_id, key_id, public_key)
        SELECT ?1, value, substr(?3, key * 32 + 1, 32) FROM json_each(?2)
        """,
        parameters,
    )
    db.execute(
        """
        INSERT INTO one_time_prekey_history (account_id, public_key)
        SELECT ?1, substr(?3, key * 32 + 1, 32) FROM json_each(?2) WHERE true
        ON CONFLICT DO NOTHING
        """,
        parameters,
    )


def _check_unpublished(db: sqlite3.Connection, account_id: int, public_keys: Sequence[bytes]) -> None:
    published = db.execute(
        """
        SELECT 1 FROM json_each(?2) CROSS JOIN one_time_prekey_history
        WHERE account_id = ?1 AND public_key = substr(?3, key * 32 + 1, 32) LIMIT 1
        """,
        (account_id, json.dumps([0] * len(public_keys)), b"".join(public_keys)),
    ).fetchone()
    if published:
        raise PreKeyReused


def _check_distinct(one_time: Sequence[OneTimePreKey]) -> None:
    if len({key.key_id for key in one_time}) < len(one_time) or len({key.public_key for key in one_time}) < len(
        one_time
    ):
        raise PreKeyReused


def _set_prekeys(
    db: sqlite3.Connection,
    account_id: int,
    keys: PublishedKeys,
    one_time: Sequence[OneTimePreKey],
    kem: KemPreKeys | None,
) -> bool:
    """Replaces all keys, and says whether the identity key is another one than before."""
    _check_distinct(one_time)
    kept = {
        public_key
        for (public_key,) in db.execute("SELECT public_key FROM one_time_prekey WHERE account_id = ?1", (account_id,))
    }
    _check_unpublished(db, account_id, [key.public_key for key in one_time if key.public_key not in kept])
    before = db.execute("SELECT identity_key FROM published_keys WHERE account_id = ?1", (account_id,)).fetchone()
    put_published_keys(db, account_id, keys)
    db.execute("DELETE FROM one_time_prekey WHERE account_id = ?1", (account_id,))
    _insert(db, account_id, one_time)
    _recount(db, account_id)
    replace_kem_prekeys(db, account_id, kem)
    return before is not None and before[0] != keys.identity_key


def _add_one_time_prekeys(db: sqlite3.Connection, account_id: int, one_time: Sequence[OneTimePreKey]) -> int:
    _check_distinct(one_time)
    _check_unpublished(db, account_id, [key.public_key for key in one_time])
    held = db.execute(
        "SELECT 1 FROM one_time_prekey WHERE account_id = ?1 AND key_id IN (SELECT value FROM json_each(?2)) LIMIT 1",
        (account_id, json.dumps([key.key_id for key in one_time])),
    ).fetchone()
    if held:
        raise PreKeyReused
    _insert(db, account_id, one_time)
    return _recount(db, account_id)


def _take_bundles(db: sqlite3.Connection, account_ids: Sequence[int]) -> dict[int, TakenBundle]:
    accounts = json.dumps(list(account_ids))
    taken = {
        account_id: OneTimePreKey(key_id, public_key)
        for account_id, key_id, public_key in db.execute(
            """
            DELETE FROM one_time_prekey WHERE (account_id, key_id) IN (
                SELECT value, (SELECT min(key_id) FROM one_time_prekey WHERE account_id = value) FROM json_each(?1)
            ) RETURNING account_id, key_id, public_key
            """,
            (accounts,),
        ).fetchall()
    }
    rows = db.execute(
        f"""
        UPDATE published_keys SET one_time_count = max(one_time_count - 1, 0)
        WHERE account_id IN (SELECT value FROM json_each(?1)) RETURNING {_KEYS}, one_time_count, kem_published
        """,
        (accounts,),
    ).fetchall()
    bundles = {row[0]: TakenBundle(_published_keys(row[:-2]), taken.get(row[0]), row[-2]) for row in rows}
    if with_kem := [row[0] for row in rows if row[-1]]:
        _add_kem(db, bundles, with_kem)
    return bundles


def _add_kem(db: sqlite3.Connection, bundles: dict[int, TakenBundle], account_ids: Sequence[int]) -> None:
    taken = take_kem_prekeys(db, account_ids)
    for account_id, kem_count, *last_resort in db.execute(
        """
        UPDATE published_keys SET kem_count = max(kem_count - 1, 0)
        WHERE account_id IN (SELECT value FROM json_each(?1))
        RETURNING account_id, kem_count, kem_last_resort_id, kem_last_resort, kem_last_resort_signature
        """,
        (json.dumps(account_ids),),
    ).fetchall():
        one_time = taken.get(account_id)
        if last_resort[0] is None:
            bundles[account_id] = bundles[account_id]._replace(kem_withdrawn=True)
        else:
            bundles[account_id] = bundles[account_id]._replace(
                kem_prekey=one_time or KemPreKey(*last_resort),
                kem_is_last_resort=one_time is None,
                kem_remaining=kem_count,
            )


class SqlitePreKeys(EngineUser, PreKeyStore):
    """The key tables."""

    async def set_prekeys(  # noqa: D102
        self,
        account_id: int,
        keys: PublishedKeys,
        one_time: Sequence[OneTimePreKey],
        now_ms: int,
        recent_since_ms: int = 0,
        kem: KemPreKeys | None = None,
    ) -> list[int]:
        def set_keys(db: sqlite3.Connection) -> list[int]:
            if _set_prekeys(db, account_id, keys, one_time, kem):
                return notify_identity_change(db, account_id, now_ms, recent_since_ms)
            return []

        return await self._engine.write(set_keys)

    async def add_one_time_prekeys(self, account_id: int, one_time: Sequence[OneTimePreKey]) -> int:  # noqa: D102
        return await self._engine.write(lambda db: _add_one_time_prekeys(db, account_id, one_time))

    async def delete_one_time_prekeys(self, account_id: int, key_ids: Sequence[int]) -> None:  # noqa: D102
        def delete(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM one_time_prekey WHERE account_id = ?1 AND key_id IN (SELECT value FROM json_each(?2))",
                (account_id, json.dumps(list(key_ids))),
            )
            _recount(db, account_id)

        await self._engine.write(delete)

    async def list_one_time_prekeys(self, account_id: int) -> list[OneTimePreKey]:  # noqa: D102
        def list_keys(db: sqlite3.Connection) -> list[OneTimePreKey]:
            sql = "SELECT key_id, public_key FROM one_time_prekey WHERE account_id = ?1 ORDER BY key_id"
            return [OneTimePreKey(*row) for row in db.execute(sql, (account_id,))]

        return await self._engine.read(list_keys)

    async def add_kem_prekeys(self, account_id: int, kem: KemPreKeys) -> int:  # noqa: D102
        return await self._engine.write(lambda db: add_kem_prekeys(db, account_id, kem))

    async def delete_kem_prekeys(self, account_id: int) -> None:  # noqa: D102
        await self._engine.write(lambda db: delete_kem_prekeys(db, account_id))

    async def get_kem_prekey_ids(self, account_id: int) -> KemPreKeyIds:  # noqa: D102
        return await self._engine.read(lambda db: kem_prekey_ids(db, account_id))

    async def count_prekeys(self, account_id: int) -> PreKeyCounts:  # noqa: D102
        def count(db: sqlite3.Connection) -> PreKeyCounts:
            row = db.execute(
                """
                SELECT one_time_count, iif(kem_last_resort_id IS NULL, NULL, kem_count) FROM published_keys
                WHERE account_id = ?1
                """,
                (account_id,),
            ).fetchone()
            return PreKeyCounts(*row) if row else PreKeyCounts(0)

        return await self._engine.read(count)

    async def get_published_keys(self, account_ids: Sequence[int]) -> dict[int, PublishedKeys]:  # noqa: D102
        def get(db: sqlite3.Connection) -> dict[int, PublishedKeys]:
            sql = f"SELECT {_KEYS} FROM published_keys WHERE account_id IN (SELECT value FROM json_each(?1))"
            return {
                row[0]: _published_keys(row) for row in db.execute(sql, (json.dumps(list(account_ids)),)).fetchall()
            }

        return await self._engine.read(get)

    async def take_bundles(self, account_ids: Sequence[int]) -> dict[int, TakenBundle]:  # noqa: D102
        return await self._engine.write(lambda db: _take_bundles(db, account_ids))

    async def rotate_signed_prekey(self, account_id: int, signed_prekey: SignedPreKey) -> bool:  # noqa: D102
        def rotate(db: sqlite3.Connection) -> bool:
            cursor = db.execute(
                """
                UPDATE published_keys SET signed_prekey_id = ?2, signed_prekey = ?3, signed_prekey_signature = ?4
                WHERE account_id = ?1
                """,
                (account_id, *signed_prekey),
            )
            return cursor.rowcount == 1

        return await self._engine.write(rotate)
