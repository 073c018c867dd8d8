"""One server that is killed and started again on its database, its messenger, and its people; knows no promise."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from interop_admin.client import AdminClient
from interop_api.v1 import chat_pb2, enlistment_pb2
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.connection.transport import DirectTransport, LoginFactory
from interop_client.errors import ConnectionEnded, ServerRefusal, refusal_from_stanza_error
from interop_client.state import ClientState
from interop_demo.processes import Child, ChildFailed, simulator
from interop_protocol.endpoint import Endpoint
from interop_server.core.limits import Limits
from interop_server.crash_points import VARIABLE
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.raw import enlistment
from tests.invariants import violations, violations_on_server
from tests.object_stores import sizes_of_blob
from tests.registration import registration

INTEGRATOR = 600
MEDIA_DAYS = 1
STALE_UPLOAD_SECONDS = 60
_MANY = 1_000_000_000
_WEEK_SECONDS = 7 * 86_400
LIMITS = {
    **{each.name: _MANY for each in fields(Limits) if each.name.endswith(("_burst", "_per_day"))},
    "media_days": MEDIA_DAYS,
    "stale_upload_seconds": STALE_UPLOAD_SECONDS,
    "silent_seconds": _WEEK_SECONDS,
    "upload_auth_seconds": _WEEK_SECONDS,
    "token_clock_skew_seconds": _WEEK_SECONDS,
}
"""No rate answers for what is tried here, blobs and uploads are old soon, and moving the clock ends no session."""
_KEEPS_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Compiling the sources anew takes several times as long as the rest of a start."""
_BROKEN_OFF = {
    "UNAVAILABLE",
    "CANCELLED",
    "UNKNOWN",
    "INTERNAL",
    "OK",
    "BROKEN",
    "CLOSED",
    "CONNECTION_SILENT",
    "SERVER_DRAINING",
}
"""What a call or a channel ends with when its server is gone, or goes before it dies in a reset."""
_FAULTS = (" ERROR ", "Traceback", "SERVER_FAULT")

M = TypeVar("M", bound=Message)


class Broken(Exception):
    """The server did not keep a promise."""


def is_gone(error: BaseException) -> bool:
    """Whether an error is what a client sees of a server that was killed."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_gone, error.exceptions))
    return isinstance(error, ConnectionEnded | ServerRefusal) and error.reason in _BROKEN_OFF


@dataclass(frozen=True)
class Place:
    """Where a server lives."""

    folder: Path
    keys: SigningKeys
    """Of the messenger: making them takes long."""
    arguments: tuple[str, ...] = ()
    """Further options of `interopsim up`."""
    store: str = ""
    """The address of the database on a PostgreSQL server, in place of a file."""
    blobs: str = ""
    """The URL of the place of the blobs, in place of a folder beside the database."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of its processes."""


class Stage:
    """A server on one database, and a messenger. Made by `open_stage`; `start` begins each of the server's lives."""

    def __init__(self, place: Place, partner: PartnerServer, ahead: list[float]) -> None:
        self._place = place
        self._ahead = ahead
        self._users = itertools.count(1)
        self._log_length = 0
        self.expects_faults = False
        """Whether the server may log faults, because something was taken away from it."""
        self._child: Child | None = None
        self._death: asyncio.Task[str]
        self.db = place.folder / "chaos.db"
        self.partner = partner
        self.admin: AdminClient
        self.endpoint: Endpoint
        self.now_ms = 0
        """The latest time that the server has shown to anybody."""

    async def start(self, crash_at: str = "") -> None:
        """Starts the server; it is told where to die, if anywhere.

        Raises:
            ConnectionEnded: It died before it was ready, where it was told to.
            Broken: It does not start, its database is not in order, its time has gone back, or its former life logged a
                fault.
        """
        arguments = [word for name, value in LIMITS.items() for word in ("--limit", f"{name}={value}")]
        arguments += ["--log-level", "warning", *self._place.arguments]
        log = self._place.folder / "server.log"
        store, blobs = self._place.store, self._place.blobs
        if store:
            arguments += ["--store", store]
        if store or blobs:
            arguments += ["--blobs", blobs or str(self._place.folder)]
        environment = {VARIABLE: crash_at, **_KEEPS_BYTECODE, **self._place.environment}
        child = simulator(log, None if store else self.db, arguments, environment)
        try:
            ready = await child.start()
        except ChildFailed as error:
            if crash_at and len(log.read_text(errors="replace")) == self._log_length:
                raise ConnectionEnded("UNAVAILABLE", "It died before it was ready.") from error
            raise Broken(f"the server did not start: {error}") from error
        self._child, self._death = child, asyncio.create_task(child.read_line())  # nothing comes after the ready line
        self.endpoint = Endpoint(
            ready["grpc"], bytes.fromhex(ready["root_public_key"]), ready["http"], str(ready["admin"])
        )
        await self.close()
        self.admin = AdminClient(self.endpoint.admin)
        self.partner.set_simulator(self.endpoint)
        self._check_log(log)
        sizes_of = partial(sizes_of_blob, blobs, self._place.environment) if blobs else None
        found = await (violations_on_server(store) if store else asyncio.to_thread(violations, self.db, sizes_of))
        if found:
            raise Broken(f"the database is not in order: {found}")
        before_ms, clock = self.now_ms, await self.admin.get_clock()
        if clock.now_ms < before_ms:
            raise Broken(f"time has gone back by {before_ms - clock.now_ms} ms")
        self.note_time(clock.now_ms)
        await self.admin.put_partner(registration(self.partner, INTEGRATOR, "Chaos"))

    async def kill(self) -> None:
        """Ends the server with SIGKILL, if it lives."""
        child, self._child = self._child, None
        if child is not None:
            await (child.wait() if self._death.done() else child.kill())
            await self._death

    async def close(self) -> None:
        """Ends the operator's connection."""
        if hasattr(self, "admin"):
            await self.admin.close()

    async def died(self, within_seconds: float) -> bool:
        """Waits for the server's own death; says whether it came in time."""
        if self._child is not None:
            await asyncio.wait([self._death], timeout=within_seconds)
        return self._child is None or self._death.done()

    @property
    def keeps_objects(self) -> bool:
        """Whether blobs are objects, and no files."""
        return bool(self._place.blobs)

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._child is not None
        return self._child.pid

    def note_time(self, ms: int) -> None:
        """Remembers a time that the server has shown."""
        self.now_ms = max(self.now_ms, ms)
        self._ahead[0] = max(self._ahead[0], self.now_ms / 1_000 - time.time())  # tokens are dated by its clock

    def new_user(self) -> str:
        """A user name that nobody has had."""
        return f"user{next(self._users)}"

    async def whatsapp_user(self) -> "Person":
        """Registers a WhatsApp user; not connected."""
        state = ClientState.generate()
        phone_number = f"+49151{10_000_000 + next(self._users)}"
        state.jid = await self.admin.put_whatsapp_user(phone_number, state.auth_public_key)

        async def log_in() -> chat_pb2.LoginPayload:
            return whatsapp_login(state.jid)

        return Person(self, state, log_in)

    async def third_party_user(self, user: str = "") -> "Person":
        """Enlists a user of the messenger; not connected."""
        name, state = user or self.new_user(), ClientState.generate()

        async def log_in() -> chat_pb2.LoginPayload:
            return third_party_login(state.jid, self.partner.issue_token(name))

        person = Person(self, state, log_in)
        await person.enlist(name)
        return person

    def _check_log(self, log: Path) -> None:
        text = log.read_text(errors="replace")
        news, self._log_length = text[self._log_length :], len(text)
        if not self.expects_faults and (
            faults := [line for line in news.splitlines() if any(word in line for word in _FAULTS)]
        ):
            raise Broken("the server logged a fault:\n" + "\n".join(faults[:5]) + "\n" + news[-4_000:])


class Person:
    """One account, which comes back to each of the server's lives."""

    def __init__(self, stage: Stage, state: ClientState, log_in: LoginFactory) -> None:
        self.stage = stage
        self.state = state
        self._log_in = log_in
        self.transport: DirectTransport

    @property
    def jid(self) -> str:
        return self.state.jid

    async def enlist(self, user: str) -> str:
        """Enlists, again or for the first time."""
        transport = DirectTransport(self.stage.endpoint, self.state.auth_private_key, self._log_in)
        try:
            response = await transport.call(
                "/interop_api.v1.EnlistmentService/Enlist",
                enlistment(self.state, self.stage.partner.issue_token(user)),
                enlistment_pb2.EnlistResponse,
            )
        finally:
            await transport.close()
        if response.HasField("failure"):
            raise refusal_from_stanza_error(response.failure.error)
        self.state.jid = response.success.login
        return self.state.jid

    async def connect(self) -> None:
        """Logs in to the server's present life."""
        self.transport = DirectTransport(self.stage.endpoint, self.state.auth_private_key, self._log_in)
        login = await self.transport.connect()
        self.stage.note_time(login.server_time_ms)

    async def close(self) -> None:
        """Ends the connection, if there is one."""
        if hasattr(self, "transport"):
            await self.transport.close()

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        """Makes a call in the person's session, `Service/Method`."""
        return await self.transport.call(f"/interop_api.v1.{method}", request, response_type)


@asynccontextmanager
async def open_stage(place: Place) -> AsyncIterator[Stage]:
    """Starts the messenger; the server is killed at the end."""
    ahead = [0.0]
    settings = PartnerSettings(place.folder / "partner", issuer="https://chaos.example")
    async with PartnerServer(settings, place.keys, lambda: time.time() + ahead[0]) as partner:
        stage = Stage(place, partner, ahead)
        try:
            yield stage
        finally:
            await stage.kill()
            await stage.close()


async def settle(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Waits for the end of all tasks.

    Raises:
        Exception: What one of them found; when none has, what they saw of the server's death.
    """
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(errors, key=is_gone):
        raise error
