"""docs/commands.md is what the commands say of themselves."""

import pytest

from tests.docs.command_page import page, page_of_a_fresh_process
from tests.docs.pages import GENERATED, PAGES


def test_the_page_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make docs` writes it."""
    monkeypatch.setenv("COLUMNS", "40")  # the reader's terminal does not matter
    assert PAGES[GENERATED].read_text() == page_of_a_fresh_process(), "run `make docs`"


def test_every_command_is_on_it() -> None:
    """With its subcommands."""
    text = page()
    for path in ("interopsim up", "interopsim user send", "interopsim conformance client", "interopsim clock advance"):
        assert f"### {path}\n" in text
