"""Tries mutants, several at a time: first the few tests that are most likely to notice, then all that reach it."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mutants import session
from tests.mutants.mutants import Mutant
from tests.mutants.reach import Reach
from tests.mutants.rooms import ROOT, Room, module_name

FIRST_TESTS = 40
"""Tests of the first round."""
FIRST_FILES = 6
"""Files that they are in at most: each takes time to import."""
_TIMES_AS_LONG = 5
"""A round may take so many times as long as its tests did before, and the hunt's patience."""

_UNNOTICED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
"""All tests passed; or none is left, since the mutant changed the ids of those that were to run."""

KILLED, TIMED_OUT, SURVIVED, UNREACHED = "killed", "timed out", "survived", "no test runs it"


class Trial(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    outcome: str
    tests: int
    """How many tests reach it."""

    @property
    def is_noticed(self) -> bool:
        """Whether a test failed or never ended."""
        return self.outcome in (KILLED, TIMED_OUT)


@dataclass(frozen=True, eq=False)
class Selection:
    """Runs some tests in this order, up to the first that fails. A pytest plugin."""

    tests: Sequence[str]

    @property
    def arguments(self) -> list[str]:
        """The arguments of pytest that go with it."""
        return ["-x", *dict.fromkeys(test.partition("::")[0] for test in self.tests)]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[test] for test in self.tests if test in by_id]


def rounds(reach: Reach, room: Room, tests: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the tests of both rounds, those of the room first, and of those the quickest first."""
    ranked = sorted(tests, key=lambda test: (not test.startswith(room.near), reach.seconds[test], test))
    first: list[str] = []
    files: set[str] = set()
    for test in ranked:
        if len(first) < FIRST_TESTS and len(files | {test.partition("::")[0]}) <= FIRST_FILES:
            first.append(test)
            files.add(test.partition("::")[0])
    chosen = set(first)
    return first, [test for test in ranked if test not in chosen]


@dataclass
class _Running:
    mutant: Mutant
    process: BaseProcess
    deadline: float
    rest: list[str]
    tests: int


@dataclass
class Hunt:
    """Tries mutants.

    Args:
        reach: Which tests reach what.
        rooms: The rooms, by name.
        root: Of the project.
        jobs: Mutants that are tried at a time.
        patience_seconds: What a round may take beyond its tests' own time, since it has to import them first.
    """

    reach: Reach
    rooms: dict[str, Room]
    root: Path = ROOT
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    patience_seconds: float = 30.0

    def trials(self, mutants: Iterable[Mutant]) -> Iterator[Trial]:
        """Yields what becomes of each mutant, in the order in which that is known."""
        waiting, running = list(reversed(list(mutants))), list[_Running]()
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    mutant = waiting.pop()
                    tests = self.reach.of(mutant)
                    if tests:
                        running.append(self._first_round(mutant, tests))
                    else:
                        yield Trial(mutant, UNREACHED, 0)
                yield from self._ended(running)
        finally:
            for each in running:
                session.stop(each.process)

    def check_unmutated(self, rooms: Iterable[Room]) -> list[str]:
        """Returns the names of rooms whose own tests fail as mutants meet them, though nothing is mutated."""
        failing = []
        for room in rooms:
            tests = sorted(
                (test for test in self.reach.tests if test.startswith(room.near)), key=self.reach.seconds.__getitem__
            )
            selection = Selection(tests)
            process = session.start(self.root, selection.arguments, selection)
            process.join()
            if process.exitcode != pytest.ExitCode.OK:
                failing.append(room.name)
        return failing

    def _first_round(self, mutant: Mutant, tests: set[str]) -> _Running:
        first, rest = rounds(self.reach, self.rooms[mutant.room], tests)
        return self._start(mutant, first, rest, len(tests))

    def _start(self, mutant: Mutant, tests: list[str], rest: list[str], count: int) -> _Running:
        file = self.root / mutant.file
        compiled = compile(mutant.tree(file.read_text()), str(file), "exec", dont_inherit=True)
        code = session.Code(module_name(mutant.file), file, compiled)
        selection = Selection(tests)
        seconds = self.patience_seconds + _TIMES_AS_LONG * sum(self.reach.seconds[test] for test in tests)
        process = session.start(self.root, selection.arguments, selection, code)
        return _Running(mutant, process, time.monotonic() + seconds, rest, count)

    def _ended(self, running: list[_Running]) -> Iterator[Trial]:
        """Waits a moment; takes away those that have ended, and starts the second round of those that are unnoticed."""
        wait([each.process.sentinel for each in running], timeout=0.5)
        for each in list(running):
            code = each.process.exitcode
            if code is None and time.monotonic() < each.deadline:
                continue
            running.remove(each)
            session.stop(each.process)
            if code in _UNNOTICED and each.rest:
                running.append(self._start(each.mutant, each.rest, [], each.tests))
            else:
                yield Trial(each.mutant, _outcome(code), each.tests)


def _outcome(code: int | None) -> str:
    """Returns what an exit code means. Code that cannot be imported may end in a usage error: noticed as well."""
    if code is None:
        return TIMED_OUT
    return SURVIVED if code in _UNNOTICED else KILLED
