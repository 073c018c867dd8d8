"""One run of some tests, with a mutant or without, and what it says; knows no mutants."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.mutants import session

KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"

_UNNOTICED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
"""All tests passed; or none is left, since the mutant changed the ids of those that were to run."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Runs some tests in this order, up to the first that fails, and says which it begins. A pytest plugin."""

    tests: Sequence[str]
    begins: Connection

    @property
    def arguments(self) -> list[str]:
        """The arguments of pytest that go with it."""
        return ["-x", *dict.fromkeys(test.partition("::")[0] for test in self.tests)]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[test] for test in self.tests if test in by_id]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.begins.send(nodeid)


@dataclass(eq=False)
class Attempt:
    """Some tests, run in a process of their own.

    Args:
        tests: Node ids, in the order in which they run.
        allowed: Seconds that a test may take, by its id; for an empty one, what collecting them may take.
    """

    tests: Sequence[str]
    allowed: Callable[[str], float]
    process: BaseProcess
    begins: Connection
    current: str = ""
    """The test that runs, or the last that did; empty until they are collected."""
    seconds: float = 0.0
    """How long that takes or took."""
    is_late: bool = False
    """Whether that is longer than it may."""
    _since: float = field(default_factory=time.monotonic)

    def has_ended(self) -> bool:
        """Takes in what has happened, and says whether all is over: passed, failed, or nothing more to hope for."""
        try:
            while self.begins.poll():
                self.current, self._since = self.begins.recv(), time.monotonic()
        except EOFError:
            self.process.join()
        self.seconds = time.monotonic() - self._since
        has_ended = self.process.exitcode is not None
        self.is_late = not has_ended and self.seconds > self.allowed(self.current)
        return has_ended or self.is_late

    def stop(self) -> None:
        """Ends it and all that it has started."""
        session.stop(self.process)
        self.begins.close()

    @property
    def begun(self) -> Sequence[str]:
        """The tests up to the one that failed or hangs; all, if not one has begun."""
        return self.tests[: self.tests.index(self.current) + 1] if self.current else self.tests

    @property
    def outcome(self) -> str:
        """What has come of it. Code that cannot be imported may end in a usage error: noticed as well."""
        if self.is_late:
            return TIMED_OUT
        return SURVIVED if self.process.exitcode in _UNNOTICED else KILLED


def begin(root: Path, tests: Sequence[str], allowed: Callable[[str], float], code: session.Code | None) -> Attempt:
    """Starts some tests of a project, on its code with a mutant in it, or as it is."""
    hears, says = multiprocessing.Pipe(duplex=False)
    selection = Selection(tests, says)
    process = session.start(root, selection.arguments, selection, code)
    says.close()
    return Attempt(tests, allowed, process, hears)
