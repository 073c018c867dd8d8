"""One server that is killed and started again on its database, its messenger, and its people; knows no promise."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from interop_admin.client import AdminClient
from interop_client.errors import ConnectionEnded
from interop_demo.processes import Child, ChildFailed, simulator
from interop_protocol.endpoint import Endpoint
from interop_server.crash_points import VARIABLE
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.chaos.people import INTEGRATOR, LIMITS, Broken, Scene
from tests.invariants import violations, violations_on_server
from tests.object_stores import sizes_of_blob
from tests.registration import registration

_KEEPS_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Compiling the sources anew takes several times as long as the rest of a start."""
_FAULTS = (" ERROR ", "Traceback", "SERVER_FAULT")


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


class Stage(Scene):
    """A server on one database, and a messenger. Made by `open_stage`; `start` begins each of the server's lives."""

    def __init__(self, place: Place, partner: PartnerServer, ahead: list[float]) -> None:
        super().__init__(partner, ahead)
        self._place = place
        self._log_length = 0
        self._child: Child | None = None
        self._death: asyncio.Task[str]
        self.db = place.folder / "chaos.db"
        self._admin: AdminClient
        self._endpoint: Endpoint

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
        self._endpoint = Endpoint(
            ready["grpc"], bytes.fromhex(ready["root_public_key"]), ready["http"], str(ready["admin"])
        )
        await self.close()
        self._admin = AdminClient(self.endpoint.admin)
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
        if hasattr(self, "_admin"):
            await self.admin.close()

    async def died(self, within_seconds: float) -> bool:
        """Waits for the server's own death; says whether it came in time."""
        if self._child is not None:
            await asyncio.wait([self._death], timeout=within_seconds)
        return self._child is None or self._death.done()

    @property
    def endpoint(self) -> Endpoint:
        """Where the server's present life is."""
        return self._endpoint

    @property
    def admin(self) -> AdminClient:
        """The operator's connection."""
        return self._admin

    @property
    def keeps_objects(self) -> bool:
        """Whether blobs are objects, and no files."""
        return bool(self._place.blobs)

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._child is not None
        return self._child.pid

    def _check_log(self, log: Path) -> None:
        text = log.read_text(errors="replace")
        news, self._log_length = text[self._log_length :], len(text)
        if not self.expects_faults and (
            faults := [line for line in news.splitlines() if any(word in line for word in _FAULTS)]
        ):
            raise Broken("the server logged a fault:\n" + "\n".join(faults[:5]) + "\n" + news[-4_000:])


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
