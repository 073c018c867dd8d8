"""Two revisions, alternating in one run on one machine: what changed, and with what spread; knows no figure."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("server", "clients/python", "protos/python")
NOW = "now"
"""Name of the working tree."""


class ComparisonFailed(Exception):
    """A revision does not exist or does not run; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of both revisions."""

    name: str
    unit: str
    before: tuple[float, ...]
    now: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median now over median before."""
        return statistics.median(self.now) / statistics.median(self.before)

    @property
    def spread(self) -> float:
        """The wider of both: largest over smallest of one revision, less one."""
        return max(max(values) / min(values) - 1 for values in (self.before, self.now))

    @property
    def verdict(self) -> str:
        """Whether it is faster or slower by more than the spread; a rate is better when it grows, all else when not."""
        gain = self.ratio - 1 if "/s" in self.unit else 1 / self.ratio - 1
        if abs(gain) <= self.spread:
            return "same"
        return "faster" if gain > 0 else "slower"

    def as_json(self) -> dict[str, object]:
        """The change for machines."""
        facts = {"name": self.name, "unit": self.unit, "before": self.before, "now": self.now}
        return {**facts, "ratio": self.ratio, "spread": self.spread, "verdict": self.verdict}


async def compare(revision: str, rounds: int, options: Sequence[str]) -> list[Change]:
    """Measures a revision and the working tree in turn.

    Args:
        revision: Anything that git can check out.
        rounds: How often each is measured.
        options: For the benchmark of both.

    Raises:
        ComparisonFailed: The revision cannot be checked out or measured.
    """
    seen: dict[str, dict[str, list[float]]] = {}
    units: dict[str, str] = {}
    with _checkout(revision) as folder:
        for number in range(1, rounds + 1):
            for name, place in ((revision, folder), (NOW, ROOT)):
                click.echo(f"[{number}/{rounds}] {name}", err=True)
                for figure in await _measure(place, options):
                    units[figure["name"]] = figure["unit"]
                    seen.setdefault(figure["name"], {}).setdefault(name, []).append(figure["value"])
    both = {name: values for name, values in seen.items() if {revision, NOW} <= values.keys()}
    return [Change(name, units[name], tuple(both[name][revision]), tuple(both[name][NOW])) for name in both]


def print_changes(changes: Sequence[Change], revision: str) -> None:
    """Prints what changed, for people."""
    report = Table("figure", "unit")
    for heading in (revision[:12], NOW, "ratio", "spread"):
        report.add_column(heading, justify="right")
    report.add_column("verdict")
    for change in changes:
        before, now = (f"{statistics.median(values):,.4g}" for values in (change.before, change.now))
        report.add_row(
            change.name, change.unit, before, now, f"{change.ratio:.2f}", f"{change.spread:.2f}", change.verdict
        )
    Console(highlight=False).print(report)


@contextmanager
def _checkout(revision: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="interopsim-compare-") as temporary:
        folder = Path(temporary) / "tree"
        added = subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(folder), revision],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if added.returncode:
            raise ComparisonFailed(f"{revision!r} cannot be checked out: {added.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=False)


async def _measure(tree: Path, options: Sequence[str]) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench",
        "--json",
        *options,
        cwd=tree,
        env=_environment(tree, os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode:
        raise ComparisonFailed(f"the benchmark in {tree} failed: {err.decode(errors='replace').strip()[-500:]}")
    figures: list[dict[str, Any]] = json.loads(out)["figures"]
    return figures


def _environment(tree: Path, environment: Mapping[str, str]) -> dict[str, str]:
    # The tree's own sources, before those that are installed.
    return {**environment, "PYTHONPATH": os.pathsep.join(str(tree / root) for root in SOURCE_ROOTS)}
