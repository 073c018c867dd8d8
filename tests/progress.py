"""How far a long command is, on stderr: a bar on a terminal, elsewhere a line for each twentieth; knows no command."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINES = 20
"""At most, where there is no terminal."""


class LongWork:
    """Work that takes long, while it is done: a context manager.

    Args:
        what: Is counted: `kills`, `stories`.
        total: How many there will be.
        console: Where it is shown.
        forks: Whether the process forks meanwhile: then no thread draws, and the time moves with the work alone.
    """

    def __init__(self, what: str, total: float, console: Console | None = None, *, forks: bool = False) -> None:
        self._what = what
        self._total = total
        self._said = 0
        self._console = console or Console(stderr=True)
        count = TextColumn("{task.completed:.0f} of {task.total:.0f} " + what)
        columns = (BarColumn(), count, TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(
            *columns, console=self._console, auto_refresh=not forks, disable=not self._console.is_terminal
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Prints something that was found meanwhile, in the markup of rich."""
        self._console.print(text, highlight=False)

    def tell(self, done: float, text: str = "") -> None:
        """Shows how much is done, and what there is to say of it."""
        self._bar.update(self._task, completed=done, description=text, refresh=True)
        if not self._console.is_terminal and (parts := int(LINES * done / self._total)) > self._said:
            self._said = parts
            self.say(f"{done:.0f} of {self._total:.0f} {self._what}{', ' if text else ''}{text}")
