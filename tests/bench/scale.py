"""How many nodes a world of a size needs, by a simulation with costs that were measured; starts no server.

`make bench ARGS="--cluster --json" > costs.json` measures, `python -m tests.bench.scale costs.json` simulates.

A message comes to a node, waits for its processor, and joins what waits to be stored. A node has one transaction under
way at a time, and takes all that waits as the next one. The database has processors of its own, and waits for its disk
at each commit. Then the node where the recipient is delivers it, and stores their ack in the same way.
"""

import heapq
import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table

MOST_IN_GROUP = 512
"""Messages in one transaction, as in the engine."""
WARM_UP = 0.2
"""Part of the time that is not looked at."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a routed message costs, in seconds of a processor if nothing else is said."""

    node: float
    """At its nodes: half where it comes in, half where it is delivered and acked."""
    message: float
    """In the database, for itself."""
    transaction: float
    """In the database, for each transaction."""
    commit: float
    """Seconds that a commit waits for the disk."""
    bus: float
    """Seconds that a wake takes from node to node."""

    @classmethod
    def read(cls, figures: dict[str, float], commit: float, bus: float) -> "Costs":
        """Takes the costs from a run of the benchmark, of two nodes.

        What a transaction costs and what a message does are two unknowns in two equations: unbatched, a message has
        more of a transaction for itself.
        """
        name = "two_nodes_{}".format
        one, many = (figures[name(f"{load}_database_cpu_us")] / 1e6 for load in ("routed", "batched"))
        share_of_one, share_of_many = (figures[name(f"{load}_transactions")] for load in ("routed", "batched"))
        transaction = max(0.0, (one - many) / (share_of_one - share_of_many))
        node = figures[name("routed_node_cpu_us")] / 1e6
        return cls(node, max(0.0, many - transaction * share_of_many), transaction, commit, bus)


@dataclass(frozen=True, slots=True)
class Burden:
    """What a world's messages and people come to, beside the time that they take."""

    log: float
    """Bytes that the database writes to its log in a second, at the peak."""
    kept: float
    """Bytes of all that is remembered of messages that were acked."""
    return_: float
    """Seconds until all who were at one node that has died are connected at the others, if they come at once."""

    @classmethod
    def read(cls, figures: dict[str, float], plan: "Plan", daily: float, days: float, connected: float) -> "Burden":
        """Takes it from the same run as the costs.

        Args:
            figures: Of the benchmark.
            plan: The world.
            daily: Messages in a day.
            days: How long it is remembered that they were sent.
            connected: People who are.
        """
        logins = figures["one_node_logins_per_second"] * max(1, plan.nodes - 1)
        return cls(
            plan.per_second * figures["two_nodes_routed_wal"],
            daily * days * figures["two_nodes_routed_kept"],
            connected / plan.nodes / logins,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A world on paper."""

    nodes: int
    database_cores: int
    per_second: float
    """Messages."""


@dataclass(slots=True)
class Outcome:
    """What a simulated while showed."""

    seconds: float = 0.0
    node_busy: float = 0.0
    """Part of the nodes' time."""
    database_busy: float = 0.0
    """Part of its processors' time."""
    transactions: int = 0
    latencies: list[float] | None = None
    """Seconds from sent to delivered, ascending; None when more came than went through."""


class _Station:
    """Processors that serve what waits for them, first come, first served."""

    def __init__(self, world: "_World", processors: int) -> None:
        self._world = world
        self._free = [0.0] * processors
        self.busy = 0.0

    def serve(self, seconds: float, then: Callable[[], None]) -> None:
        """Has something served as soon as a processor is free, and then goes on."""
        begin = max(heapq.heappop(self._free), self._world.now)
        heapq.heappush(self._free, begin + seconds)
        self.busy += seconds
        self._world.at(begin + seconds, then)


class _Node:
    """One node: a processor, and a connection that writes."""

    def __init__(self, world: "_World") -> None:
        self._world = world
        self.station = _Station(world, 1)
        self._waiting: list[Callable[[], None]] = []
        self._is_writing = False

    def store(self, then: Callable[[], None]) -> None:
        """Has something stored, with all else that waits."""
        self._waiting.append(then)
        if not self._is_writing:
            self._write()

    def _write(self) -> None:
        group, self._waiting = self._waiting[:MOST_IN_GROUP], self._waiting[MOST_IN_GROUP:]
        self._is_writing = bool(group)
        if not group:
            return
        world, costs = self._world, self._world.costs
        world.outcome.transactions += 1

        def committed() -> None:
            for then in group:
                then()
            self._write()

        # A message is stored and its delivery acked: half of its cost each.
        work = costs.transaction + len(group) * costs.message / 2
        world.database.serve(work, lambda: world.at(world.now + costs.commit, committed))


class _World:
    def __init__(self, plan: Plan, costs: Costs, seed: int) -> None:
        self.costs = costs
        self.now = 0.0
        self.outcome = Outcome()
        self.database = _Station(self, plan.database_cores)
        self.nodes = [_Node(self) for _ in range(plan.nodes)]
        self.latencies: list[tuple[float, float]] = []
        self.sent = 0
        self._plan = plan
        self._rng = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time, next(self._numbers), then))

    def run(self, seconds: float) -> None:
        self._send_later()
        while self._due and self._due[0][0] <= seconds:
            self.now, _, then = heapq.heappop(self._due)
            then()

    def _send_later(self) -> None:
        self.at(self.now + self._rng.expovariate(self._plan.per_second), self._send)

    def _send(self) -> None:
        self._send_later()
        self.sent += 1
        here, there, since = self._rng.choice(self.nodes), self._rng.choice(self.nodes), self.now
        half = self.costs.node / 2

        def delivered() -> None:
            self.latencies.append((since, self.now - since))
            there.store(lambda: None)

        def committed() -> None:
            away = 0.0 if here is there else self.costs.bus
            self.at(self.now + away, lambda: there.station.serve(half, delivered))

        here.station.serve(half, lambda: here.store(committed))


def simulate(plan: Plan, costs: Costs, seconds: float, seed: int = 1) -> Outcome:
    """Plays a world for so many seconds of its own time."""
    world = _World(plan, costs, seed)
    world.run(seconds)
    outcome = world.outcome
    outcome.seconds = seconds
    outcome.node_busy = sum(node.station.busy for node in world.nodes) / seconds / plan.nodes
    outcome.database_busy = world.database.busy / seconds / plan.database_cores
    late = [latency for since, latency in world.latencies if since >= seconds * WARM_UP]
    # What never ends to grow is no latency.
    if len(world.latencies) >= 0.95 * world.sent and outcome.node_busy < 1 and outcome.database_busy < 1:
        outcome.latencies = sorted(late)
    return outcome


def _plans(rate: float, most_nodes: int, cores: int) -> Iterator[Plan]:
    for nodes in range(1, most_nodes + 1):
        yield Plan(nodes, cores, rate)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("figures", type=click.File())
@click.option("--people", default=1_000_000, show_default=True, help="Enlisted.")
@click.option("--daily", default=40.0, show_default=True, help="Messages that one of them sends in a day.")
@click.option("--days", default=60.0, show_default=True, help="How long it is remembered that they were sent.")
@click.option("--connected", default=100_000, show_default=True, help="People who are connected at once.")
@click.option("--peak", default=3.0, show_default=True, help="How much of the busiest hour its busiest second is.")
@click.option("--cores", default=8, show_default=True, help="Of the database's server.")
@click.option("--commit-ms", default=1.0, show_default=True, help="How long a commit waits for the disk.")
@click.option("--bus-ms", default=1.0, show_default=True, help="How long a wake takes between two nodes.")
@click.option("--seconds", default=5.0, show_default=True, help="How much of the world's time is simulated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    figures: TextIO,
    people: int,
    daily: float,
    days: float,
    connected: int,
    peak: float,
    cores: int,
    commit_ms: float,
    bus_ms: float,
    seconds: float,
    *,
    as_json: bool,
) -> None:
    """Says how many nodes a world needs, with the costs that a run of `make bench ARGS="--cluster --json"` found.

    A tenth of a day's messages comes in its busiest hour.
    """
    measured = {figure["name"]: figure["value"] for figure in json.load(figures)["figures"]}
    costs = Costs.read(measured, commit_ms / 1000, bus_ms / 1000)
    rate = people * daily / 10 / 3600 * peak
    plans = list(_plans(rate, 2 * round(rate * costs.node + 1), cores))
    rows = [_row(plan, costs, seconds) for plan in plans]
    # So many that one may die.
    enough = next((plan for plan, fewer in zip(plans[1:], rows, strict=False) if fewer["p50_ms"]), plans[-1])
    burden = Burden.read(measured, enough, people * daily, days, connected)
    if as_json:
        click.echo(json.dumps({"per_second": rate, "plans": rows, **asdict(burden)}))
        return
    table = Table("nodes", "nodes busy", "database busy", "transactions/s", "median", "99 of 100")
    for row in rows:
        late = ("never", "never") if row["p50_ms"] is None else (f"{row['p50_ms']:.1f} ms", f"{row['p99_ms']:.1f} ms")
        busy = (f"{row['node_busy']:.0%}", f"{row['database_busy']:.0%}")
        table.add_row(str(row["nodes"]), *busy, f"{row['transactions_per_second']:,.0f}", *late)
    Console(highlight=False).print(f"{rate:,.0f} messages a second; database with {cores} cores", table)
    each = connected / enough.nodes
    click.echo(
        f"The database's log grows by {burden.log / 1e6:,.1f} MB a second then. What is remembered of the messages of "
        f"{days:.0f} days takes {burden.kept / 1e9:,.0f} GB.\n"
        f"Of {enough.nodes} nodes one may die: {each:,.0f} people are connected at each, and back after "
        f"{burden.return_:,.0f} s, if they come at once."
    )


def _row(plan: Plan, costs: Costs, seconds: float) -> dict[str, Any]:
    outcome = simulate(plan, costs, seconds)
    late = outcome.latencies
    return {
        "nodes": plan.nodes,
        "node_busy": outcome.node_busy,
        "database_busy": outcome.database_busy,
        "transactions_per_second": outcome.transactions / seconds,
        "p50_ms": None if not late else 1000 * late[len(late) // 2],
        "p99_ms": None if not late else 1000 * late[len(late) * 99 // 100],
    }


if __name__ == "__main__":
    main()
