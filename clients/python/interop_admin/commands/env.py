"""`interopsim env`: the variables that lead to a simulator, for a shell to set."""

import json
import shlex
from collections.abc import Callable, Mapping

import click

from interop_admin.commands.life import found_line, name_argument
from interop_admin.endpoint import VARIABLE
from interop_protocol.json_text import read_json

_WRITE: dict[str, Callable[[str, str], str]] = {
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
    "fish": lambda name, value: f"set -gx {name} '{_escaped(value)}'",
    "powershell": lambda name, value: f"$env:{name} = '{value}'",
    "dotenv": lambda name, value: f"{name}='{value}'",
    "github": lambda name, value: f"{name}={value}",
}
"""How each writes a variable, whose value has neither a line end nor a single quote."""


def variables_of(line: str) -> Mapping[str, str]:
    """Returns the variables that lead to the simulator with a ready line. It may hold the token of admin calls."""
    facts = read_json(line)
    return {
        VARIABLE: json.dumps(facts).replace("'", "\\u0027"),  # one line, and no quote that a shell would end at
        "INTEROPSIM_GRPC": facts["grpc"],
        "INTEROPSIM_ADMIN": facts["admin"],
        "INTEROPSIM_HTTP": facts["http"],
    }


@click.command(epilog='Examples: eval "$(interopsim env)" | interopsim env --shell github >> "$GITHUB_ENV"')
@name_argument
@click.option("--shell", type=click.Choice(list(_WRITE)), default="sh", show_default=True, help="Who reads it.")
def env(name: str | None, shell: str) -> None:
    """Print the variables by which commands and samples find NAME, or the only simulator that runs.

    They are INTEROPSIM, its ready line, and INTEROPSIM_GRPC, INTEROPSIM_ADMIN and INTEROPSIM_HTTP, its addresses.
    """
    for variable, value in variables_of(found_line(name)).items():
        click.echo(_WRITE[shell](variable, value))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
