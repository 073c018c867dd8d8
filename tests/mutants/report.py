"""What became of the mutants, by room; knows no test runner."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.mutants.hunt import Trial
from tests.mutants.judged import Judged, verdict_on

LEAST_RATE = 0.98
"""Of the mutants that are not equivalent, so many are noticed."""


@dataclass
class Row:
    """One room."""

    room: str
    noticed: int = 0
    equivalent: int = 0
    survivors: list[Trial] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Noticed mutants among those that are not equivalent; 1 if there are none."""
        tried = self.noticed + len(self.survivors)
        return self.noticed / tried if tried else 1.0


class Report:
    """Gathers trials.

    Args:
        judged: Verdicts on survivors.
    """

    def __init__(self, judged: Iterable[Judged]) -> None:
        self._judged = list(judged)
        self._rows: dict[str, Row] = {}

    def add(self, trial: Trial) -> bool:
        """Takes in what became of a mutant; says whether it is a survivor that nobody has judged."""
        row = self._rows.setdefault(trial.mutant.room, Row(trial.mutant.room))
        if trial.is_noticed:
            row.noticed += 1
        elif verdict_on(trial.mutant, self._judged):
            row.equivalent += 1
        else:
            row.survivors.append(trial)
            return True
        return False

    @property
    def rows(self) -> list[Row]:
        """The rooms, and all of them together."""
        rows = [self._rows[name] for name in sorted(self._rows)]
        total = Row("all", sum(row.noticed for row in rows), sum(row.equivalent for row in rows))
        total.survivors = [trial for row in rows for trial in row.survivors]
        return [*rows, total]

    @property
    def is_good(self) -> bool:
        """Whether enough are noticed in all."""
        return self.rows[-1].rate >= LEAST_RATE

    def print(self, console: Console) -> None:
        """Prints the rates, and names the survivors."""
        table = Table(title="Mutants", title_justify="left")
        table.add_column("room")
        for name in ("noticed", "survived", "equivalent", "rate"):
            table.add_column(name, justify="right")
        for row in self.rows:
            rate = f"{row.rate:.1%}"
            table.add_row(row.room, f"{row.noticed}", f"{len(row.survivors)}", f"{row.equivalent}", rate)
        console.print(table)
        for trial in sorted(self.rows[-1].survivors, key=lambda trial: (trial.mutant.file, trial.mutant.line)):
            console.print(named(trial), highlight=False)

    def as_json(self) -> str:
        """One object per room."""
        rows = [
            {
                "room": row.room,
                "noticed": row.noticed,
                "equivalent": row.equivalent,
                "rate": row.rate,
                "survivors": [_described(trial) for trial in row.survivors],
            }
            for row in self.rows
        ]
        return json.dumps(rows, indent=1, ensure_ascii=False)


def named(trial: Trial) -> str:
    """Returns two lines for a console: where a mutant is and what became of it, and what it changes."""
    mutant = trial.mutant
    why = f"{trial.outcome}, {trial.tests} tests run it" if trial.tests else trial.outcome
    place = f"[bold]{mutant.key}[/] {mutant.file}:{mutant.line} {mutant.operator}: {why}"
    return f"{place}\n  {escape(mutant.before)}  →  {escape(mutant.after)}"


def _described(trial: Trial) -> dict[str, object]:
    mutant = trial.mutant
    return {
        "key": mutant.key,
        "file": mutant.file,
        "line_number": mutant.line,
        "function": mutant.function,
        "operator": mutant.operator,
        "line": mutant.text,
        "before": mutant.before,
        "after": mutant.after,
        "outcome": trial.outcome,
        "tests": trial.tests,
    }
