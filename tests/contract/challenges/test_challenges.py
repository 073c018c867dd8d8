"""Where challenges wait for an answer: in the memory of one process, or in the database of several."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop_server.core.abuse.challenges import OwnChallenges
from interop_server.core.abuse.store import PendingChallenges
from interop_server.core.model import Challenge
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import BATS, World, partner
from tests.manual_clock import ManualClock
from tests.postgres import address_in, delete_in
from tests.stores import two_processes

pytestmark = pytest.mark.requirement("ABU-06")

NOW_MS = 1_700_000_000_000
END_MS = NOW_MS + 600_000


@dataclass
class Waiting:
    """The challenges of a world, as each of its processes has them, and two people."""

    places: Sequence[PendingChallenges]
    stores: Sequence[PostgresStore]
    ada: int = 1
    eve: int = 2

    @property
    def here(self) -> PendingChallenges:
        return self.places[0]

    @property
    def there(self) -> PendingChallenges:
        return self.places[-1]


@asynccontextmanager
async def shared_by_two(folder: Path) -> AsyncIterator[Waiting]:
    """Those of two processes on one database."""
    async with two_processes(folder, ManualClock(NOW_MS).now_ms) as stores:
        world = World(stores[0])
        await stores[0].partners.put(partner(BATS))
        people = [await world.third_party_user(number) for number in (1, 2)]
        places = [store.challenges for store in stores if store.challenges is not None]
        yield Waiting(places, stores, *(person.account_id for person in people))


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Waiting]:
    """Those that several processes share."""
    async with shared_by_two(tmp_path) as waiting:
        yield waiting


@pytest.fixture(params=["memory", "postgres"])
async def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Waiting]:
    """Those of each kind."""
    if request.param == "postgres":
        async with shared_by_two(tmp_path) as waiting:
            yield waiting
    else:
        yield Waiting([OwnChallenges()], [])


def challenge(token: str, end_ms: int = END_MS) -> Challenge:
    return Challenge(token, f"prompt of {token}", f"code of {token}", end_ms)


async def test_a_challenge_waits_and_is_taken_once(waiting: Waiting) -> None:
    """Whole, wherever it is asked for; of two who take it at once one gets it."""
    await waiting.here.put(waiting.ada, challenge("a"), NOW_MS)
    for place in waiting.places:
        assert await place.get(waiting.ada, NOW_MS) == challenge("a")
        assert await place.get(waiting.eve, NOW_MS) is None
    taken = await asyncio.gather(*(place.take(waiting.ada, "a", NOW_MS) for place in (*waiting.places, waiting.here)))
    assert [each for each in taken if each is not None] == [challenge("a")]
    for place in waiting.places:
        assert await place.get(waiting.ada, NOW_MS) is None


async def test_another_token_or_another_person_takes_nothing(waiting: Waiting) -> None:
    """And ends nothing."""
    await waiting.here.put(waiting.ada, challenge("a"), NOW_MS)
    assert await waiting.there.take(waiting.ada, "b", NOW_MS) is None
    assert await waiting.there.take(waiting.eve, "a", NOW_MS) is None
    assert await waiting.there.take(waiting.ada, "a", NOW_MS) == challenge("a")


async def test_a_challenge_replaces_the_one_before(waiting: Waiting) -> None:
    """Of the same person, in all it has, wherever it was put."""
    await waiting.here.put(waiting.ada, challenge("a"), NOW_MS)
    await waiting.here.put(waiting.eve, challenge("e"), NOW_MS)
    await waiting.there.put(waiting.ada, challenge("b", END_MS + 1), NOW_MS + 1)
    assert await waiting.here.take(waiting.ada, "a", NOW_MS) is None
    assert await waiting.here.get(waiting.ada, NOW_MS) == challenge("b", END_MS + 1)
    assert await waiting.here.take(waiting.eve, "e", NOW_MS) == challenge("e")


async def test_a_challenge_ends_to_the_millisecond(waiting: Waiting) -> None:
    """Neither seen nor taken from then on."""
    await waiting.here.put(waiting.ada, challenge("a"), NOW_MS)
    assert await waiting.there.get(waiting.ada, END_MS - 1) == challenge("a")
    assert await waiting.there.get(waiting.ada, END_MS) is None
    assert await waiting.there.take(waiting.ada, "a", END_MS) is None
    assert await waiting.there.take(waiting.ada, "a", END_MS - 1) == challenge("a")


async def test_what_has_ended_is_forgotten_when_another_begins(waiting: Waiting) -> None:
    """And only that."""
    await waiting.here.put(waiting.ada, challenge("a"), NOW_MS)
    await waiting.there.put(waiting.eve, challenge("e", END_MS + 1), END_MS - 1)
    assert await waiting.here.get(waiting.ada, NOW_MS) == challenge("a")
    await waiting.there.put(waiting.eve, challenge("f", END_MS + 1), END_MS)
    assert await waiting.here.get(waiting.ada, NOW_MS) is None
    assert await waiting.here.get(waiting.eve, NOW_MS) == challenge("f", END_MS + 1)


async def test_the_challenge_of_an_account_that_has_gone_goes_with_it(shared: Waiting) -> None:
    """And none waits for one that is not there, as after a race with its deletion."""
    await shared.there.put(shared.ada, challenge("a"), NOW_MS)
    await shared.here.put(shared.eve, challenge("e"), NOW_MS)
    await shared.stores[0].accounts.delete(shared.ada)
    assert await shared.there.get(shared.ada, NOW_MS) is None
    await shared.there.put(shared.ada, challenge("b"), NOW_MS)
    assert await shared.there.get(shared.ada, NOW_MS) is None
    assert await shared.here.get(shared.eve, NOW_MS) == challenge("e")


async def test_a_process_that_is_alone_keeps_its_challenges_itself(tmp_path: Path) -> None:
    """In memory, as with a file: nobody else could answer them."""
    store = await PostgresStore.open(await address_in(tmp_path), ManualClock(NOW_MS).now_ms)
    assert store.challenges is None
    await store.close()
    await delete_in(tmp_path)
