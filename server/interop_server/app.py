"""The composition root: builds every part, starts them in order and stops them in reverse; reads top to bottom.

Nothing else in the server knows which implementation a port has.
"""

import asyncio
import logging
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio

from interop_protocol.times import format_time
from interop_server.addresses import Addresses, join_address, split_address, unusable
from interop_server.blobs.local import LocalBlobStore
from interop_server.config import Config
from interop_server.core.fault_rules import Catalogue
from interop_server.core.faults import Faults
from interop_server.core.journal import Journal, open_journal
from interop_server.core.ports import Rng
from interop_server.core.rules import Ports, Rules, build_rules
from interop_server.core.seats import Seats
from interop_server.core.store import Store
from interop_server.core.troubles import Troubles
from interop_server.fault_gate import FaultGate
from interop_server.http.jwks import HttpJwksSource
from interop_server.http.listener import listen as listen_for_http
from interop_server.http.own_places import OwnPlaces
from interop_server.http.partner_media import HttpPartnerMediaSource
from interop_server.http.push import HttpPushGateway
from interop_server.identity import Identities, load_identity
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.convert.batches import Batches
from interop_server.rpc.departures import Departures
from interop_server.rpc.edge import Edge
from interop_server.rpc.repeats import Repeats
from interop_server.rpc.server import admin_server, client_server, listen
from interop_server.rpc.turns import Turns
from interop_server.rpc.waiting import WaitingRoom
from interop_server.runtime.clock import AdjustableClock, machine_ms
from interop_server.runtime.files import most_files
from interop_server.runtime.journal_file import JournalFile
from interop_server.runtime.jwt import JoserfcTokens, PushSigners
from interop_server.runtime.rng import SeededRng, SystemRng
from interop_server.runtime.shutdown import Shutdown, StopIncomplete
from interop_server.runtime.timers import Timers
from interop_server.storage import open_store

if TYPE_CHECKING:
    from interop_server.http.surface import HttpServer

HTTP_PART, GRPC_PART = 0.2, 0.35
"""What the HTTP surface, and each of the two gRPC servers, gets at most of the files that may be open."""
_log = logging.getLogger(__name__)

STEP_SECONDS = 1.0
"""How long a step of the stop may take beside the time that calls get to finish."""
WATCH_SECONDS = 1.0
"""How often it is looked whether the database is in its place, and, after a failure, whether disks work again."""
STOP_SECONDS = 6.0
"""How long the whole stop may take beside that time: less than the ten seconds that process managers give."""


class ClockBehind(Exception):
    """The clock is set to a time that has passed; the message is a sentence that says which and what to do."""


class FileUnusable(Exception):
    """A file cannot be used for what it was chosen for; the message is a sentence that says which and why."""


class Simulator:
    """One server. Start it in the event loop that it runs in; stop it exactly once."""

    def __init__(self, config: Config, clock: AdjustableClock | None = None) -> None:
        self._config = config
        self._clock = clock or AdjustableClock(config.freeze_at_ms)
        self._start_number = 0
        """Number of this start on the database, when a seed is used: values derived from the seed must not repeat."""
        self.faults: Faults | None = None
        """Its faults, once it is started."""
        self._own = OwnPlaces()
        self._troubles = Troubles()
        self._troubles.watch(_log_trouble)
        step_seconds = config.grace_seconds + STEP_SECONDS
        self._shutdown = Shutdown(step_seconds, config.grace_seconds + STOP_SECONDS)

    async def start(self) -> Addresses:
        """Starts everything; health says SERVING when this returns.

        Raises:
            AddressUnusable: An address is taken, or not one of this machine's. Everything started is stopped again.
            ClockBehind: The clock is set to a time that has passed on the database; likewise.
            FileUnusable: The journal file cannot be written; likewise.
            WrongDatabase: The database file cannot be used; likewise.
        """
        try:
            return await self._start()
        except BaseException:
            with suppress(StopIncomplete):  # logged; why the start failed is what matters
                await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything in reverse order of starting. Health says NOT_SERVING first.

        Raises:
            StopIncomplete: A step failed or did not end in time; every other step was run.
        """
        await self._shutdown.run()

    def never_fired(self) -> list[str]:
        """Returns the names of the faults that have done nothing so far."""
        return [] if self.faults is None else self.faults.never_fired()

    async def _start(self) -> Addresses:
        config, clock = self._config, self._clock
        store, blob_folder = await self._open_store()
        await self._take_up_the_past(store)
        # Clients check certificates by the machine's clock, unless their clock is set like the server's.
        times_ms = (clock.now_ms(), machine_ms())
        certified = await load_identity(store.secrets, times_ms, self._rng("identity"), config.limits.certificate_days)

        seats = Seats(config.limits)
        registry = ConnectionRegistry(self._rng("session tokens"))
        signers = PushSigners(store.secrets)
        journal = open_journal(clock, self._rng, config.node)
        faults = self.faults = Faults(journal, _catalogue)
        if config.faults:
            faults.add(config.faults)
        gate = FaultGate(faults, clock)
        push = HttpPushGateway(store.partners.get, signers.get, clock, expect=clock.expect, own=self._own, gate=gate)
        blobs = LocalBlobStore(blob_folder, clock, self._troubles)
        rules = build_rules(
            Ports(
                store=store,
                blobs=blobs,
                connections=registry,
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
            )
        )
        departures = Departures(registry, rules.absence, rules.unacked_push, rules.journal)
        repeats = Repeats(clock, config.limits)
        waiting = WaitingRoom(config.limits.waiting_bytes)
        edge = Edge(
            rules,
            registry,
            departures,
            repeats,
            seats,
            waiting,
            Turns(),
            Batches(config.limits),
            gate,
            int(most_files() * GRPC_PART),
            clock,
            self._rng("handshakes"),
        )

        self._write_journal(rules.journal)
        http_url = self._serve_http(rules, signers, seats, gate)
        self._background("push", push.run())
        self._background("storage", _watch_storage(store, blobs))
        self._start_timers(rules)

        def counted() -> dict[str, int]:
            return {**rules.counts, **push.counters()}

        self._shutdown.add("repeatable calls", repeats.settle)
        admin = admin_server(edge, store.count_rows, counted, _explain, self._troubles)
        admin_address = await self._serve_grpc(admin, config.admin_address, is_admin=True)
        self._shutdown.add("ends of connections", departures.settle)
        client = client_server(edge, Identities(certified, self._rng("untrusted identities"), clock), http_url)
        grpc_address = await self._serve_grpc(client, config.grpc_address, is_admin=False)
        self._shutdown.add("connections", _drain(rules, registry))
        return Addresses(grpc_address, admin_address, http_url, certified.root_public_key)

    async def _take_up_the_past(self, store: Store) -> None:
        clock, past = self._clock, store.past
        floor_ms, ahead_ms = await past.get_time_floor_ms(), await past.get_time_ahead_ms()
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
        self._shutdown.add("the clock", lambda: past.note_time(clock.now_ms(), clock.ahead_ms))
        if self._config.seed is not None:
            self._start_number = await store.past.take_start_number()
            _log.warning("ids and keys are derived from the seed: anyone who knows it can compute them")

    def _rng(self, purpose: str) -> Rng:
        seed = self._config.seed
        return SystemRng() if seed is None else SeededRng(seed, self._start_number, purpose)

    async def _open_store(self) -> tuple[Store, Path]:
        db, blob_folder = self._places()
        store = await open_store(db, self._clock.now_ms, self._troubles)
        self._shutdown.add("the database", store.close)
        return store, blob_folder

    def _write_journal(self, journal: Journal) -> None:
        if self._config.journal is None:
            return
        if self._config.db is not None and _is_of_database(self._config.journal, self._config.db):
            raise FileUnusable(f"{self._config.journal} is a file of the database: choose another for the journal.")
        try:
            file = JournalFile.open(self._config.journal, journal, self._troubles)
        except OSError as error:
            raise FileUnusable(f"{self._config.journal} cannot be written: {error.strerror}.") from error
        self._shutdown.add("the journal file", file.close)

    def _places(self) -> tuple[Path, Path]:
        if self._config.db is not None:
            blobs = self._config.db.with_name(self._config.db.name + ".blobs")
            if blobs.exists() and not blobs.is_dir():
                raise FileUnusable(
                    f"{blobs} is no folder, and the blobs belong there: move it, or choose another --db."
                )
            return self._config.db, blobs
        folder = Path(tempfile.mkdtemp(prefix="interopsim-"))
        self._shutdown.add("the temporary folder", lambda: asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
        return folder / "interopsim.db", folder / "blobs"

    def _serve_http(self, rules: Rules, signers: PushSigners, seats: Seats, gate: FaultGate) -> str:
        host, port = split_address(self._config.http_address)
        try:
            http = listen_for_http(host, port)
        except OSError as error:
            raise unusable(self._config.http_address) from error
        self._own.add(http.port)
        limits = self._config.limits
        most = min(limits.http_connections, int(most_files() * HTTP_PART))

        async def start(sock: socket.socket) -> "HttpServer":
            from interop_server.http.surface import build_application, serve

            application = build_application(
                rules.enlistment.enlist, rules.media, signers.public_jwks, rules.journal, seats, gate
            )
            return await serve(application, sock, most, limits.silent_connection_seconds)

        self._shutdown.add("HTTP", http.stop)
        self._background("HTTP", http.serve(start))
        return f"http://{join_address(host, http.port)}"

    async def _serve_grpc(self, server: grpc.aio.Server, address: str, *, is_admin: bool) -> str:
        host, port = split_address(address)
        try:
            listening = await listen(
                server, join_address(host, port), self._config.grace_seconds, self._troubles, is_admin=is_admin
            )
        except RuntimeError as error:
            raise unusable(address) from error
        self._own.add(listening.port)
        for stop in listening.stops:
            self._shutdown.add(f"gRPC on {address}", stop)
        return join_address(host, listening.port)

    def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda done: _report(name, done))

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._shutdown.add(name, stop)

    def _start_timers(self, rules: Rules) -> None:
        timers, limits = Timers(self._clock, rules.journal), self._config.limits
        self._shutdown.add("timers", timers.stop)
        timers.repeat("key_sets", limits.jwks_refresh_seconds, rules.key_sets.refresh_all)
        timers.repeat("connected_accounts", limits.connected_note_seconds, rules.absence.note_connected)
        for sweep in rules.sweeps():
            timers.sweep(sweep)


def _is_of_database(path: Path, db: Path) -> bool:
    """Says whether a path leads to one of the files of an open database, by whatever name."""
    files = [db.with_name(db.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
    return any(path.absolute() == file.absolute() or (file.exists() and _is_same(path, file)) for file in files)


def _is_same(path: Path, file: Path) -> bool:
    return path.exists() and path.samefile(file)


async def _watch_storage(store: Store, blobs: LocalBlobStore) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)  # in real time: a disk knows no other
        await store.check()
        await blobs.check()


def _explain(requirement: str) -> tuple[str, Sequence[str], Sequence[str]]:
    from interop_server.ledger import load_ledger  # loaded on demand: a plain start explains nothing

    row = load_ledger().get(requirement)
    return row.statement, [evidence.value for evidence in row.evidence], row.policy


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


def _log_trouble(part: str, sentence: str) -> None:
    if sentence:
        _log.error("%s: %s", part, sentence)
    else:
        _log.info("%s: works again", part)


def _report(name: str, task: "asyncio.Future[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background work %r ended", name, exc_info=error)
