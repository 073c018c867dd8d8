"""The programs that can be a person's device: `person`, or the same in another language; knows no command.

Each takes its settings as last argument, and commands as `person` says.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NODE_FOLDER = Path(__file__).parents[2] / "node"
"""The client in TypeScript; only in a checkout."""


class DeviceProgram(NamedTuple):
    """A program that is a device."""

    program: str
    """The program."""
    arguments: Sequence[str]
    """Its arguments, before the settings."""


class NotBuilt(Exception):
    """The program is not there; the message says how to get it."""


PYTHON = DeviceProgram(sys.executable, ("-m", "interop_demo.person"))


def node_device() -> DeviceProgram:
    """Returns the device in TypeScript.

    Raises:
        NotBuilt: Node.js is not there, or the client has not been built.
    """
    node, program = shutil.which("node"), NODE_FOLDER / "dist" / "person.js"
    if node is None:
        raise NotBuilt("Node.js 20 or newer is not there")
    if not program.is_file():
        raise NotBuilt(f"{program} is not there: run `npm ci` and `npm run build` in clients/node of a checkout")
    return DeviceProgram(node, (str(program),))
