"""`make demo ARGS="--cluster"`: the story over three nodes, one of which is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftovers import command_lines_naming

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.cluster.demo")
CRASH = "Messages wait for Bob through a crash of the server"
SECONDS = 150

pytestmark = pytest.mark.timeout(180)  # a machine that does more than this takes its time to start so many processes


def play(temporary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, *arguments),
        cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip


@pytest.mark.requirement("MSG-07")
def test_the_story_holds_over_three_nodes(temporary: Path, tmp_path: Path) -> None:
    """Alice, Bob and Carol have a node each; Bob's is killed, and he goes on at another. Nothing is left."""
    keep = tmp_path / "kept"

    done = play(temporary, "--json", "--text", "Hi from the second node", "--keep", str(keep))

    assert done.stdout, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [step for step in steps if not step["ok"]] == []
    assert done.returncode == 0
    senders = [_senders(keep / "simulator" / f"node-{number}" / "journal.jsonl") for number in (1, 2, 3)]
    [alice] = senders[0]
    [bob] = senders[1]
    assert alice.endswith("@s.whatsapp.net") and bob.endswith("@interop")
    assert bob in senders[2] and len(senders[2]) == 2  # Carol is the other
    assert len(list((keep / "simulator" / "blobs").iterdir())) >= 1
    assert command_lines_naming(temporary) == command_lines_naming(keep) == []
    assert list(temporary.iterdir()) == []


def _senders(journal: Path) -> set[str]:
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    return {entry["actor"] for entry in entries if entry["action"] == "stanza.message"}


def test_an_interruption_leaves_nothing(temporary: Path) -> None:
    """When the nodes are running."""
    demo = subprocess.Popen(
        COMMAND, cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with demo:
        assert demo.stdout is not None
        assert any("sends Alice to the first node" in line for line in demo.stdout)
        demo.send_signal(signal.SIGTERM)
        _, said = demo.communicate(timeout=SECONDS)

    assert demo.returncode == 130
    assert "Interrupted" in said and "Traceback" not in said
    assert command_lines_naming(temporary) == []
    assert list(temporary.iterdir()) == []


def test_a_seed_is_for_one_server(temporary: Path) -> None:
    done = play(temporary, "--seed", "1")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--seed is for one server" in done.stderr
