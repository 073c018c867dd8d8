"""A server that goes away and comes back: what callers get meanwhile, what the operator is told, and what is left."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.store import Store
from interop_server.core.troubles import STORAGE, Troubles
from interop_server.storage import StoreAddress
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import BATS, World, partner
from tests.postgres import Server, address_in, ask, delete_in, own_server, url_of

Said = list[tuple[str, str]]


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Path]]:
    """One of the test's own, that can be killed."""
    with own_server() as (server, folder):
        yield server, folder


def watched(said: Said) -> Troubles:
    troubles = Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    return troubles


async def assert_unavailable(store: Store) -> None:
    for call in (store.secrets.get_or_put("new", b""), store.accounts.get("x")):
        with pytest.raises(Refusal) as raised:
            await call
        assert raised.value.reason is Reason.STORAGE_UNAVAILABLE
        assert raised.value.retry_after_ms
        assert raised.value.cause and not raised.value.detail  # the operator's, not the caller's


@pytest.mark.requirement("SIM-03")
async def test_a_server_that_is_killed_and_comes_back(server: tuple[Server, Path], said: Said) -> None:
    """All that was told is there. Meanwhile all is refused at once, the operator is told once, and told of the end."""
    process, folder = server
    store = await PostgresStore.open(StoreAddress.parse(url_of(folder)), None, watched(said))
    await store.partners.put(partner(BATS))
    world = World(store)
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    told: list[str] = []
    are_many = asyncio.Event()

    async def write(number: int) -> None:
        for n in range(1_000_000):
            await store.mailbox.put([world.message(user, ada, f"{number}-{n}")])
            told.append(f"{number}-{n}")
            if len(told) == 40:
                are_many.set()

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    await are_many.wait()
    await asyncio.to_thread(process.kill)
    refusals = await asyncio.gather(*writers, return_exceptions=True)
    assert {str(refusal) for refusal in refusals} == {"STORAGE_UNAVAILABLE"}
    for _ in range(2):
        await assert_unavailable(store)
        await store.check()
    [(part, sentence)] = said
    assert part == STORAGE and "postgresql:///postgres cannot be used" in sentence and sentence.endswith(".")
    await asyncio.to_thread(process.start)
    await store.check()
    assert said[1:] == [(STORAGE, "")]
    assert await store.secrets.get_or_put("new", b"2") == b"2"
    waiting = {item.stanza_id for item in await world.waiting(ada)}
    assert waiting >= set(told)
    await store.close()


@pytest.mark.requirement("SIM-03")
async def test_a_server_that_only_reads(tmp_path: Path, said: Said) -> None:
    """It reads, and does not write, as a standby does: writes are refused, and reads go on."""
    address = await address_in(tmp_path)
    store = await PostgresStore.open(address, None, watched(said))
    await store.secrets.get_or_put("old", b"1")
    await store.engine.write(_make_read_only)
    with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE"):
        await store.secrets.get_or_put("new", b"2")
    assert await store.secrets.get("old") == b"1"
    assert [part for part, _ in said] == [STORAGE]
    await store.close()
    await delete_in(tmp_path)


async def _make_read_only(db: Session) -> None:
    await db.connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")


@pytest.mark.requirement("SIM-03")
async def test_a_database_that_another_has_taken_meanwhile_is_not_written(tmp_path: Path, said: Said) -> None:
    """A process whose connection broke finds another one in its place: it refuses, and does not write beside it."""
    address = await address_in(tmp_path)
    store = await PostgresStore.open(address, None, watched(said))
    [(pid,)] = await store.engine.write(lambda db: db.rows("SELECT pg_backend_pid()"))
    await ask(address.url, f"SELECT pg_terminate_backend({pid}, 10000)")
    other = await PostgresStore.open(address)
    with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE"):
        await store.secrets.get_or_put("new", b"2")
    [(part, sentence)] = said
    assert part == STORAGE and "another simulator has taken it" in sentence
    assert await other.secrets.get("new") is None
    await other.close()
    await store.check()
    assert said[1:] == [(STORAGE, "")]
    assert await store.secrets.get_or_put("new", b"2") == b"2"
    await store.close()
    await delete_in(tmp_path)
