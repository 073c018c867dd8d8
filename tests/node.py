"""The client in TypeScript for tests that run it: builds it once, or says why it is not there."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "clients" / "node"
BUILD_SECONDS = 120.0


def built_node_client() -> Path:
    """Returns the folder of the built programs; skips the test where Node.js, or the packages, are not there.

    With NODE_REQUIRED=1, as in CI, the test fails then.
    """
    npm, packages = shutil.which("npm"), FOLDER / "node_modules"
    if npm is None or shutil.which("node") is None:
        _lacking("Node.js 20 and npm are not there")
    if not packages.is_dir():
        _lacking("the packages of clients/node are not there: `make extras` gets them")
    with (packages / ".build-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes run tests, and none may run what is half written
        built = subprocess.run(
            (str(npm), "run", "--silent", "build"),
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    assert built.returncode == 0, built.stdout + built.stderr
    return FOLDER / "dist"


def _lacking(what: str) -> None:
    if os.environ.get("NODE_REQUIRED"):
        pytest.fail(f"{what}, and NODE_REQUIRED is set")
    pytest.skip(what)
