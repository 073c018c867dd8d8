"""Mutants that a person has looked at: changes that change nothing, each with the reason why."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutants import Mutant

JUDGED = Path(__file__).with_name("judged.toml")


@dataclass(frozen=True)
class Judged:
    """A verdict on one mutant, or on all alike in one line of a function."""

    file: str
    function: str
    operator: str
    line: str
    why: str
    before: str = ""
    """What is changed; empty for everything in the line that the operator changes."""
    after: str = ""
    """Into what; empty for whatever the operator makes of it."""

    def covers(self, mutant: Mutant) -> bool:
        """Says whether this is about a mutant."""
        return (
            (self.file, self.function, self.operator, self.line)
            == (mutant.file, mutant.function, mutant.operator, mutant.text)
            and self.before in ("", mutant.before)
            and self.after in ("", mutant.after)
        )


def read_judged(path: Path = JUDGED) -> list[Judged]:
    """Returns all verdicts."""
    return [Judged(**each) for each in tomllib.loads(path.read_text()).get("equivalent", [])]


def verdict_on(mutant: Mutant, judged: Iterable[Judged]) -> Judged | None:
    """Returns what was found about a mutant; None if nobody has judged it equivalent."""
    return next((each for each in judged if each.covers(mutant)), None)
