"""Nodes, and which account is connected at which of them, in PostgreSQL; knows no bus and no stream.

Claims of one account follow each other, since each has its row locked. So do a claim and whatever ends the connection:
either the claim sees it, or it sees the connection.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from interop_server.core.capabilities import Capability
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, PartnerStatus
from interop_server.core.nodes import (
    Arrival,
    Claim,
    Claimed,
    Connected,
    Neighbour,
    News,
    NodeStore,
    Turn,
    WorldTime,
)
from interop_server.storage import WrongStore
from interop_server.storage.postgres.clock import ARRIVALS, ARRIVE, begin_time, get_time, set_time
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.engine import Engine
from interop_server.storage.postgres.session import Row, Session
from interop_server.storage.records import ACCOUNT, account_of

LEASE_SECONDS = 5
"""How long after its last word a node is taken for dead."""
_FORGET_SECONDS = 60
"""How long it is remembered that a connection has ended: longer than any node lives without a look."""
_LONGEST_LIST = 10_000

_JOIN = "INSERT INTO node (name, schema_version) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING seat"
_RENEWED = "SELECT seat, renewed_at FROM node WHERE name = $1"
_IS_DEAD = f"renewed_at < clock_timestamp() - interval '{LEASE_SECONDS} seconds'"
# Its connections are those of its seat: whoever buries it finds them.
_TAKE_NAME = f"UPDATE node SET name = name || ' ' || seat WHERE name = $1 AND {_IS_DEAD}"


_LIST_LIVING = f"SELECT name FROM node WHERE NOT ({_IS_DEAD}) AND schema_version <> ALL ($1::bigint[]) ORDER BY seat"


async def living_nodes(connection: asyncpg.Connection, but: Sequence[int]) -> list[str]:
    """Returns the names of the nodes that live, but those that were made for one of some versions."""
    return [name for (name,) in await connection.fetch(_LIST_LIVING, but)]


async def join(connection: asyncpg.Connection, name: str, schema_version: int) -> int:
    """Takes a seat that no other node has ever had.

    A node that was killed has its name for some seconds, which this waits for.

    Args:
        connection: Of a process that has its place, `as_it_is`.
        name: What its operator calls it.
        schema_version: Which tables its program was made for.

    Raises:
        WrongStore: A node of this name lives.
    """
    first: Row | None = None
    while (seat := await connection.fetchval(_JOIN, name, schema_version)) is None:
        row = await connection.fetchrow(_RENEWED, name)
        first = first or row
        if row is not None and first is not None and tuple(row) != tuple(first):
            raise WrongStore(f"Another node of this world is called {name}: choose another name with --node.")
        if await connection.execute(_TAKE_NAME, name) == "UPDATE 0":
            await connection.execute("SELECT pg_sleep(0.5)")
    return int(seat)


_RENEW = "UPDATE node SET renewed_at = clock_timestamp(), announced = $2 WHERE seat = $1"
# Unless the tables were changed meanwhile so that its program does not work with them any more.
_JOIN_AGAIN = """
    INSERT INTO node (seat, name, schema_version) OVERRIDING SYSTEM VALUE
        SELECT $1, $2, $3 FROM schema_version WHERE version = $3 OR $3 = ANY (works_for)
    ON CONFLICT DO NOTHING
"""
_IS_THERE = "SELECT 1 FROM node WHERE seat = $1 FOR KEY SHARE"
_LOCK_ACCOUNTS = """
    SELECT account_id, auth_key FROM account WHERE account_id = ANY ($1::bigint[])
    ORDER BY account_id FOR NO KEY UPDATE
"""
_LOCK_PARTNERS = """
    SELECT integrator, status, proxy_allowed FROM partner WHERE integrator = ANY ($1::bigint[])
    ORDER BY integrator FOR SHARE
"""
_EPOCHS = "SELECT nextval('connection_epoch') FROM generate_series(1, $1::integer)"
_CLAIM = """
    INSERT INTO connection (account_id, seat, epoch, token_sha256, capabilities, mode, client_ip, peer_address,
                            connected_at_ms, integrator)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (account_id) DO UPDATE SET
        seat = excluded.seat, epoch = excluded.epoch, end_reason = NULL, token_sha256 = excluded.token_sha256,
        capabilities = excluded.capabilities, mode = excluded.mode, client_ip = excluded.client_ip,
        peer_address = excluded.peer_address, connected_at_ms = excluded.connected_at_ms, client_closed_at_ms = NULL,
        integrator = excluded.integrator, changed_in = pg_current_xact_id(), changed_at = clock_timestamp()
"""


async def _claim(db: Session, claims: list[Claim]) -> list[Claimed]:
    if not await db.rows(_IS_THERE, db.seat):
        raise Refusal(Reason.SERVER_DRAINING, cause="the other nodes took this one for dead")
    accounts = [claim.facts.account for claim in claims]
    rows = await db.rows(_LOCK_ACCOUNTS, [account.account_id for account in accounts])
    keys = {account_id: auth_key for account_id, auth_key in rows}
    partners = await db.rows(_LOCK_PARTNERS, [account.integrator for account in accounts])
    terms = {integrator: (status, allowed) for integrator, status, allowed in partners}
    epochs = [int(epoch) for (epoch,) in await db.rows(_EPOCHS, len(claims))]
    claimed = []
    for claim, epoch in sorted(zip(claims, epochs, strict=True), key=lambda pair: pair[0].facts.account.account_id):
        refused = _why_not(claim.facts, keys, terms)
        if refused is None:
            await db.change(_CLAIM, *_values(claim, db.seat, epoch))
        claimed.append((epoch, Claimed(epoch, refused)))
    return [each for _, each in sorted(claimed)]


def _why_not(facts: ConnectionFacts, keys: dict[int, bytes], terms: dict[int, tuple[int, int]]) -> Reason | None:
    """Says what has changed since a login was judged by what was read before."""
    account = facts.account
    if account.account_id not in keys:
        return Reason.NOT_ENLISTED
    if keys[account.account_id] != account.auth_key:
        return Reason.KEYS_REPLACED
    if account.is_whatsapp:
        return None
    status, is_proxy_allowed = terms.get(account.integrator, (PartnerStatus.REMOVED, 0))
    if status != PartnerStatus.ACTIVE:
        return Reason.PARTNER_NOT_ACTIVE
    return Reason.PROXY_NOT_ALLOWED if facts.mode is ConnectionMode.PROXY and not is_proxy_allowed else None


def _values(claim: Claim, seat: int, epoch: int) -> tuple[Any, ...]:
    facts = claim.facts
    who = (facts.account.account_id, seat, epoch, claim.token_sha256, sorted(claim.capabilities))
    how = (facts.mode, facts.client_ip, facts.peer_address, facts.connected_at_ms, facts.account.integrator)
    return (*who, *how)


_EMPTY = """
    seat = 0, token_sha256 = '', capabilities = '{}', client_ip = '', peer_address = '', client_closed_at_ms = NULL,
    changed_in = pg_current_xact_id(), changed_at = clock_timestamp()
"""
_CLOSE = f"""
    WITH locked AS MATERIALIZED (
        SELECT account_id FROM connection JOIN unnest($1::bigint[], $2::bigint[]) AS closed (account_id, epoch)
            USING (account_id, epoch)
        WHERE seat = $3 ORDER BY account_id FOR NO KEY UPDATE OF connection
    )
    UPDATE connection SET {_EMPTY} FROM locked WHERE connection.account_id = locked.account_id
"""
_CLOSE_ALL = f"""
    WITH locked AS MATERIALIZED (
        SELECT account_id FROM connection WHERE seat = ANY ($1::integer[]) ORDER BY account_id FOR NO KEY UPDATE
    )
    UPDATE connection SET {_EMPTY} FROM locked WHERE connection.account_id = locked.account_id
    RETURNING connection.account_id
"""


async def _close(db: Session, closed: list[tuple[int, int]]) -> list[None]:
    await db.change(_CLOSE, [account_id for account_id, _ in closed], [epoch for _, epoch in closed], db.seat)
    return [None] * len(closed)


_FORGET = f"""
    DELETE FROM connection WHERE account_id IN (
        SELECT account_id FROM connection
        WHERE seat = 0 AND changed_at < clock_timestamp() - interval '{_FORGET_SECONDS} seconds'
        LIMIT {_LONGEST_LIST} FOR UPDATE SKIP LOCKED
    )
"""
# After a restart of the database nobody could say anything for a while.
_LIST_DEAD = f"""
    SELECT seat FROM node WHERE {_IS_DEAD} AND seat <> $1
    AND pg_postmaster_start_time() < clock_timestamp() - interval '{LEASE_SECONDS} seconds' ORDER BY seat FOR UPDATE
"""
_DELETE_NODES = "DELETE FROM node WHERE seat = ANY ($1::integer[])"
# What a node stored last stays known, or those that go on could store something earlier for the same people (MSG-14).
# In one statement: one that was only slow may be about to note another time.
_KEEP_TIME = """
    WITH gone AS (
        DELETE FROM noted_time
        WHERE seat <> 0 AND NOT EXISTS (SELECT FROM node WHERE node.seat = noted_time.seat) RETURNING noted_ms
    )
    INSERT INTO noted_time (seat, noted_ms) SELECT 0, max(noted_ms) FROM gone HAVING max(noted_ms) IS NOT NULL
    ON CONFLICT (seat) DO UPDATE SET noted_ms = greatest(noted_time.noted_ms, excluded.noted_ms)
"""
_LIST_ACCOUNTS = f"SELECT {ACCOUNT} FROM account WHERE account_id = ANY ($1::bigint[])"


async def _clear(db: Session, seats: Sequence[int]) -> list[int]:
    """Takes nodes away, and returns whom they had connected."""
    await db.change(_DELETE_NODES, list(seats))
    await db.change(_KEEP_TIME)
    return [account_id for (account_id,) in await db.changed(_CLOSE_ALL, list(seats))]


async def _bury(db: Session) -> list[Account]:
    await db.change(_FORGET)
    seats = [seat for (seat,) in await db.rows(_LIST_DEAD, db.seat)]
    if not seats:
        return []
    account_ids = await _clear(db, seats)
    return [account_of(row) for row in await db.rows(_LIST_ACCOUNTS, account_ids)]


_CONNECTED = """
    connection.account_id, seat, epoch, end_reason, token_sha256, capabilities, mode, client_ip, peer_address,
    connected_at_ms, client_closed_at_ms
"""
_OF_ACCOUNT = ", ".join(f"account.{column.strip()}" for column in ACCOUNT.split(","))
# In one statement: the mark belongs to the moment at which the rows are read.
_CHANGED = f"""
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text, {_CONNECTED}, {_OF_ACCOUNT}
    FROM (SELECT 1) AS one LEFT JOIN connection ON changed_in >= $1::text::xid8
    LEFT JOIN account ON account.account_id = connection.account_id AND seat <> 0
"""
_LIST_NODES = "SELECT seat, name, announced FROM node ORDER BY seat"
_LIST_KEY_SERVERS = "SELECT integrator, issuer, base_url FROM partner"
_FIND = f"""
    SELECT {_CONNECTED}, {_OF_ACCOUNT} FROM connection JOIN account ON account.account_id = connection.account_id
    WHERE token_sha256 = $1 AND seat <> 0 AND end_reason IS NULL
"""


async def _news(db: Session, since: str) -> News:
    rows = await db.rows(_CHANGED, since)
    connections = [connected_of(row[1:]) for row in rows if row[1] is not None]
    nodes = [Neighbour(*row) for row in await db.rows(_LIST_NODES)]
    key_servers = {integrator: (issuer, url) for integrator, issuer, url in await db.rows(_LIST_KEY_SERVERS)}
    return News(rows[0][0], connections, nodes, key_servers, await get_time(db))


def connected_of(row: Row) -> Connected:
    """Returns the connection of a row."""
    account_id, seat, epoch, end_reason, token_sha256, capabilities, mode, *rest = row
    client_ip, peer_address, connected_at_ms, client_closed_at_ms, *account = rest
    facts = None
    if account[0] is not None:
        whose = account_of(account)
        facts = ConnectionFacts(
            whose, ConnectionMode(mode), client_ip, peer_address, connected_at_ms, client_closed_at_ms
        )
    reason = None if end_reason is None else Reason(end_reason)
    known = frozenset(map(Capability, capabilities))
    return Connected(account_id, seat, epoch, reason, token_sha256, known, facts)


# Whoever was taken for dead takes no turn before it has joined again, and loses those that it had.
_TAKE_TURN = """
    INSERT INTO turn (name, seat) SELECT $1, seat FROM node WHERE seat = $2
    ON CONFLICT (name) DO UPDATE SET seat = excluded.seat
        WHERE turn.seat = excluded.seat OR NOT EXISTS (SELECT FROM node WHERE node.seat = turn.seat)
"""
_WHOSE_TURN = """
    SELECT node.name, (extract(epoch FROM renewed_at) * 1000)::bigint FROM turn JOIN node USING (seat)
    WHERE turn.name = $1
"""
_END_TURN = "DELETE FROM turn WHERE name = $1 AND seat = $2"


class PostgresNodes(Concern, NodeStore):
    """The tables of nodes and of connections.

    Args:
        engine: Of this node.
        seat: Its number.
        name: What its operator calls it.
        schema_version: Which tables its program was made for.
    """

    def __init__(self, engine: Engine, seat: int, name: str, schema_version: int) -> None:
        super().__init__(engine)
        self._seat = seat
        self._name = name
        self._schema_version = schema_version

    @property
    def seat(self) -> int:
        return self._seat

    async def renew(self, announced: int) -> bool:
        return bool(await self._change(_RENEW, self._seat, announced))

    async def join_again(self) -> None:
        await self._change(_JOIN_AGAIN, self._seat, self._name, self._schema_version)

    async def news(self, since: str) -> News:
        return await self._engine.read(lambda db: _news(db, since))

    async def claim(self, claim: Claim) -> Claimed:
        [claimed] = await self._engine.write_batch(_claim, [claim])
        return claimed

    async def close(self, account_id: int, epoch: int) -> None:
        await self._engine.write_batch(_close, [(account_id, epoch)])

    _OBSERVE = """
        UPDATE connection SET changed_in = pg_current_xact_id(),
            client_closed_at_ms = CASE WHEN $2::bigint IS NULL THEN NULL ELSE coalesce(client_closed_at_ms, $2) END
        WHERE account_id = $1 AND seat <> 0
    """

    async def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        await self._change(self._OBSERVE, account_id, closed_at_ms)

    async def find(self, token_sha256: bytes) -> Connected | None:
        row = await self._row(_FIND, token_sha256)
        return None if row is None else connected_of(row)

    _WAITING = """
        SELECT account_id FROM unnest($1::bigint[]) AS known (account_id)
        WHERE EXISTS (SELECT FROM mailbox WHERE recipient_id = account_id)
    """

    async def waiting(self, account_ids: Sequence[int]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(account_ids), _LONGEST_LIST):
            some = list(account_ids[start : start + _LONGEST_LIST])
            found += [account_id for (account_id,) in await self._rows(self._WAITING, some)]
        return found

    async def take_turn(self, name: str) -> bool:
        return bool(await self._change(_TAKE_TURN, name, self._seat))

    async def end_turn(self, name: str) -> None:
        await self._change(_END_TURN, name, self._seat)

    async def whose_turn(self, name: str) -> Turn | None:
        row = await self._row(_WHOSE_TURN, name)
        return None if row is None else Turn(*row)

    async def bury(self) -> list[Account]:
        return await self._engine.write(_bury)

    async def get_time(self) -> WorldTime:
        return await self._engine.read(get_time)

    async def begin_time(self, ahead_ms: int) -> WorldTime:
        return await self._engine.write(lambda db: begin_time(db, ahead_ms))

    async def set_time(self, stands_at_ms: int | None, *, is_frozen: bool, ahead_ms: int | None) -> int | None:
        return await self._engine.write(lambda db: set_time(db, stands_at_ms, is_frozen, ahead_ms))

    async def arrive(self, version: int, at_ms: int, fired: Mapping[str, int]) -> None:
        await self._change(ARRIVE, self._seat, version, at_ms, list(fired), list(fired.values()))

    async def arrivals(self) -> list[Arrival]:
        rows = await self._rows(ARRIVALS, self._seat)
        return [Arrival(version, at_ms, dict(zip(*fired, strict=True))) for version, at_ms, *fired in rows]

    async def leave(self) -> None:
        await self._engine.write(lambda db: _clear(db, [self._seat]))
