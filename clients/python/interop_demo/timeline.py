"""Shows the story as it happens, and the results; knows no process and decides nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from interop_admin.explanation import paragraphs_of
from interop_client.media.upload import Progress as ReportProgress
from interop_protocol.printable import printable

if TYPE_CHECKING:
    from interop_api.admin.v1alpha1 import journal_pb2

_MAX_QUOTE_CHARACTERS = 60
_SERVER = "server"
_INDENT = 28
"""Columns before the text of a line."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step of the story."""

    name: str
    """The heading of the step."""
    ok: bool
    """Whether all checks held."""
    ms: int
    """How long it took, in milliseconds."""
    detail: str
    """A summary of the checks; for a step that failed or was not run, the cause."""


class Timeline:
    """Writes to a console.

    Args:
        console: The console.
        total: How many steps there are.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._last = time.perf_counter()
        self._unexplained: journal_pb2.ExplainRefusalResponse | None = None

    def introduce(self, *lines: str) -> None:
        """Writes the introduction."""
        for line in lines:
            self._console.print(Text(printable(line)))

    def begin(self, number: int, name: str) -> None:
        """Writes the heading of a step."""
        self._console.print()
        self._console.print(Text(f"{number:2}/{self._total}  {name}", style="bold"))
        self._last = time.perf_counter()

    def tell(self, who: object, what: str) -> None:
        """Writes an actor and an action, with the time since the line before."""
        now = time.perf_counter()
        milliseconds, self._last = (now - self._last) * 1000, now
        row = Table.grid(padding=(0, 1))
        row.add_column(width=8, justify="right", style="dim", no_wrap=True)
        row.add_column(width=18, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(
            f"{milliseconds:.0f} ms", Text(printable(str(who)), style=_style_of(str(who))), Text(printable(what))
        )
        self._console.print(row)

    def decide(self, what: str) -> None:
        """Writes a decision of the server, and its explanation if one is due."""
        self.tell(_SERVER, what)
        self._explain_now()

    def explain(self, explained: "journal_pb2.ExplainRefusalResponse") -> None:
        """Explains a refusal, and what would have made the request succeed, after the line that shows the refusal."""
        self._explain_now()
        self._unexplained = explained

    def end(self, result: StepResult) -> None:
        """Writes the result of a step."""
        self._explain_now()
        style = "bold green" if result.ok else "bold red"
        text = printable(f"{'held' if result.ok else 'FAILED'}: {result.detail}")
        self._console.print(Text(f"         {text}", style=style))

    def _explain_now(self) -> None:
        explained, self._unexplained = self._unexplained, None
        for paragraph in paragraphs_of(explained) if explained else ():
            text = Text.assemble((f"{printable(paragraph.heading)}: ", "dim bold"), (printable(paragraph.text), "dim"))
            self._console.print(Padding(text, (0, 0, 0, _INDENT)))

    @contextmanager
    def progress(self, what: str) -> Iterator[ReportProgress]:
        """Shows the progress of a transfer while it lasts, on a terminal only."""
        if not self._console.is_terminal:
            yield lambda sent, total: None
            return
        columns = (TextColumn("         {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(what, total=None)
            yield lambda sent, total: progress.update(task, completed=sent, total=total)

    def summarise(self, results: Sequence[StepResult]) -> None:
        """Writes the table of all steps."""
        table = Table(title_justify="left")
        table.add_column("", justify="right")
        table.add_column("step")
        table.add_column("result")
        table.add_column("ms", justify="right")
        for number, result in enumerate(results, 1):
            outcome = Text("held", style="green") if result.ok else Text(printable(result.detail), style="red")
            table.add_row(str(number), Text(result.name), outcome, f"{result.ms:,}")
        self._console.print()
        self._console.print(table)
        held = sum(result.ok for result in results)
        seconds = sum(result.ms for result in results) / 1000
        self._console.print(Text(f"{held} of {len(results)} steps held, in {seconds:.1f} s", style="bold"))


def quote(text: str) -> str:
    """Returns a text for use in a line: shortened, and printable."""
    shown = printable(text)
    return f"“{shown}”" if len(shown) <= _MAX_QUOTE_CHARACTERS else f"“{shown[:_MAX_QUOTE_CHARACTERS]}…”"


def _style_of(who: str) -> str:
    if who.startswith(_SERVER):
        return "yellow"
    return "green" if "WhatsApp" in who else "cyan"
