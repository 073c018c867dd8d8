"""The composition root: builds every part, starts them in order and stops them in reverse; reads top to bottom.

Nothing else in the server knows which implementation stands behind a port.
"""

import asyncio
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from interop_api.admin.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    clock_pb2,
    clock_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
    standing_pb2,
    standing_pb2_grpc,
)
from interop_api.v1 import (
    account_pb2,
    account_pb2_grpc,
    chat_pb2,
    chat_pb2_grpc,
    enlistment_pb2,
    enlistment_pb2_grpc,
    integrity_pb2,
    integrity_pb2_grpc,
    interop_pb2,
    interop_pb2_grpc,
    media_pb2,
    prekeys_pb2,
    prekeys_pb2_grpc,
)
from interop_protocol.sizes import MAX_FRAME_BYTES
from interop_protocol.times import format_time
from interop_server.blobs.local import LocalBlobStore
from interop_server.config import Config
from interop_server.core.abuse.audit import Audit
from interop_server.core.abuse.blocklist import Blocklist
from interop_server.core.abuse.challenges import Challenges
from interop_server.core.abuse.escalation import Escalation
from interop_server.core.abuse.reports import Reports
from interop_server.core.abuse.scoring import Scoring
from interop_server.core.abuse.standing import Standing
from interop_server.core.abuse.suspension import Suspension
from interop_server.core.connection.lifecycle import Lifecycle
from interop_server.core.connection.logins import Logins
from interop_server.core.connection.unacked import UnackedPush
from interop_server.core.consent.message_requests import MessageRequests
from interop_server.core.consent.optin import OptIn
from interop_server.core.consent.reachability import Reachability
from interop_server.core.enlistment.absence import Absence
from interop_server.core.enlistment.enlistment import Enlistment
from interop_server.core.enlistment.tokens import KeySets, PartnerTokens
from interop_server.core.errors import Refusal
from interop_server.core.journal import TIMER, Journal
from interop_server.core.keys.prekeys import PreKeys
from interop_server.core.media.media import Media
from interop_server.core.messaging.arrivals import Arrivals
from interop_server.core.messaging.mailbox import Mailbox
from interop_server.core.messaging.receipts import Receipts
from interop_server.core.messaging.routing import Router, RouterParts
from interop_server.core.messaging.typing_indicators import TypingIndicators
from interop_server.core.operator.clock_control import ClockControl
from interop_server.core.operator.operator import Operator
from interop_server.core.ports import Rng
from interop_server.core.stores import Store
from interop_server.http.jwks import HttpJwksSource
from interop_server.http.partner_media import HttpPartnerMediaSource
from interop_server.http.push import HttpPushGateway
from interop_server.http.surface import build_application, serve
from interop_server.identity import load_identity
from interop_server.rpc.admin import AdminServicer
from interop_server.rpc.chat import ChatParts, ChatServicer
from interop_server.rpc.clock import ClockServicer
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.departures import Departures
from interop_server.rpc.errors import RefusalInterceptor
from interop_server.rpc.handshake import ServerIdentity
from interop_server.rpc.integrity import IntegrityServicer
from interop_server.rpc.interop import InteropServicer
from interop_server.rpc.journal import JournalServicer
from interop_server.rpc.media import MediaServicer, add_media_service
from interop_server.rpc.prekeys import PreKeyServicer
from interop_server.rpc.reflection import add_reflection
from interop_server.rpc.services import AccountServicer, EnlistmentServicer
from interop_server.rpc.session import Sessions
from interop_server.rpc.standing import StandingServicer
from interop_server.runtime.clock import AdjustableClock, machine_ms
from interop_server.runtime.journal_file import JournalFile
from interop_server.runtime.jwt import JoserfcTokens, PushSigners
from interop_server.runtime.rng import SeededRng, SystemRng
from interop_server.runtime.timers import Timers
from interop_server.storage import SqliteStore

_log = logging.getLogger(__name__)

_CLIENT_SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (enlistment_pb2.DESCRIPTOR, "EnlistmentService"),
        (chat_pb2.DESCRIPTOR, "ChatService"),
        (prekeys_pb2.DESCRIPTOR, "PreKeyService"),
        (interop_pb2.DESCRIPTOR, "InteropService"),
        (media_pb2.DESCRIPTOR, "MediaService"),
        (integrity_pb2.DESCRIPTOR, "IntegrityService"),
        (account_pb2.DESCRIPTOR, "AccountService"),
    )
)
_ADMIN_SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (admin_pb2.DESCRIPTOR, "AdminService"),
        (clock_pb2.DESCRIPTOR, "ClockService"),
        (journal_pb2.DESCRIPTOR, "JournalService"),
        (standing_pb2.DESCRIPTOR, "StandingService"),
    )
)


class AddressUnusable(Exception):
    """An address cannot be listened on; the message is a sentence that says which and what to do."""


class ClockBehind(Exception):
    """The clock shall stand at a time that has passed; the message is a sentence that says which and what to do."""


class FileUnusable(Exception):
    """A file cannot be written; the message is a sentence that says which and why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started server is reached."""

    grpc: str
    admin: str
    http: str
    """With scheme."""
    root_public_key: bytes
    """What clients verify the server's certificate chain against: 32 bytes."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """The rules, each with what it needs."""

    registry: ConnectionRegistry
    push: HttpPushGateway
    push_jwks: Callable[[], Awaitable[dict[str, object]]]
    journal: Journal
    counts: Counter[str]
    absence: Absence
    departures: Departures
    enlistment: Enlistment
    logins: Logins
    router: Router
    receipts: Receipts
    typing_indicators: TypingIndicators
    mailbox: Mailbox
    prekeys: PreKeys
    optin: OptIn
    requests: MessageRequests
    reachability: Reachability
    media: Media
    blocklist: Blocklist
    lifecycle: Lifecycle
    standing: Standing
    escalation: Escalation
    reports: Reports
    audit: Audit
    challenges: Challenges
    operator: Operator

    async def refresh_key_sets(self) -> None:
        """Fetches the key sets of all partners (ENL-03)."""
        for partner in await self.operator.list_partners():
            subject = str(partner.integrator)
            try:
                await self.operator.refresh_jwks(partner.integrator)
                self.journal.record(TIMER, "timer.key_sets", "done", subject, requirement="ENL-03")
            except Refusal as refusal:
                self.journal.refuse(refusal, TIMER, "timer.key_sets", subject)
                _log.warning("key set of partner %d: %s", partner.integrator, refusal)

    def counted(self) -> dict[str, int]:
        """What was counted since the start."""
        return {**self.counts, **self.prekeys.counts, **self.push.counters()}


class Simulator:
    """One server. Start it in the loop that it shall live in; stop it exactly once."""

    def __init__(self, config: Config, clock: AdjustableClock | None = None) -> None:
        self._config = config
        self._clock = clock or AdjustableClock(config.freeze_at_ms)
        self._start_number = 0
        """Which start on this database it is, when that matters: what follows from the seed must not come again."""
        self._stops: list[Callable[[], Awaitable[None]]] = []

    async def start(self) -> Addresses:
        """Starts everything; health says SERVING when it returns.

        Raises:
            AddressUnusable: An address is taken or none of this machine's. What was started is stopped again.
            ClockBehind: The clock shall stand at a time that the database has seen pass; likewise.
            FileUnusable: The file for the journal cannot be written; likewise.
            WrongDatabase: The database file cannot be used; likewise.
        """
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything in reverse order of starting. Health says NOT_SERVING first."""
        while self._stops:
            await self._stops.pop()()

    async def _start(self) -> Addresses:
        store, blob_folder = await self._open_store()
        await self._take_up_the_past(store)
        # Clients check certificates by the machine's clock, unless theirs is set like the server's.
        times_ms = (self._clock.now_ms(), machine_ms())
        certified = await load_identity(store, times_ms, self._rng("identity"), self._config.limits.certificate_days)
        parts = self._build(store, blob_folder)
        self._write_journal(parts.journal)
        http_url = await self._serve_http(
            build_application(parts.enlistment.enlist, parts.media, parts.push_jwks, parts.journal)
        )
        self._background("push", parts.push.run())
        self._start_timers(parts)

        admin_server = _grpc_server(parts.journal)
        admin = AdminServicer(parts.operator, parts.registry, store.count_rows, parts.counted)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, admin_server)
        journal = JournalServicer(parts.journal, self._clock, self._config.limits, _explain)
        journal_pb2_grpc.add_JournalServiceServicer_to_server(journal, admin_server)
        clock = ClockServicer(ClockControl(self._clock, store))
        clock_pb2_grpc.add_ClockServiceServicer_to_server(clock, admin_server)
        standing = StandingServicer(parts.escalation, parts.reports, parts.audit, self._clock)
        standing_pb2_grpc.add_StandingServiceServicer_to_server(standing, admin_server)
        admin_address = await self._serve_grpc(admin_server, self._config.admin_address, _ADMIN_SERVICES)

        self._stops.append(parts.departures.settle)
        client_server = _grpc_server(parts.journal)
        self._add_client_services(client_server, parts, certified.identity, http_url)
        grpc_address = await self._serve_grpc(client_server, self._config.grpc_address, _CLIENT_SERVICES)
        self._stops.append(_drain(parts.registry, parts.absence))
        return Addresses(grpc_address, admin_address, http_url, certified.root_public_key)

    def _build(self, store: Store, blob_folder: Path) -> "_Parts":
        clock, rng, limits = self._clock, self._rng, self._config.limits
        counts: Counter[str] = Counter()
        journal = Journal(clock, rng("request ids"))
        registry = ConnectionRegistry(rng("session tokens"))
        signers = PushSigners(store)
        push = HttpPushGateway(store.get_partner, signers.get, clock, expect=clock.expect)
        blobs = LocalBlobStore(blob_folder, clock)
        reader = JoserfcTokens()
        key_sets = KeySets(store, HttpJwksSource(), reader, clock, limits)
        tokens = PartnerTokens(store, reader, key_sets, clock, limits)
        standing = Standing(store, registry, journal, clock, limits)
        absence = Absence(store, registry, journal, clock, limits)
        unacked_push = UnackedPush(store, registry, push, journal, clock, limits)
        scoring = Scoring(store, registry, clock, limits)
        operator = Operator(store, key_sets, registry, clock, limits)
        suspension = Suspension(store, operator, journal, limits)
        escalation = Escalation(standing, scoring, suspension, clock, limits)
        arrivals = Arrivals(registry, push, journal, limits)
        challenges = Challenges(store, standing, registry, clock, rng("challenges"), limits)
        return _Parts(
            registry=registry,
            push=push,
            push_jwks=signers.public_jwks,
            journal=journal,
            counts=counts,
            absence=absence,
            departures=Departures(registry, absence, unacked_push, journal),
            enlistment=Enlistment(
                store, tokens, absence, standing, self._config.location, registry, clock, rng("JIDs"), limits
            ),
            logins=Logins(store, tokens, absence, standing, self._config.location, clock, limits),
            router=Router(RouterParts(store, arrivals, escalation, journal, clock, limits)),
            receipts=Receipts(store, arrivals, journal, counts, clock, limits),
            typing_indicators=TypingIndicators(store, registry, journal, counts, clock, limits),
            mailbox=Mailbox(store, clock, limits),
            prekeys=PreKeys(store, registry, journal, clock, limits),
            optin=OptIn(store, clock, limits),
            requests=MessageRequests(store, registry, push, journal, clock, limits),
            reachability=Reachability(store, registry, journal, clock, limits),
            media=Media(store, blobs, HttpPartnerMediaSource(limits), clock, rng("media"), limits),
            blocklist=Blocklist(store, limits),
            lifecycle=Lifecycle(store, blobs, registry, clock, limits),
            standing=standing,
            reports=Reports(store, escalation, journal, clock, rng("reports"), limits),
            challenges=challenges,
            audit=Audit(store, registry, challenges, journal, limits),
            escalation=escalation,
            operator=operator,
        )

    def _add_client_services(
        self, server: grpc.aio.Server, parts: "_Parts", identity: ServerIdentity, http_url: str
    ) -> None:
        sessions = Sessions(parts.registry)
        chat = ChatParts(
            identity=identity,
            logins=parts.logins,
            departures=parts.departures,
            registry=parts.registry,
            router=parts.router,
            receipts=parts.receipts,
            typing_indicators=parts.typing_indicators,
            mailbox=parts.mailbox,
            prekeys=parts.prekeys,
            clock=self._clock,
            rng=self._rng("handshakes"),
            limits=self._config.limits,
            counts=parts.counts,
            journal=parts.journal,
        )
        media = MediaServicer(sessions, parts.media, http_url, self._config.limits)
        integrity = IntegrityServicer(sessions, parts.blocklist, parts.reports, parts.challenges, self._config.limits)
        enlistment = EnlistmentServicer(parts.enlistment, parts.journal)
        prekeys = PreKeyServicer(sessions, parts.prekeys, parts.journal)
        interop = InteropServicer(sessions, parts.optin, parts.requests, parts.reachability, parts.journal)
        enlistment_pb2_grpc.add_EnlistmentServiceServicer_to_server(enlistment, server)
        chat_pb2_grpc.add_ChatServiceServicer_to_server(ChatServicer(chat), server)
        prekeys_pb2_grpc.add_PreKeyServiceServicer_to_server(prekeys, server)
        interop_pb2_grpc.add_InteropServiceServicer_to_server(interop, server)
        add_media_service(media, server)
        integrity_pb2_grpc.add_IntegrityServiceServicer_to_server(integrity, server)
        account_pb2_grpc.add_AccountServiceServicer_to_server(AccountServicer(sessions, parts.lifecycle), server)

    async def _take_up_the_past(self, store: Store) -> None:
        floor_ms = await store.get_time_floor_ms()
        try:
            self._clock.start_from(floor_ms)
        except ValueError as error:
            raise ClockBehind(
                f"the clock cannot stand at {format_time(self._clock.now_ms())}: on this database it was "
                f"{format_time(floor_ms)} already, and time does not go backwards. Freeze it there or later, or choose "
                "another database."
            ) from error
        self._stops.append(lambda: store.raise_time_floor(self._clock.now_ms()))
        if self._config.seed is not None:
            self._start_number = await store.take_start_number()
            _log.warning("ids and keys follow from the seed: whoever knows it knows them")

    def _rng(self, purpose: str) -> Rng:
        seed = self._config.seed
        return SystemRng() if seed is None else SeededRng(seed, self._start_number, purpose)

    async def _open_store(self) -> tuple[SqliteStore, Path]:
        db, blob_folder = self._places()
        store = await SqliteStore.open(db)
        self._stops.append(store.close)
        return store, blob_folder

    def _write_journal(self, journal: Journal) -> None:
        if self._config.journal is None:
            return
        try:
            self._stops.append(JournalFile.open(self._config.journal, journal).close)
        except OSError as error:
            raise FileUnusable(f"{self._config.journal} cannot be written: {error.strerror}.") from error

    def _places(self) -> tuple[Path, Path]:
        if self._config.db is not None:
            return self._config.db, self._config.db.with_name(self._config.db.name + ".blobs")
        folder = Path(tempfile.mkdtemp(prefix="interopsim-"))
        self._stops.append(lambda: asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
        return folder / "interopsim.db", folder / "blobs"

    async def _serve_http(self, application: Any) -> str:
        host, port = split_address(self._config.http_address)
        try:
            http = await serve(application, host, port)
        except OSError as error:
            raise AddressUnusable(_unusable(self._config.http_address)) from error
        self._stops.append(http.stop)
        return f"http://{_join_address(host, http.port)}"

    async def _serve_grpc(self, server: grpc.aio.Server, address: str, services: Sequence[str]) -> str:
        host, port = split_address(address)
        health_servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        add_reflection(server, (*services, health.SERVICE_NAME))
        try:
            bound = server.add_insecure_port(_join_address(host, port))
        except RuntimeError as error:
            raise AddressUnusable(_unusable(address)) from error
        await server.start()

        async def stop() -> None:
            await server.stop(self._config.grace_seconds)

        self._stops.append(stop)
        for service in ("", *services):
            await health_servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._stops.append(health_servicer.enter_graceful_shutdown)
        return _join_address(host, bound)

    def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda done: _report(name, done))

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stops.append(stop)

    def _start_timers(self, parts: _Parts) -> None:
        timers = Timers(self._clock, parts.journal)
        self._stops.append(timers.stop)
        timers.repeat("key_sets", self._config.limits.jwks_refresh_seconds, parts.refresh_key_sets)
        timers.repeat("connected_accounts", self._config.limits.connected_note_seconds, parts.absence.note_connected)
        sweeps = (
            *parts.lifecycle.sweeps(),
            *parts.standing.sweeps(),
            *parts.reports.sweeps(),
            parts.absence.sweep(),
            parts.reachability.sweep(),
        )
        for sweep in sweeps:
            timers.sweep(sweep)


def _explain(requirement: str) -> tuple[str, Sequence[str], Sequence[str]]:
    from interop_server.ledger import load_ledger  # a plain start explains nothing

    row = load_ledger().get(requirement)
    return row.statement, [evidence.value for evidence in row.evidence], row.policy


def split_address(address: str) -> tuple[str, int]:
    """Splits `host:port` or `[host]:port`.

    Raises:
        AddressUnusable: It has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise AddressUnusable(f"{address!r} is no address: write host:port, with port 0 to let the system choose.")
    return host.strip("[]") or "127.0.0.1", int(port)


def _join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unusable(address: str) -> str:
    return (
        f"cannot listen on {address}: the port is taken or the host is none of this machine's; port 0 finds a free one."
    )


def _grpc_server(journal: Journal) -> grpc.aio.Server:
    options = (
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
        # gRPC itself refuses what is longer than the hard cap (CHN-09); the configured limits lie far below it.
        ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    )
    return grpc.aio.server(interceptors=(RefusalInterceptor(journal),), options=options)


def _drain(registry: ConnectionRegistry, absence: Absence) -> Callable[[], Awaitable[None]]:
    async def drain() -> None:
        await absence.note_connected()
        registry.drain()

    return drain


def _report(name: str, task: "asyncio.Future[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background work %r ended", name, exc_info=error)
