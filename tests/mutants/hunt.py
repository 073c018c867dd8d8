"""Tries mutants, several at a time: first the few tests that are most likely to notice, then all that reach it.

What tests say of a mutant counts only if they say otherwise of the code as it is: on a busy machine tests are late,
and some then fail.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.mutants import session
from tests.mutants.attempt import KILLED, SURVIVED, TIMED_OUT, Attempt, begin
from tests.mutants.mutants import Mutant
from tests.mutants.reach import Reach
from tests.mutants.rooms import ROOT, Room, module_name

FIRST_TESTS = 40
"""Tests of the first round."""
FIRST_FILES = 6
"""Files that they are in at most: each takes time to import."""
_TIMES_AS_LONG = 5
"""A test may take so many times as long as it did before, and the hunt's patience."""
_QUICK_SECONDS = 1.0
"""A test that takes so much longer than it may have failed because the machine is slow."""
_PATIENCE = (1, 2, 4)
"""How patient each attempt at the same tests is."""
_AT_EASE = 3
"""A mutant hangs if the same tests end without it in a third of the time."""

UNREACHED, UNDECIDED = "no test runs it", "its tests fail without it, too"

T = TypeVar("T")
Attempts = Generator[Attempt, None, T]
"""Yields each attempt that it has begun, goes on when that has ended, and returns what they came to."""


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


def rounds(reach: Reach, room: Room, tests: Iterable[str], killers: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Returns the tests of both rounds: first those that have noticed most, then the room's own, the quickest first."""
    ranked = sorted(
        tests, key=lambda test: (-killers.get(test, 0), not test.startswith(room.near), reach.seconds[test], test)
    )
    first: list[str] = []
    files: set[str] = set()
    for test in ranked:
        if len(first) < FIRST_TESTS and len(files | {test.partition("::")[0]}) <= FIRST_FILES:
            first.append(test)
            files.add(test.partition("::")[0])
    chosen = set(first)
    return first, [test for test in ranked if test not in chosen]


@dataclass
class Hunt:
    """Tries mutants.

    Args:
        reach: Which tests reach what.
        rooms: The rooms, by name.
        root: Of the project.
        jobs: Mutants that are tried at a time.
        patience_seconds: What a test may take beyond its own time, and its collection in all.
    """

    reach: Reach
    rooms: Mapping[str, Room]
    root: Path = ROOT
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    patience_seconds: float = 30.0
    _sound: set[str] = field(default_factory=set)
    """Tests that have passed on the code as it is, as a mutant meets them."""
    _killers: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By file: how many of its mutants a test has noticed."""

    def trials(self, mutants: Iterable[Mutant]) -> Iterator[Trial]:
        """Yields what becomes of each mutant, in the order in which that is known."""
        yield from self._all(self._trial(mutant) for mutant in mutants)

    def check_unmutated(self, rooms: Iterable[Room]) -> list[str]:
        """Returns the rooms whose own tests fail as mutants meet them, though nothing is mutated, and where."""
        return [failing for failing in self._all(self._check(room) for room in rooms) if failing]

    def _all(self, waiting: Iterable[Attempts[T]]) -> Iterator[T]:
        """Goes through some at a time; yields what each returns."""
        ready, running = iter(waiting), dict[Attempt, Attempts[T]]()
        going_on = list(islice(ready, self.jobs))
        try:
            while going_on or running:
                for attempts in going_on:
                    try:
                        running[next(attempts)] = attempts
                    except StopIteration as end:
                        yield end.value
                going_on = [running.pop(attempt) for attempt in _ended(running)]
                going_on += islice(ready, self.jobs - len(running) - len(going_on))
        finally:
            for attempt in running:
                attempt.stop()

    def _check(self, room: Room) -> Attempts[str]:
        tests = sorted(self._near(room.name), key=self.reach.seconds.__getitem__)
        for patience in _PATIENCE if tests else ():
            attempt = yield from self._attempt(tests, None, patience)
            if attempt.outcome == SURVIVED:
                self._sound.update(tests)
                return ""
        return f"{room.name} ({attempt.current})" if tests else ""

    def _near(self, room: str) -> list[str]:
        """Returns a room's own tests: what else is there to try where a table is used by tables only?"""
        return [test for test in self.reach.tests if test.startswith(self.rooms[room].near)]

    def _trial(self, mutant: Mutant) -> Attempts[Trial]:
        tests = self.reach.of(mutant) or (set(self._near(mutant.room)) if mutant.names else set())
        outcome = SURVIVED if tests else UNREACHED
        killers = self._killers[mutant.file]
        for part in rounds(self.reach, self.rooms[mutant.room], tests, killers):
            if part and outcome == SURVIVED:
                outcome, by = yield from self._outcome(part, self._code(mutant))
                killers.update([by] if outcome == KILLED else [])
        return Trial(mutant, outcome, len(tests))

    def _outcome(self, tests: Sequence[str], code: session.Code) -> Attempts[tuple[str, str]]:
        """Returns what tests say of a mutant, and the last that ran; tries again if they say that of any code."""
        for patience in _PATIENCE:
            attempt = yield from self._attempt(tests, code, patience)
            if attempt.outcome == SURVIVED or self._is_proof(attempt):
                return attempt.outcome, attempt.current
            control = yield from self._attempt(attempt.begun, None, patience / _AT_EASE)
            if control.outcome == SURVIVED:
                self._sound.update(attempt.begun)
                return attempt.outcome, attempt.current
        return UNDECIDED, ""

    def _is_proof(self, attempt: Attempt) -> bool:
        """Says whether it is the mutant that fails: a test that passes without it, or the import of the code."""
        test = attempt.current
        quick = attempt.seconds < _QUICK_SECONDS + _TIMES_AS_LONG * self.reach.seconds.get(test, 0.0)
        return attempt.outcome == KILLED and (not test or (test in self._sound and quick))

    def _attempt(self, tests: Sequence[str], code: session.Code | None, patience: float) -> Attempts[Attempt]:
        def allowed(test: str) -> float:
            return patience * (self.patience_seconds + _TIMES_AS_LONG * self.reach.seconds.get(test, 0.0))

        attempt = begin(self.root, tests, allowed, code)
        yield attempt
        return attempt

    def _code(self, mutant: Mutant) -> session.Code:
        file = self.root / mutant.file
        compiled = compile(mutant.tree(file.read_text()), str(file), "exec", dont_inherit=True)
        return session.Code(module_name(mutant.file), file, compiled)


def _ended(running: Iterable[Attempt]) -> list[Attempt]:
    """Waits a moment, and returns the attempts that have ended by now."""
    wait([each for attempt in running for each in (attempt.process.sentinel, attempt.begins)], timeout=0.5)
    ended = [attempt for attempt in running if attempt.has_ended()]
    for attempt in ended:
        attempt.stop()
    return ended
