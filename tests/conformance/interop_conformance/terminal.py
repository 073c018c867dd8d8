"""What people see of a run while it goes on; knows no check's content."""

import sys
from collections.abc import Callable

import click

from interop_conformance.check import MILESTONES
from interop_conformance.output import echo
from interop_conformance.report.summary import verdict_line
from interop_conformance.verdict import Result, Run, Verdict
from interop_protocol.printable import printable

_COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.WARN: "yellow",
    Verdict.HARNESS_ERROR: "magenta",
    Verdict.UNEXPECTED_PASS: "red",
}
_MAX_TEXT = 300
_LOG_LINES = 5
"""How many of the last lines of a driver that has ended are shown; the report has more."""


class Terminal:
    """Prints lines: on stdout, or on stderr when stdout is for machines.

    Args:
        total: How many checks there are.
        as_json: Whether stdout is for machines.
    """

    def __init__(self, total: int, *, as_json: bool) -> None:
        self._total = total
        self._done = 0
        self._is_error = as_json

    def say(self, text: str) -> None:
        """Prints a line."""
        self._echo(printable(text))

    def show(self, result: Result) -> None:
        """Prints a line for a result, and below it what was expected where it does not hold."""
        self._done += 1
        word = click.style(f"{result.verdict.value:<15}", fg=_COLOURS.get(result.verdict))
        again = f", {result.attempts} attempts" if result.attempts > 1 else ""
        score = f", {result.score.value}" if result.score else ""
        width = len(str(self._total))
        counted = f"{self._done:>{width}}/{self._total}"
        self._echo(f"{counted} {word} {printable(result.check.id)}{score} ({result.seconds:.1f} s{again})")
        if result.verdict is Verdict.PASS:
            return
        for name, text in _details(result):
            self._echo(f"{'':{2 * width + 2}}{name}: {printable(text[:_MAX_TEXT])}")

    def end(self, run: Run, folder: str) -> None:
        """Prints the verdict, and where the report is."""
        self._echo("")
        if run.scope:
            for number, (held, all) in run.milestones().items():
                self._echo(f"milestone {number}, {MILESTONES[number]}: {held} of {all} hold")
        self._echo(click.style(printable(verdict_line(run)), bold=True, fg="green" if run.is_conformant else "red"))
        if folder:
            self._echo(printable(f"Report: {folder}/report.html"))

    def _echo(self, text: str) -> None:
        echo(text, err=self._is_error)


def _details(result: Result) -> list[tuple[str, str]]:
    if result.verdict in (Verdict.BLOCKED, Verdict.NOT_RUN, Verdict.NOT_APPLICABLE):
        return [("because", result.got)] if result.got else []
    facts = [
        ("it should", result.check.sentence),
        ("expected", result.expected),
        ("got", result.got),
        *(("log", line) for line in result.log.strip().splitlines()[-_LOG_LINES:]),
        ("again", result.repeat),
    ]
    return [(name, text) for name, text in facts if text]


def counted(checks: int) -> str:
    """Returns how many checks there are, in words."""
    return f"{checks} check{'s' if checks != 1 else ''}"


def wait_for_enter() -> Callable[[str], None]:
    """Returns what asks for a line on stdin, and waits for it; the end of stdin goes on, too."""

    def wait(text: str) -> None:
        echo(f"{printable(text)} Press Enter to go on.", err=True)
        if sys.stdin is not None:
            sys.stdin.readline()

    return wait
