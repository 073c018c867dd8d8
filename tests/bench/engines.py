"""How many messages a second go through with the store on a PostgreSQL server, beside SQLite in the same run."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cpu import cpu_seconds
from tests.bench.report import Figure
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed
from tests.bench.throughput import SHAPES, UNLIMITED, load, open_pair
from tests.postgres import ask, own_server, url_of

POSTGRES_SETTINGS = ("shared_buffers=256MB", "max_wal_size=2GB")
"""What anybody would set; durable as by default."""


def figure_name(shape: str) -> str:
    """The figure of a shape."""
    return f"postgres_{shape}"


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one engine did."""

    rates: list[float]
    """Messages a second, second by second."""
    simulator_us: float
    """What a message costs the simulator."""
    server_us: float
    """What it costs the database's server, its own chores aside."""

    @property
    def cost(self) -> str:
        return f"{self.simulator_us:,.0f} us" + (
            f" and {self.server_us:,.0f} us on its server" if self.server_us else ""
        )


async def measure_engines(settings: Settings) -> list[Figure]:
    """Loads a server on each engine in turn with each shape."""
    figures: list[Figure] = []
    with own_server(POSTGRES_SETTINGS) as (server, place):
        for shape in SHAPES:
            folder = settings.folder / f"engines-{shape.name}"
            folder.mkdir()
            own = shape.of(settings.within(folder))
            await ask(url_of(place), f"CREATE DATABASE {shape.name}")
            sqlite = await _measure(own)
            postgres = await _measure(own, url_of(place, shape.name), server.pid)
            note = (
                f"{shape.what}; the ceiling is SQLite's in this run; means of {len(postgres.rates)} s, slowest "
                f"{min(postgres.rates):,.0f}/s; CPU time of a message: {postgres.cost}; with SQLite {sqlite.cost}"
            )
            # Means: on a busy machine, transactions of many messages come in bursts.
            rate, ceiling = statistics.mean(postgres.rates), statistics.mean(sqlite.rates)
            figures.append(Figure(figure_name(shape.name), rate, "messages/s", ceiling, note))
    return figures


async def _measure(settings: Settings, store: str = "", server_pid: int | None = None) -> _Measured:
    async with Testbed(settings.folder, UNLIMITED, servers=[("--store", store)] if store else None) as testbed:
        pairs = [await open_pair(testbed, number, settings) for number in range(settings.pairs)]
        before = cpu_seconds(testbed.server.pid), cpu_of_connections(server_pid)
        rates = await load(pairs, settings)
        after = cpu_seconds(testbed.server.pid), cpu_of_connections(server_pid)
    sent = sum(pair.flow.sent for pair in pairs)
    simulator, server = (1e6 * (end - begin) / sent for begin, end in zip(before, after, strict=True))
    return _Measured(rates, simulator, server)


def cpu_of_connections(pid: int | None) -> float:
    """Seconds of all processes that a server has now: each connection is one, and stays."""
    if pid is None:
        return 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(cpu_seconds(int(child)) for child in children)
