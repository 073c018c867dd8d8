"""A run of the kit against a client, from the command line to its result; knows no check."""

import tempfile
import time
from pathlib import Path

from interop_conformance.catalogue import Scope, load, select
from interop_conformance.check import Subject
from interop_conformance.runner import ClientRunner, Plan
from interop_conformance.subject import ClientSubject, links_to
from interop_conformance.verdict import Result


async def run_client(
    command: str, address: str, mode: str, only: tuple[str, ...], time_factor: float, seed: int
) -> int:
    """Runs the kit."""
    checks = select(load(Subject.CLIENT), Scope(only=only))
    subject = ClientSubject(links_to(command, address), time_factor)
    began = time.monotonic()

    def show(result: Result) -> None:
        expected = f"expected {result.expected}; " if result.expected else ""
        print(
            f"{time.monotonic() - began:5.1f} {result.verdict} {result.check.id} {expected}{result.got} "
            f"{result.seconds:.2f} {result.attempts} {result.score or ''}",
            flush=True,
        )

    try:
        await subject.begin()
        with tempfile.TemporaryDirectory() as folder:
            await ClientRunner(Plan(checks, mode, seed, time_factor), subject, Path(folder), show).run()
    finally:
        await subject.close()
    return 0
