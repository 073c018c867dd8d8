"""A one-time prekey is handed out at most once, however callers, refills and deletions meet."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop_server.core.model import NewEnlistment, OneTimePreKey, PublishedKeys, SignedPreKey
from interop_server.storage import SqliteStore

_ACCOUNTS = 3
_accounts = st.sampled_from(range(_ACCOUNTS))
_take = st.tuples(st.just("take"), st.sets(_accounts, min_size=1))
_add = st.tuples(st.just("add"), _accounts, st.integers(1, 5))
_delete = st.tuples(st.just("delete"), _accounts, st.integers(1, 40))
_operations = st.lists(st.one_of(_take, _take, _add, _delete), min_size=5, max_size=40)


async def _open(folder: str) -> tuple[SqliteStore, list[int]]:
    store = await SqliteStore.open(Path(folder) / "store.db")
    keys = PublishedKeys(1, bytes(32), SignedPreKey(1, bytes(32), bytes(64)))
    enlistments = [
        NewEnlistment(100, f"{number}", f"100-{number}@interop", bytes(32), keys, 1, 1) for number in range(_ACCOUNTS)
    ]
    return store, [(await store.enlist(enlistment)).account.account_id for enlistment in enlistments]


async def _run(folder: str, operations: list[tuple[object, ...]]) -> None:
    store, account_ids = await _open(folder)
    published: dict[int, set[OneTimePreKey]] = {account_id: set() for account_id in account_ids}
    taken: dict[int, list[OneTimePreKey]] = {account_id: [] for account_id in account_ids}
    deleted: dict[int, set[int]] = {account_id: set() for account_id in account_ids}

    async def take(accounts: set[int]) -> None:
        bundles = await store.take_bundles([account_ids[account] for account in accounts])
        assert set(bundles) == {account_ids[account] for account in accounts}
        for account_id, bundle in bundles.items():
            if bundle.one_time_prekey is not None:
                taken[account_id].append(bundle.one_time_prekey)

    calls = []
    for name, first, *rest in operations:
        if name == "take":
            calls.append(take(first))  # type: ignore[arg-type]
            continue
        account_id = account_ids[first]  # type: ignore[call-overload]
        [number] = rest
        if name == "delete":
            deleted[account_id].add(number)  # type: ignore[arg-type]
            calls.append(store.delete_one_time_prekeys(account_id, [number]))  # type: ignore[list-item]
            continue
        start = len(published[account_id]) + 1
        keys = [OneTimePreKey(n, n.to_bytes(32, "big")) for n in range(start, start + number)]  # type: ignore[operator]
        published[account_id].update(keys)
        calls.append(store.add_one_time_prekeys(account_id, keys))
    await asyncio.gather(*calls)

    for account_id in account_ids:
        left = await store.list_one_time_prekeys(account_id)
        assert len(set(taken[account_id])) == len(taken[account_id]), "a key was handed out twice"
        assert set(left).isdisjoint(taken[account_id])
        assert await store.count_one_time_prekeys(account_id) == len(left)
        lost = published[account_id] - set(left) - set(taken[account_id])
        assert {key.key_id for key in lost} <= deleted[account_id]
    await store.close()


@pytest.mark.requirement("KEY-05")
@settings(max_examples=40, deadline=None)
@given(operations=_operations)
def test_no_key_is_handed_out_twice_and_none_is_lost(operations: list[tuple[object, ...]]) -> None:
    """All operations at once: each published key was taken once, was deleted, or is still there (KEY-05)."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(folder, operations))
