"""The simulator in the process of whoever uses it: in their event loop, or in a thread of its own.

It is the same server as that of `interopsim up`, on ports that the system chooses. Nothing of it is left at the end.
"""

import asyncio
import contextlib
import difflib
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypedDict, TypeVar, Unpack

from interop_admin.client import AdminClient
from interop_protocol.endpoint import Endpoint
from interop_protocol.times import parse_time
from interop_server.app import Simulator as Server
from interop_server.config import Config
from interop_server.core.limits import Limits
from interop_server.fault_file import load_faults
from interop_server.limit_list import limits_from
from interop_server.runtime.shutdown import StopIncomplete

T = TypeVar("T")

_FREE_PORT = "127.0.0.1:0"
START_SECONDS = 60.0
CALL_SECONDS = 60.0
"""How long `Running.call` waits."""


class Options(TypedDict, total=False):
    """Choices for a simulator; each is what the flag of `interopsim up` is that is called like it."""

    grpc: str
    """Where clients connect, `host:port`; by default a free port of loopback."""
    admin: str
    """Where admin calls go; likewise."""
    http: str
    """Where HTTP is served; likewise."""
    db: Path | None
    """The database file to keep; None for one that is deleted at the end."""
    seed: int | None
    """Derives ids and keys from a number, so that a run can be repeated."""
    freeze_at: str | None
    """Starts with a clock that stands still at this time, such as `2026-01-01T00:00:00Z`."""
    limits: Mapping[str, object]
    """Limits by name, as `interopsim limits` lists them."""
    faults: Path | None
    """A file of faults."""
    trace: bool
    """Whether what goes over chat channels is recorded from the start."""


class Simulator:
    """A simulator in this event loop. An asynchronous context manager.

        async with Simulator() as sim:
            client = ThirdPartyClient.direct(sim.endpoint, …)

    Args:
        **options: See `Options`.

    Raises:
        TypeError: There is no such option; the message names the nearest.
        ValueError: A limit, a time or a seed is none; the message says how to write it.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        _check(options)
        settings = [f"{name}={_written(value)}" for name, value in options.get("limits", {}).items()]
        freeze_at, faults = options.get("freeze_at"), options.get("faults")
        self._config = Config(
            grpc_address=options.get("grpc", _FREE_PORT),
            admin_address=options.get("admin", _FREE_PORT),
            http_address=options.get("http", _FREE_PORT),
            db=options.get("db"),
            seed=options.get("seed"),
            freeze_at_ms=None if freeze_at is None else parse_time(freeze_at),
            limits=limits_from(settings) if settings else Limits(),
            faults=() if faults is None else load_faults(faults),
            trace=options.get("trace", False),
            grace_seconds=0.5,
        )
        self._server: Server | None = None
        self._resetting: asyncio.Task[None] | None = None
        self._admin: AdminClient | None = None
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where clients and the operator reach it.

        Raises:
            RuntimeError: It does not run.
        """
        if self._endpoint is None:
            raise RuntimeError("the simulator does not run: use it as `async with Simulator() as sim`")
        return self._endpoint

    @property
    def admin(self) -> AdminClient:
        """What an operator can do: clock, faults, journal, partners.

        Raises:
            RuntimeError: It does not run.
        """
        if self._admin is None:
            raise RuntimeError("the simulator does not run: use it as `async with Simulator() as sim`")
        return self._admin

    async def __aenter__(self) -> Self:
        self._server = Server(self._config)
        self._endpoint = await self._server.start()
        self._admin = AdminClient(self._endpoint)
        self._resetting = asyncio.ensure_future(self._reset_when_wanted(self._server, self._endpoint))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None and self._resetting is not None
        self._resetting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._resetting
        await self.admin.close()
        self._admin = self._endpoint = None
        with contextlib.suppress(StopIncomplete):  # logged
            await self._server.stop()

    @staticmethod
    async def _reset_when_wanted(server: Server, endpoint: Endpoint) -> None:
        while True:
            await server.wants_reset.wait()
            await server.reset(endpoint)


class Running:
    """A simulator that runs in a thread of its own; `running` makes one."""

    def __init__(self, simulator: Simulator, loop: asyncio.AbstractEventLoop) -> None:
        self._simulator = simulator
        self._loop = loop

    @property
    def endpoint(self) -> Endpoint:
        """Where clients and the operator reach it."""
        return self._simulator.endpoint

    @property
    def admin(self) -> AdminClient:
        """What an operator can do. Its calls are made with `call` or `wait`."""
        return self._simulator.admin

    def call(self, work: Coroutine[Any, Any, T], seconds: float | None = CALL_SECONDS) -> T:
        """Does something in the simulator's event loop, and returns what comes of it: for tests without asyncio.

        Args:
            work: What to await, such as `sim.admin.freeze_clock()`.
            seconds: How long it may take; None for as long as it takes.

        Raises:
            TimeoutError: It took longer, and was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something in the simulator's event loop, and waits for it in this one: for tests with asyncio."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


@contextlib.contextmanager
def running(**options: Unpack[Options]) -> Iterator[Running]:
    """Runs a simulator in a thread of its own.

        with running() as sim:
            sim.call(sim.admin.freeze_clock())

    Args:
        **options: See `Options`.

    Raises:
        TypeError: There is no such option; the message names the nearest.
        ValueError: A limit, a time or a seed is none; the message says how to write it.
    """
    simulator = Simulator(**options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="interopsim", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.__aenter__(), loop).result(START_SECONDS)
        try:
            yield Running(simulator, loop)
        finally:
            asyncio.run_coroutine_threadsafe(simulator.__aexit__(), loop).result(START_SECONDS)
    finally:
        asyncio.run_coroutine_threadsafe(_finish(), loop).result(START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _finish() -> None:
    """Ends what is still under way in a loop that ends."""
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _check(options: Mapping[str, object]) -> None:
    """Refuses what types would: not everybody checks them."""
    for name in options:
        if name not in Options.__annotations__:
            near = difflib.get_close_matches(name, Options.__annotations__, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(Options.__annotations__)}."
            raise TypeError(f"there is no option {name!r}: {hint}")
    seed = options.get("seed")
    if seed is not None and (type(seed) is not int or seed < 0):
        raise ValueError(f"{seed!r} is no seed: a whole number from 0 on is one.")
