"""Two processes that write to one database at once: what holds for one of them holds for both together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from interop_server.core.messages import Delivery
from interop_server.core.store import Store
from interop_server.storage import StoreAddress
from interop_server.storage.postgres.prekeys import _TAKE
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import BATS, NOW_MS, World, one_time_prekeys, partner
from tests.postgres import address_in, delete_in

HOUR_MS = 3_600_000
PREKEYS, TAKERS = 60, 4


class Clock:
    """What one process takes for the time."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[StoreAddress]:
    yield await address_in(tmp_path)
    await delete_in(tmp_path)


@pytest.fixture
def clocks() -> tuple[Clock, Clock]:
    """An hour apart."""
    return Clock(NOW_MS + HOUR_MS), Clock(NOW_MS)


@pytest.fixture
async def stores(address: StoreAddress, clocks: tuple[Clock, Clock]) -> AsyncIterator[list[Store]]:
    opened: list[Store] = [
        await PostgresStore.open(address, clock, node=f"node-{number}") for number, clock in enumerate(clocks)
    ]
    await opened[0].partners.put(partner(BATS))
    yield opened
    for store in opened:
        await store.close()


@pytest.mark.requirement("KEY-05")
async def test_no_prekey_is_taken_twice_and_none_is_left_over(stores: list[Store]) -> None:
    """Two processes with a few takers each take all of them; then bundles come without."""
    ada = await World(stores[0]).third_party_user(1)
    await stores[0].prekeys.add_one_time(ada.account_id, one_time_prekeys(1, PREKEYS))
    taken: list[int] = []

    async def take(store: Store) -> None:
        while True:
            bundle = (await store.prekeys.take_bundles([ada.account_id]))[ada.account_id]
            if bundle.one_time_prekey is None:
                return
            taken.append(bundle.one_time_prekey.key_id)

    await asyncio.gather(*(take(store) for store in stores for _ in range(TAKERS)))
    # A taker whose last look found the last key in another's hands has stopped: none is lost for that.
    assert sorted(taken) == list(range(1, PREKEYS + 1))
    assert (await stores[1].prekeys.count(ada.account_id)).one_time == 0


@pytest.mark.requirement("KEY-05")
async def test_a_taker_waits_for_no_other(stores: list[Store]) -> None:
    """One has taken and not committed: another gets the next key meanwhile, and the first one comes back undone."""
    ada = await World(stores[0]).third_party_user(1)
    await stores[0].prekeys.add_one_time(ada.account_id, one_time_prekeys(1, 3))
    assert isinstance(stores[0], PostgresStore)
    has_taken, may_end = asyncio.Event(), asyncio.Event()

    class Undone(Exception):
        pass

    async def take_and_wait(db: Session) -> None:
        rows = await db.changed(_TAKE, [ada.account_id])
        assert rows[0][-2] == 1
        has_taken.set()
        await may_end.wait()
        raise Undone

    slow = asyncio.create_task(stores[0].engine.write(take_and_wait))
    await has_taken.wait()
    bundle = (await stores[1].prekeys.take_bundles([ada.account_id]))[ada.account_id]
    assert bundle.one_time_prekey is not None and bundle.one_time_prekey.key_id == 2
    may_end.set()
    with pytest.raises(Undone):
        await slow
    assert [key.key_id for key in await stores[1].prekeys.list_one_time(ada.account_id)] == [1, 3]


@pytest.mark.requirement("ABU-01")
async def test_blocks_at_both_keep_to_the_most(stores: list[Store]) -> None:
    """Each process alone would find room for all of its own: the account's row is locked while it is counted."""
    account_id = (await World(stores[0]).third_party_user(1)).account_id
    blocking = [stores[number % 2].blocklist.put(account_id, f"100-{number}@interop", 5) for number in range(12)]
    assert sum(await asyncio.gather(*blocking)) == 5
    assert len(await stores[0].blocklist.list_jids(account_id)) == 5


@pytest.mark.requirement("MSG-14")
async def test_deliveries_become_visible_in_the_order_of_their_ids(stores: list[Store]) -> None:
    """Whoever reads on from the newest it has seen misses none, and sees no time go back: clocks are an hour apart."""
    worlds = [World(store) for store in stores]
    user = await worlds[0].whatsapp_user("491")
    peers = [await worlds[0].third_party_user(number) for number in range(3)]
    rounds = 25
    seen: dict[int, list[Delivery]] = {peer.account_id: [] for peer in peers}

    async def write(world: World, clock_ms: int, name: str) -> None:
        for n in range(rounds):
            # In turns from either end: locks that were not taken in one order would meet.
            to = peers if n % 2 else peers[::-1]
            await world.store.mailbox.put(
                [world.message(user, peer, f"{name}-{n}-{peer.jid}", clock_ms) for peer in to]
            )

    async def read(account_id: int) -> None:
        found = seen[account_id]
        while len(found) < 2 * rounds:
            after = found[-1].delivery_id if found else 0
            found += await stores[0].mailbox.list_deliveries(account_id, after, 100, 0)

    writers = (write(worlds[0], NOW_MS + HOUR_MS, "ahead"), write(worlds[1], NOW_MS, "behind"))
    await asyncio.gather(*writers, *(read(peer.account_id) for peer in peers))
    for peer in peers:
        found = seen[peer.account_id]
        assert {each.item.stanza_id for each in found} == {
            f"{name}-{n}-{peer.jid}" for name in ("ahead", "behind") for n in range(rounds)
        }
        times = [each.item.timestamp_ms for each in found]
        assert times == sorted(times)


@pytest.mark.requirement("MSG-04")
async def test_a_message_that_comes_to_both_is_stored_once(stores: list[Store]) -> None:
    """A client whose connection broke sends again at the other process, at once."""
    worlds = [World(store) for store in stores]
    user, ada = await worlds[0].whatsapp_user("491"), await worlds[0].third_party_user(1)
    for n in range(20):
        answers = await asyncio.gather(
            *(world.store.mailbox.put([world.message(user, ada, f"m{n}", NOW_MS)]) for world in worlds)
        )
        assert sorted(stored.duplicate for [stored] in answers) == [False, True]
        assert len({stored.timestamp_ms for [stored] in answers}) == 1
    assert [item.stanza_id for item in await worlds[0].waiting(ada)] == [f"m{n}" for n in range(20)]


@pytest.mark.requirement("ENL-13")
async def test_one_account_for_each_identifier(stores: list[Store]) -> None:
    """Enlisted at both at once, with a JID from each: one is new, the other renews it."""
    for number in range(10):
        enlistments = [World(store).enlistment(number * 10 + n) for n, store in enumerate(stores)]
        same = [replace(each, external_id=f"u{number}") for each in enlistments]
        both = await asyncio.gather(*(store.accounts.enlist(each) for store, each in zip(stores, same, strict=True)))
        assert both[0].account.account_id == both[1].account.account_id


async def test_transactions_in_each_others_way_are_both_done(stores: list[Store]) -> None:
    """Each waits for what the other has locked: one is ended by the server, and runs again."""
    one, two = stores
    assert isinstance(one, PostgresStore) and isinstance(two, PostgresStore)
    for name in ("a", "b"):
        await one.secrets.get_or_put(name, b"")
    meeting = asyncio.Barrier(2)
    tries: list[str] = []

    def change(first: str, second: str) -> Callable[[Session], Awaitable[str]]:
        async def operation(db: Session) -> str:
            tries.append(first)
            sql = "UPDATE secret SET value = value || $2 WHERE name = $1"
            await db.change(sql, first, first.encode())
            if len(tries) <= 2:
                await meeting.wait()
            await db.change(sql, second, first.encode())
            return first

        return operation

    results = await asyncio.gather(
        one.engine.write(change("a", "b")),
        two.engine.write(change("b", "a")),
    )
    assert results == ["a", "b"] and len(tries) >= 3
    assert sorted(await one.secrets.get("a") or b"") == sorted(await one.secrets.get("b") or b"") == sorted(b"ab")
