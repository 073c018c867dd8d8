"""What became of a check and of a run; knows no subject."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from interop_conformance.check import Check, Level, Score
from interop_conformance.use import Use


class Verdict(StrEnum):
    """What became of a check."""

    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    """A should that does not hold."""
    NOT_APPLICABLE = "not applicable"
    """The subject says that it lacks something optional."""
    BLOCKED = "blocked"
    """A check that it rests on failed."""
    EXPECTED_FAILURE = "expected failure"
    """It failed or warned, and the file of expected failures says so."""
    UNEXPECTED_PASS = "unexpected pass"
    """It passed, and the file says that it fails."""
    HARNESS_ERROR = "harness error"
    """The kit itself failed: this says nothing about the subject."""
    NOT_RUN = "not run"
    """The run ended first."""


HELD = frozenset({Verdict.PASS, Verdict.NOT_APPLICABLE})
"""Verdicts after which checks that rest on this one can go on."""
_CONFORMANT = frozenset({Verdict.PASS, Verdict.NOT_APPLICABLE})
"""What a must may be."""


@dataclass(slots=True)
class Result:
    """What became of one check, with its evidence."""

    check: Check
    verdict: Verdict
    expected: str = ""
    """What should have been; empty when it was."""
    got: str = ""
    """What was; or why the check is not applicable, or did not run."""
    score: Score | None = None
    """Of an attack."""
    blocked_by: str = ""
    """The check that failed."""
    seconds: float = 0.0
    attempts: int = 1
    """More than one when the subject's process ended while several checks used it: then each is tried again alone."""
    wire: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """What went over the chat channels of everybody in the check, oldest first, secrets left out."""
    journal: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """What the server decided about them."""
    log: str = ""
    """The end of what the subject wrote to stderr; empty unless it ended."""
    repeat: str = ""
    """The command that runs this check alone."""

    @property
    def is_bad(self) -> bool:
        """Whether it keeps the subject from being conformant."""
        if self.verdict in (Verdict.HARNESS_ERROR, Verdict.UNEXPECTED_PASS):
            return True
        return self.check.level is Level.MUST and self.verdict not in _CONFORMANT


@dataclass(slots=True)
class Run:
    """A whole run."""

    subject: str
    """What was judged: name and version, as it says."""
    kind: str
    """`client`, `partner` or `proxy`."""
    mode: str
    """How a client was connected."""
    profile: str
    kit_version: str
    seed: int
    scope: str
    """What was selected, in words; empty for everything."""
    started_at: str
    """UTC, ISO 8601."""
    seconds: float = 0.0
    is_complete: bool = False
    """Whether it came to its end."""
    results: list[Result] = field(default_factory=list)
    use: Use | None = None
    """What a client used of the contract; None when nobody looked."""
    unknown_expected: list[str] = field(default_factory=list)
    """Ids in the file of expected failures that the run did not have."""

    @property
    def is_conformant(self) -> bool:
        """Whether every must of the scope ran and holds: a check that was skipped, or is expected to fail, does not."""
        return (
            self.is_complete
            and any(result.verdict is Verdict.PASS for result in self.results)
            and not self.unknown_expected
            and not any(result.is_bad for result in self.results)
        )

    @property
    def unjudged(self) -> list[str]:
        """Why there are checks that did not apply to the subject, each reason once."""
        return list(dict.fromkeys(each.got for each in self.results if each.verdict is Verdict.NOT_APPLICABLE))

    @property
    def has_harness_error(self) -> bool:
        """Whether the kit itself failed."""
        return any(result.verdict is Verdict.HARNESS_ERROR for result in self.results)

    def count(self, verdict: Verdict) -> int:
        """How many checks got a verdict."""
        return sum(result.verdict is verdict for result in self.results)

    def milestones(self) -> dict[int, tuple[int, int]]:
        """How many checks of each milestone hold, and how many there are."""
        numbers = sorted({result.check.milestone for result in self.results} - {0})
        found = {number: [each for each in self.results if each.check.milestone == number] for number in numbers}
        return {number: (sum(each.verdict in HELD for each in some), len(some)) for number, some in found.items()}

    def scores(self) -> dict[Score, int]:
        """How many attacks were noticed, survived, or did harm."""
        return {score: sum(result.score is score for result in self.results) for score in Score}


def expected(results: Iterable[Result], reasons: Mapping[str, str]) -> None:
    """Changes the verdicts of checks that are expected to fail.

    Args:
        results: What became of the checks.
        reasons: Why each check is expected to fail, by id.
    """
    for result in results:
        if (reason := reasons.get(result.check.id)) is None:
            continue
        if result.verdict in (Verdict.FAIL, Verdict.WARN):
            result.verdict, result.got = Verdict.EXPECTED_FAILURE, f"{result.got} (expected: {reason})"
        elif result.verdict is Verdict.PASS:
            result.verdict = Verdict.UNEXPECTED_PASS
            result.expected, result.got = f"that it fails: {reason}", "it passed: take it off the list"
