"""docs/write-your-own-client.md: its commands can be given as they stand, and what a step names is there.

That the checks of the steps hold for the SDK need not be shown again: `test_right_clients.py` runs every check.
"""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from interop_conformance.catalogue import Scope, load, select
from interop_conformance.check import Subject
from interop_conformance.cli import conformance as commands
from tests.conformance.kit import DRIVER, conformance

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "write-your-own-client.md").read_text()
STEPS = re.findall(r"^## \d+\. (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = {
    name: shlex.split(block.replace("\\\n", ""))
    for name, text in STEPS
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
}
"""The command of each step that has one, by the heading."""
RUN = ("Enlist", "By proxy, if your messenger has one")
"""Steps whose commands are run here, too: one of either mode."""
WITHOUT_COMMAND = {"Stubs, and somebody to talk to", "Addresses, encodings and keys"}
VECTORS = ROOT / "protos" / "vectors"
EXAMPLE = ROOT / "clients" / "node"


def values(command: list[str], option: str) -> list[str]:
    """What a command gives to an option that can be repeated."""
    return [value for name, value in itertools.pairwise(command) if name == option]


def checks_of(command: list[str]) -> set[str]:
    """The checks that a command runs."""
    scope = Scope(only=values(command, "--only"), areas=values(command, "--area"))
    return {check.id for check in select(load(Subject.CLIENT), scope)}


def cells(row: str) -> list[str]:
    """What stands in backticks in the rows of that name of all steps."""
    found = re.findall(rf"^\| {row} \| (.*) \|$", PAGE, re.MULTILINE)
    return [code for cell in found for code in re.findall(r"`([^`]+)`", cell)]


def test_each_step_has_its_proof() -> None:
    """One command for each, but for the first two, in which nothing can be seen from outside."""
    assert {name for name, _ in STEPS} - COMMANDS.keys() == WITHOUT_COMMAND
    assert len(COMMANDS) == PAGE.count("```sh\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_can_be_given_as_it_stands(name: str) -> None:
    """With options that there are, for the SDK's driver, and with checks that there are."""
    program, kit, subject, *rest = COMMANDS[name]
    assert (program, kit, subject) == ("interopsim", "conformance", "client")
    client = commands.commands[subject]
    with client.make_context(subject, list(rest)) as context:
        assert context.params["command"] == "python -m interop_driver"
    assert set(rest) - {"--no-report"} <= {
        "--command", "python -m interop_driver", "--mode", "proxy", "--only", "--area",
        *values(rest, "--only"), *values(rest, "--area"),
    }  # fmt: skip
    assert checks_of(rest)


@pytest.mark.parametrize("name", RUN)
def test_a_command_proves_its_step(tmp_path: Path, name: str) -> None:
    """Checks that it names, and no others, pass with the SDK; by proxy, one about direct clients is left out."""
    _, _, *rest = COMMANDS[name]
    given = [DRIVER if word == "python -m interop_driver" else word for word in rest if word != "--no-report"]
    outcome = conformance(tmp_path, *given)
    assert outcome.status == 0, outcome.stdout
    assert set(outcome.verdicts().values()) == {"pass"}
    assert set(values(rest, "--only")) <= outcome.verdicts().keys() <= checks_of(rest)


def test_every_file_of_vectors_belongs_to_a_step() -> None:
    """And what a step names is there."""
    written = {path.name for path in VECTORS.glob("*.json")} - {"schema.json"}
    assert written == {name for name in cells("vectors") if name.endswith(".json")}


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="The worked example is not here.")
def test_what_a_step_names_of_the_example_is_there() -> None:
    """Rooms and files; a file without a folder lies in the room before it."""
    for row in re.findall(r"^\| example \| (.*) \|$", PAGE, re.MULTILINE):
        room = EXAMPLE
        for name in re.findall(r"`([^`]+)`", row):
            place = EXAMPLE / name if name.startswith("src/") else room / name
            assert place.exists(), name
            room = place if place.is_dir() else room
