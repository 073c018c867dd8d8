"""`interopsim demo --bob node`: the whole story, in which Bob's device is the client in TypeScript."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.node import built_node_client

COMMAND = (str(Path(sys.executable).with_name("interopsim")), "demo", "--bob", "node")
SECONDS = 120


def run(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (*COMMAND, *arguments),
        env={**os.environ, "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_every_step_holds_with_bob_in_typescript(tmp_path: Path) -> None:
    """Bob's device is a process of Node.js, and nothing is left of it."""
    built_node_client()
    kept, temporary = tmp_path / "kept", tmp_path / "temporary"
    temporary.mkdir()
    done = run(temporary, "--json", "--keep", str(kept))
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["ok"]) == (0, True), done.stderr
    assert json.loads((kept / "devices" / "bob" / "state").read_bytes().splitlines()[0])["format"] == 1
    assert list(temporary.iterdir()) == []


def test_without_node_it_says_so_before_anything_starts(tmp_path: Path) -> None:
    """One sentence, and exit code 2."""
    done = run(tmp_path, PATH="/nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--bob node: Node.js 20 or newer is not there" in done.stderr
    assert list(tmp_path.iterdir()) == []
