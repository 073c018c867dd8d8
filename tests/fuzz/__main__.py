"""`make fuzz`: many more messages than `make test` sends, with other seeds each time; prints what came back.

`--examples N` says how many different messages each RPC and each kind of stanza gets; other arguments are pytest's.
"""

import os
import sys
import time

import click
import pytest

from tests.fuzz.amount import PROPERTY


class Progress:
    """Prints a line for each place that was fired at. A pytest plugin of the process that gets all reports."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.messages = 0
        self.failures: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return ("passed", "", "") if report.passed else None  # the lines say it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(report.nodeid)
        if report.when != "teardown":
            return
        name = report.nodeid.partition("::")[2].removeprefix("test_")
        for key, value in report.user_properties:
            if key == PROPERTY:
                fired, outcomes = value  # type: ignore[misc]
                self.messages += fired
                told = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
                seconds = time.monotonic() - self._started
                self._say(f"[{seconds:6.0f} s] {name}: {fired:,} messages → {told}")

    def _say(self, line: str) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        terminal.ensure_newline()
        terminal.write_line(line, flush=True)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--examples", type=click.IntRange(min=1), default=5_000, show_default=True)
@click.option("--postgres", is_flag=True, help="Keep the store on a PostgreSQL server.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(examples: int, postgres: bool, arguments: tuple[str, ...]) -> None:
    """Fires at a simulator of its own, and exits with 1 when anything undocumented came back."""
    os.environ["FUZZ_EXAMPLES"] = str(examples)
    if postgres:
        os.environ["FUZZ_POSTGRES"] = "1"
    progress = Progress()
    options = ["tests/fuzz", "-q", "--no-header", "-n", str(min(4, os.cpu_count() or 1)), "--timeout", "86400"]
    code = pytest.main([*options, *arguments], plugins=[progress])
    print(f"{progress.messages:,} different messages; {len(progress.failures)} places answered as they must not")
    sys.exit(int(code))


if __name__ == "__main__":
    main()
