"""Names that one node holds at a time, as advisory locks in PostgreSQL; knows nothing of what is done meanwhile.

A lock is the connection's that took it: it ends with the process, however that ends. All are of one connection, so that
it costs the server nothing to have many.
"""

import asyncio
import hashlib
from collections.abc import Collection
from functools import cache

from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import SharedHolds
from interop_server.storage import StoreAddress
from interop_server.storage.postgres.engine import Line
from interop_server.storage.postgres.faults import is_loss, is_of_server, sentence_of
from interop_server.storage.postgres.session import Row, Session, connect

TURN_SECONDS, TURNS = 0.05, 400
"""How often, in real time, and how many times it is looked whether a name is free at last: for 20 seconds; policy."""
_DIGITS, _KEYS = 16, 1 << 64
_SCHEMA = "SELECT current_schema()"
_TAKE = "SELECT pg_try_advisory_lock($1)"
_LET_GO = "SELECT pg_advisory_unlock($1)"
_LIST = """
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class PostgresHolds(SharedHolds):
    """Locks in the database of a world. Connects when one is needed.

    Args:
        address: The database.
    """

    def __init__(self, address: StoreAddress) -> None:
        self._url = address.url
        self._line = Line(self._connect)
        self._asking = asyncio.Lock()
        self._schema = ""
        self._mine: dict[int, Session] = {}
        """Keys of what is held, each with the connection whose lock it is."""

    async def take(self, kind: str, name: str, *, waits: bool = False) -> bool:
        for left in reversed(range(TURNS if waits else 1)):
            taking = asyncio.ensure_future(self._take(kind, name))
            try:
                if await asyncio.shield(taking):
                    return True
            except asyncio.CancelledError:
                await asyncio.gather(taking, return_exceptions=True)
                await self.let_go(kind, name)
                raise
            if left:
                await asyncio.sleep(TURN_SECONDS)
        return False

    async def let_go(self, kind: str, name: str) -> bool:
        return await asyncio.shield(self._let_go(kind, name))

    async def held(self, kind: str, names: Collection[str]) -> set[str]:
        if not names:
            return set()
        async with self._asking:
            keys = {key for (key,) in await self._ask(_LIST)}
        return {name for name in names if self._key(kind, name) in keys}

    async def close(self) -> None:
        """Lets go of all, and disconnects."""
        await self._line.close()

    async def _take(self, kind: str, name: str) -> bool:
        async with self._asking:
            session = await self._connected()
            key = self._key(kind, name)
            if self._mine.get(key) is session:  # as one that was cancelled while it took it may have left it
                return True
            [(is_taken,)] = await self._ask(_TAKE, key)
            if is_taken:
                self._mine[key] = await self._line.session()
            return bool(is_taken)

    async def _let_go(self, kind: str, name: str) -> bool:
        async with self._asking:
            key = self._key(kind, name)
            session = self._mine.pop(key, None)
            if session is None or session.connection.is_closed():
                return False
            try:
                [(was_held,)] = await session.rows(_LET_GO, key)
            except Exception as error:
                if not is_of_server(error):
                    raise
                self._line.drop()
                return False
            return bool(was_held)

    async def _ask(self, sql: str, *values: int) -> list[Row]:
        """Asks, and once more on a new connection if the first was lost: its locks have gone with it."""
        for is_last in (False, True):
            session = await self._connected()
            try:
                return await session.rows(sql, *values)
            except Exception as error:
                if not is_of_server(error):
                    raise
                if is_loss(error):
                    self._line.drop()
                if is_last or not is_loss(error) or isinstance(error, TimeoutError):
                    raise _refusal(error) from error
        raise AssertionError

    async def _connected(self) -> Session:
        try:
            return await self._line.session()
        except Exception as error:
            if not is_of_server(error):
                raise
            raise _refusal(error) from error

    async def _connect(self) -> Session:
        session = Session(await connect(self._url, "interopsim holds"))
        [(self._schema,)] = await session.rows(_SCHEMA)
        return session

    def _key(self, kind: str, name: str) -> int:
        """Returns the number by which a name is locked, of 64 bits with a sign."""
        key = int(name[:_DIGITS], 16) ^ _salt(self._schema, kind)
        return key - _KEYS if key >= _KEYS // 2 else key


@cache
def _salt(schema: str, kind: str) -> int:
    return int(hashlib.sha256(f"interopsim {schema} {kind}".encode()).hexdigest()[:_DIGITS], 16)


def _refusal(error: BaseException) -> Refusal:
    return Refusal(Reason.STORAGE_UNAVAILABLE, cause=f"the database cannot be used: {sentence_of(error)}")
