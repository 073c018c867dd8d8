"""`python -m tests.conformance.matrix [NAME…]`: runs the whole kit against each wrong client.

A wrong client must be caught by the checks that its register names, and by no other that the register does not allow.
`make matrix` runs it; `make test` tries each wrong client with the checks that must catch it alone.
"""

import asyncio
import shlex
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from interop_conformance.catalogue import Scope, load, select
from interop_conformance.check import Subject
from interop_conformance.runner import ClientRunner, Pair, Plan
from interop_conformance.simulator import Simulator
from interop_conformance.subject import ClientSubject, links_to
from interop_conformance.verdict import Result, Verdict
from interop_wrong.client import load as load_wrong
from interop_wrong.register import Wrong
from partner_server import SigningKeys

ATTEMPTS = 2
"""Some defects show only when things happen in a certain order: an escape is printed, and two fail."""
BLAMED = frozenset({Verdict.FAIL, Verdict.WARN})


@asynccontextmanager
async def simulators(folder: Path, seed: int = 1) -> AsyncIterator[Pair]:
    """Two simulators for many runs: one whose checks share it, one whose checks are alone."""
    keys = SigningKeys()
    for name in ("shared", "alone"):
        (folder / name).mkdir()
    async with (
        Simulator(folder / "shared", seed, keys) as shared,
        Simulator(folder / "alone", seed, keys) as alone,
    ):
        yield shared, alone


def command_of(wrong: Wrong) -> str:
    """The command that starts the driver of a wrong client."""
    return shlex.join([sys.executable, "-m", "interop_wrong.client", wrong.name])


async def judge(command: str, pair: Pair, only: Sequence[str] = (), mode: str = "direct") -> list[Result]:
    """Runs the kit, or some checks, against a client."""
    subject = ClientSubject(links_to(command, ""))
    checks = [check for check in select(load(Subject.CLIENT), Scope(only=only)) if mode in check.modes]
    with tempfile.TemporaryDirectory(prefix="interopsim-matrix-") as folder:
        try:
            await subject.begin()
            return await ClientRunner(Plan(checks, mode), subject, Path(folder), lambda _: None, pair).run()
        finally:
            await subject.close()


def complaints(wrong: Wrong, results: Sequence[Result]) -> list[str]:
    """What the verdicts on a wrong client should not be."""
    blamed = {result.check.id: result for result in results if result.verdict in BLAMED}
    missed = [f"{name} does not catch it" for name in wrong.caught_by if name not in blamed]
    innocent = sorted(blamed.keys() - {*wrong.caught_by, *wrong.also})
    others = [f"{name} blames it: expected {blamed[name].expected}; got {blamed[name].got}" for name in innocent]
    broken = [f"{each.check.id}: {each.got}" for each in results if each.verdict is Verdict.HARNESS_ERROR]
    return missed + others + broken


async def complaints_after(wrong: Wrong, judge_once: Callable[[], Awaitable[Sequence[Result]]]) -> list[str]:
    """What the verdicts should not be, of the first of some attempts after which there is nothing to complain of."""
    found: list[str] = []
    for _ in range(ATTEMPTS):
        found = [f"{wrong.name}: {complaint}" for complaint in complaints(wrong, await judge_once())]
        if not found:
            break
        print("\n".join(found))
    return found


async def run(names: Sequence[str]) -> int:
    """Prints a line for each wrong client; returns 1 when one is not judged as its register says."""
    status = 0
    for wrong in load_wrong().values():
        if not names or wrong.name in names:
            with tempfile.TemporaryDirectory(prefix="interopsim-matrix-") as folder:
                # A simulator takes 999 messengers, and each check has one of its own.
                async with simulators(Path(folder)) as pair:
                    wrongly = complaints(wrong, await judge(command_of(wrong), pair, mode=wrong.mode))
            print(f"{wrong.name}: {'; '.join(wrongly) or 'caught by ' + ', '.join(wrong.caught_by)}", flush=True)
            status |= bool(wrongly)
    return status


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:])))
