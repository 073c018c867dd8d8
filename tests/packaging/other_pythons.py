"""The wheel with each other Python that is there: `make pythons` runs this, which installs from the package index."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Outside, clean, runs
from tests.packaging.test_outside import SIX_LINES, SUITE


@pytest.mark.timeout(600)
@pytest.mark.parametrize("minor", [12, 13, 14])
def test_other_pythons(outside: Outside, elsewhere: Path, tmp_path: Path, minor: int) -> None:
    """The same suite with each other Python that is there, and what the package index has for it."""
    interpreter = next(filter(runs, interpreters(minor)), None)
    if interpreter is None:
        pytest.skip(f"there is no Python 3.{minor}")
    subprocess.run([interpreter, "-m", "venv", tmp_path], check=True, timeout=60)
    python = tmp_path / "bin" / "python"
    wanted = (str(outside.wheel), "pytest", "--constraint", str(ROOT / "constraints.txt"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True, timeout=400)
    (elsewhere / "test_hello.py").write_text(SIX_LINES)
    suite = [python.with_name("interopsim"), *SUITE]
    path = {"PATH": f"{python.parent}:/usr/bin:/bin"}
    subprocess.run(suite, cwd=elsewhere, env={**clean(elsewhere), **path}, check=True, timeout=120)


def interpreters(minor: int) -> Iterator[str]:
    """Yields where a Python can be: on the path, and where pyenv keeps those that it has installed."""
    yield f"python3.{minor}"
    for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"):
        yield str(path)
