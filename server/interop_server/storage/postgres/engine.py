"""Runs groups of operations on a few connections: one that writes, some that read; knows no table.

An operation is a coroutine function of a `Session`. Those that wait while a group runs form the next group. So under
load many calls share one transaction, and one wait for the server's disk. Reads have connections of their own, so that
none waits for that.

A transaction that another one was in the way of runs again. So does one whose connection was lost before its commit was
sent: it left nothing. Whether a commit that was sent has happened cannot be known when no answer comes: its calls are
refused.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from interop_server.core.errors import Reason, Refusal
from interop_server.crash_points import passing
from interop_server.storage.groups import Call, Lane, Step, items_of, merged, share_out
from interop_server.storage.postgres.faults import Faults, is_loss, is_to_try_again
from interop_server.storage.postgres.session import Session

Result = TypeVar("Result")
Item = TypeVar("Item")
Operation = Callable[[Session], Awaitable[Result]]
BatchOperation = Callable[[Session, list[Item]], Awaitable[list[Result]]]
"""Returns one result per item. Calls of a group that share the function run as one, with items in call order."""
Opener = Callable[[], Awaitable[Session]]
Finisher = Callable[[Session], str]
"""Returns the statements that end a transaction that has changed something: without parameters, and each closed."""

_MOST_ITEMS = 512
"""How many items of batch operations one transaction has, a last call of many aside."""
_TRIES = 4
"""How often a transaction runs at most: in the way of each other are few, and a lost connection is opened once."""
_READERS = 3


class _HalfWritten(Exception):
    """An operation failed after its first write, or in a statement, which ends the transaction."""


class _Undone(Exception):
    """A transaction left nothing, through no fault of an operation, and can run again."""


def _nothing_to_finish(_session: Session) -> str:
    return ""


async def _run_step(session: Session, step: Step) -> None:
    first = step[0]
    if first.items is None:
        first.result = await first.operation(session)
    else:
        share_out(step, await first.operation(session, items_of(step)))


async def _run_steps(session: Session, steps: Sequence[Step]) -> None:
    for step in steps:
        changes = session.changes
        for call in step:
            call.error = None
        try:
            await _run_step(session, step)
        except Exception as error:
            if is_to_try_again(error) or is_loss(error):
                raise
            if len(step) > 1 or session.changes != changes or isinstance(error, asyncpg.PostgresError):
                raise _HalfWritten from error
            step[0].error = error


class Line:
    """One connection, opened when it is needed and again when it was lost."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._session: Session | None = None

    async def session(self) -> Session:
        if self._session is None or self._session.connection.is_closed():
            self._session = await self._opener()
        return self._session

    def drop(self) -> None:
        """Gives up a connection of which nothing can be expected."""
        if self._session is not None:
            self._session.connection.terminate()
            self._session = None

    async def close(self) -> None:
        if self._session is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._session.connection.close(timeout=1.0)
        self._session = None


class _Writer(Lane):
    """The connection that writes, and the calls that wait for it."""

    def __init__(self, opener: Opener, faults: Faults, finisher: Finisher) -> None:
        super().__init__()
        self._line = Line(opener)
        self._faults = faults
        self._finisher = finisher

    async def open(self) -> Session:
        session = await self._line.session()
        self._task = asyncio.create_task(self._run_groups(), name="database writes")
        return session

    async def close(self) -> None:
        if await self.finish():
            await self._task
            await self._line.close()

    async def _run_groups(self) -> None:
        while (call := await self._queue.get()) is not None:
            waiting = self._take(call)
            group = [call for call in waiting if call is not None and not call.future.cancelled()]
            try:
                await self._write_group(group)
            except Exception as error:  # noqa: BLE001 - raised again in the callers
                for each in group:
                    each.error = error
            if group and all(each.error is None for each in group):
                self._faults.end()
            for each in group:
                each.resolve(self._faults)
            if None in waiting:
                return

    def _take(self, first: Call) -> list[Call | None]:
        """Takes what waits, up to a bound: while the server is busy with it, this process prepares the next group."""
        waiting: list[Call | None] = [first]
        items = len(first.items or ())
        while items < _MOST_ITEMS and not self._queue.empty():
            call = self._queue.get_nowait()
            waiting.append(call)
            items += len(call.items or ()) if call is not None else 0
        return waiting

    async def _write_group(self, group: Sequence[Call]) -> None:
        """Runs a group in one transaction, so that a failing call does not affect the others.

        A refusal before a call's first write affects only that call. When a call fails later, the transaction is rolled
        back and every call gets a transaction of its own: this is rare, so it is cheaper than a savepoint around each.
        """
        try:
            await self._transact_until_done(merged(group))
        except _HalfWritten:
            for call in group:
                try:
                    await self._transact_until_done([[call]])
                except _HalfWritten as half_written:
                    call.error = half_written.__cause__
                except Exception as error:  # noqa: BLE001 - raised again in the caller
                    call.error = error

    async def _transact_until_done(self, steps: Sequence[Step]) -> None:
        for left in reversed(range(_TRIES)):
            try:
                await self._transact(steps)
            except _Undone as undone:
                assert undone.__cause__ is not None
                if not left or isinstance(undone.__cause__, TimeoutError):
                    raise undone.__cause__ from None
            else:
                return

    async def _transact(self, steps: Sequence[Step]) -> None:
        session = await self._line.session()
        finish = self._finisher(session)  # its time is that at which the transaction began
        is_committing = False
        try:
            passing("write.begin")
            await session.connection.execute("BEGIN")
            before = session.changes
            await _run_steps(session, steps)
            end = f"{finish if session.changes != before else ''}COMMIT"
            is_committing = True
            passing("write.commit")
            await session.connection.execute(end)
        except BaseException as error:
            await self._give_up(session, error)
            if is_to_try_again(error) or (is_loss(error) and not is_committing):
                raise _Undone from error
            raise
        passing("write.answer")

    async def _give_up(self, session: Session, error: BaseException) -> None:
        if is_loss(error) or not isinstance(error, Exception):
            self._line.drop()
            return
        try:
            await session.connection.execute("ROLLBACK")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._line.drop()


class _Readers:
    """The connections that read, and the calls that wait for one of them."""

    def __init__(self, opener: Opener, faults: Faults) -> None:
        self._lines = [Line(opener) for _ in range(_READERS)]
        self._faults = faults
        self._waiting: deque[Call] = deque()
        self._are_there = asyncio.Semaphore(0)
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def open(self) -> None:
        self._tasks = [asyncio.create_task(self._run(line), name="database reads") for line in self._lines]

    async def call(self, operation: Callable[..., Any], items: list[Any] | None = None) -> Any:
        if self._closed:
            raise ValueError("the store is closed")
        call = Call(operation, items, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._are_there.release()
        return await call.future

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for _ in self._tasks:
            self._are_there.release()
        await asyncio.gather(*self._tasks)
        for line in self._lines:
            await line.close()

    async def _run(self, line: Line) -> None:
        while True:
            await self._are_there.acquire()
            if not self._waiting:
                if self._closed:
                    return
                continue  # merged with an earlier one
            step = self._next_step()
            try:
                await self._read(line, step)
            except Exception as error:  # noqa: BLE001 - raised again in the callers
                for call in step:
                    call.error = error
            for call in step:
                call.resolve(self._faults)

    def _next_step(self) -> list[Call]:
        """Takes the call that has waited longest, with all others of its batch operation."""
        first = self._waiting.popleft()
        step = [first]
        if first.items is not None:
            others = [call for call in self._waiting if call.items is not None and call.operation == first.operation]
            if others:
                step += others
                self._waiting = deque(call for call in self._waiting if call not in others)
        return step

    async def _read(self, line: Line, step: Sequence[Call]) -> None:
        """Runs a step, and once more on a new connection if the first was lost: reading leaves nothing."""
        for is_last in (False, True):
            try:
                await _run_step(await line.session(), step)
            except Exception as error:
                if not is_loss(error):
                    raise
                line.drop()
                if is_last or isinstance(error, TimeoutError):
                    raise
            else:
                return


class Engine:
    """A writing connection to one database, and some that read.

    Args:
        writer: Opens the connection that writes.
        reader: Opens a connection that reads.
        faults: Is told what works and what does not, and says what callers get for it.
        finisher: Says what ends each transaction that has changed something; called when the transaction begins.
    """

    def __init__(
        self, writer: Opener, reader: Opener, faults: Faults | None = None, finisher: Finisher = _nothing_to_finish
    ) -> None:
        self._faults = faults or Faults()
        self._writer = _Writer(writer, self._faults, finisher)
        self._readers = _Readers(reader, self._faults)

    async def open(self) -> None:
        """Connects.

        Raises:
            Exception: What the opener of the connection that writes raises.
        """
        await self._writer.open()
        self._readers.open()

    async def write(self, operation: Operation[Result]) -> Result:
        """Runs an operation in a transaction; returns when the transaction is durable.

        Args:
            operation: Checks, then writes; runs again from the start when the transaction does.

        Raises:
            Exception: What the operation raises, or what stands for the failure of the database: see `Faults.meet`.
                Then nothing has changed, unless the connection was lost while the commit was under way.
        """
        self._check()
        result: Result = await self._writer.call(operation)
        return result

    async def write_batch(self, operation: BatchOperation[Item, Result], items: Sequence[Item]) -> list[Result]:
        """Runs a batch operation as `write` does, merged with other waiting calls of the same operation.

        They run at the place of the first one, so a call can run before calls of `write` that were made earlier.
        """
        self._check()
        results: list[Result] = await self._writer.call(operation, list(items))
        return results

    async def read(self, operation: Operation[Result]) -> Result:
        """Runs an operation that only reads; it sees every write that has returned."""
        result: Result = await self._readers.call(operation)
        return result

    async def read_batch(self, operation: BatchOperation[Item, Result], items: Sequence[Item]) -> list[Result]:
        """Runs a batch operation as `read` does, merged with other waiting calls of the same operation."""
        results: list[Result] = await self._readers.call(operation, list(items))
        return results

    async def probe(self, operation: Operation[None]) -> None:
        """Writes although the last attempt failed, to learn whether it works again.

        Raises:
            Refusal: STORAGE_UNAVAILABLE: it does not.
        """
        await self._writer.call(operation)

    async def close(self) -> None:
        """Finishes waiting calls and disconnects."""
        try:
            await self._readers.close()
        finally:
            await self._writer.close()

    def _check(self) -> None:
        """Refuses at once while nothing can be written: callers would wait for connections that do not come about."""
        if self._faults.is_failing:
            raise Refusal(Reason.STORAGE_UNAVAILABLE, cause="the database could not be used a moment ago")
