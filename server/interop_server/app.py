"""The composition root: builds every part, starts them in order and stops them in reverse; reads top to bottom.

Nothing else in the server knows which implementation a port has.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc.aio

from interop_protocol.endpoint import Endpoint
from interop_protocol.times import format_time
from interop_server.addresses import join_address, split_address, unusable
from interop_server.background import log_end
from interop_server.config import Config, TlsFiles
from interop_server.core.errors import Refusal
from interop_server.core.fault_rules import Catalogue
from interop_server.core.faults import Faults
from interop_server.core.journal import Journal, open_journal
from interop_server.core.operator.store import PastStore
from interop_server.core.operator.world import World
from interop_server.core.ports import Rng
from interop_server.core.rules import Ports, Rules, build_rules
from interop_server.core.seats import Seats
from interop_server.core.store import Store
from interop_server.core.sweeps import WorldTurns
from interop_server.core.troubles import PEOPLE, Troubles
from interop_server.fault_gate import FaultGate
from interop_server.http.jwks import HttpJwksSource
from interop_server.http.listener import HttpListener
from interop_server.http.listener import listen as listen_for_http
from interop_server.http.own_places import OwnPlaces
from interop_server.http.partner_media import HttpPartnerMediaSource
from interop_server.http.push import HttpPushGateway
from interop_server.identity import Identities, load_identity
from interop_server.places import FileUnusable, Places, is_of_database
from interop_server.rpc.admin import Itself
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.convert.batches import Batches
from interop_server.rpc.departures import Departures
from interop_server.rpc.edge import Edge
from interop_server.rpc.entrance import OwnEntrance
from interop_server.rpc.journal import Requirements
from interop_server.rpc.repeats import Repeats
from interop_server.rpc.server import admin_server, client_server, listen
from interop_server.rpc.turns import Turns
from interop_server.rpc.waiting import WaitingRoom
from interop_server.runtime.clock import AdjustableClock, machine_ms, stopwatch
from interop_server.runtime.files import Part, most_connections
from interop_server.runtime.journal_file import JournalFile
from interop_server.runtime.jwt import JoserfcTokens, PushSigners
from interop_server.runtime.rng import SeededRng, SystemRng
from interop_server.runtime.shutdown import Shutdown, StopIncomplete
from interop_server.runtime.timers import Timers
from interop_server.storage import WrongDatabase

if TYPE_CHECKING:
    import ssl

    from aiohttp.typedefs import Middleware

    from interop_server.http.surface import HttpServer
    from interop_server.nodes.node import Node
    from interop_server.rpc.spans import CallSpans
    from interop_server.telemetry import Telemetry
    from interop_server.tls import Tls

_log = logging.getLogger(__name__)

STEP_SECONDS = 1.0
"""How long a step of the stop may take beside the time that calls get to finish."""
WATCH_SECONDS = 1.0
"""How often it is looked whether the database is in its place, and, after a failure, whether disks work again."""
STOP_SECONDS = 6.0
"""How long the whole stop may take beside that time: less than the ten seconds that process managers give."""

_TOKEN_BYTES = 32
"""What the token of admin calls is made of."""


class ClockBehind(Exception):
    """The clock is set to a time that has passed; the message is a sentence that says which and what to do."""


class Simulator:
    """One server. Start it in the event loop that it runs in; stop it exactly once."""

    def __init__(self, config: Config, clock: AdjustableClock | None = None) -> None:
        self._config = config
        self._clock = clock or AdjustableClock(config.freeze_at_ms)
        self.wants_reset = asyncio.Event()
        """Set when the operator wants a clean world: whoever runs the simulator then calls `reset`."""
        self._world = World(1, self.wants_reset.set, is_shared=config.bus is not None)
        self._ever_fired: set[str] = set()
        """Names of the faults that did something in worlds that are gone."""
        self._idle: list[str] = []
        """Names of those that did nothing there."""
        self._start_number = 0
        """Number of this start on the database, when a seed is used: values derived from the seed must not repeat."""
        self.faults: Faults | None = None
        """Its faults, once it is started."""
        self._uptime_ms = stopwatch()
        self._own = OwnPlaces()
        self._troubles = _troubles("" if config.workbench is None else "they are not there yet")
        step_seconds = config.grace_seconds + STEP_SECONDS
        self._shutdown = Shutdown(step_seconds, config.grace_seconds + STOP_SECONDS)
        self._last = Shutdown(STEP_SECONDS, STEP_SECONDS)
        """What outlives a reset, and ends with the process."""
        self._tls: Tls | None = None
        self._telemetry: Telemetry | None = None
        self._admin_token = SystemRng().token_bytes(_TOKEN_BYTES).hex() if config.allow_remote else ""
        self._places = Places(config, self._last)

    def people_are_there(self) -> None:
        """Says that nobody is missing who should be beside it; until then health is NOT_SERVING as a whole."""
        self._troubles.end(PEOPLE)

    def people_have_gone(self, sentence: str) -> None:
        """Says why they are missing who were beside it: health is NOT_SERVING as a whole then, and all else goes on."""
        self._troubles.meet(PEOPLE, sentence)

    async def start(self) -> Endpoint:
        """Starts everything; health says SERVING when this returns, unless people are expected.

        Raises:
            AddressUnusable: An address is taken, or not one of this machine's. Everything started is stopped again.
            BlobsUnusable: Blobs cannot be kept where they should be; likewise.
            BusUnusable: The bus does not let this node in; likewise.
            ClockBehind: The clock is set to a time that has passed on the database; likewise.
            FileUnusable: The journal file cannot be written, or a file for TLS cannot be used; likewise.
            PeopleElsewhere: There should be people, and another node of the world has them; likewise.
            WrongDatabase: The database file cannot be used; likewise.
        """
        try:
            return await self._start()
        except BaseException as error:
            with suppress(StopIncomplete):  # logged; why the start failed is what matters
                await self.stop()
            if isinstance(error, Refusal):  # of the store, which could be opened
                raise WrongDatabase(
                    f"{error.cause or error.detail}: see what else uses it, then start again."
                ) from error
            raise

    async def stop(self) -> None:
        """Stops everything in reverse order of starting. Health says NOT_SERVING first.

        Raises:
            StopIncomplete: A step failed or did not end in time; every other step was run.
        """
        try:
            await self._shutdown.run()
        finally:
            await self._last.run()

    async def reset(self, addresses: Endpoint) -> None:
        """Begins with a clean world at the same addresses: all is forgotten but the server's keys.

        Every part is stopped and made again, so that nothing of the old world can be left in one.

        Args:
            addresses: What `start` returned.

        Raises:
            AddressUnusable, BlobsUnusable, FileUnusable, WrongDatabase: As `start`. Everything is stopped.
            StopIncomplete: A part of the old world could not be stopped.
        """
        self._ever_fired, self._idle = self._fired(), self.never_fired()
        await self._shutdown.run()
        self._config = replace(
            self._config,
            grpc_address=addresses.grpc,
            admin_address=addresses.admin,
            http_address=addresses.http.partition("://")[2],
            metrics_address=addresses.metrics.partition("://")[2].removesuffix("/metrics") or None,
        )
        self._clock = AdjustableClock(self._config.freeze_at_ms)
        self._own, self._troubles = OwnPlaces(), _troubles(self._troubles.present.get(PEOPLE, ""))
        self.wants_reset.clear()
        self._world = World(self._world.number + 1, self.wants_reset.set)
        await self.start()

    def never_fired(self) -> list[str]:
        """Returns the names of the faults that have done nothing so far, in no world."""
        idle = [] if self.faults is None else self.faults.never_fired()
        fired = self._fired()
        return [name for name in dict.fromkeys((*self._idle, *idle)) if name not in fired]

    def _fired(self) -> set[str]:
        ordered = [] if self.faults is None else self.faults.ordered()
        return self._ever_fired | {each.rule.name for each in ordered if each.fired}

    async def _start(self) -> Endpoint:
        config, clock = self._config, self._clock
        self._open_what_outlives_a_reset()
        is_reset = self._world.number > 1
        store, blobs = await self._places.open(clock, self._troubles, self._shutdown, is_emptied=is_reset)
        await self._take_up_the_past(store)
        # Clients check certificates by the machine's clock, unless their clock is set like the server's.
        times_ms = (clock.now_ms(), machine_ms())
        certified = await load_identity(store.secrets, times_ms, self._rng("identity"), config.limits.certificate_days)

        seats = Seats(config.limits)
        registry = ConnectionRegistry(self._rng("session tokens"))
        node = self._node(store, registry)
        connections, entrance = (registry, OwnEntrance(registry)) if node is None else (node.connections, node)
        signers = PushSigners(store.secrets)
        journal = open_journal(clock, self._rng, config.node)
        gate = self._gate(journal)
        push = HttpPushGateway(store.partners.get, signers.get, clock, expect=clock.expect, own=self._own, gate=gate)
        rules = build_rules(
            Ports(
                store=store,
                blobs=blobs,
                connections=connections,
                push=push,
                key_set_source=HttpJwksSource(own=self._own, gate=gate),
                token_reader=JoserfcTokens(),
                partner_media=HttpPartnerMediaSource(config.limits, seats, self._own),
                location=config.location,
                clock=clock,
                rng=self._rng,
                limits=config.limits,
                journal=journal,
                is_trace_kept=config.trace,
                world_clock=None if node is None else node.clock,
            )
        )
        if node is not None:
            await self._join(node, certified.root_public_key, rules)
        departures = Departures(entrance, rules.absence, rules.unacked_push, rules.journal)
        repeats = Repeats(clock, config.limits, None if node is None else node.others)
        waiting = WaitingRoom(config.limits.waiting_bytes)
        edge = Edge(
            rules,
            entrance,
            departures,
            repeats,
            seats,
            waiting,
            Turns(),
            Batches(config.limits),
            gate,
            most_connections(Part.GRPC),
            clock,
            self._rng("handshakes"),
            self._admin_token,
            self._call_spans(rules.journal),
        )

        self._write_journal(rules.journal)
        http_url = self._serve_http(rules, signers, seats, gate)
        self._background("push", push.run())
        self._background("storage", _watch(store.check))
        self._background("blobs", _watch(blobs.check))  # apart: an object store may take its time to answer
        self._start_timers(rules, None if node is None else node.turns)

        counted = _all_counts(rules.counts, push.counters)
        metrics_url = await self._serve_metrics(rules.journal, store, counted, registry)
        self._shutdown.add("repeatable calls", repeats.settle)
        itself = Itself(counted, self._troubles, registry, self._uptime_ms)
        admin = admin_server(edge, store.count_rows, itself, Requirements(_requirement_ids, _explain), self._world)
        admin_address = await self._serve_grpc(admin, config.admin_address, is_admin=True)
        self._shutdown.add("ends of connections", departures.settle)
        identities = Identities(certified, self._rng("untrusted identities"), lambda: min(clock.now_ms(), machine_ms()))
        client = client_server(edge, identities, http_url)
        grpc_address = await self._serve_grpc(client, config.grpc_address, is_admin=False)
        self._shutdown.add("connections", _drain(rules, registry))
        addresses = (grpc_address, certified.root_public_key, http_url, admin_address)
        return Endpoint(*addresses, self._admin_token, metrics_url, ca="" if self._tls is None else self._tls.ca)

    def _node(self, store: Store, registry: ConnectionRegistry) -> "Node | None":
        if self._config.bus is None:
            return None
        from interop_server.nodes.joining import node_on  # loaded on demand: a plain start is alone

        return node_on(store, registry, self._clock)

    async def _join(self, node: "Node", root_public_key: bytes, rules: Rules) -> None:
        from interop_server.nodes.joining import join  # likewise

        assert self._config.bus is not None
        self._shutdown.add("this node", node.stop)
        has_people = self._config.workbench is not None and self._config.workbench.has_people
        await join(node, self._config.bus, root_public_key, rules, self._troubles, has_people=has_people)

    def _open_what_outlives_a_reset(self) -> None:
        config = self._config
        if config.tls and self._tls is None:
            self._tls = _tls(config)
        if config.otlp_url and self._telemetry is None:
            from interop_server.telemetry import Telemetry, TelemetryUnusable  # loaded on demand: it is an extra

            try:
                self._telemetry = Telemetry(config.otlp_url, config.node)
            except TelemetryUnusable as error:
                raise FileUnusable(str(error)) from error
            self._last.add("spans", self._telemetry.close)

    async def _take_up_the_past(self, store: Store) -> None:
        clock, past = self._clock, store.past
        if self._config.bus is None:
            await self._take_up_own_time(past)
        else:
            from interop_server.nodes.joining import take_up_time  # as in `_node`

            await take_up_time(store, clock)
        self._shutdown.add("the clock", lambda: past.note_time(clock.now_ms(), clock.ahead_ms))
        if self._config.seed is not None:
            self._start_number = await past.take_start_number()
            _log.warning("ids and keys are derived from the seed: anyone who knows it can compute them")

    async def _take_up_own_time(self, past: PastStore) -> None:
        clock, floor_ms, ahead_ms = self._clock, await past.get_time_floor_ms(), await past.get_time_ahead_ms()
        try:
            clock.start_from(floor_ms, ahead_ms)
        except ValueError as error:
            raise ClockBehind(
                f"the clock cannot stand at {format_time(clock.now_ms())}: on this database it was "
                f"{format_time(floor_ms)} already, and time does not go backwards. Freeze it there or later, or choose "
                "another database."
            ) from error
        if clock.ahead_ms != ahead_ms:
            await past.note_time(clock.now_ms(), clock.ahead_ms)

    def _gate(self, journal: Journal) -> FaultGate:
        faults = self.faults = Faults(journal, _catalogue)
        if self._config.faults:
            faults.add(self._config.faults)
        return FaultGate(faults, self._clock)

    def _rng(self, purpose: str) -> Rng:
        seed = self._config.seed
        return SystemRng() if seed is None else SeededRng(seed, self._start_number, purpose)

    def _write_journal(self, journal: Journal) -> None:
        if self._config.journal is None:
            return
        if self._config.db is not None and is_of_database(self._config.journal, self._config.db):
            raise FileUnusable(f"{self._config.journal} is a file of the database: choose another for the journal.")
        try:
            file = JournalFile.open(self._config.journal, journal, self._troubles)
        except OSError as error:
            raise FileUnusable(f"{self._config.journal} cannot be written: {error.strerror}.") from error
        self._shutdown.add("the journal file", file.close)

    def _serve_http(self, rules: Rules, signers: PushSigners, seats: Seats, gate: FaultGate) -> str:
        host, http = self._listen_for_http("HTTP", self._config.http_address)
        limits = self._config.limits
        most, context = min(limits.http_connections, most_connections(Part.HTTP)), self._http_context()

        async def start(sock: socket.socket) -> "HttpServer":
            from interop_server.http.surface import build_application, serve

            application = build_application(
                rules.enlistment.enlist, rules.media, signers.public_jwks, rules.journal, seats, gate
            )
            application.middlewares[:0] = self._request_spans()
            return await serve(application, sock, most, limits.silent_connection_seconds, context)

        self._background("HTTP", http.serve(start, self._troubles))
        return f"{'http' if context is None else 'https'}://{join_address(host, http.port)}"

    def _http_context(self) -> "ssl.SSLContext | None":
        """Returns the certificate and key for HTTP. Read at the start, not with the code: who starts it is told."""
        if self._tls is None:
            return None
        from interop_server.tls import TlsUnusable  # loaded already, since there is a certificate

        try:
            return self._tls.http_context()
        except TlsUnusable as error:
            raise FileUnusable(str(error)) from error

    def _call_spans(self, journal: Journal) -> "CallSpans | None":
        if self._telemetry is None:
            return None
        from interop_server.rpc.spans import CallSpans  # loaded on demand: a plain start makes no spans

        self._shutdown.add("events of spans", self._telemetry.watch(journal))
        return CallSpans(self._telemetry.tracer)

    def _request_spans(self) -> "Sequence[Middleware]":
        if self._telemetry is None:
            return ()
        from interop_server.http.spans import request_spans  # likewise

        return (request_spans(self._telemetry.tracer),)

    def _listen_for_http(self, name: str, address: str) -> tuple[str, HttpListener]:
        """Listens on an address until the stop; returns its host, and what listens."""
        host, port = split_address(address)
        try:
            http = listen_for_http(host, port)
        except OSError as error:
            raise unusable(address) from error
        self._own.add(http.port)
        self._shutdown.add(name, http.stop)
        return host, http

    async def _serve_metrics(
        self, journal: Journal, store: Store, counted: Callable[[], dict[str, int]], registry: ConnectionRegistry
    ) -> str:
        address = self._config.metrics_address
        if address is None:
            return ""
        from interop_server.http.metrics import Metrics, Sources  # loaded on demand: a plain start counts for nobody
        from interop_server.http.surface import serve

        host, http = self._listen_for_http("metrics", address)
        sources = Sources(
            node=self._config.node,
            count_rows=store.count_rows,
            counted=counted,
            connections=lambda: len(registry.connected()),
            troubles=lambda: self._troubles.present,
        )
        metrics = Metrics(journal, sources)
        self._shutdown.add("counting", metrics.close)
        limits, tls = self._config.limits, self._http_context()

        async def start(sock: socket.socket) -> "HttpServer":
            most, seconds = most_connections(Part.METRICS), limits.silent_connection_seconds
            return await serve(metrics.application(), sock, min(limits.http_connections, most), seconds, tls)

        await http.serve(start)
        return f"{'http' if tls is None else 'https'}://{join_address(host, http.port)}/metrics"

    async def _serve_grpc(self, server: grpc.aio.Server, address: str, *, is_admin: bool) -> str:
        host, port = split_address(address)
        tls = None if self._tls is None else self._tls.grpc_credentials()
        place, grace_seconds = join_address(host, port), self._config.grace_seconds
        try:
            listening = await listen(server, place, grace_seconds, self._troubles, tls, is_admin=is_admin)
        except RuntimeError as error:
            raise unusable(address) from error
        self._own.add(listening.port)
        for stop in listening.stops:
            self._shutdown.add(f"gRPC on {address}", stop)
        return join_address(host, listening.port)

    def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda done: log_end(_log, f"background work {name!r} ended", done))

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._shutdown.add(name, stop)

    def _start_timers(self, rules: Rules, turns: WorldTurns | None) -> None:
        timers, limits = Timers(self._clock, rules.journal, turns), self._config.limits
        self._shutdown.add("timers", timers.stop)
        timers.repeat("key_sets", limits.jwks_refresh_seconds, rules.key_sets.refresh_all)
        timers.repeat("connected_accounts", limits.connected_note_seconds, rules.absence.note_connected)
        for sweep in rules.sweeps():
            timers.sweep(sweep)


def _tls(config: Config) -> "Tls":
    from interop_server import tls  # loaded on demand: a plain start speaks none

    if isinstance(config.tls, TlsFiles):
        try:
            return tls.from_files(config.tls)
        except tls.TlsUnusable as error:
            raise FileUnusable(str(error)) from error
    addresses = (config.grpc_address, config.admin_address, config.http_address)
    hosts = {split_address(address)[0] for address in addresses}
    return tls.make([*sorted(hosts), socket.gethostname()], machine_ms())


async def _watch(check: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)  # in real time: a disk knows no other
        await check()


def _explain(requirement: str) -> tuple[str, Sequence[str], Sequence[str]]:
    from interop_server.ledger import load_ledger  # loaded on demand: a plain start explains nothing

    row = load_ledger().get(requirement)
    return row.statement, [evidence.value for evidence in row.evidence], row.policy


def _requirement_ids() -> Collection[str]:
    from interop_server.ledger import load_ledger  # likewise

    return load_ledger().rows


def _catalogue() -> Catalogue:
    from interop_server.fault_file import known_catalogue  # loaded on demand: a plain start has no faults

    return known_catalogue()


def _drain(rules: Rules, registry: ConnectionRegistry) -> Callable[[], Awaitable[None]]:
    async def drain() -> None:
        try:
            await rules.absence.note_connected()
        finally:
            registry.drain()

    return drain


def _all_counts(counts: Mapping[str, int], others: Callable[[], dict[str, int]]) -> Callable[[], dict[str, int]]:
    return lambda: {**counts, **others()}


def _troubles(people: str) -> Troubles:
    """Returns the troubles of a world at its beginning, and logs all that come.

    Args:
        people: Why nobody is beside it who should be; empty where nobody is missing. Whoever starts it has heard that.
    """
    troubles = Troubles()
    if people:
        troubles.meet(PEOPLE, people)
    troubles.watch(_log_trouble)
    return troubles


def _log_trouble(part: str, sentence: str) -> None:
    if sentence:
        _log.error("%s: %s", part, sentence)
    elif part != PEOPLE:  # whose coming is told by the ready line
        _log.info("%s: works again", part)
