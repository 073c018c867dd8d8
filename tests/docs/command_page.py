"""Writes docs/commands.md from the commands themselves: `python -m tests.docs.command_page`."""

import subprocess
import sys
from collections.abc import Iterator

import click

from interop_server.cli import main
from tests.docs.pages import GENERATED, ROOT

WIDTH = 100
_HEAD = """# Every command

Written by `make docs` from what each command says with `--help`. [running.md](running.md) tells how they go together.
"""
_GROUPS = {
    "Run a simulator": ("up", "start", "run", "status", "wait", "check", "stop", "reset"),
    "Find it, and what is in its way": ("env", "ca", "doctor", "completion"),
    "Talk to people": ("token", "user", "partner"),
    "See what happens": ("journal", "explain", "trace", "audit"),
    "Change what happens": ("clock", "faults", "limits"),
    "Judge and learn": ("conformance", "requirements", "docs", "protos", "vectors", "demo"),
}


def page() -> str:
    """Returns the page.

    Raises:
        ValueError: A command is in no group, or in two.
    """
    grouped = [name for names in _GROUPS.values() for name in names]
    context = _context(main, None, "interopsim")
    if sorted(grouped) != main.list_commands(context):
        raise ValueError(f"put each command into one group: {sorted(set(grouped) ^ set(main.list_commands(context)))}")
    parts = [_HEAD]
    for group, names in _GROUPS.items():
        parts.append(f"## {group}\n")
        for name in names:
            command = main.get_command(context, name)
            assert command is not None
            parts += _sections(command, _context(command, context, name))
    return "\n".join(parts)


def _context(command: click.Command, parent: click.Context | None, name: str) -> click.Context:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH} | command.context_settings
    return command.context_class(command, info_name=name, parent=parent, **settings)


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"### {context.command_path}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _sections(inner, _context(inner, context, name))


def page_of_a_fresh_process() -> str:
    """Returns the page as a new process has it: click remembers of a command how its help was first asked for."""
    command = [sys.executable, "-m", "tests.docs.command_page", "--print"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__" and sys.argv[1:] == ["--print"]:
    print(page(), end="")
elif __name__ == "__main__":
    (ROOT / GENERATED).write_text(page())
    print(f"{GENERATED} is written.")
