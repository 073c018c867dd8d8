"""The wheel, built once for a run, and an environment that has it, what it says it needs, and pytest: no checkout."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NOBODY = 65534
"""User id of nobody, where the tests run as root."""


@dataclass(frozen=True)
class Outside:
    """Where the wheel is installed."""

    folder: Path
    """Readable to every user."""
    wheel: Path

    @property
    def bin(self) -> Path:
        """Its commands."""
        return self.folder / "environment" / "bin"

    def run(self, *command: str, cwd: Path, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Runs one of its commands; returns what it says."""
        result = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=cwd,
            env={**clean(cwd), "PATH": f"{self.bin}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )
        assert result.returncode == 0 or not check, result.stdout + result.stderr
        return result


def clean(home: Path) -> dict[str, str]:
    """Returns an environment in which nothing of this run leads to the checkout, or to simulators of others."""
    return {"HOME": str(home), "LANG": "C.UTF-8", "TMPDIR": tempfile.gettempdir()}


@pytest.fixture(scope="session")
def outside(testrun_uid: str) -> Iterator[Outside]:
    """The environment; all processes of a run share it, and the last one that ends deletes it."""
    folder = Path(tempfile.gettempdir()) / f"interopsim-packaging-{testrun_uid}"
    users = folder / "users"
    with _locked(folder):
        if not users.is_dir():
            _make(folder)
            users.mkdir()
        (users / str(os.getpid())).touch()
    [wheel] = (folder / "dist").glob("*.whl")
    yield Outside(folder, wheel)
    with _locked(folder):
        (users / str(os.getpid())).unlink()
        if not any(users.iterdir()):
            shutil.rmtree(folder)
            folder.with_suffix(".lock").unlink()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder whose path has a space and letters beyond ASCII, and which is nobody's where the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="interopsim-elsewhere-") as made:
        Path(made).chmod(0o755)
        folder = Path(made) / "Zoë ließ Ωmega"
        folder.mkdir()
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder


@pytest.fixture
def another_user(outside: Outside) -> dict[str, Any]:
    """What has a process run as nobody where the tests run as root; nothing elsewhere."""
    if os.getuid() != 0:
        return {}
    if not runs(str(outside.bin / "python"), user=NOBODY):
        pytest.skip("nobody but root can run the Python that is here")
    return {"user": NOBODY, "group": NOBODY, "extra_groups": ()}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _for_everybody() -> str:
    """Returns the interpreter of this run, or one of the same version that nobody can run, if this one is root's."""
    own = Path(sys.executable).resolve()
    if os.getuid() != 0:
        return str(own)
    same = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    return next((str(each) for each in (own, same) if runs(str(each), user=NOBODY)), str(own))


def runs(interpreter: str, **options: Any) -> bool:
    """Returns whether an interpreter is there and can be run."""
    try:
        return subprocess.run([interpreter, "-c", ""], capture_output=True, timeout=60, **options).returncode == 0
    except OSError:
        return False


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a process that did not get to its end
    folder.mkdir(mode=0o755)
    do(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT))
    [wheel] = (folder / "dist").glob("*.whl")
    environment = folder / "environment"
    do(_for_everybody(), "-m", "venv", "--without-pip", str(environment))
    python = environment / "bin" / "python"
    install = ("install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel))
    do(sys.executable, "-m", "pip", "--python", str(python), *install)
    [site] = environment.glob("lib/python*/site-packages")
    [facts] = site.glob("interopsim-*.dist-info")
    for each in needed([PathDistribution(facts), distribution("pytest")]):
        _copy(each, site)


def needed(wanted: Sequence[Distribution]) -> list[Distribution]:
    """Returns what some distributions say that they need, and what that needs, as it is installed for these tests.

    A library that the wheel uses and does not name is therefore missing in the environment.
    """
    found: dict[str, Distribution] = {}
    waiting = list(wanted)
    while waiting:
        each = waiting.pop()
        if each.name in found:
            continue
        found[each.name] = each
        for text in each.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(distribution(requirement.name))
    return [each for each in found.values() if each.name != "interopsim"]


def _copy(each: Distribution, site: Path) -> None:
    for file in each.files or []:
        if ".." not in file.parts:  # a script
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # a compiled file that is made when it is needed
                shutil.copy2(str(file.locate()), target)


def do(*command: str) -> None:
    """Runs a command that must succeed."""
    result = subprocess.run(command, capture_output=True, text=True, cwd=tempfile.gettempdir(), timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
