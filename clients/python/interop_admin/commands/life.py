"""What the commands of a simulator's life share: which one is meant, and options that are those of `up`."""

import os
from collections.abc import Sequence

import click

from interop_admin.endpoint import VARIABLE, NotFound, find_endpoint
from interop_admin.running import Running, running_simulators
from interop_protocol.json_text import read_json
from interop_protocol.printable import printable

UP_OPTIONS = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Settings of a command that hands its options on to `interopsim up`, which judges them."""

name_argument = click.argument("name", required=False)


def named(name: str, running: Sequence[Running]) -> Running:
    """Returns the simulator with this name.

    Raises:
        UsageError: None of this user's that run has it.
    """
    for each in running:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in running) or "none"
    raise click.UsageError(
        f"no simulator of yours that runs is called {printable(ascii(name))}; those that do: {names}."
    )


def meant(name: str | None) -> Running:
    """Returns the simulator that is meant: by its name, else by INTEROPSIM, else because it is the only one that runs.

    Raises:
        UsageError: None has the name, or several run.
        ClickException: None runs, or that of INTEROPSIM does not run here.
    """
    running = running_simulators()
    if name is not None:
        return named(name, running)
    line = os.environ.get(VARIABLE)
    if line:
        return _of_line(line, running)
    if not running:
        raise click.ClickException("no simulator of yours runs on this machine.")
    if len(running) > 1:
        names = ", ".join(each.name for each in running)
        raise click.UsageError(f"{len(running)} simulators run: {names}. Say which.")
    return running[0]


def _of_line(line: str, running: Sequence[Running]) -> Running:
    try:
        facts = read_json(line)
        wanted = facts["pid"], facts["admin"]
    except (KeyError, TypeError, ValueError) as error:
        raise click.UsageError(f"Set {VARIABLE} to the line that `interopsim up` prints, or unset it.") from error
    for each in running:
        if (each.pid, each.admin) == wanted:
            return each
    raise click.ClickException(f"the simulator that {VARIABLE} names is none of yours that run on this machine.")


def found_line(name: str | None) -> str:
    """Returns the ready line of the simulator that is meant, wherever it runs.

    Raises:
        UsageError: None has the name, INTEROPSIM is no ready line, or several run.
        ClickException: None runs.
    """
    from interop_admin.endpoint import NoneRuns, find_ready_line

    if name is not None:
        return named(name, running_simulators()).line
    try:
        find_endpoint()
        return find_ready_line()
    except NoneRuns as error:
        raise click.ClickException(str(error)) from error
    except NotFound as error:
        raise click.UsageError(str(error)) from error
