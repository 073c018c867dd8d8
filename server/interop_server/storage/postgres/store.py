"""The whole `Store` on one PostgreSQL database, put together from its concerns; knows none of their tables."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import asyncpg

from interop_server.core.abuse.store import PendingChallenges
from interop_server.core.errors import Refusal
from interop_server.core.ratelimit import Buckets
from interop_server.core.store import Store
from interop_server.core.troubles import Troubles
from interop_server.storage import StoreAddress, WrongStore
from interop_server.storage.postgres.accounts import PostgresAccounts
from interop_server.storage.postgres.audit import PostgresAudit
from interop_server.storage.postgres.blocklist import PostgresBlocklist
from interop_server.storage.postgres.buckets import PostgresBuckets
from interop_server.storage.postgres.challenges import PostgresChallenges
from interop_server.storage.postgres.chats import PostgresChats
from interop_server.storage.postgres.database import (
    as_it_is,
    count_rows,
    own_version,
    prepare_database,
    sit_down,
    take_place,
)
from interop_server.storage.postgres.engine import Engine
from interop_server.storage.postgres.faults import Faults, NotWritable, sentence_of
from interop_server.storage.postgres.mailbox import PostgresMailbox
from interop_server.storage.postgres.media import PostgresMedia
from interop_server.storage.postgres.new_chats import PostgresNewChats
from interop_server.storage.postgres.nodes import PostgresNodes, join
from interop_server.storage.postgres.optin import PostgresOptIns
from interop_server.storage.postgres.partners import PostgresPartners
from interop_server.storage.postgres.past import PostgresPast, note_time
from interop_server.storage.postgres.prekeys import PostgresPreKeys
from interop_server.storage.postgres.reachability import PostgresReachability
from interop_server.storage.postgres.reports import PostgresReports
from interop_server.storage.postgres.routes import PostgresRoutes
from interop_server.storage.postgres.secret_keys import PostgresSecrets
from interop_server.storage.postgres.sent_messages import PostgresSentMessages
from interop_server.storage.postgres.session import Session, connect
from interop_server.storage.postgres.standing import PostgresStanding

_PUT_AWAY = "INSERT INTO secret (name, value) VALUES ('', '')"
_TAKE_AWAY = "DELETE FROM secret WHERE name = ''"
_FAILURES = (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def _touch(db: Session) -> None:
    """Writes and leaves nothing: says whether writing works again. What is as it was would not be written."""
    await db.change(_PUT_AWAY)
    await db.change(_TAKE_AWAY)


@dataclass(frozen=True, eq=False)
class PostgresStore(Store):
    """One database on a server, durable at every return. Create it with `open`, in the loop that uses it."""

    engine: Engine
    faults: Faults
    nodes: PostgresNodes | None
    """What this process says and learns of the others; None when it is alone."""
    shared_buckets: PostgresBuckets | None
    """Those of rates that all share; None likewise."""
    shared_challenges: PostgresChallenges | None
    """Those that any of them takes the answer to; None likewise."""

    @property
    def buckets(self) -> Buckets | None:
        return self.shared_buckets

    @property
    def challenges(self) -> PendingChallenges | None:
        return self.shared_challenges

    @classmethod
    async def open(
        cls,
        address: StoreAddress,
        now_ms: Callable[[], int] | None = None,
        troubles: Troubles | None = None,
        *,
        is_emptied: bool = False,
        node: str = "",
    ) -> Self:
        """Opens a database, and makes its tables first if there are none.

        Args:
            address: Where it is.
            now_ms: Tells the server's time, which is noted with everything that is stored; None notes nothing.
            troubles: Where it is kept what is wrong with the database.
            is_emptied: Whether all is deleted first that is in it, except the server's keys.
            node: The name of this process among several that are one world; empty for one that is alone.

        Raises:
            WrongStore: The database cannot serve as the store.
        """
        name, url, is_node = address.shown, address.url, bool(node)
        faults, seat = Faults(name, troubles), 0

        async def first() -> Session:
            nonlocal seat
            connection = await connect(url, "interopsim")
            try:
                await take_place(connection, name, is_node=is_node)
                async with as_it_is(connection):
                    await prepare_database(connection, name, is_emptied=is_emptied)
                    seat = await join(connection, node, own_version()) if is_node else 0
                return await sit_down(connection, seat)
            except BaseException:
                connection.terminate()
                raise

        async def again() -> Session:
            connection = await connect(url, "interopsim")
            try:
                await take_place(connection, name, is_node=is_node)
                return await sit_down(connection, seat)
            except WrongStore as error:
                connection.terminate()
                raise NotWritable("another simulator has taken it") from error
            except BaseException:
                connection.terminate()
                raise

        async def reader() -> Session:
            return Session(await connect(url, "interopsim reads"))

        async def counter() -> Session:
            return Session(await connect(url, "interopsim rates"))

        openers = iter((first,))
        engine = Engine(
            lambda: next(openers, again)(),
            reader,
            faults,
            **({} if now_ms is None else {"finisher": note_time(now_ms)}),
        )
        try:
            await engine.open()
            buckets = (
                await PostgresBuckets.open(Engine(counter, reader, faults), now_ms) if now_ms and is_node else None
            )
        except _FAILURES as error:
            raise WrongStore(f"{name} cannot be used as the database: {sentence_of(error)}.") from error
        return cls(
            partners=PostgresPartners(engine),
            accounts=PostgresAccounts(engine),
            prekeys=PostgresPreKeys(engine),
            opt_in=PostgresOptIns(engine),
            routes=PostgresRoutes(engine),
            chats=PostgresChats(engine),
            reachability=PostgresReachability(engine),
            mailbox=PostgresMailbox(engine),
            sent=PostgresSentMessages(engine),
            media=PostgresMedia(engine),
            blocklist=PostgresBlocklist(engine),
            new_chats=PostgresNewChats(engine),
            standing=PostgresStanding(engine),
            reports=PostgresReports(engine),
            audit=PostgresAudit(engine),
            past=PostgresPast(engine),
            secrets=PostgresSecrets(engine),
            engine=engine,
            faults=faults,
            nodes=PostgresNodes(engine, seat, node, own_version()) if is_node else None,
            shared_buckets=buckets,
            shared_challenges=PostgresChallenges(engine) if is_node else None,
        )

    async def count_rows(self) -> dict[str, int]:
        try:
            return await self.engine.read(count_rows)
        except Refusal:
            if not self.faults.is_failing:
                raise
            return {}  # whoever asks for figures is told of the trouble beside them

    async def check(self) -> None:
        if self.faults.is_failing:
            with suppress(Refusal):  # the failure stands where troubles are kept
                await self.engine.probe(_touch)

    async def close(self) -> None:
        """Finishes what was called before, and disconnects."""
        try:
            if self.shared_buckets is not None:
                await self.shared_buckets.close()
        finally:
            await self.engine.close()
