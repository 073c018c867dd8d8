"""How far several nodes go: with SQLite on one, with PostgreSQL on one, two and three; knows no other benchmark."""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench.bundles import JIDS_PER_CALL, MAX_CALLS, NO_LIMITS, USERS, Taker, publish
from tests.bench.cpu import cpu_seconds
from tests.bench.engines import POSTGRES_SETTINGS, cpu_of_connections
from tests.bench.latency import message_times_ms, percentile
from tests.bench.pgbench import most_messages
from tests.bench.rates import call_rates
from tests.bench.report import Figure
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed
from tests.bench.throughput import SHAPES, UNLIMITED, load, open_pair
from tests.nats import Server as Nats
from tests.nats import nats_server
from tests.postgres import Server as Postgres
from tests.postgres import ask, own_server, url_of, value_of

LOADS = {"routed": SHAPES[1], "batched": SHAPES[2]}
"""Each stanza a frame, as real clients send; and 128 of them."""
MESSAGES = 200
LOGINS = 200
AT_ONCE = 20
_WRITTEN = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
_KEPT = "SELECT pg_total_relation_size('sent_message')"
_COMMITTED = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True, slots=True)
class World:
    """How a server is set up."""

    name: str
    nodes: int
    """0 for one server with SQLite, which is no node."""
    what: str


WORLDS = (
    World("sqlite", 0, "one server with SQLite"),
    World("one_node", 1, "one node on PostgreSQL"),
    World("two_nodes", 2, "two nodes on PostgreSQL"),
    World("three_nodes", 3, "three nodes on PostgreSQL"),
)
_RATES = {"latency_ms": "ms", "bundles_per_second": "bundles/s", "logins_per_second": "logins/s"}
_COSTS = {"node_cpu_us": "us", "database_cpu_us": "us", "bus_cpu_us": "us", "wal": "B", "kept": "B", "transactions": ""}
"""Of a routed message; the first is told without a database server, too. What is kept outlives its ack by weeks."""


def _units(world: World) -> dict[str, str]:
    """Returns the figures of a world, without its name, each with its unit."""
    costs = _COSTS if world.nodes else dict(list(_COSTS.items())[:1])
    loads = {f"{load}_per_second": "messages/s" for load in LOADS}
    return _RATES | loads | {f"{load}_{cost}": unit for load in LOADS for cost, unit in costs.items()}


NAMES = tuple(f"{world.name}_{name}" for world in WORLDS for name in _units(world))


async def measure_cluster(settings: Settings) -> list[Figure]:
    """Loads each world in turn, and then PostgreSQL alone with pgbench."""
    results: dict[World, dict[str, float]] = {}
    with own_server(POSTGRES_SETTINGS) as (postgres, place), nats_server() as nats:
        for world in WORLDS:
            click.echo(f"  {world.what}", err=True)
            folder = settings.folder / world.name
            folder.mkdir()
            results[world] = await _Measuring(world, settings.within(folder), postgres, place, nats).all()
        last = WORLDS[-1].name
        most = {
            f"{name}_per_second": await most_messages(
                settings.folder, place, last, shape.pairs, shape.batch, settings.seconds
            )
            for name, shape in LOADS.items()
        }
    figures = []
    for world, result in results.items():
        for name, unit in _units(world).items():
            ceiling, note = results[WORLDS[0]].get(name), f"{world.what}; beside it one server with SQLite, in this run"
            if not world.nodes:
                ceiling, note = None, world.what
            elif name in most:
                ceiling, note = most[name], f"{world.what}; beside it pgbench with the statements of the store alone"
            figures.append(Figure(f"{world.name}_{name}", result[name], unit, ceiling, note))
    return figures


class _Measuring:
    """One world while it is measured.

    Args:
        world: Which.
        settings: How.
        postgres: The database's server.
        place: Its folder.
        nats: The bus.
    """

    def __init__(self, world: World, settings: Settings, postgres: Postgres, place: Path, nats: Nats) -> None:
        self._world = world
        self._settings = settings
        self._postgres = postgres
        self._store = url_of(place, world.name)
        self._nats = nats

    async def all(self) -> dict[str, float]:
        """Returns what was measured, by name."""
        async with self._testbed("people") as testbed:
            result = {
                "latency_ms": await self._latency(testbed),
                "bundles_per_second": await self._bundles(testbed),
                "logins_per_second": await self._logins(testbed),
            }
        for name, shape in LOADS.items():
            # A new world each time: accounts stand in pairs, as the statements without a server expect.
            async with self._testbed(name) as testbed:
                result |= await self._routed(testbed, name, shape.of(self._settings))
        return result

    @asynccontextmanager
    async def _testbed(self, name: str) -> AsyncIterator[Testbed]:
        """Starts the servers of the world with an empty database."""
        folder = self._settings.folder / name
        folder.mkdir()
        if self._world.nodes:
            maintenance = self._store.replace(f"/{self._world.name}?", "/postgres?")
            await ask(maintenance, f"DROP DATABASE IF EXISTS {self._world.name} WITH (FORCE)")
            await ask(maintenance, f"CREATE DATABASE {self._world.name}")
        async with Testbed(folder, (*UNLIMITED, *NO_LIMITS), servers=self._servers()) as testbed:
            yield testbed

    def _servers(self) -> Sequence[Sequence[str]] | None:
        if not self._world.nodes:
            return None
        blobs = f"file://{self._settings.folder}"
        shared = ("--store", self._store, "--bus", self._nats.url, "--blobs", blobs)
        return [(*shared, "--node", f"node-{number}") for number in range(self._world.nodes)]

    async def _latency(self, testbed: Testbed) -> float:
        """One message at a time, from one node to another where there are two."""
        sender, _ = await testbed.third_party_user()
        recipient = await testbed.whatsapp_user()
        return percentile(await message_times_ms(sender, recipient, MESSAGES), 50)

    async def _bundles(self, testbed: Testbed) -> float:
        """Fifty to a call, at each node in turn; no one-time prekey comes twice from whatever node."""
        jids, taken = [await publish(testbed) for _ in range(USERS)], set[bytes]()
        takers = itertools.cycle([Taker(await testbed.whatsapp_user(), jids, taken) for _ in testbed.servers])
        rates = await call_rates(lambda: next(takers).take(), self._settings.seconds, MAX_CALLS)
        return JIDS_PER_CALL * statistics.median(rates)

    async def _routed(self, testbed: Testbed, name: str, settings: Settings) -> dict[str, float]:
        pairs = [await open_pair(testbed, number, settings) for number in range(settings.pairs)]
        before = await self._costs(testbed)
        rates = await load(pairs, settings)
        after = await self._costs(testbed)
        sent = sum(pair.flow.sent for pair in pairs)
        costs = {f"{name}_{cost}": (after[cost] - before[cost]) / sent for cost in before}
        return {f"{name}_per_second": statistics.mean(rates), **costs}

    async def _costs(self, testbed: Testbed) -> dict[str, float]:
        """Returns what all messages until now have cost."""
        costs = {"node_cpu_us": 1e6 * sum(cpu_seconds(server.pid) for server in testbed.servers)}
        if self._world.nodes:
            costs |= {
                "database_cpu_us": 1e6 * cpu_of_connections(self._postgres.pid),
                "bus_cpu_us": 1e6 * cpu_seconds(self._nats.pid),
                "wal": float(await value_of(self._store, _WRITTEN)),
                "kept": float(await value_of(self._store, _KEPT)),
                "transactions": float(await value_of(self._store, _COMMITTED)),
            }
        return costs

    async def _logins(self, testbed: Testbed) -> float:
        """Several at once, at one node after the other."""
        accounts = await testbed.whatsapp_accounts(LOGINS)
        started = time.perf_counter()
        for first in range(0, LOGINS, AT_ONCE):
            await asyncio.gather(*map(testbed.log_in, accounts[first : first + AT_ONCE]))
        return LOGINS / (time.perf_counter() - started)
