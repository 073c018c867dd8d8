"""A run of the kit against a client, from what was asked for to its exit status; knows no check."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from interop_conformance.check import Check, Level, Subject
from interop_conformance.drivers.driver import SubjectFailed
from interop_conformance.ending import begin, finish, stopwatch, until_signal
from interop_conformance.runner import ClientRunner, Plan
from interop_conformance.settings import Settings, WrongUse, checks_of, expected_failures
from interop_conformance.subject import ClientSubject, CommandUnusable, DriverUnreachable, links_to
from interop_conformance.terminal import Terminal, counted, wait_for_enter
from interop_conformance.verdict import Result, Run, Verdict

_PATIENT = 1_000.0
"""By how much longer everything may take when somebody looks on with a debugger."""


async def _unjudged(_: object) -> None:
    raise AssertionError("nobody calls it")


DRIVER_ANSWERS = Check(
    "SIM-05.driver-answers",
    "The driver starts, and says what its client is.",
    Level.MUST,
    _unjudged,
    forced_by="A client that cannot be driven cannot be judged.",
)
"""What the run itself finds out before any check."""


@dataclass
class ClientRun:
    """One run.

    Args:
        settings: What was asked for.
        command: The driver's command; or
        address: where a driver is.
        mode: `direct` or `proxy`.
    """

    settings: Settings
    command: str
    address: str
    mode: str
    results: list[Result] = field(default_factory=list)

    async def run(self) -> int:
        """Runs it, and returns the exit status.

        Raises:
            WrongUse: What was asked for cannot be done.
        """
        settings = self.settings
        checks = checks_of(settings, Subject.CLIENT, mode=self.mode)
        reasons = expected_failures(settings.expected_failures, Subject.CLIENT)
        run = begin(settings, "client", self.mode)
        terminal = Terminal(len(checks), as_json=settings.as_json)
        terminal.say(f"{counted(len(checks))} of a client, {self.mode}, profile {run.profile}, seed {run.seed}")
        elapsed = stopwatch()
        run.is_complete = await until_signal(self._judge(run, checks, terminal))
        run.seconds = elapsed()
        return finish(run, self.results, settings, reasons, terminal)

    async def _judge(self, run: Run, checks: list[Check], terminal: Terminal) -> None:
        subject = ClientSubject(links_to(self.command, self.address), self._factor)
        self.results = [Result(check, Verdict.NOT_RUN) for check in checks]
        try:
            await subject.begin()
            run.subject = subject.name
            if self.mode not in subject.features:
                raise WrongUse(f"{subject.name} says that it does not connect {self.mode}: choose the other --mode.")
            await self._run_checks(run, checks, subject, terminal)
        except (CommandUnusable, DriverUnreachable) as error:
            raise WrongUse(str(error)) from error
        except SubjectFailed as failure:
            failed = Result(DRIVER_ANSWERS, Verdict.FAIL, "an answer to `describe`", str(failure))
            blocked = [Result(each, Verdict.BLOCKED, blocked_by=DRIVER_ANSWERS.id) for each in checks]
            self.results = [failed, *blocked]
            terminal.show(failed)
        finally:
            await subject.close()

    async def _run_checks(self, run: Run, checks: list[Check], subject: ClientSubject, terminal: Terminal) -> None:
        wait = wait_for_enter()
        plan = Plan(
            checks=checks,
            mode=self.mode,
            seed=self.settings.seed,
            time_factor=self._factor,
            pauses=self.settings.pauses,
            pause=lambda check: wait(f"Next is {check.id}: {check.sentence}"),
        )

        def show(result: Result) -> None:
            result.repeat = self.settings.repeat(result.check)
            terminal.show(result)

        with tempfile.TemporaryDirectory(prefix="interopsim-conformance-") as folder:
            runner = ClientRunner(plan, subject, Path(folder), show)
            try:
                await runner.run()
            finally:
                self.results, run.use = runner.so_far() or self.results, runner.use

    @property
    def _factor(self) -> float:
        return _PATIENT if self.settings.pauses else self.settings.time_factor
