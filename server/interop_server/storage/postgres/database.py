"""Makes the tables in a database, or recognises those of this program and brings them up; knows no table of its own."""

from collections.abc import Sequence

import asyncpg

from interop_server.crash_points import passing
from interop_server.storage import WrongStore
from interop_server.storage.postgres.session import Session
from interop_server.storage.schema_files import missing_files, schema_files, version

LEAST_VERSION = 150_000
"""The oldest server that is known to do: 15."""
_SEAT_WAIT = "3s"
"""How long the lock of a process that has just ended may still be held: its connection must be noticed to be gone."""
_SERVER = "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'), current_schema()"
# For the whole database, and as long as the connection: either one process writes, or nodes of one world do.
_PLACE = "(hashtextextended('interopsim ' || current_schema(), 0))"
_SIT_ALONE, _SIT_TOGETHER = f"SELECT pg_advisory_lock{_PLACE}", f"SELECT pg_advisory_lock_shared{_PLACE}"
_LOCK_SCHEMA = "SELECT pg_advisory_xact_lock(hashtextextended('interopsim schema ' || current_schema(), 0))"
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
        connection: Of a process that has its place.
        name: The database, as the operator knows it.
        is_emptied: Whether all is deleted that is in it, except the server's keys.

    Raises:
        WrongStore: The database is another application's or version's, or cannot hold the tables.
    """
    [(server, encoding, schema_name)] = await connection.fetch(_SERVER)
    if server < LEAST_VERSION:
        raise WrongStore(f"{name} is on a PostgreSQL older than 15: use a newer one.")
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
        await connection.execute(_LOCK_SCHEMA)
        missing = await _missing_files(connection, name, schema)
        if not missing:
            return False
        number = len(schema) - len(missing)
        passing("schema.create")
        if not number:
            await connection.execute(_MAKE_VERSION)
        await connection.execute(missing[0])
        await connection.execute("UPDATE schema_version SET version = $1", version(schema[: number + 1]))
    return True


async def _missing_files(connection: asyncpg.Connection, name: str, schema: Sequence[str]) -> Sequence[str]:
    relations = {relation for (relation,) in await connection.fetch(_LIST_RELATIONS)}
    if not relations:
        return schema
    if "schema_version" not in relations or not await connection.fetchval(_IS_OURS):
        raise WrongStore(f"{name} is the database of another application: choose another, or an empty schema of it.")
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
