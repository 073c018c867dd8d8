"""Makes the tables in a database, or recognises those of this program and brings them up; knows no table of its own."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from interop_server.crash_points import passing
from interop_server.storage import WrongStore
from interop_server.storage.postgres.nodes import living_nodes
from interop_server.storage.postgres.session import Session
from interop_server.storage.schema_files import missing_files, schema_files, version, works_for

LEAST_VERSION = 160_000
"""The oldest server that makes the tables: 16, the first with STORAGE in CREATE TABLE."""
_SEAT_WAIT = "3s"
"""How long the lock of a process that has just ended may still be held: its connection must be noticed to be gone."""
_SERVER = "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'), current_schema()"
# For the whole database, and as long as the connection: either one process writes, or nodes of one world do.
_PLACE = "(hashtextextended('interopsim ' || current_schema(), 0))"
_SIT_ALONE, _SIT_TOGETHER = f"SELECT pg_advisory_lock{_PLACE}", f"SELECT pg_advisory_lock_shared{_PLACE}"
_SCHEMA = "(hashtextextended('interopsim schema ' || current_schema(), 0))"
_LOCK_SCHEMA, _UNLOCK_SCHEMA = f"SELECT pg_advisory_lock{_SCHEMA}", f"SELECT pg_advisory_unlock{_SCHEMA}"
_LIST_RELATIONS = """
    SELECT relname::text FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY relname
"""
# The comment says whose it is: a table of the same name may be another application's.
_MAKE_VERSION = """
    CREATE TABLE schema_version (version BIGINT NOT NULL);
    COMMENT ON TABLE schema_version IS 'interopsim';
    INSERT INTO schema_version (version) VALUES (0);
"""
_IS_OURS = "SELECT obj_description('schema_version'::regclass, 'pg_class') = 'interopsim'"
# The column came with a later file than the table.
_WORKS_FOR = "SELECT to_jsonb(schema_version) ->> 'works_for' FROM schema_version"
_SET_VERSION = "UPDATE schema_version SET version = $1"
_SET_WORKS_FOR = "UPDATE schema_version SET works_for = $1"


def own_version() -> int:
    """Returns the version of the tables that this program was made for."""
    return version(_schema())


@asynccontextmanager
async def as_it_is(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Has nobody else change the tables, or look whether they suit, meanwhile."""
    await connection.execute(_LOCK_SCHEMA)
    yield
    await connection.execute(_UNLOCK_SCHEMA)  # the end of the connection does it, too


def _schema() -> list[str]:
    return schema_files("interop_server.storage.postgres")


async def take_place(connection: asyncpg.Connection, name: str, *, is_node: bool) -> None:
    """Locks out every other process until the connection ends, or, for a node, every one that is none.

    Raises:
        WrongStore: Another simulator is there.
    """
    await connection.execute(f"SET lock_timeout = '{_SEAT_WAIT}'")
    try:
        await connection.fetch(_SIT_TOGETHER if is_node else _SIT_ALONE)
    except asyncpg.LockNotAvailableError as error:
        raise WrongStore(
            f"{name} is in use by another simulator: stop that one, or choose another database. Several share one as "
            "nodes, each with --bus."
        ) from error
    await connection.execute("SET lock_timeout = 0")


async def prepare_database(connection: asyncpg.Connection, name: str, *, is_emptied: bool = False) -> None:
    """Makes the tables if there are none, and brings those of an older release up; changes nothing else.

    Args:
        connection: Of a process that has its place, `as_it_is`.
        name: The database, as the operator knows it.
        is_emptied: Whether all is deleted that is in it, except the server's keys.

    Raises:
        WrongStore: The database is another application's or version's, or cannot hold the tables; or nodes are there
            that would not work with what it has to become.
    """
    [(server, encoding, schema_name)] = await connection.fetch(_SERVER)
    if server < LEAST_VERSION:
        raise WrongStore(f"{name} is on a PostgreSQL older than 16: use a newer one.")
    if encoding != "UTF8":
        raise WrongStore(f"{name} has the encoding {encoding}: create one with the encoding UTF8.")
    if schema_name is None:
        raise WrongStore(f"{name} has no schema in which tables can be made: see its search_path.")
    schema = _schema()
    for _ in schema:
        if not await _apply_next(connection, name, schema):
            break
    if is_emptied:
        await _empty(connection)


async def _apply_next(connection: asyncpg.Connection, name: str, schema: Sequence[str]) -> bool:
    """Applies the first file that is missing; says whether one was."""
    # One transaction: a killed process leaves a complete database, of this version or of the one before, or nothing.
    async with connection.transaction():
        missing = await _missing_files(connection, name, schema)
        if not missing:
            return False
        number = len(schema) - len(missing)
        passing("schema.create")
        if not number:
            await connection.execute(_MAKE_VERSION)
        await _make_room(connection, name, missing[0], version(schema[:number]))
        await connection.execute(missing[0])
        await connection.execute(_SET_VERSION, version(schema[: number + 1]))
    return True


async def _make_room(connection: asyncpg.Connection, name: str, file: str, before: int) -> None:
    """Notes whose programs go on once a file is applied; refuses it while nodes live whose programs do not."""
    older = await _get_works_for(connection)
    if older is None:
        return
    going_on = works_for(file, before, older)
    if broken := await living_nodes(connection, but=going_on):
        raise WrongStore(
            f"Nodes of an older release are on {name} ({', '.join(broken)}), and do not work with the tables that this "
            "program needs: stop them first."
        )
    await connection.execute(_SET_WORKS_FOR, going_on)


async def _get_works_for(connection: asyncpg.Connection) -> list[int] | None:
    """Returns the older versions whose programs work with the tables; None for tables that do not say that yet."""
    noted = await connection.fetchval(_WORKS_FOR)
    return None if noted is None else json.loads(noted)


async def _missing_files(connection: asyncpg.Connection, name: str, schema: Sequence[str]) -> Sequence[str]:
    relations = {relation for (relation,) in await connection.fetch(_LIST_RELATIONS)}
    if not relations:
        return schema
    if "schema_version" not in relations or not await connection.fetchval(_IS_OURS):
        raise WrongStore(f"{name} is the database of another application: choose another, or an empty schema of it.")
    if version(schema) in (await _get_works_for(connection) or ()):
        return []
    present = await connection.fetchval("SELECT version FROM schema_version")
    missing = missing_files(schema, present)
    if missing is None:
        raise WrongStore(
            f"{name} has schema version {present}, and this program needs version {version(schema)}: "
            "use the program that wrote it, or choose another database."
        )
    return missing


_LIST_TABLES = """
    SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND relname NOT IN ('server', 'secret', 'schema_version')
"""


_FORGET_PAST = """
    UPDATE server SET starts = 0, time_floor_ms = 0, time_ahead_ms = 0, clock_version = 0, clock_stands_at_ms = NULL,
        clock_is_frozen = FALSE
"""


async def _empty(connection: asyncpg.Connection) -> None:
    """Deletes every row, and has every number be given anew, as in a new database; the server's keys stay."""
    tables = ", ".join(name for (name,) in await connection.fetch(_LIST_TABLES))
    passing("schema.empty")
    async with connection.transaction():
        await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        await connection.execute("ALTER SEQUENCE delivery_id RESTART")
        await connection.execute(_FORGET_PAST)


_SIT_DOWN = "INSERT INTO noted_time (seat, noted_ms) VALUES ($1, 0) ON CONFLICT DO NOTHING"


async def sit_down(connection: asyncpg.Connection, seat: int) -> Session:
    """Returns the session of the process that has the seat."""
    await connection.execute(_SIT_DOWN, seat)
    return Session(connection, seat)


_COUNT_TABLES = """
    SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND relname NOT IN ('schema_version', 'noted_time', 'node', 'connection', 'turn', 'bucket') ORDER BY relname
"""


async def count_rows(session: Session) -> dict[str, int]:
    """Returns how many rows each table has."""
    names = [name for (name,) in await session.rows(_COUNT_TABLES)]
    return {name: (await session.rows(f"SELECT count(*) FROM {name}"))[0][0] for name in names}
