"""What a client must be able to do, milestone by milestone, and what became of each; knows no server and no client.

The features are those that Meta's public technical framework requires of a partner; the milestones are its order.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from rich.console import Console
from rich.table import Table

MILESTONES = {
    1: "Identities",
    2: "Chat channel and keys",
    3: "Messaging",
    4: "Media, features, blocking",
    5: "Deletion",
    6: "Reachability",
}


class Feature(NamedTuple):
    """Something that a client must be able to do."""

    milestone: int
    title: str


FEATURES = {
    "enlistment": Feature(1, "A user is enlisted with a token and keys"),
    "verified identifier": Feature(1, "A user's identifier is proved, when enlisting and at every connection"),
    "channel": Feature(2, "The chat channel is opened with a Noise handshake, and a ping is answered"),
    "key fetch": Feature(2, "A WhatsApp user's keys are fetched"),
    "send text": Feature(3, "Texts are sent"),
    "receive text": Feature(3, "Texts are received, decrypted, and checked for their form"),
    "delivery receipts": Feature(3, "Delivery receipts are sent and shown"),
    "read receipts": Feature(3, "Read receipts are sent and shown"),
    "push": Feature(3, "A push brings back who is away, and what waited comes"),
    "send retry": Feature(3, "A retry receipt asks for what could not be decrypted"),
    "receive retry": Feature(3, "A retry receipt is answered: the message is sent again"),
    "forward secrecy": Feature(3, "Keys stolen later open nothing that was received before"),
    "post-compromise security": Feature(3, "Keys stolen earlier open nothing after a round trip"),
    "deniability": Feature(3, "A transcript proves nothing about who wrote it: its reader could have"),
    "receive media": Feature(4, "Files are received, checked and decrypted"),
    "send media": Feature(4, "Files are sent, hosted by the messenger"),
    "replies": Feature(4, "Replies name what they answer, both ways"),
    "reactions": Feature(4, "Reactions are put on and taken off, both ways"),
    "typing": Feature(4, "Typing is shown, both ways"),
    "blocking": Feature(4, "Whoever is blocked does not get through, and is not told"),
    "security notifications": Feature(4, "A peer's new identity key is shown"),
    "deletion": Feature(5, "A user who leaves is deleted, with keys and messages, and comes back as somebody new"),
    "reachability": Feature(6, "A WhatsApp user who has not opted in is told that somebody would like to write"),
}
"""By the name that tests mark them with."""


@dataclass
class Row:
    """What became of one feature."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """`passed`, `failed` or `not tried`."""
        return "failed" if self.failed else "passed" if self.passed else "not tried"


class Report:
    """Gathers what a run finds. A pytest plugin, for a run in one process."""

    def __init__(self) -> None:
        self._rows = {name: Row() for name in FEATURES}

    @property
    def is_complete(self) -> bool:
        """Says whether every feature was tried and passed."""
        return all(row.outcome == "passed" for row in self._rows.values())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        for name in (name for mark in item.iter_markers("feature") for name in mark.args):
            if not report.passed:
                self._rows[name].failed.append(item.nodeid)
            elif report.when == "call":
                self._rows[name].passed.append(item.nodeid)
        return report

    def as_json(self) -> str:
        """One object per feature."""
        rows = [
            {
                "feature": name,
                "milestone": FEATURES[name].milestone,
                "title": FEATURES[name].title,
                "outcome": row.outcome,
                "tests": row.failed or row.passed,
            }
            for name, row in self._rows.items()
        ]
        return json.dumps(rows, indent=1, ensure_ascii=False)

    def print_table(self, console: Console) -> None:
        """Prints a row per feature, milestone by milestone."""
        table = Table(title="What the client under test can do", title_justify="left")
        for heading in ("Milestone", "Feature", "Outcome"):
            table.add_column(heading)
        shown = 0
        for name, row in self._rows.items():
            feature = FEATURES[name]
            milestone = f"{feature.milestone} {MILESTONES[feature.milestone]}" if feature.milestone != shown else ""
            shown = feature.milestone
            colour = {"passed": "green", "failed": "red"}.get(row.outcome, "yellow")
            table.add_row(milestone, feature.title, f"[{colour}]{row.outcome}[/]", end_section=False)
        console.print(table)
        passed = sum(row.outcome == "passed" for row in self._rows.values())
        console.print(f"{passed} of {len(FEATURES)} features passed")
