"""Commands that the prose names are there, with the options that it gives them."""

import re
import shlex

import click
import pytest

from interop_server.cli import main
from tests.docs.pages import GENERATED, PAGES, ROOT, inline_commands

_PASSED_ON = {"start": "up", "run": "up"}
"""Commands that take the options of another one."""


def command_for(words: list[str]) -> tuple[click.Command, list[str]]:
    """Returns the command that words name, and the rest of them."""
    command: click.Command = main
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def options_of(command: click.Command) -> set[str]:
    """Returns every flag that a command takes."""
    names = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    if command.name in _PASSED_ON:
        names |= options_of(command_for([_PASSED_ON[command.name]])[0])
    return names | {"--help", "-h"}


@pytest.mark.parametrize("page", [page for page in PAGES if page != GENERATED])
def test_every_command_in_the_prose_is_there(page: str) -> None:
    """By its name and its flags; what it does is tested where it is shown."""
    for text in inline_commands(page):
        words = shlex.split(text.replace("…", ""), posix=True)[1:]
        words = words[: words.index("|")] if "|" in words else words
        if not words or words[0].isupper():
            continue  # a form of command
        command, rest = command_for(words)
        rest = rest[: rest.index("--")] if "--" in rest else rest
        flags = {word.partition("=")[0] for word in rest if word.startswith("-")}
        assert flags <= options_of(command), f"{page}: `{text}`"


def test_every_target_of_make_in_the_prose_is_there() -> None:
    """Such as `make soak`, which takes an hour and is not run here."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for path in PAGES.values() for name in re.findall(r"`make\s+([a-z-]+)", path.read_text())}
    assert {"threats", "fuzz", "chaos"} <= named <= targets
