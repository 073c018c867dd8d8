"""Whatever writes for an account that has gone answers as for one that has gone, and leaves nothing."""

from collections.abc import Awaitable, Callable

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account, KemPreKey, KemPreKeys, SignedPreKey
from interop_server.core.store import Store

from .conftest import NOW_MS, World, key, one_time_prekeys, published_keys

KEM = KemPreKeys(KemPreKey(1, key(1, 1568), key(2, 64)), [KemPreKey(2, key(3, 1568), key(4, 64))])
SIGNED = SignedPreKey(1, key(1), key(2, 64))
Write = Callable[[Store, Account], Awaitable[object]]
REFUSED: dict[str, Write] = {
    "put": lambda store, account: store.prekeys.put(account.account_id, published_keys(9), one_time_prekeys(1, 2), 1),
    "put_kem": lambda store, account: store.prekeys.put(account.account_id, published_keys(9), [], 1, 0, KEM),
    "add_one_time": lambda store, account: store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 2)),
    "block": lambda store, account: store.blocklist.put(account.account_id, "1-2@interop"),
}
"""Writes that refer to the account: the rule is that no row may, once it has gone."""
IDLE: dict[str, Write] = {
    "delete_one_time": lambda store, account: store.prekeys.delete_one_time(account.account_id, [1]),
    "delete_kem": lambda store, account: store.prekeys.delete_kem(account.account_id),
    "rotate": lambda store, account: store.prekeys.rotate_signed(
        account.account_id, SignedPreKey(1, key(1), key(2, 64))
    ),
    "unblock": lambda store, account: store.blocklist.delete(account.account_id, "1-2@interop"),
    "connected": lambda store, account: store.accounts.set_connected(account.account_id, True, NOW_MS),
    "delete": lambda store, account: store.accounts.delete(account.account_id),
}
"""Writes that find nothing to write to."""


@pytest.mark.requirement("LIF-03")
@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in (REFUSED | IDLE).items()])
async def test_a_write_for_an_account_that_has_gone(store: Store, world: World, write: Write) -> None:
    """It is SESSION_DEAD or nothing, alone and in the same group of writes as the deletion."""
    account = await world.third_party_user(1)
    await store.accounts.delete(account.account_id)
    before = await store.count_rows()
    outcomes = []
    try:
        outcomes.append(await write(store, account))
    except Refusal as refusal:
        outcomes.append(refusal.reason)
    expected = Reason.SESSION_DEAD if write in REFUSED.values() else outcomes[0]
    assert outcomes == [expected]
    assert await store.count_rows() == before


@pytest.mark.requirement("LIF-03")
@pytest.mark.parametrize("how", ["deleted", "expired"])
async def test_an_account_with_much_ends_in_steps(
    store: Store, world: World, engine: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Of so many rows each; then it has ended and left nothing. One beside it that has not much ends at once."""
    monkeypatch.setattr(f"interop_server.storage.{engine}.accounts.STEP_ROWS", 3)
    much, eve = await world.third_party_user(1), await world.third_party_user(2, seed=9)
    empty = await store.count_rows()
    await store.prekeys.add_one_time(much.account_id, one_time_prekeys(1, 8))
    if how == "deleted":
        await store.accounts.delete(much.account_id)
    else:
        assert await store.accounts.unenlist([eve.account_id, much.account_id], NOW_MS) == [much.jid, eve.jid]
    assert await store.accounts.get(much.jid) is None
    counts = await store.count_rows()
    ended = 1 if how == "deleted" else 2
    assert (counts["account"], counts["one_time_prekey"]) == (empty["account"] - ended, 0)
    assert counts["one_time_prekey_history"] == 0
