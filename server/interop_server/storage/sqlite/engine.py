"""Runs groups of operations inside aiosqlite's `commit()`, because that call runs on the connection's own thread.

aiosqlite gives each connection a thread, and every statement is a hop to it and back. Here `connection.commit()` does
not commit: `_VisitedConnection` overrides it to run a group of waiting operations on that thread, in one hop. The group
begins and commits its own transaction.

An operation is a plain function of a `sqlite3.Connection`. Operations that wait while a group runs form the next group.
So under load many calls share one hop and, when they write, one commit and one fsync. Knows no table.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import aiosqlite

from interop_server.crash_points import passing
from interop_server.storage.groups import Call, Lane, Step, items_of, merged, share_out
from interop_server.storage.sqlite.faults import Faults

Result = TypeVar("Result")
Item = TypeVar("Item")
Operation = Callable[[sqlite3.Connection], Result]
BatchOperation = Callable[[sqlite3.Connection, list[Item]], list[Result]]
"""Returns one result per item. Calls of a group that share the function run as one, with items in call order."""

_BUSY_SECONDS = 5.0
_CACHED_STATEMENTS = 256

# FULL: in WAL mode, any weaker setting can lose commits when the power fails.
_WRITER_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -16000",
    "wal_autocheckpoint = 4000",
    # What a statement of many rows needs to be taken back goes to a temporary file otherwise: a fifth of all writes.
    "temp_store = MEMORY",
    # Some builds of SQLite write every page that becomes free once more, to overwrite it: a tenth of all writes.
    "secure_delete = FAST",
)
# Each commit of the writer empties the reader's cache: a larger one would serve nobody.
_READER_PRAGMAS = ("query_only = ON", "cache_size = -2000")


class _VisitedConnection(sqlite3.Connection):
    """A connection whose `commit` runs a given function on the connection's own thread, and commits nothing itself.

    aiosqlite has no public call that runs a function on its thread, and one hop per statement costs more than most
    statements. A connection class passed as `factory`, and `commit`, are public in both libraries.
    """

    def __init__(self, visit: Operation[None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._visit = visit

    def commit(self) -> None:
        """Runs the function, which begins and commits its own transaction."""
        self._visit(self)


def _run_step(db: sqlite3.Connection, step: Step) -> None:
    first = step[0]
    if first.items is None:
        first.result = first.operation(db)
    else:
        share_out(step, first.operation(db, items_of(step)))


class _HalfWritten(Exception):
    """An operation failed after its first write."""


def _transact(db: sqlite3.Connection, steps: Sequence[Step], finish: Operation[None]) -> None:
    passing("write.begin")
    db.execute("BEGIN IMMEDIATE")
    try:
        before = db.total_changes
        for step in steps:
            changes = db.total_changes
            try:
                _run_step(db, step)
            except Exception as error:
                if len(step) > 1 or db.total_changes != changes or not db.in_transaction:
                    raise _HalfWritten from error
                step[0].error = error
        if db.total_changes != before:
            finish(db)
        passing("write.commit")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    passing("write.answer")


def _write_group(db: sqlite3.Connection, group: Sequence[Call], finish: Operation[None]) -> None:
    """Runs a group in one transaction, so that a failing call does not affect the others.

    A refusal before a call's first write affects only that call. When a call fails later, the transaction is rolled
    back and every call gets a transaction of its own: this is rare, so it is cheaper than a savepoint around each call.
    """
    try:
        _transact(db, merged(group), finish)
    except _HalfWritten:
        for call in group:
            call.error = None
            try:
                _transact(db, [[call]], finish)
            except _HalfWritten as half_written:
                call.error = half_written.__cause__
            except sqlite3.Error as error:
                call.error = error


def _read_group(db: sqlite3.Connection, group: Sequence[Call], _finish: Operation[None]) -> None:
    for step in merged(group):
        try:
            _run_step(db, step)
        except Exception as error:  # noqa: BLE001 - raised again in the callers
            for call in step:
                call.error = error


_RunGroup = Callable[[sqlite3.Connection, Sequence[Call], Operation[None]], None]


class _Lane(Lane):
    """One connection and the calls that wait for it."""

    def __init__(self, run_group: _RunGroup, faults: Faults, finisher: Callable[[], Operation[None]]) -> None:
        super().__init__()
        self._run_group = run_group
        self._writes = run_group is _write_group
        self._faults = faults
        self._finisher = finisher
        self._finish: Operation[None]
        self._group: list[Call] = []

    async def open(self, database: str, pragmas: Sequence[str]) -> None:
        self._connection = await aiosqlite.connect(
            database,
            factory=partial(_VisitedConnection, self._visit),
            isolation_level=None,
            timeout=_BUSY_SECONDS,
            uri=True,
            cached_statements=_CACHED_STATEMENTS,
        )
        try:
            for pragma in pragmas:
                await self._connection.execute_fetchall(f"PRAGMA {pragma}")
        except sqlite3.Error:
            await self._connection.close()
            raise
        self._task = asyncio.create_task(self._run_groups())

    async def close(self) -> None:
        if await self.finish():
            await self._task
            await self._connection.close()

    def _visit(self, db: sqlite3.Connection) -> None:
        self._run_group(db, self._group, self._finish)

    async def _run_groups(self) -> None:
        while (call := await self._queue.get()) is not None:
            waiting = [call, *(self._queue.get_nowait() for _ in range(self._queue.qsize()))]
            self._group = [call for call in waiting if call is not None and not call.future.cancelled()]
            self._finish = self._finisher()
            try:
                await self._connection.commit()  # runs `_visit` with the group on the connection's thread
            except Exception as error:  # noqa: BLE001 - BEGIN or COMMIT failed: the group wrote nothing
                for call in self._group:
                    call.error = error
            if self._writes and self._group and all(call.error is None for call in self._group):
                self._faults.end()
            for call in self._group:
                call.resolve(self._faults)
            if None in waiting:
                return


def _nothing_to_finish() -> Operation[None]:
    return lambda db: None


class Engine:
    """A writing and a reading connection to one database file.

    Args:
        faults: Is told what works and what does not, and says what callers get for it.
        finisher: Returns what ends each transaction that has changed something; called when the transaction begins.
    """

    def __init__(
        self, faults: Faults | None = None, finisher: Callable[[], Operation[None]] = _nothing_to_finish
    ) -> None:
        self._faults = faults or Faults()
        self._writer = _Lane(_write_group, self._faults, finisher)
        self._reader = _Lane(_read_group, self._faults, _nothing_to_finish)

    async def open(self, uri: str) -> None:
        """Connects to a database that already has its schema.

        Args:
            uri: `file:` URI without a query.
        """
        await self._writer.open(f"{uri}?mode=rw", _WRITER_PRAGMAS)
        try:
            await self._reader.open(f"{uri}?mode=ro", _READER_PRAGMAS)
        except sqlite3.Error:
            await self._writer.close()
            raise

    async def write(self, operation: Operation[Result]) -> Result:
        """Runs an operation in a transaction; returns when the transaction is durable.

        Args:
            operation: Checks, then writes; runs again from the start when another operation of its group fails.

        Raises:
            Exception: What the operation raises, or what stands for the failure of the database: see `Faults.meet`.
                Then nothing has changed.
        """
        self._faults.check()
        result: Result = await self._writer.call(operation)
        return result

    async def write_batch(self, operation: BatchOperation[Item, Result], items: Sequence[Item]) -> list[Result]:
        """Runs a batch operation as `write` does, merged with other waiting calls of the same operation.

        They run at the place of the first one, so a call can run before calls of `write` that were made earlier.
        """
        self._faults.check()
        results: list[Result] = await self._writer.call(operation, list(items))
        return results

    async def read(self, operation: Operation[Result]) -> Result:
        """Runs an operation of one SELECT; it sees every write that has returned."""
        result: Result = await self._reader.call(operation)
        return result

    async def read_batch(self, operation: BatchOperation[Item, Result], items: Sequence[Item]) -> list[Result]:
        """Runs a batch operation as `read` does, merged with other waiting calls of the same operation."""
        results: list[Result] = await self._reader.call(operation, list(items))
        return results

    async def close(self) -> None:
        """Finishes waiting calls, moves the write-ahead log into the database file and disconnects."""
        try:
            await self._reader.close()
        finally:
            await self._writer.close()
