"""What became of each threat: what was tried, what held; knows no server and no client."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

THREATS = {
    "T1": "A messenger speaks for another messenger's users",
    "T2": "A user of a messenger passes for another one",
    "T3": "A stolen or replayed token",
    "T4": "A token that chooses its own algorithm or key",
    "T5": "A server that swaps keys",
    "T6": "Draining somebody's one-time prekeys",
    "T7": "Finding out who exists",
    "T8": "Unwanted contact",
    "T9": "A proxy that does more than relay",
    "T10": "A push that tells too much",
    "T11": "A storage reference that leads elsewhere",
    "T12": "Media that was tampered with",
    "T13": "Replayed and doubled messages",
    "T14": "Downgrade to an older protocol or weaker keys",
    "T15": "Taking over somebody's session",
    "T16": "Receipts that give somebody away",
    "T17": "Use from outside the allowed area",
    "T18": "False reports",
    "T19": "Requests that are small on the wire and large in memory",
    "T20": "Answers that nobody reads",
    "T21": "A flood of streams",
    "T22": "A flood of connections or frames",
    "T23": "Headers that grow in memory",
    "T24": "Requests that lead back to the server",
    "T25": "Flooding the server with prekeys",
    "T26": "Identifiers that pass for somebody else's",
    "T27": "Keys that protect nothing",
    "T28": "Squatting on somebody's upload",
    "T29": "Text that commands a terminal or forges a line",
    "T30": "Filling the disk with uploads",
}
"""By id: what the attacker is after."""

TRIED, HELD, MEASURED = "tried", "held", "measured"
_PROPERTY = "attack"


class Attack:
    """What one test tries and what it finds to hold, in sentences for the report.

    Args:
        item: The test; what is said travels with its report.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def tries(self, sentence: str) -> None:
        """Says what is about to be tried."""
        self._say(TRIED, sentence)

    def holds(self, sentence: str) -> None:
        """Says what was just found to hold: call it after the assertions that it rests on."""
        self._say(HELD, sentence)

    def measures(self, sentence: str) -> None:
        """Says what was measured; nothing depends on it."""
        self._say(MEASURED, sentence)

    def _say(self, what: str, sentence: str) -> None:
        self._item.user_properties.append((_PROPERTY, (what, sentence)))


@dataclass
class Row:
    """One threat."""

    threat: str
    """Its id."""
    title: str
    """What the attacker is after."""
    tried: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Tests that found something not to hold."""

    @property
    def outcome(self) -> str:
        """`held`, `did not hold`, or `not tried`."""
        if self.failed:
            return "did not hold"
        return "held" if self.held else "not tried"


class Report:
    """Gathers what the tests of a run say. A pytest plugin of the process that gets all reports."""

    def __init__(self) -> None:
        self._rows = {threat: Row(threat, title) for threat, title in THREATS.items()}

    @property
    def rows(self) -> Iterable[Row]:
        """All threats, T1 first."""
        return self._rows.values()

    @property
    def holds(self) -> bool:
        """Whether every threat was tried and held."""
        return all(row.outcome == "held" for row in self.rows)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = dict[str, object](report.user_properties)
        evidence = said.get("evidence")
        threats = evidence["threats"] if isinstance(evidence, dict) else []
        for threat in threats:
            row = self._rows[threat]
            if report.failed:
                row.failed.append(report.nodeid)
            if report.when == "call":  # each phase brings all that was said so far
                for name, value in report.user_properties:
                    if name == _PROPERTY:
                        what, sentence = value  # type: ignore[misc]
                        getattr(row, what).append(sentence)

    def as_json(self) -> str:
        """One object per threat."""
        return json.dumps([asdict(row) | {"outcome": row.outcome} for row in self.rows], indent=1, ensure_ascii=False)

    def print_table(self, console: Console) -> None:
        """Prints one row per threat."""
        table = Table(title="Attacks on a running server", show_lines=True, title_justify="left")
        table.add_column("", no_wrap=True)
        table.add_column("What was tried", ratio=1)
        table.add_column("Outcome", ratio=1)
        for row in self.rows:
            table.add_row(row.threat, f"[bold]{row.title}[/]\n{_list(row.tried)}", _outcome(row))
        console.print(table)


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"• {escape(sentence)}" for sentence in sentences)


def _outcome(row: Row) -> str:
    color = {"held": "green", "did not hold": "red"}.get(row.outcome, "yellow")
    parts = [f"[bold {color}]{row.outcome}[/]", _list(row.failed or row.held), _list(row.measured)]
    return "\n".join(part for part in parts if part)
