"""`interopsim clock` while a move takes long: what the command shows, and what Ctrl-C leaves."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from interop_admin.client import AdminClient
from interop_server.app import Simulator
from interop_server.config import Config
from interop_server.runtime.clock import AdjustableClock
from tests.e2e.operator.test_refusals_limits import FREE_PORT
from tests.e2e.program import Program, running

pytestmark = pytest.mark.requirement("SIM-04")
START_MS = 1_900_000_000_000  # 2030-03-17T17:46:40Z
HOUR_MS = 3_600_000


@dataclass
class Slow:
    """A simulator whose clock has a sleeper that takes as long as the test wants, half an hour after the start."""

    admin: str
    clock: AdjustableClock
    begun: asyncio.Event
    may_end: asyncio.Event


@pytest_asyncio.fixture
async def slow() -> AsyncIterator[Slow]:
    clock = AdjustableClock(START_MS)
    simulator = Simulator(Config(FREE_PORT, FREE_PORT, FREE_PORT, grace_seconds=0.1), clock)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await clock.sleep(HOUR_MS / 2_000)
        for _ in range(2):
            clock.note_progress("mailbox_items", 1_000)
        begun.set()
        await may_end.wait()

    addresses = await simulator.start()
    task = asyncio.create_task(work(), name="mailbox_items")
    clock.expect(task)
    try:
        yield Slow(addresses.admin, clock, begun, may_end)
    finally:
        may_end.set()
        await asyncio.gather(task)
        await simulator.stop()


async def shown(program: Program, *words: str) -> str:
    """Reads stderr until it has shown all words; returns what came."""
    assert program.stderr is not None
    text = ""
    async with asyncio.timeout(20):
        while not all(word in text for word in words):
            text += (await program.stderr.read(4_096)).decode()
    return text


async def test_a_long_move_shows_how_far_it_has_come(
    slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that is reached, the share of the way, and what is being done there; then the result as always."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # stderr counts as a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(tmp_path, "clock", "advance", "1h", "--admin", slow.admin) as program:
        await shown(program, "2030-03-17T18:16:40", "50%", "mailbox_items: 2,000")
        async with AdminClient(slow.admin) as admin:
            move = (await admin.get_clock_move()).move
            assert (move.from_ms, move.to_ms) == (START_MS, START_MS + HOUR_MS)
            slow.may_end.set()
            ended = await program.end()
            assert not (await admin.get_clock_move()).HasField("move")
    assert ended.code == 0 and ended.stdout.startswith("2030-03-17T18:46:40")
    assert "mailbox_items 1" in ended.stdout


async def test_json_is_the_result_and_nothing_else(slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes, also on a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    async with running(tmp_path, "clock", "advance", "1h", "--json", "--admin", slow.admin) as program:
        await slow.begun.wait()
        await asyncio.sleep(1.5)  # longer than the command waits before it would show something
        slow.may_end.set()
        ended = await program.end()
    assert (ended.code, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["now_ms"] == START_MS + HOUR_MS


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_ctrl_c_leaves_a_sentence(slow: Slow, tmp_path: Path, options: tuple[str, ...]) -> None:
    """It says where the clock is, and the server goes on from there."""
    async with running(tmp_path, "clock", "advance", "1h", "--admin", slow.admin, *options) as program:
        await slow.begun.wait()
        program.signal(signal.SIGINT)
        ended = await program.end()
    assert (ended.code, ended.stdout) == (130, "")
    assert ended.stderr.strip().endswith("the clock stands at 2030-03-17T18:16:40.000Z.")
    assert "Traceback" not in ended.stderr
    assert slow.clock.now_ms() == START_MS + HOUR_MS // 2 and slow.clock.move is None
