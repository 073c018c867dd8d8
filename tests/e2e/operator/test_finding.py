"""How commands find the simulator that is meant: by a flag, by INTEROPSIM, or because it is the one that runs."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.program import ANY_PORTS, END_SECONDS, left_behind, run, running, state_of

WRONG_USE, FAILED = 2, 1
UP = ("up", *ANY_PORTS)
SAMPLE = Path(__file__).parents[3] / "clients/python/samples/01_enlist.py"


async def test_the_one_simulator_that_runs_is_found_without_a_word(tmp_path: Path) -> None:
    """Its file is the user's alone, holds the ready line, and goes when it ends."""
    async with running(tmp_path, *UP) as program:
        ready = await program.ready_line()
        [name] = left_behind(state_of(tmp_path))
        file = state_of(tmp_path) / name
        assert name == f"{program.pid}.json" and stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == ready
        assert (await run(tmp_path, "clock", "show")).code == 0
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0
    assert left_behind(state_of(tmp_path)) == []


async def test_of_two_one_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence lists both; a flag or INTEROPSIM chooses."""
    async with running(tmp_path, *UP, "--name", "left") as one, running(tmp_path, *UP, "--name", "right") as other:
        left, right = await one.ready_line(), await other.ready_line()
        ended = await run(tmp_path, "clock", "show")
        assert (ended.code, ended.stdout) == (WRONG_USE, "")
        for part in ("left", left["admin"], "right", right["admin"], "--admin", "INTEROPSIM"):
            assert part in ended.stderr
        assert (await run(tmp_path, "clock", "show", "--admin", left["admin"])).code == 0
        await run(tmp_path, "clock", "freeze", "--admin", right["admin"])
        monkeypatch.setenv("INTEROPSIM", json.dumps(right))
        assert "frozen" in (await run(tmp_path, "clock", "show")).stdout


async def test_a_name_is_one_simulators(tmp_path: Path) -> None:
    """A second one with it ends; a name that no file can have is refused."""
    async with running(tmp_path, *UP, "--name", "mine") as program:
        await program.ready_line()
        second = await run(tmp_path, *UP, "--name", "mine")
        assert (second.code, second.stdout) == (FAILED, "") and "mine" in second.stderr and "--name" in second.stderr
        assert (await run(tmp_path, "clock", "show")).code == 0
    wrong = await run(tmp_path, *UP, "--name", "../mine")
    assert wrong.code == WRONG_USE and "letters" in wrong.stderr


async def test_what_a_killed_one_left_is_ignored_and_swept(tmp_path: Path) -> None:
    """Also when another process has its number now, as this test's has."""
    async with running(tmp_path, *UP) as program:
        ready = await program.ready_line()
        program.signal(signal.SIGKILL)
        await program.end()
    state = state_of(tmp_path)
    assert left_behind(state) == [f"{program.pid}.json"]
    (state / f"{os.getpid()}.json").write_text(json.dumps({**ready, "pid": os.getpid()}))
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        assert (await run(tmp_path, "clock", "show")).code == 0
        assert left_behind(state) == [f"{program.pid}.json"]


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"pid": 1}', "\udcff"])
async def test_a_file_that_says_nothing_is_no_simulator(tmp_path: Path, content: str) -> None:
    """Although somebody holds it."""
    state = state_of(tmp_path)
    state.mkdir()
    file = state / "other.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        with file.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert (await run(tmp_path, "clock", "show")).code == 0


async def test_a_state_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of the log says so, and the simulator is reached by its address."""
    state_of(tmp_path).write_text("a file where the folder would be")
    async with running(tmp_path, *UP) as program:
        ready = await program.ready_line()
        assert (await run(tmp_path, "clock", "show", "--admin", ready["admin"])).code == 0
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 0 and ended.stderr.count("no word can be left") == 1


async def test_a_sample_finds_it_too(tmp_path: Path) -> None:
    """And says in a sentence that none runs."""

    async def play() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SAMPLE), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "INTEROPSIM_STATE": str(state_of(tmp_path))},
        )  # fmt: skip
        async with asyncio.timeout(END_SECONDS):
            _, stderr = await process.communicate()
        return process.returncode, stderr.decode()

    code, stderr = await play()
    assert code == FAILED and "interopsim up" in stderr and "Traceback" not in stderr
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        assert await play() == (0, "")


@contextmanager
def silent_port() -> Iterator[str]:
    """An address that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_a_port_that_is_silent_is_told_soon(tmp_path: Path) -> None:
    """Not at the end of the wait for what the command does, and as if nobody listened."""
    commands = [
        ("clock", "show"),
        ("clock", "advance", "1d"),
        ("journal", "--follow"),
        ("trace",),
        ("explain", "5f0c6d1e2a3b4c5d"),
        ("faults", "list"),
        ("audit", "100-1@interop"),
    ]
    with silent_port() as address:
        for ended in await asyncio.gather(*(run(tmp_path, *each, "--admin", address) for each in commands)):
            assert (ended.code, ended.stdout) == (FAILED, "")
            assert "no simulator answers" in ended.stderr and address in ended.stderr
            assert "Traceback" not in ended.stderr
