"""How the PostgreSQL engine groups what waits, how often it tries what, and what is left when it is closed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import STORAGE, Troubles
from interop_server.storage.postgres import engine as engine_module
from interop_server.storage.postgres.engine import Engine, Line
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import NOW_MS
from tests.contract.store.postgres.test_engine import Refused, fail, names, note_statements, put, put_all
from tests.postgres import address_in, ask, delete_in

PID = "SELECT pg_backend_pid()"


@pytest.fixture
def said() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def store(tmp_path: Path, said: list[tuple[str, str]]) -> AsyncIterator[PostgresStore]:
    troubles = Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    store = await PostgresStore.open(await address_in(tmp_path), lambda: NOW_MS, troubles)
    yield store
    await store.close()
    await delete_in(tmp_path)


@pytest.fixture
def engine(store: PostgresStore) -> Engine:
    return store.engine


class Gate:
    """An operation that keeps its connection busy until it may end."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.may_end = asyncio.Event()

    async def __call__(self, db: Session) -> None:
        self.entered.release()
        await self.may_end.wait()


async def behind(engine: Engine, *calls: Awaitable[object]) -> list[object]:
    """Has calls wait until all of them do, and returns their results, or what they raise."""
    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.entered.acquire()
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    gate.may_end.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def pid_of(db: Session) -> int:
    [(pid,)] = await db.rows(PID)
    return int(pid)


async def test_a_group_has_so_many_items(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of batch operations count; the call that reaches the bound is the last of its group, the first as well."""
    monkeypatch.setattr(engine_module, "_MOST_ITEMS", 4)
    told = await note_statements(engine)
    sizes = {"a": 1, "b": 2, "c": 1, "d": 1, "e": 5, "f": 1, "g": 3, "h": 9}
    results = await behind(
        engine, *(engine.write_batch(put_all, [f"{name}{n}" for n in range(size)]) for name, size in sizes.items())
    )
    assert results == [[f"{name}{n}" for n in range(size)] for name, size in sizes.items()]
    groups = "".join(
        "|" if each == "BEGIN" else "." for each in told if each == "BEGIN" or each.startswith("INSERT INTO s")
    )
    assert groups == "||....|......|....|........."


async def test_what_waits_is_one_group_where_it_counts_for_nothing(engine: Engine) -> None:
    """Single calls have no items."""
    told = await note_statements(engine)
    results = await behind(engine, *(engine.write(partial(put, f"{n}")) for n in range(9)))
    assert results == [f"{n}" for n in range(9)]
    assert told.count("BEGIN") == told.count("COMMIT") + sum(each.endswith("; COMMIT") for each in told) == 2


async def test_who_has_gone_is_not_served(engine: Engine) -> None:
    """A call that was cancelled while it waited does not run."""
    gate = Gate()
    first = asyncio.ensure_future(engine.write(gate))
    await gate.entered.acquire()
    waiting = [asyncio.ensure_future(engine.write(partial(put, f"{n}"))) for n in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    gate.may_end.set()
    await first
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await names(engine) == ["0", "2", "3"]


async def test_two_calls_that_were_merged_fail_apart(engine: Engine) -> None:
    """One of two: the other has its result."""

    async def check(db: Session, items: list[int]) -> list[int]:
        if 0 in items:
            raise Refused("none")
        return items

    first, second = await behind(engine, engine.write_batch(check, [1]), engine.write_batch(check, [0]))
    assert (first, str(second)) == ([1], "none")


async def test_a_refusal_before_the_first_write_costs_the_others_nothing(engine: Engine) -> None:
    """They run once. What one wrote before it failed has all of them run again, each for itself."""
    runs = Counter[str]()

    async def count(name: str, db: Session) -> None:
        runs[name] += 1
        await put(f"{name}{runs[name]}", db)

    await behind(engine, engine.write(partial(count, "a")), engine.write(partial(fail, "b")))
    assert runs == {"a": 1}

    async def spoil(db: Session) -> None:
        await put("c", db)
        raise Refused

    await behind(engine, engine.write(partial(count, "a")), engine.write(spoil))
    assert runs == {"a": 3}
    assert await names(engine) == ["a1", "a3"]


@pytest.mark.requirement("SIM-03")
async def test_what_failed_in_a_transaction_that_is_undone_is_asked_again(engine: Engine) -> None:
    """The second time it may succeed: it is that answer which its caller gets."""
    tries = Counter[str]()

    async def fail_first(db: Session) -> str:
        tries["fails"] += 1
        if tries["fails"] == 1:
            raise Refused
        return "done"

    async def lose_first(db: Session) -> str:
        tries["loses"] += 1
        if tries["loses"] == 1:
            raise asyncpg.ConnectionDoesNotExistError
        return "kept"

    assert await behind(engine, engine.write(fail_first), engine.write(lose_first)) == ["done", "kept"]
    assert tries == {"fails": 2, "loses": 2}


@pytest.mark.requirement("SIM-03")
async def test_a_connection_that_is_lost_again_and_again_fails_one_call(engine: Engine) -> None:
    """When each of a group has a transaction of its own."""

    async def spoil(db: Session) -> None:
        await put("c", db)
        raise Refused

    tries = 0

    async def lose_later(db: Session) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            raise asyncpg.ConnectionDoesNotExistError("gone")

    results = await behind(engine, engine.write(lose_later), engine.write(spoil), engine.write(partial(put, "a")))
    assert [type(results[0]), type(results[1]), results[2]] == [Refusal, Refused, "a"]
    assert await names(engine) == ["a"]


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (asyncpg.ConnectionDoesNotExistError("gone"), 4),
        (asyncpg.DeadlockDetectedError("locked"), 4),
        (TimeoutError(), 1),
        (asyncpg.TooManyConnectionsError("full"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_how_often_a_transaction_runs(
    engine: Engine, said: list[tuple[str, str]], error: Exception, tries: int
) -> None:
    """One that was in the way of another, or has lost its connection, a few times; one that takes too long once.

    One that a statement has ended runs once more, by itself: another call could have been the cause.
    """
    pids: list[int] = []

    async def failing(db: Session) -> None:
        pids.append(await pid_of(db))
        raise error

    with pytest.raises(Refusal) as refused:
        await engine.write(failing)
    assert refused.value.reason is Reason.STORAGE_UNAVAILABLE
    assert len(pids) == tries
    is_kept = isinstance(error, (asyncpg.DeadlockDetectedError, asyncpg.TooManyConnectionsError))
    assert len({*pids, await engine._writer.call(pid_of)}) == (1 if is_kept else tries + 1)
    assert [part for part, _ in said] == (
        [] if isinstance(error, asyncpg.DeadlockDetectedError) else [STORAGE, STORAGE]
    )


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (asyncpg.ConnectionDoesNotExistError("gone"), 2),
        (TimeoutError(), 1),
        (asyncpg.TooManyConnectionsError("full"), 1),
        (Refused("mine"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_how_often_a_read_runs(engine: Engine, error: Exception, tries: int) -> None:
    """Once more when its connection was lost; an error of its own is its caller's."""
    pids: list[int] = []

    async def failing(db: Session) -> None:
        pids.append(await pid_of(db))
        raise error

    with pytest.raises(Refused if isinstance(error, Refused) else Refusal):
        await engine.read(failing)
    assert len(pids) == len(set(pids)) == tries
    assert await engine.read(pid_of)


async def test_reads_are_merged_by_their_operation(engine: Engine) -> None:
    """While all connections are busy: what waits for one batch operation is asked once, and nothing else with it."""
    gate, runs = Gate(), list[tuple[str, list[int]]]()
    busy = [asyncio.ensure_future(engine.read(gate)) for _ in range(3)]
    for _ in busy:
        await gate.entered.acquire()

    async def one(db: Session, items: list[int]) -> list[int]:
        runs.append(("one", items))
        return [item * 10 for item in items]

    async def other(db: Session, items: list[int]) -> list[int]:
        runs.append(("other", items))
        return [item * 100 for item in items]

    async def single(db: Session) -> str:
        runs.append(("single", []))
        return "single"

    calls: list[Awaitable[object]] = [
        engine.read_batch(one, [1]), engine.read_batch(other, [2]), engine.read(single), engine.read_batch(one, [3, 4]),
        engine.read(single), engine.read_batch(other, [5]),
    ]  # fmt: skip
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    gate.may_end.set()
    assert await asyncio.gather(*waiting) == [[10], [200], "single", [30, 40], "single", [500]]
    assert sorted(runs) == [("one", [1, 3, 4]), ("other", [2, 5]), ("single", []), ("single", [])]
    await asyncio.gather(*busy)


async def test_what_changes_nothing_is_not_noted(store: PostgresStore) -> None:
    """The time at which it is stands with what is stored, and with that alone."""
    told = await note_statements(store.engine)
    await store.engine.write(lambda db: db.rows("SELECT 1"))
    assert (told[0], told[-1]) == ("BEGIN", "COMMIT")
    told.clear()
    await store.secrets.get_or_put("a", b"1")
    assert "noted_time" in told[-1] and str(NOW_MS) in told[-1] and told[-1].endswith("; COMMIT")


@pytest.mark.requirement("SIM-03")
async def test_while_it_fails_every_write_is_refused_at_once(engine: Engine, said: list[tuple[str, str]]) -> None:
    """None waits for the server, until something was written: what failed, or has gone, does not say that it works."""

    async def failing(db: Session) -> None:
        raise asyncpg.TooManyConnectionsError("full")

    with pytest.raises(Refusal):
        await engine.write(failing)
    for call in (engine.write(partial(put, "a")), engine.write_batch(put_all, ["b"])):
        with pytest.raises(Refusal) as refused:
            await call
        assert refused.value.cause == "the database could not be used a moment ago"
    with pytest.raises(Refused):
        await engine.probe(partial(fail, "c"))  # type: ignore[arg-type]
    assert [sentence for _, sentence in said].count("") == 0
    await engine.probe(pid_of)  # type: ignore[arg-type]
    assert said[-1] == (STORAGE, "")
    assert await engine.write(partial(put, "d")) == "d"


@pytest.mark.requirement("SIM-03")
async def test_a_trouble_ends_when_all_of_a_group_was_written(engine: Engine, said: list[tuple[str, str]]) -> None:
    """Not with nothing, and not with a group in which another call met it: it would be told as begun once more."""

    async def full(db: Session) -> None:
        await put("lost", db)
        raise asyncpg.TooManyConnectionsError("full")

    with pytest.raises(Refusal):
        await engine.write(full)
    gone = asyncio.ensure_future(engine.probe(partial(put, "gone")))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    probes = [asyncio.ensure_future(engine.probe(probe)) for probe in (partial(put, "a"), full)]  # type: ignore[list-item]
    await asyncio.gather(*probes, return_exceptions=True)
    assert (STORAGE, "") not in said
    await engine.probe(partial(put, "b"))  # type: ignore[arg-type]
    assert said[-1] == (STORAGE, "")
    assert await names(engine) == ["a", "b"]


async def test_tasks_have_names(engine: Engine) -> None:
    """By which whoever looks at a process that hangs tells them apart."""
    found = Counter(task.get_name() for task in asyncio.all_tasks())
    assert (found["database writes"], found["database reads"]) == (1, 3)


async def test_what_was_called_before_the_end_is_done_at_the_end(tmp_path: Path) -> None:
    """Reads as well as writes; then every connection has ended, and nothing more is taken."""
    address = await address_in(tmp_path)
    store = await PostgresStore.open(address)
    engine, gate = store.engine, Gate()
    pids = {await engine.write(pid_of)}
    under_way = [asyncio.ensure_future(engine.read(gate)) for _ in range(3)]
    for _ in under_way:
        await gate.entered.acquire()
    pids |= {line._session.connection.get_server_pid() for line in engine._readers._lines if line._session is not None}
    assert len(pids) == 4
    late = [asyncio.ensure_future(engine.read(pid_of)) for _ in range(2)]
    late += [asyncio.ensure_future(engine.write(pid_of))]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.may_end.set()
    await closing
    assert all(each.done() for each in (*under_way, *late))
    assert {await each for each in late} <= pids
    for call in (engine.read(pid_of), engine.write(pid_of), engine.write_batch(put_all, ["a"])):
        with pytest.raises(ValueError, match="the store is closed"):
            await call
    await store.close()
    wanted = ", ".join(map(str, pids))
    await ask(
        address.url,
        "SET statement_timeout = '20s'",
        f"""DO $$ BEGIN
            WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid IN ({wanted})) LOOP
                PERFORM pg_stat_clear_snapshot();
                PERFORM pg_sleep(0.01);
            END LOOP;
        END $$""",
    )
    await delete_in(tmp_path)


class Hanging:
    """A connection to a server that does not answer any more."""

    def __init__(self) -> None:
        self.asked: list[float | None] = []

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        self.asked.append(None)

    async def close(self, timeout: float | None = None) -> None:
        self.asked.append(timeout)
        raise TimeoutError


async def test_a_connection_that_does_not_answer_is_given_up() -> None:
    """The next call has another one; at the end it is asked once, and not for long."""
    made: list[Hanging] = []

    async def opener() -> Session:
        made.append(Hanging())
        return Session(made[-1])  # type: ignore[arg-type]

    line = Line(opener)
    first = await line.session()
    assert await line.session() is first
    line.drop()
    line.drop()
    second = await line.session()
    assert (second is not first, made[0].asked) == (True, [None])
    await line.close()
    await line.close()
    assert made[1].asked == [1.0]
    assert await line.session() is not second


@pytest.mark.requirement("SIM-03")
async def test_a_transaction_that_cannot_be_taken_back_ends_with_its_connection(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after it does not run within it."""
    pid = await engine.write(pid_of)
    execute = asyncpg.Connection.execute

    async def failing(connection: asyncpg.Connection, sql: str, *values: object) -> str:
        if sql == "ROLLBACK":
            raise TimeoutError
        return str(await execute(connection, sql, *values))

    async def spoil(db: Session) -> None:
        await put("lost", db)
        raise Refused

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "execute", failing)
        with pytest.raises(Refused):
            await engine.write(spoil)
    assert await engine.write(pid_of) != pid
    assert await names(engine) == []
