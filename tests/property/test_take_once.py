"""A one-time prekey is handed out at most once, however callers, refills and deletions meet."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop_server.core.model import KemPreKey, KemPreKeys, NewEnlistment, OneTimePreKey, PublishedKeys, SignedPreKey
from interop_server.core.store import Store
from tests.stores import open_store

_ACCOUNTS = 3
_LAST_RESORT = KemPreKey(16_000_000, bytes(1_568), bytes(64))
_accounts = st.sampled_from(range(_ACCOUNTS))
_take = st.tuples(st.just("take"), st.sets(_accounts, min_size=1))
_add = st.tuples(st.sampled_from(["add", "add_kem"]), _accounts, st.integers(1, 5))
_delete = st.tuples(st.just("delete"), _accounts, st.integers(1, 40))
_operations = st.lists(st.one_of(_take, _take, _add, _add, _delete), min_size=5, max_size=40)


async def _open(folder: str) -> tuple[Store, list[int]]:
    store = await open_store(Path(folder))
    keys = PublishedKeys(1, bytes(32), SignedPreKey(1, bytes(32), bytes(64)))
    enlistments = [
        NewEnlistment(100, f"{number}", f"100-{number}@interop", bytes(32), keys, 1, 1) for number in range(_ACCOUNTS)
    ]
    account_ids = [(await store.accounts.enlist(enlistment)).account.account_id for enlistment in enlistments]
    for account_id in account_ids:
        await store.prekeys.add_kem(account_id, KemPreKeys(_LAST_RESORT))
    return store, account_ids


class _Books:
    """What was published, taken and deleted of one account."""

    def __init__(self) -> None:
        self.published: set[OneTimePreKey] = set()
        self.published_kem: set[KemPreKey] = set()
        self.taken: list[OneTimePreKey] = []
        self.taken_kem: list[KemPreKey] = []
        self.deleted: set[int] = set()

    def next_ids(self, count: int, *, kem: bool) -> range:
        first = len(self.published_kem if kem else self.published) + 1
        return range(first, first + count)


async def _run(folder: str, operations: list[tuple[Any, ...]]) -> None:
    store, account_ids = await _open(folder)
    books = {account_id: _Books() for account_id in account_ids}

    async def take(accounts: set[int]) -> None:
        bundles = await store.prekeys.take_bundles([account_ids[account] for account in accounts])
        assert set(bundles) == {account_ids[account] for account in accounts}
        for account_id, bundle in bundles.items():
            if bundle.one_time_prekey is not None:
                books[account_id].taken.append(bundle.one_time_prekey)
            assert bundle.kem_prekey is not None
            assert bundle.kem_is_last_resort == (bundle.kem_prekey == _LAST_RESORT)
            if not bundle.kem_is_last_resort:
                books[account_id].taken_kem.append(bundle.kem_prekey)

    def add(account_id: int, count: int) -> Coroutine[Any, Any, object]:
        ids = books[account_id].next_ids(count, kem=False)
        keys = [OneTimePreKey(n, n.to_bytes(32, "big")) for n in ids]
        books[account_id].published.update(keys)
        return store.prekeys.add_one_time(account_id, keys)

    def add_kem(account_id: int, count: int) -> Coroutine[Any, Any, object]:
        ids = books[account_id].next_ids(count, kem=True)
        keys = tuple(KemPreKey(n, n.to_bytes(1_568, "big"), n.to_bytes(64, "big")) for n in ids)
        books[account_id].published_kem.update(keys)
        return store.prekeys.add_kem(account_id, KemPreKeys(None, keys))

    def delete(account_id: int, key_id: int) -> Coroutine[Any, Any, object]:
        books[account_id].deleted.add(key_id)
        return store.prekeys.delete_one_time(account_id, [key_id])

    of_one = {"add": add, "add_kem": add_kem, "delete": delete}
    await asyncio.gather(
        *(
            take(first) if name == "take" else of_one[name](account_ids[first], *rest)
            for name, first, *rest in operations
        )
    )
    for account_id, book in books.items():
        await _check(store, account_id, book)
    await store.close()


async def _check(store: Store, account_id: int, book: _Books) -> None:
    left = await store.prekeys.list_one_time(account_id)
    left_kem = (await store.prekeys.get_kem_ids(account_id)).one_time
    taken_kem = [key.key_id for key in book.taken_kem]
    assert len(set(book.taken)) == len(book.taken), "a key was handed out twice"
    assert len(set(taken_kem)) == len(taken_kem), "a KEM key was handed out twice"
    assert set(left).isdisjoint(book.taken)
    assert await store.prekeys.count(account_id) == (len(left), len(left_kem))
    lost = book.published - set(left) - set(book.taken)
    assert {key.key_id for key in lost} <= book.deleted
    assert sorted([*left_kem, *taken_kem]) == sorted(key.key_id for key in book.published_kem)


@pytest.mark.requirement("KEY-05", "KEY-15")
@settings(max_examples=40)
@given(operations=_operations)
def test_no_key_is_handed_out_twice_and_none_is_lost(operations: list[tuple[Any, ...]]) -> None:
    """All operations at once: each published key was taken once, was deleted, or is still there (KEY-05, KEY-15)."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(folder, operations))
