"""Serves what a server counts in the form of Prometheus; knows no rule.

interopsim_decisions_total{action="stanza.message",outcome="accepted",reason=""} 12
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from interop_server import __version__
from interop_server.core.journal import Journal, JournalEntry
from interop_server.shared_answers import SharedAnswers

MAX_KINDS = 2_000
"""Kinds of decisions that are told apart: actions, outcomes and reasons are the server's own words, and few."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers come from."""

    node: str
    count_rows: Callable[[], Awaitable[Mapping[str, int]]]
    """Rows in the store by table."""
    counted: Callable[[], Mapping[str, int]]
    """What was counted since the start, by name."""
    connections: Callable[[], int]
    """How many chat channels are open."""
    troubles: Callable[[], Mapping[str, str]]
    """Parts that do not work, each with a sentence."""


class Metrics:
    """Counts decisions while they fall, and answers with all counts.

    Args:
        journal: What it counts.
        sources: What it asks.
    """

    def __init__(self, journal: Journal, sources: Sources) -> None:
        self._sources = sources
        self._decisions: Counter[tuple[str, str, str]] = Counter()
        self._bodies = SharedAnswers[bytes]()
        self._stop = journal.subscribe(self._count, lambda _: None)

    def application(self) -> web.Application:
        """Returns an application that serves `/metrics`, and `/health` as Prometheus' neighbours want it."""
        application = web.Application(client_max_size=1)
        application.add_routes([web.get("/metrics", self._serve), web.get("/health", self._health)])
        return application

    async def close(self) -> None:
        """Counts no more."""
        self._stop()

    def _count(self, entry: JournalEntry) -> None:
        key = (entry.action, entry.outcome, entry.reason)
        if key in self._decisions or len(self._decisions) < MAX_KINDS:
            self._decisions[key] += 1

    async def _serve(self, _: web.Request) -> web.Response:
        body = await self._bodies.get(None, self._body)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _body(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(_Snapshot(list(self._families(await self._sources.count_rows()))))
        return generate_latest(registry)

    async def _health(self, _: web.Request) -> web.Response:
        troubles = dict(self._sources.troubles())
        return web.Response(
            text=json.dumps({"troubles": troubles}),
            status=503 if troubles else 200,
            content_type="application/json",
        )

    def _families(self, rows: Mapping[str, int]) -> Iterator[Metric]:
        about = InfoMetricFamily("interopsim", "The server.")
        about.add_metric((), {"version": __version__, "node": self._sources.node})
        yield about
        decisions = CounterMetricFamily(
            "interopsim_decisions", "Decisions, as the journal has them.", labels=("action", "outcome", "reason")
        )
        for labels, count in sorted(self._decisions.items()):
            decisions.add_metric(labels, count)
        yield decisions
        stored = GaugeMetricFamily("interopsim_stored_rows", "Rows in the store.", labels=("table",))
        for table, count in sorted(rows.items()):
            stored.add_metric((table,), count)
        yield stored
        events = CounterMetricFamily("interopsim_events", "What was counted since the start.", labels=("event",))
        for name, count in sorted(self._sources.counted().items()):
            events.add_metric((name,), count)
        yield events
        yield GaugeMetricFamily("interopsim_open_channels", "Open chat channels.", self._sources.connections())
        troubles = GaugeMetricFamily("interopsim_trouble", "1 for a part that does not work.", labels=("part",))
        for part in sorted(self._sources.troubles()):
            troubles.add_metric((part,), 1)
        yield troubles


class _Snapshot(Collector):
    """Metrics as they were at one moment."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yields them."""
        yield from self._families
