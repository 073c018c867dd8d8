"""`interopsim trace` as an operator uses it: the real command against a running server."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from interop_api.v1 import stanza_pb2
from interop_protocol.noise import InitiatorHandshake
from tests.e2e.conftest import World
from tests.e2e.program import ANY_PORTS, run, running
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream
from tests.e2e.wire import Wire

pytestmark = pytest.mark.timeout(240)  # on a busy machine a start alone takes seconds


async def test_a_follower_sees_what_goes_over_a_channel_until_interrupted(world: World, tmp_path: Path) -> None:
    """A line for each stanza, of that account alone; Ctrl-C ends it without a stack trace."""
    bob, eve = await world.third_party("bob", QUIET), await world.third_party("eve", QUIET)
    await bob.close()
    async with running(tmp_path, "trace", "--follow", bob.jid, "--admin", world.endpoint.admin) as program:
        assert program.stderr is not None
        async with asyncio.timeout(WAIT_SECONDS):
            assert await program.stderr.readline() == b"Recording. Ctrl-C ends it.\n"
        await eve.close()
        await eve.connect()
        async with Wire(bob.transport) as wire:
            await wire.send(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=7)))
            await wire.take_until("pong")
        lines = await program.lines_until(" pong ")
        program.signal(signal.SIGINT)
        ended = await program.end()
    assert (ended.code, ended.stderr) == (0, "")
    assert all(bob.jid in line for line in lines)
    assert any(f"{bob.jid} → client_hello " in line for line in lines)
    assert any(f"{bob.jid} ← login_success " in line for line in lines)
    assert lines[-2].endswith(f'{bob.jid} → ping 4 B {{"ping": {{"id": "7"}}}}\n')


async def test_a_server_can_keep_it_from_the_start(tmp_path: Path) -> None:
    """With `up --trace`; machines get a line of JSON for each, with a token to read on by."""
    async with running(tmp_path, "up", *ANY_PORTS, "--trace") as program:
        ready = await program.ready_line()
        admin = ("--admin", str(ready["admin"]))
        ended = await run(tmp_path, "trace", *admin)
        assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
        async with RawStream(str(ready["grpc"])) as stream:
            await stream.hello(InitiatorHandshake(os.urandom(32), os.urandom(32)))
            await stream.end()
            await stream.ending()
        ended = await run(tmp_path, "trace", "--json", *admin)
        [hello, answer] = [json.loads(line) for line in ended.stdout.splitlines()]
        assert (hello["kind"], hello["direction"], hello["number"]) == ("client_hello", "to_server", 1)
        assert (answer["kind"], answer["direction"], answer["node"]) == ("server_hello", "to_client", "node-1")
        assert answer["content"]["payload"].keys() == {"length", "sha256"}
        ended = await run(tmp_path, "trace", "--json", "--after", hello["resume_token"], *admin)
        assert [json.loads(line) for line in ended.stdout.splitlines()] == [answer]


async def test_whoever_looks_where_nothing_is_recorded_learns_why(world: World, tmp_path: Path) -> None:
    """And what to do; so does whoever gives a token that is none."""
    ended = await run(tmp_path, "trace", "17-1@interop", "--admin", world.endpoint.admin)
    assert (ended.code, ended.stdout) == (0, "")
    assert "--follow" in ended.stderr and "up --trace" in ended.stderr
    ended = await run(tmp_path, "trace", "--after", "x", "--admin", world.endpoint.admin)
    assert (ended.code, ended.stdout) == (2, "")
    assert "REQUEST_MALFORMED" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("jid", "said"),
    [
        ("nobody", "is no JID"),
        ("17-1:2@interop", "is no JID"),
        (os.fsdecode(b"\xff"), "Error: \\udcff is no text in UTF-8."),
    ],
)
async def test_what_is_no_jid_is_wrong_use(tmp_path: Path, jid: str, said: str) -> None:
    """Nobody follows a misspelt account in vain."""
    ended = await run(tmp_path, "trace", "--follow", jid)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr and "Traceback" not in ended.stderr
