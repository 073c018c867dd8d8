"""How the PostgreSQL engine connects, what it takes for a fault of the server, and what it leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import STORAGE, Troubles
from interop_server.storage import StoreAddress, WrongStore
from interop_server.storage.postgres import database
from interop_server.storage.postgres.faults import Faults, NotWritable, is_loss, is_of_server, is_to_try_again
from interop_server.storage.postgres.faults import sentence_of as said_of
from interop_server.storage.postgres.mailbox import put_items
from interop_server.storage.postgres.session import Session, connect
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import World
from tests.postgres import address_in, ask, delete_in

SETTINGS = {
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "30s",
    "client_min_messages": "warning",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[StoreAddress]:
    yield await address_in(tmp_path)
    await delete_in(tmp_path)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[asyncpg.Connection, dict[str, Any]]]:
    """The connections that are made from now on, and how."""
    found: list[tuple[asyncpg.Connection, dict[str, Any]]] = []
    real = asyncpg.connect

    async def noted(url: str, **how: Any) -> asyncpg.Connection:
        found.append((await real(url, **how), how))
        return found[-1][0]

    monkeypatch.setattr(asyncpg, "connect", noted)
    return found


@pytest.mark.requirement("SIM-03")
async def test_what_every_connection_is_asked_for(
    address: StoreAddress, made: list[tuple[asyncpg.Connection, dict[str, Any]]]
) -> None:
    """Whatever the server's defaults are: that commits are durable, that silence ends, and that plans use an index."""
    store = await PostgresStore.open(address)
    await store.secrets.get("a")
    names = [how.pop("server_settings") for _, how in made]
    assert [each.pop("application_name") for each in names] == ["interopsim", "interopsim reads"]
    assert names == [SETTINGS, SETTINGS]
    times = {"timeout": 5.0, "command_timeout": 20.0}
    assert [how for _, how in made] == [times | {"statement_cache_size": 512, "max_cached_statement_lifetime": 0}] * 2
    [(timeout,)] = await store.engine.write(lambda db: db.rows("SHOW lock_timeout"))
    assert timeout == "0"
    await store.close()
    assert all(connection.is_closed() for connection, _ in made)


STATES = {
    "08006": "loss", "25006": "server", "25P03": "loss", "28P01": "server", "3D000": "server", "53300": "server",
    "55P03": "server", "57014": "server", "57P01": "loss", "58030": "loss", "F0000": "server", "XX000": "loss",
    "40001": "again", "40P01": "again", "23505": "own", "22003": "own", "25P02": "own", "40002": "own", "42601": "own",
    "55006": "own",
}  # fmt: skip
"""By SQLSTATE: whose fault it is, and what may be done about it."""


def of_state(state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("it says so.")
    error.sqlstate = state
    return error


class _Encoding(asyncpg.InterfaceError, ValueError):
    """What asyncpg raises for a value that no column holds."""


@pytest.mark.requirement("SIM-03")
def test_whose_fault_an_error_is() -> None:
    """That of the server, of another transaction, or of this program."""
    errors: list[tuple[BaseException, str]] = [(of_state(state), whose) for state, whose in STATES.items()]
    errors += [(error, "loss") for error in (OSError(), TimeoutError(), asyncpg.InterfaceError("closed"))]
    errors += [(asyncpg.InternalClientError("lost"), "loss"), (_Encoding("too large"), "own"), (KeyError(), "own")]
    for error, whose in errors:
        found = (is_of_server(error), is_loss(error), is_to_try_again(error))
        assert found == (whose != "own", whose == "loss", whose == "again"), error


def test_what_an_error_says() -> None:
    """On one line, without an end, and not without bound."""
    assert said_of(TimeoutError("long")) == "it does not answer in time"
    assert said_of(OSError("a  b\n\tc..")) == "a b c"
    assert said_of(OSError()) == "OSError"
    assert said_of(OSError("x" * 400)) == "x" * 300


@pytest.mark.requirement("SIM-03")
def test_what_a_caller_gets_and_the_operator_is_told() -> None:
    """Once per trouble, and once of its end; what is no fault of the server troubles nobody."""
    said, troubles = list[tuple[str, str]](), Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    faults = Faults("the place", troubles)
    own = KeyError("mine")
    assert faults.meet(own) is own
    gone = faults.meet(asyncpg.ForeignKeyViolationError("no such row"))
    assert isinstance(gone, Refusal) and (gone.reason, gone.cause) == (
        Reason.SESSION_DEAD,
        "the account has just ended",
    )
    met = faults.meet(of_state("40001"))
    assert isinstance(met, Refusal) and (met.reason, met.cause) == (
        Reason.STORAGE_UNAVAILABLE,
        "the database cannot be used: it says so",
    )
    faults.end()
    assert (faults.is_failing, said) == (False, [])
    for error in (of_state("53300"), NotWritable("it says so")):
        met = faults.meet(error)
        assert isinstance(met, Refusal) and met.reason is Reason.STORAGE_UNAVAILABLE and met.__cause__ is error
        assert faults.is_failing is True
    assert said == [(STORAGE, "the place cannot be used (it says so): what needs it is refused.")]
    faults.end()
    faults.end()
    assert faults.is_failing is False
    assert said[1:] == [(STORAGE, "")]


class _OtherServer:
    """Stands for a server of another release."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def fetch(self, _sql: str) -> list[tuple[int, str, str]]:
        return [(self._number, "LATIN1", "public")]


async def test_the_oldest_server() -> None:
    """PostgreSQL 16.0; what else is wrong is told of one that is new enough."""
    for number, said in ((159_999, "older than 16"), (160_000, "LATIN1")):
        with pytest.raises(WrongStore, match=said):
            await database.prepare_database(_OtherServer(number), "it")  # type: ignore[arg-type]


async def test_who_opens_waits_for_whoever_looks_at_the_tables(address: StoreAddress) -> None:
    """Nothing is made meanwhile; and nobody waits for one that has opened."""
    looking = await connect(address.url, "another process")
    async with database.as_it_is(looking):
        opening = asyncio.create_task(PostgresStore.open(address, node="a"))
        waits = "SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
        while not await looking.fetch(waits, looking.get_server_pid()):
            assert not opening.done()
        assert await looking.fetch("SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace") == []
    store = await opening
    async with database.as_it_is(looking):
        assert list(await store.count_rows()) == sorted(await store.count_rows())
    await looking.close()
    await store.close()


async def test_who_is_refused_leaves_no_connection(
    address: StoreAddress, made: list[tuple[asyncpg.Connection, dict[str, Any]]]
) -> None:
    """Whether another simulator is there, or the database is none of ours."""
    store = await PostgresStore.open(address)
    made.clear()
    with pytest.raises(WrongStore, match="is in use by another simulator"):
        await PostgresStore.open(address)
    await store.close()
    await ask(address.url, "UPDATE schema_version SET version = 99")
    with pytest.raises(WrongStore, match="schema version 99"):
        await PostgresStore.open(address)
    assert [connection.is_closed() for connection, how in made if "server_settings" in how] == [True, True]


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize("step", ["take_place", "sit_down"])
async def test_who_cannot_come_back_leaves_no_connection(
    address: StoreAddress,
    made: list[tuple[asyncpg.Connection, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """And is told what is wrong; it comes back when that is over."""
    said, troubles = list[tuple[str, str]](), Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    store = await PostgresStore.open(address, None, troubles)
    made[0][0].terminate()
    with monkeypatch.context() as patched:

        async def refuse(*_: object, **__: object) -> None:
            raise WrongStore("taken") if step == "take_place" else asyncpg.TooManyConnectionsError("full")

        patched.setattr(f"interop_server.storage.postgres.store.{step}", refuse)
        with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE"):
            await store.secrets.get_or_put("a", b"1")
        [(_, sentence)] = said
        assert ("another simulator has taken it" if step == "take_place" else "full") in sentence
        assert [connection.is_closed() for connection, _ in made] == [True, True]
    await store.check()
    assert said[1:] == [(STORAGE, "")]
    assert made[-1][1]["server_settings"]["application_name"] == "interopsim"
    await store.close()


@pytest.mark.requirement("SIM-03")
async def test_a_look_writes_and_leaves_nothing(address: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether writing works is not known from reading; nobody finds what was written for that."""
    said, troubles = list[tuple[str, str]](), Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    store = await PostgresStore.open(address, None, troubles)

    async def set_to(mode: str, db: Session) -> None:
        await db.connection.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION READ {mode}")

    await store.check()
    await store.engine.write(lambda db: set_to("ONLY", db))
    with pytest.raises(Refusal):
        await store.secrets.get_or_put("a", b"1")
    for call in (store.secrets.get_or_put("a", b"1"), store.mailbox.delete(1, [1])):
        with pytest.raises(Refusal):
            await call
    await store.check()
    assert len(said) == 1
    await store.engine.probe(lambda db: set_to("WRITE", db))
    with monkeypatch.context() as patched:
        patched.setattr(store.faults, "_is_failing", True)
        for _ in range(2):
            await store.check()
            patched.setattr(store.faults, "_is_failing", True)
    assert (await store.count_rows())["secret"] == 0
    await store.close()


async def test_figures_that_cannot_be_had(address: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """None are given while the trouble is told beside them; without a trouble the reason is given."""
    store = await PostgresStore.open(address)

    async def refuse(*_: object) -> None:
        raise Refusal(Reason.STORAGE_UNAVAILABLE)

    monkeypatch.setattr(store.engine, "read", refuse)
    with pytest.raises(Refusal):
        await store.count_rows()
    monkeypatch.setattr(store.faults, "_is_failing", True)
    assert await store.count_rows() == {}
    monkeypatch.setattr(store.faults, "_is_failing", False)
    await store.close()


async def test_what_a_session_counts(address: StoreAddress) -> None:
    """Every statement that wrote, however it is asked for; one that wrote no row is none."""
    store = await PostgresStore.open(address)
    counts: list[int] = []

    async def write(db: Session) -> None:
        counts.append(db.changes)
        assert await db.change("INSERT INTO secret VALUES ('a', ''), ('b', '')") == 2
        counts.append(db.changes)
        assert len(await db.changed("UPDATE secret SET value = 'x' RETURNING name")) == 2
        counts.append(db.changes)
        assert await db.change("DELETE FROM secret WHERE name = 'c'") == 0
        assert await db.change("SET LOCAL work_mem = '4MB'") == 0
        assert await db.changed("DELETE FROM secret WHERE name = 'c' RETURNING name") == []
        assert await db.rows("SELECT 1") and await db.row("SELECT 1")
        assert db.changes == counts[-1]

    await store.engine.write(write)
    assert counts[0] < counts[1] < counts[2]
    world = World(store)
    user, peer = await world.whatsapp_user("491"), await world.whatsapp_user("492")
    for at in range(3):
        items = [world.notification(user), world.notification(peer)][:at]
        before: list[int] = []

        async def put(db: Session, items: list[Any] = items, before: list[int] = before) -> None:
            before.append(db.changes)
            await put_items(db, items)
            before.append(db.changes)

        await store.engine.write(put)
        assert (before[1] > before[0]) == bool(items)
    await store.close()
