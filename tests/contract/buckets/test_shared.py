"""Buckets that several processes share: many takers at once, clocks that differ, a database that goes."""

import asyncio
from collections import Counter

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, HOUR_MS
from interop_server.core.ratelimit import Take, Terms
from interop_server.storage import StoreAddress
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.buckets.conftest import NOW_MS, Counted
from tests.manual_clock import ManualClock
from tests.postgres import own_server, url_of

pytestmark = pytest.mark.requirement("KEY-14", "OPT-09")

MINUTE_MS, WEEK_MS = 60_000, 7 * DAY_MS
SLOWER = Terms.of("slower", 100, 0.0001, "OPT-09")
TERMS = Terms.of("resolve", 100, 0.01, "OPT-09")


async def test_of_a_thousand_at_once_the_burst_is_let_through(shared: Counted) -> None:
    """At two processes, each of two buckets in either order, so that locks could meet; exact to the last one."""

    async def take(number: int) -> list[tuple[str, int]]:
        keys = ("ada", "bob") if number % 4 < 2 else ("bob", "ada")
        return list(zip(keys, await shared.take(TERMS, *map(Take, keys), at=number), strict=True))

    answers = await asyncio.gather(*(take(number) for number in range(1_000)))
    let_through = Counter(key for answer in answers for key, wait_ms in answer if not wait_ms)
    assert let_through == {"ada": 100, "bob": 100}


async def test_clocks_that_differ_give_nothing_away(shared: Counted) -> None:
    """What one has taken is not there at the earlier time of another either, which is told to wait for both."""
    ahead, behind = ManualClock(NOW_MS + MINUTE_MS), ManualClock(NOW_MS)
    for place, clock in zip(shared.places, (ahead, behind), strict=True):
        place._now_ms = clock.now_ms
    terms = Terms.of("slow", 3, 2.0, "OPT-09")
    assert await shared.take(terms, Take("ada", 3)) == [0]
    for _ in range(3):
        assert await shared.take(terms, Take("ada"), at=1) == [MINUTE_MS + 501]
    assert await shared.take(terms, Take("ada")) == [501]
    behind.advance(MINUTE_MS + 501)
    assert await shared.take(terms, Take("ada"), at=1) == [0]


async def test_full_buckets_are_forgotten(shared: Counted) -> None:
    """By a sweep, a week after they were full, and no other; those of an hour go together."""
    [sweep] = shared.places[0].sweeps()
    assert await sweep.next_due_ms() is None
    for number in range(5):
        await shared.take(TERMS, Take(("passer-by", number)), at=number)
    await shared.take(SLOWER, Take("ada", 100))
    full_ms = NOW_MS + 100_000
    due_ms = await sweep.next_due_ms()
    assert due_ms is not None and full_ms + WEEK_MS <= due_ms < full_ms + WEEK_MS + HOUR_MS
    assert (await sweep.take_away(due_ms - 1)).taken == 0
    assert (await sweep.take_away(due_ms)).taken == 5
    shared.clock.advance(due_ms - NOW_MS)
    assert await shared.take(SLOWER, Take("ada", 100), at=1) != [0]
    assert await shared.take(TERMS, Take(("passer-by", 1), 100), at=1) == [0]
    assert "bucket" not in await shared.stores[0].count_rows()


async def test_without_the_database_a_call_fails_as_others_do() -> None:
    """After its crash every bucket is full, as after that of a process that is alone."""
    with own_server() as (server, folder):
        clock = ManualClock(NOW_MS)
        store = await PostgresStore.open(StoreAddress.parse(url_of(folder)), clock.now_ms, node="only")
        buckets = store.buckets
        assert buckets is not None
        assert await buckets.take(TERMS, [Take("ada", 60)]) == [0]
        await asyncio.to_thread(server.kill)
        with pytest.raises(Refusal) as refused:
            while True:  # what it was doing is answered for a moment
                await buckets.take(TERMS, [Take("ada", 60)])
        assert refused.value.reason is Reason.STORAGE_UNAVAILABLE and refused.value.retry_after_ms
        await asyncio.to_thread(server.start)
        await store.check()
        assert await buckets.take(TERMS, [Take("ada", 60)]) == [0]
        assert await buckets.take(TERMS, [Take("ada", 60)]) != [0]
        await store.close()


async def test_a_connection_that_breaks_costs_nothing(shared: Counted) -> None:
    """What was under way on it left nothing, and runs on another: nobody is refused, nothing is counted twice."""
    assert await shared.take(TERMS, Take("ada", 10)) == [0]
    for place in shared.places:
        [(pid,)] = await place._engine.write(lambda db: db.rows("SELECT pg_backend_pid()"))
        await shared.stores[0].engine.write(lambda db, pid=pid: db.rows(f"SELECT pg_terminate_backend({pid}, 10000)"))
        assert await place.take(TERMS, [Take("ada", 10)]) == [0]
    assert await shared.take(TERMS, Take("ada", 71)) != [0]
    assert await shared.take(TERMS, Take("ada", 70)) == [0]
