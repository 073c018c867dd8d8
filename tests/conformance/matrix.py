"""`python -m tests.conformance.matrix [NAME…]`: runs the whole kit against each wrong client.

A wrong client must be caught by the checks that its register names, and by no other that the register does not allow.
`make matrix` runs it; `make test` tries each wrong client with the checks that must catch it alone.
"""

import asyncio
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from interop_conformance.catalogue import Scope, load, select
from interop_conformance.check import Subject
from interop_conformance.runner import ClientRunner, Plan
from interop_conformance.subject import ClientSubject, links_to
from interop_conformance.verdict import Result, Verdict
from interop_wrong.client import load as load_wrong
from interop_wrong.register import Wrong

BLAMED = frozenset({Verdict.FAIL, Verdict.WARN})


def command_of(wrong: Wrong) -> str:
    """The command that starts the driver of a wrong client."""
    return shlex.join([sys.executable, "-m", "interop_wrong.client", wrong.name])


async def judge(command: str, only: Sequence[str] = (), mode: str = "direct", seed: int = 1) -> list[Result]:
    """Runs the kit, or some checks, against a client."""
    subject = ClientSubject(links_to(command, ""))
    with tempfile.TemporaryDirectory(prefix="interopsim-matrix-") as folder:
        try:
            await subject.begin()
            plan = Plan(select(load(Subject.CLIENT), Scope(only=only)), mode, seed)
            return await ClientRunner(plan, subject, Path(folder), lambda _: None).run()
        finally:
            await subject.close()


def complaints(wrong: Wrong, results: Sequence[Result]) -> list[str]:
    """What the verdicts on a wrong client should not be."""
    blamed = {result.check.id for result in results if result.verdict in BLAMED}
    missed = [f"{name} does not catch it" for name in wrong.caught_by if name not in blamed]
    others = [f"{name} blames it" for name in sorted(blamed - {*wrong.caught_by, *wrong.also})]
    broken = [f"{each.check.id}: {each.got}" for each in results if each.verdict is Verdict.HARNESS_ERROR]
    return missed + others + broken


def main(names: Sequence[str]) -> int:
    """Prints a line for each wrong client; returns 1 when one is not judged as its register says."""
    status = 0
    for wrong in load_wrong().values():
        if names and wrong.name not in names:
            continue
        wrongly = complaints(wrong, asyncio.run(judge(command_of(wrong), mode=wrong.mode)))
        print(f"{wrong.name}: {'; '.join(wrongly) or 'caught by ' + ', '.join(wrong.caught_by)}", flush=True)
        status |= bool(wrongly)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
