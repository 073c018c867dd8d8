"""How the program ends when something around it fails: in time, with a status and a sentence, leaving nothing."""

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.e2e.program import ANY_PORTS, END_SECONDS, Ended, left_behind, run, running

UP = ("up", *ANY_PORTS)


async def unheard(folder: Path, redirection: str, *arguments: str) -> Ended:
    """Runs `interopsim up` in a shell, with its standard output somewhere else; gives the program's own status."""
    program = [sys.executable, "-m", "interop_server", *UP, *arguments]
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f'"$@" {redirection}; exit "${{PIPESTATUS[0]}}"', "bash", *program,
        cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    async with asyncio.timeout(END_SECONDS):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


@pytest.mark.parametrize(
    ("redirection", "why"),
    [("| true", "Broken pipe"), ("> /dev/full", "No space left"), (">&-", "is closed")],
    ids=["closed_pipe", "full_device", "closed"],
)
async def test_who_cannot_hear_the_ready_line_gets_an_exit(tmp_path: Path, redirection: str, why: str) -> None:
    """With a sentence, and without its temporary folder: nobody would know of the server, nor end it."""
    ended = await unheard(tmp_path, redirection)
    assert ended.code == 1
    assert ended.stderr.splitlines()[-1].startswith("Error: ") and why in ended.stderr
    assert "Traceback" not in ended.stderr
    assert left_behind(tmp_path) == []


async def test_closed_streams_become_no_other_files(tmp_path: Path) -> None:
    """What libraries write to the number of stderr must not end up in the journal, a blob, or somebody's connection."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", 'exec "$@" <&- 2>&-', "bash", sys.executable, "-m", "interop_server", *UP,
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(END_SECONDS):
        assert b'"ready"' in await process.stdout.readline()
        held = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 2)]  # noqa: PTH115
        process.terminate()
        assert (await process.wait(), held) == (0, [os.devnull] * 2)


@pytest.mark.requirement("SIM-01")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_each_signal_that_ends_it_lets_it_clean_up(tmp_path: Path, number: int) -> None:
    """Also the end of its terminal."""
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        assert left_behind(tmp_path) != []
        program.signal(number)
        ended = await program.end()
    assert (ended.code, "Traceback" in ended.stderr) == (0, False)
    assert left_behind(tmp_path) == []


async def test_the_end_of_stdin_ends_it_where_that_was_wanted(tmp_path: Path) -> None:
    """As when the program that has started it is gone. `end` closes the test's end of the pipe."""
    async with running(tmp_path, *UP, "--until-stdin-ends", stdin=asyncio.subprocess.PIPE) as program:
        await program.ready_line()
        ended = await program.end()
    assert (ended.code, "Traceback" in ended.stderr) == (0, False)
    assert left_behind(tmp_path) == []


async def test_a_locked_database_does_not_keep_the_process(tmp_path: Path) -> None:
    """The steps that need the database are given up, all others run: non-zero, one sentence, and the file is free."""
    database = tmp_path / "simulator.db"
    async with running(tmp_path, *UP, "--db", str(database)) as program:
        await program.ready_line()
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            program.signal(signal.SIGTERM)
            ended = await program.end()
            other.execute("ROLLBACK")
    assert ended.code == 1
    [sentence] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert "the clock (" in sentence and "Traceback" not in ended.stderr
    async with running(tmp_path, *UP, "--db", str(database)) as program:
        await program.ready_line()
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0


async def test_a_start_on_a_locked_database_is_a_sentence(tmp_path: Path) -> None:
    """It is recognised, and cannot be written: nothing is started, and the file is free."""
    database = tmp_path / "simulator.db"
    async with running(tmp_path, *UP, "--db", str(database)) as program:
        await program.ready_line()
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ended = await run(tmp_path, *UP, "--db", str(database))
        other.execute("ROLLBACK")
    [sentence] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert (ended.code, ended.stdout) == (1, "")
    assert "database is locked: see what else uses it" in sentence and "Traceback" not in ended.stderr


async def test_a_reset_of_a_locked_database_ends_in_a_sentence(tmp_path: Path) -> None:
    """The old world cannot be stopped whole, so that none begins: a status and one sentence, as at the end."""
    database = tmp_path / "simulator.db"
    async with running(tmp_path, *UP, "--db", str(database)) as program:
        admin = (await program.ready_line())["admin"]
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await run(tmp_path, "reset", "--admin", admin)
            ended = await program.end()
            other.execute("ROLLBACK")
    assert ended.code == 1
    assert [line for line in ended.stderr.splitlines() if line.startswith("Error: ")] != []
    assert "Traceback" not in ended.stderr and "Event loop is closed" not in ended.stderr


async def test_a_loop_that_hangs_is_cut_off(tmp_path: Path) -> None:
    """Whatever hangs: here the whole event loop, held by a plug-in of the test's."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\n"
        "import interop_server.runtime.shutdown as shutdown\n"
        "async def hang(self):\n"
        "    while True:\n"
        "        time.sleep(1)\n"
        "shutdown.Shutdown.run = hang\n"
    )
    async with running(tmp_path, *UP, path=tmp_path) as program:
        await program.ready_line()
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 1
    assert "cut off: something hangs" in ended.stderr


async def test_it_ends_where_no_thread_can_be_started(tmp_path: Path) -> None:
    """As where others have used up all processes of a user: every step runs, and a sentence says why it is not 0."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text(
        "import os, sys, threading\n"
        "def refuse(self):\n"
        '    raise RuntimeError("can\'t start new thread")\n'
        "def wait():\n"
        "    open('told').close()\n"
        "    threading.Thread.start = refuse\n"
        "    open('heard', 'w').close()\n"
        "if 'up' in sys.argv:\n"
        "    os.mkfifo('told')\n"
        "    os.mkfifo('heard')\n"
        "    threading.Thread(target=wait, daemon=True).start()\n"
    )
    async with running(tmp_path, *UP, path=tmp_path / "lib") as program, asyncio.timeout(END_SECONDS):
        ready = await program.ready_line()
        async with ClientSession() as session, session.get(f"{ready['http']}/.well-known/jwks") as response:
            assert response.status == 200
        for pipe in ("told", "heard"):
            with (tmp_path / pipe).open("w" if pipe == "told" else "r"):
                pass
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert (ended.code, ended.stderr.splitlines()[-1][:7]) == (1, "Error: ")
    assert "no thread can be started" in ended.stderr and "Traceback" not in ended.stderr
    assert set(left_behind(tmp_path)) == {"heard", "lib", "told"}


async def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """An address that is taken: a sentence, no folder, no process."""
    async with running(tmp_path, *UP) as program:
        taken = (await program.ready_line())["grpc"]
        before = left_behind(tmp_path)
        ended = await run(tmp_path, "up", "--grpc", taken, *ANY_PORTS[2:])
        assert (ended.code, "Traceback" in ended.stderr) == (1, False)
        assert left_behind(tmp_path) == before
