"""Runs checks: side by side where they can, alone where they must, each after those that it rests on; judges none."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from interop_conformance.check import Check
from interop_conformance.drivers.driver import Driver, SubjectFailed
from interop_conformance.judging import blocked, failed, judged, kit_failed, out_of_time
from interop_conformance.simulator import Simulator
from interop_conformance.stage import Stage, StageParts
from interop_conformance.subject import ClientSubject
from interop_conformance.use import Use
from interop_conformance.verdict import HELD, Result, Verdict
from partner_server import SigningKeys

AT_ONCE = 8
"""Most checks at once in a simulator that they share."""

Pair = tuple[Simulator, Simulator]
"""The simulator that checks share, and that of checks that are alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how."""

    checks: Sequence[Check]
    mode: str = "direct"
    seed: int = 1
    time_factor: float = 1.0
    """By how much longer everything may take."""
    pauses: bool = False
    """Whether to wait before each check; then checks come one at a time, and no time is too long."""
    pause: Callable[[Check], None] = field(default=lambda _: None)
    """Waits until somebody says that a check may begin; in a thread."""


class ClientRunner:
    """One run against a client.

    Args:
        plan: What to run.
        subject: The client; it has said what it is.
        folder: For temporary files.
        on_result: Told of each result as it comes.
        simulators: Where checks go on: those that share one, and those that are alone; None starts what is needed.
    """

    def __init__(
        self,
        plan: Plan,
        subject: ClientSubject,
        folder: Path,
        on_result: Callable[[Result], None],
        simulators: Pair | None = None,
    ) -> None:
        self._plan = plan
        self._subject = subject
        self._folder = folder
        self._on_result = on_result
        self._results: dict[str, asyncio.Future[Result]] = {}
        self._numbers = itertools.count(1)
        self._given = simulators
        self._room = asyncio.Semaphore(1 if plan.pauses else AT_ONCE)
        self._devices = asyncio.Semaphore(subject.devices)
        self._alone = asyncio.Lock()
        self.use = Use()
        """What the client used in checks that passed. Not in attacks: a false server sends what no server would."""

    async def run(self) -> list[Result]:
        """Runs all checks and returns the results, in the order of the checks."""
        loop = asyncio.get_running_loop()
        self._results = {check.id: loop.create_future() for check in self._plan.checks}
        async with self._simulators() as (shared, alone), asyncio.TaskGroup() as tasks:
            for check in self._plan.checks:
                tasks.create_task(self._settle(check, alone if check.is_alone else shared))
        return [future.result() for future in self._results.values()]

    def so_far(self) -> list[Result]:
        """Returns the results that there are; what has not run is said to be so."""
        return [
            future.result() if future.done() and not future.cancelled() else Result(check, Verdict.NOT_RUN)
            for check, future in zip(self._plan.checks, self._results.values(), strict=False)
        ]

    @asynccontextmanager
    async def _simulators(self) -> AsyncIterator[tuple[asyncio.Future[Simulator], asyncio.Future[Simulator]]]:
        """Starts the simulators that are needed; each is there once its future is done."""
        if self._given is not None:
            yield _done(self._given[0]), _done(self._given[1])
            return
        keys = SigningKeys()
        is_shared, is_alone = (any(each.is_alone is kind for each in self._plan.checks) for kind in (False, True))
        async with (
            _starting(self._simulator("shared", keys) if is_shared else None) as shared,
            _starting(self._simulator("alone", keys) if is_alone else None) as alone,
        ):
            yield shared, alone

    def _simulator(self, name: str, keys: SigningKeys) -> Simulator:
        folder = self._folder / name
        folder.mkdir()
        return Simulator(folder, self._plan.seed, keys)

    async def _settle(self, check: Check, simulator: "asyncio.Future[Simulator]") -> None:
        began = time.monotonic()
        try:
            result = self._not_applicable(check) or blocked(check, await self._grounds(check))
            if result is None:
                turn = self._alone if check.is_alone else self._room
                async with turn, self._devices:
                    began = time.monotonic()
                    result = await self._judge(check, await simulator)
            result.seconds = time.monotonic() - began
        except Exception as error:  # noqa: BLE001 - whatever fails here is the kit's own fault, and the run goes on
            result = kit_failed(check, error)
        self._results[check.id].set_result(result)
        self._on_result(result)

    def _not_applicable(self, check: Check) -> Result | None:
        missing = ", ".join(name for name in check.features if name not in self._subject.features)
        return (
            Result(check, Verdict.NOT_APPLICABLE, got=f"The client says that it lacks {missing}.") if missing else None
        )

    async def _grounds(self, check: Check) -> dict[str, Result]:
        """Waits for the checks that one rests on, as far as they are asked for."""
        return {name: await self._results[name] for name in check.after if name in self._results}

    async def _judge(self, check: Check, simulator: Simulator) -> Result:
        if self._plan.pauses:
            await asyncio.to_thread(self._plan.pause, check)
        try:
            driver = await self._subject.shared()
            return await self._try(check, simulator, driver)
        except SubjectFailed:
            result = await self._judge_alone(check, simulator)
            result.attempts = 2
            return result

    async def _judge_alone(self, check: Check, simulator: Simulator) -> Result:
        """Judges with a driver that no other check uses: if that ends, too, it is this check that ends it."""
        driver: Driver | None = None
        try:
            driver = await self._subject.fresh()
            return await self._try(check, simulator, driver)
        except SubjectFailed as failure:
            log = "" if driver is None else driver.log
            result = failed(check, "the driver goes on", str(failure))
            result.log = log
            return result
        finally:
            if driver is not None:
                await driver.close()

    async def _try(self, check: Check, simulator: Simulator, driver: Driver) -> Result:
        number = next(self._numbers)
        parts = StageParts(
            check=check,
            simulator=simulator,
            driver=driver,
            mode=self._plan.mode,
            folder=self._folder / f"check-{number}",
            name=f"c{number}",
            time_factor=self._plan.time_factor,
        )
        async with Stage(parts) as stage:
            seconds = None if self._plan.pauses else check.seconds * self._plan.time_factor
            result = await judged_in_time(check, stage, seconds)
            if result.verdict not in HELD:
                simulator.check_runs()  # otherwise it was not the client
                result.wire, result.journal = await stage.evidence()
            if result.verdict is Verdict.PASS and result.score is None:
                await stage.add_use(self.use)
            return result


async def judged_in_time(check: Check, stage: Stage, seconds: float | None) -> Result:
    """Judges on a stage.

    Args:
        check: What is judged.
        stage: Where.
        seconds: How long it may take; None for as long as it takes.

    Raises:
        SubjectFailed: The subject's driver is gone.
    """
    result: Result | None = None
    try:
        async with asyncio.timeout(seconds):
            result = await judged(check, stage)
    except TimeoutError:
        pass  # the check's own, or that of something in it
    is_open = result is None or result.verdict is Verdict.PASS
    if is_open and stage.driver.failure is not None:
        raise stage.driver.failure
    return result or out_of_time(check, seconds)


def _done(simulator: Simulator) -> asyncio.Future[Simulator]:
    there: asyncio.Future[Simulator] = asyncio.get_running_loop().create_future()
    there.set_result(simulator)
    return there


@asynccontextmanager
async def _starting(simulator: Simulator | None) -> AsyncIterator["asyncio.Future[Simulator]"]:
    """Starts a simulator while others start, too; it is there once the future is done."""
    there: asyncio.Future[Simulator] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def live() -> None:
        assert simulator is not None
        try:
            async with simulator:
                if not there.done():  # whoever waited for it may have been cancelled, and it with them
                    there.set_result(simulator)
                await over.wait()
        except Exception as error:
            if there.done():
                raise
            there.set_exception(error)
            there.exception()

    task = asyncio.create_task(live()) if simulator is not None else None
    try:
        yield there
    finally:
        over.set()
        if task is not None:
            if there.cancelled() or not there.done():
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task
