"""How a run ends: its report, its exit status, and what Ctrl-C does; knows no subject."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from interop_conformance.output import echo
from interop_conformance.report.document import document_of
from interop_conformance.report.files import FolderUnusable, prepare, write
from interop_conformance.settings import Settings, WrongUse
from interop_conformance.terminal import Terminal
from interop_conformance.verdict import Result, Run, expected
from interop_protocol.printable import json_line

CONFORMANT, NOT_CONFORMANT, WRONG_USE, KIT_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses."""


def begin(settings: Settings, kind: str, mode: str = "") -> Run:
    """Returns a run that begins now, once its report can be written.

    Raises:
        WrongUse: It cannot.
    """
    if settings.report is not None:
        try:
            prepare(settings.report)
        except FolderUnusable as error:
            raise WrongUse(str(error)) from error
    return Run(
        subject=f"a {kind}",
        kind=kind,
        mode=mode,
        profile=settings.profile,
        kit_version=version("interopsim"),
        seed=settings.seed,
        scope=str(settings.scope),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


async def until_signal(work: Awaitable[None]) -> bool:
    """Waits for work, which SIGINT, SIGTERM and SIGHUP cancel, once; says whether it came to its end."""
    running = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return False
    return True


def finish(run: Run, results: list[Result], settings: Settings, reasons: Mapping[str, str], terminal: Terminal) -> int:
    """Gives the results to the run, writes and prints it, and returns the exit status.

    Args:
        run: The run; `is_complete` says whether it came to its end.
        results: Of all checks.
        settings: What was asked for.
        reasons: Why checks are expected to fail, by id.
        terminal: Prints.
    """
    run.results = results
    for result in results:
        result.repeat = settings.repeat(result.check)
    expected(results, reasons)
    run.unknown_expected = [name for name in reasons if name not in {each.check.id for each in results}]
    status = _status(run)
    if settings.report is not None:
        try:
            write(run, settings.report)
        except FolderUnusable as error:
            terminal.say(str(error))
            status = KIT_FAILED
    terminal.end(run, "" if settings.report is None else str(settings.report))
    if settings.as_json and not echo(json_line(document_of(run))):
        terminal.say("The report could not be printed on stdout.")
        status = KIT_FAILED
    return status


def _status(run: Run) -> int:
    if not run.is_complete:
        return INTERRUPTED
    if run.has_harness_error:
        return KIT_FAILED
    return CONFORMANT if run.is_conformant else NOT_CONFORMANT


def stopwatch() -> Callable[[], float]:
    """Returns what says how many seconds have passed since now."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
