"""How far long work is, where a terminal shows it and where it does not."""

import io

import pytest
from rich.console import Console

from tests.progress import LINES, LongWork


def told(total: int, *, terminal: bool = False) -> str:
    """Returns what work of so many steps prints."""
    screen = io.StringIO()
    with LongWork("kills", total, Console(file=screen, force_terminal=terminal, width=100), forks=True) as work:
        for done in range(1, total + 1):
            work.tell(done, f"{done - 1} missed")
        work.say("[bold]one[/] survived")
    return screen.getvalue()


@pytest.mark.parametrize("total", [1, 7, LINES, 990])
def test_elsewhere_each_twentieth_is_a_line(total: int) -> None:
    """Or each step, of fewer; the last says that all is done, and no line has colours."""
    *lines, said = told(total).splitlines()
    assert len(lines) == min(total, LINES)
    assert lines[-1] == f"{total} of {total} kills, {total - 1} missed"
    assert said == "one survived"


def test_a_terminal_has_a_bar() -> None:
    """That is drawn over itself, with the same words."""
    screen = told(40, terminal=True)
    assert "40 of 40 kills" in screen and "39 missed" in screen and "\x1b[" in screen
    assert "20 of 40 kills, 19 missed" not in screen
