"""Blocks, blobs, the server's own key material, and what concerns the store as a whole."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from interop_server.core.model import MediaBlob
from interop_server.core.store import Store

from .conftest import NOW_MS, World, key

BLOB = MediaBlob("/v/t62/1", key(1), 2 << 30, 1, NOW_MS, NOW_MS + 1000)


async def test_blocked_jids_are_listed_in_order(store: Store, world: World) -> None:
    """Each once; unknown JIDs can be blocked like any other, and blocks are an account's own."""
    user, other = await world.whatsapp_user("491"), await world.whatsapp_user("492")
    for jid in ("100-9@interop", "100-10@interop", "100-9@interop"):
        await store.blocklist.put(user.account_id, jid)
    assert await store.blocklist.list_jids(user.account_id) == ["100-10@interop", "100-9@interop"]
    assert await store.blocklist.list_jids(other.account_id) == []


async def test_blocks_keep_to_the_most(store: Store, world: World) -> None:
    """Also when they come at once: each alone would fit. Who is blocked already is so still (ABU-01)."""
    account_id = (await world.whatsapp_user("491")).account_id
    jids = [f"100-{number}@interop" for number in range(6)]
    blocked = await asyncio.gather(*(store.blocklist.put(account_id, jid, 4) for jid in jids))
    assert sorted(blocked) == [False] * 2 + [True] * 4
    held = await store.blocklist.list_jids(account_id)
    assert held == [jid for jid, is_blocked in zip(jids, blocked, strict=True) if is_blocked]
    assert await store.blocklist.put(account_id, held[0], 4) and await store.blocklist.put(account_id, held[0], 0)
    await store.blocklist.delete(account_id, held[0])
    assert await store.blocklist.put(account_id, "100-7@interop", 4)


async def test_unblocking_is_idempotent(store: Store, world: World) -> None:
    """The other block stays."""
    user = await world.whatsapp_user("491")
    for jid in ("100-1@interop", "100-2@interop"):
        await store.blocklist.put(user.account_id, jid)
    for _ in range(2):
        await store.blocklist.delete(user.account_id, "100-1@interop")
    assert await store.blocklist.list_jids(user.account_id) == ["100-2@interop"]


async def test_a_blob_is_found_by_path_and_by_hash(store: Store) -> None:
    """Unknown ones are None."""
    assert await store.media.put(BLOB) == BLOB
    assert await store.media.get(BLOB.direct_path) == BLOB
    assert await store.media.get_own(BLOB.owner_id, BLOB.sha256) == BLOB
    assert (await store.media.get("/v/t62/2"), await store.media.get_own(BLOB.owner_id, key(2))) == (None, None)


async def test_the_same_blob_again_keeps_its_path_and_lives_longer(store: Store) -> None:
    """An earlier expiry does not shorten its life."""
    await store.media.put(BLOB)
    for expires_at_ms in (NOW_MS + 5000, NOW_MS + 2000):
        again = replace(BLOB, direct_path="/v/t62/other", expires_at_ms=expires_at_ms)
        assert await store.media.put(again) == replace(BLOB, expires_at_ms=NOW_MS + 5000)
    assert await store.media.get("/v/t62/other") is None


async def test_the_same_blob_of_two_owners_is_two(store: Store) -> None:
    """Each has a path and an end of its own, and neither finds the other's."""
    others = replace(BLOB, direct_path="/v/t62/other", owner_id=BLOB.owner_id + 1, expires_at_ms=NOW_MS + 5000)
    for blob in (BLOB, others):
        assert await store.media.put(blob) == blob
    for blob in (BLOB, others):
        assert await store.media.get(blob.direct_path) == blob
        assert await store.media.get_own(blob.owner_id, blob.sha256) == blob
    assert await store.media.get_own(others.owner_id + 1, BLOB.sha256) is None
    assert await store.media.delete_expired(NOW_MS + 2000, 1_000) == 1
    assert await store.media.get_own(others.owner_id, BLOB.sha256) == others


async def test_expired_blobs_are_those_whose_expiry_lies_before(store: Store) -> None:
    """Exactly at the time is not before."""
    later = replace(BLOB, direct_path="/v/t62/2", sha256=key(2), expires_at_ms=NOW_MS + 2000)
    await store.media.put(BLOB)
    await store.media.put(later)
    assert await store.media.next_expiry_ms(0) == await store.media.next_expiry_ms(NOW_MS + 1000) == NOW_MS + 1000
    assert await store.media.next_expiry_ms(NOW_MS + 1001) == later.expires_at_ms
    assert await store.media.next_expiry_ms(later.expires_at_ms + 1) is None
    assert await store.media.list_expired((0, ""), NOW_MS + 1000, 10) == []
    assert await store.media.list_expired((0, ""), NOW_MS + 2000, 10) == [BLOB]
    assert await store.media.list_expired((NOW_MS + 1500, ""), NOW_MS + 2000, 10) == []

    twin = replace(BLOB, direct_path=BLOB.direct_path + "2", owner_id=BLOB.owner_id + 1)
    await store.media.put(twin)
    for after, found in (((0, ""), BLOB), ((BLOB.expires_at_ms, BLOB.direct_path), twin)):
        assert await store.media.list_expired(after, NOW_MS + 2000, 1) == [found]

    assert await store.media.delete_expired(NOW_MS + 1000, 1_000) == 0
    assert await store.media.get_own(BLOB.owner_id, BLOB.sha256) is not None
    assert await store.media.delete_expired(NOW_MS + 2000, 1_000) == 2
    assert await store.media.get_own(BLOB.owner_id, BLOB.sha256) is None


async def test_the_first_candidate_becomes_the_secret(store: Store) -> None:
    """Ten at once agree on one, and it is the same afterwards."""
    assert await store.secrets.get("root") is None
    candidates = [key(n) for n in range(10)]
    agreed = set(await asyncio.gather(*(store.secrets.get_or_put("root", candidate) for candidate in candidates)))
    assert len(agreed) == 1
    assert {await store.secrets.get("root")} == agreed
    assert await store.secrets.get_or_put("other", key(77)) == key(77)


async def test_rows_are_counted_by_table(store: Store, world: World) -> None:
    """Every table is there, also an empty one."""
    await world.third_party_user(1)
    rows = await store.count_rows()
    assert (rows["partner"], rows["account"], rows["published_keys"], rows["mailbox"]) == (2, 1, 1, 0)


@pytest.mark.requirement("SIM-03", "ENL-12")
async def test_no_start_has_the_number_of_another(reopen: Callable[[], Awaitable[Store]], store: Store) -> None:
    """At once or after a restart."""
    assert sorted(await asyncio.gather(*(store.past.take_start_number() for _ in range(5)))) == [1, 2, 3, 4, 5]
    assert await (await reopen()).past.take_start_number() == 6


@pytest.mark.requirement("MSG-14")
async def test_the_time_that_was_shown_is_remembered(reopen: Callable[[], Awaitable[Store]], store: Store) -> None:
    """The last one, and how far ahead of the machine's clock it was; over a restart too."""
    assert (await store.past.get_time_floor_ms(), await store.past.get_time_ahead_ms()) == (0, 0)
    await store.past.note_time(NOW_MS + 9, 70)
    await store.past.note_time(NOW_MS + 5, 60)
    for is_reopened in (False, True):
        past = (await reopen()).past if is_reopened else store.past
        assert (await past.get_time_floor_ms(), await past.get_time_ahead_ms()) == (NOW_MS + 5, 60)


async def test_everything_is_there_after_reopening(
    reopen: Callable[[], Awaitable[Store]], store: Store, world: World
) -> None:
    """Also what was still on its way when close was called."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    calls = [asyncio.ensure_future(store.mailbox.put([world.message(user, account, f"{n}")])) for n in range(400)]
    await asyncio.sleep(0)
    before = await store.count_rows()
    reopened = await reopen()
    await asyncio.gather(*calls)
    assert len(await reopened.mailbox.list_deliveries(account.account_id, 0, 1000, 0)) == 400
    after = await reopened.count_rows()
    assert {table: after[table] for table in ("account", "partner", "published_keys")} == {
        table: before[table] for table in ("account", "partner", "published_keys")
    }


async def test_a_closed_store_refuses(reopen: Callable[[], Awaitable[Store]], store: Store) -> None:
    """With an exception, not with a call that never returns."""
    await reopen()
    with pytest.raises(ValueError, match="closed"):
        await store.partners.list_all()
    with pytest.raises(ValueError, match="closed"):
        await store.partners.put_jwks(100, "", NOW_MS)


async def test_closing_twice_is_as_good_as_once(store: Store) -> None:
    """The second call returns."""
    await store.close()
    await store.close()


@pytest.mark.requirement("MED-07")
async def test_all_blobs_are_listed_page_by_page(store: Store, world: World) -> None:
    """By their owner and their hash, after those that were listed before."""
    listed = [(2, bytes([5]) * 32), (1, bytes([9]) * 32), (2, bytes([1]) * 32), (1, bytes([3]) * 32)]
    for number, (owner_id, sha256) in enumerate(listed):
        await store.media.put(replace(BLOB, direct_path=f"/v/t{number}", owner_id=owner_id, sha256=sha256))
    ordered = sorted(listed)
    assert await store.media.list_keys((-1, b""), 10) == ordered
    assert await store.media.list_keys((-1, b""), 3) == ordered[:3]
    for at, last in enumerate(ordered, 1):
        assert await store.media.list_keys(last, 10) == ordered[at:]
