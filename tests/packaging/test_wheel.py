"""What is in the wheel, and what it says of itself."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from interop_server import __version__
from tests.packaging.conftest import ROOT, Outside

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = __version__
SHIPPED = "interop_server/shipped/"
EVERY_HELP = """
import click
from interop_server.cli import main
from interop_server.core.reasons import Reason

def show(command, context):
    print(command.get_help(context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            show(child, click.Context(child, parent=context, info_name=name))

show(main, click.Context(main, info_name="interopsim"))
for reason in Reason:
    print(reason.meaning, reason.advice)
"""
USES_IT = """
import asyncio

from interopsim import AdminClient, ClientState, Running, Simulator, ThirdPartyClient, running


def test_time(interopsim: Running) -> None:
    now: int = interopsim.call(interopsim.admin.get_clock()).now_ms
    assert now > 0


async def main() -> None:
    async with Simulator(seed=1, limits={"send_burst": 10}) as sim:
        admin: AdminClient = sim.admin
        client = ThirdPartyClient.direct(sim.endpoint, ClientState.generate(), token)
        print(client.jid, (await admin.get_clock()).now_ms)


async def token() -> str:
    return ""


with running(trace=True) as sim:
    sim.call(sim.admin.freeze_clock())
asyncio.run(main())
"""
MISUSES_IT = """
from interopsim import Simulatr, running

with running(seed="one") as sim:
    sim.admin.get_clok()
"""


def test_nothing_is_amiss_in_it(outside: Outside) -> None:
    """No file twice, none that only tests want, nothing beside its packages: what check-wheel-contents looks for."""
    result = subprocess.run(
        [Path(sys.executable).with_name("check-wheel-contents"), "--config", ROOT / "pyproject.toml", outside.wheel],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_package_has_types(outside: Outside) -> None:
    """Those that are shipped are those that pyproject.toml names, and each says that it is typed."""
    names = zipfile.ZipFile(outside.wheel).namelist()
    packages = {Path(each).name for each in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert {name.partition("/")[0] for name in names} - {f"interopsim-{VERSION}.dist-info"} == packages
    assert {f"{package}/py.typed" for package in packages} <= set(names)


def test_pages_protos_and_vectors_are_those_of_the_checkout(outside: Outside) -> None:
    """All of them: what is written anew and not named in pyproject.toml is missed here."""
    wheel = zipfile.ZipFile(outside.wheel)
    shipped = {name.removeprefix(SHIPPED) for name in wheel.namelist() if name.startswith(SHIPPED)}
    contract = ("protos/*.md", "protos/interop_api/**/*.proto", "protos/openapi/*.yaml", "protos/vectors/*")
    written = [path for pattern in ("docs/*.md", *contract) for path in ROOT.glob(pattern)]
    assert shipped == {path.relative_to(ROOT).as_posix() for path in written}
    assert all(wheel.read(SHIPPED + name) == (ROOT / name).read_bytes() for name in shipped)


def test_its_version_is_that_of_the_changelog(outside: Outside, tmp_path: Path) -> None:
    """The command says it, and the newest release in CHANGELOG.md is it."""
    assert outside.run("interopsim", "-V", cwd=tmp_path).stdout == f"interopsim, version {VERSION}\n"
    released = re.findall(r"^## (\d\S*) — \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == VERSION


def test_its_words_name_no_file_of_a_checkout(outside: Outside, tmp_path: Path) -> None:
    """Neither the help of any command nor the advice of any refusal."""
    said = outside.run("python", "-c", EVERY_HELP, cwd=tmp_path).stdout
    assert "Start the simulator" in said and "RECIPIENT" not in said
    assert re.findall(r"\b(?:docs|protos|server|clients)/\S*", said) == []


@pytest.mark.timeout(180)
def test_programs_that_use_it_are_checked_strictly(outside: Outside, tmp_path: Path) -> None:
    """mypy sees the wheel: right use has no error; a misspelt name, method or type of an argument is one."""
    (tmp_path / "right.py").write_text(USES_IT)
    (tmp_path / "wrong.py").write_text(MISUSES_IT)
    options = ("--strict", "--config-file=", "--python-executable", str(outside.bin / "python"), "right.py", "wrong.py")
    command = [sys.executable, "-m", "mypy", *options]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert re.findall(r"^(\S+):(\d+): error: .*\[([\w-]+)\]$", said, re.MULTILINE) == [
        ("wrong.py", "2", "attr-defined"),
        ("wrong.py", "4", "arg-type"),
        ("wrong.py", "5", "attr-defined"),
    ], said
