"""The life of a simulator on the command line: started, waited for, looked at, used by a command, stopped."""

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.operator.test_finding import silent_port
from tests.e2e.program import ANY_PORTS, TELLS_IMPORTS, gone, left_behind, run, running, state_of

WRONG_USE, FAILED = 2, 1
UP, START = ("up", *ANY_PORTS), ("start", *ANY_PORTS)
SAY_WHERE = "import os; print(os.environ['INTEROPSIM_ADMIN'], os.environ['INTEROPSIM'])"


@asynccontextmanager
async def started(folder: Path, *options: str) -> AsyncIterator[dict[str, Any]]:
    """A simulator in the background: its ready line."""
    ended = await run(folder, *START, *options)
    assert (ended.code, ended.stderr) == (0, "")
    try:
        yield json.loads(ended.stdout)
    finally:
        await run(folder, "stop", "--all")


async def test_it_is_started_in_the_background_and_stopped(tmp_path: Path) -> None:
    """Start returns when it is ready; stop when its process has gone, with all that it kept."""
    async with started(tmp_path) as ready:
        assert (await run(tmp_path, "check")).code == 0
        log = state_of(tmp_path) / f"{ready['pid']}.log"
        assert log.is_file()
        stopped = await run(tmp_path, "stop")
        assert (stopped.code, stopped.stdout) == (0, f"Stopped {ready['pid']}.\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(ready["admin"].rpartition(":")[2])))
        assert left_behind(tmp_path) == [] and left_behind(state_of(tmp_path)) == [log.name]
        again = await run(tmp_path, "stop")
        assert again.code == FAILED and "no simulator of yours runs" in again.stderr


@pytest.mark.parametrize(
    ("options", "code", "part"),
    [
        (("--grcp", "x"), WRONG_USE, "--grpc"),
        (("--grpc", "4460"), WRONG_USE, "host:port"),
        (("--db", "gone/x.db"), FAILED, "x.db"),
    ],
    ids=["flag", "address", "database"],
)
async def test_a_start_that_fails_says_what_the_server_says(
    tmp_path: Path, options: tuple[str, ...], code: int, part: str
) -> None:
    """And ends with its status, leaving nothing."""
    ended, itself = await run(tmp_path, *START, *options), await run(tmp_path, *UP, *options)
    assert ended.code == itself.code == code
    assert part in ended.stderr and ended.stdout == "" and "Traceback" not in ended.stderr
    assert left_behind(state_of(tmp_path)) == []


async def test_what_could_not_be_found_is_not_left_running(tmp_path: Path) -> None:
    """The file by which other commands find it cannot be written: here its name is taken by a folder."""
    (state_of(tmp_path) / "ci.json").mkdir(parents=True)
    ended = await run(tmp_path, *START, "--name", "ci")
    assert (ended.code, ended.stdout) == (FAILED, "")
    assert "could not leave word in" in ended.stderr and "INTEROPSIM_STATE" in ended.stderr
    assert "no word can be left (" in ended.stderr and "Traceback" not in ended.stderr
    assert left_behind(state_of(tmp_path)) == ["ci.json"]


async def test_several_are_stopped_by_name_or_all(tmp_path: Path) -> None:
    """Without a word it is not known which is meant."""
    async with started(tmp_path, "--name", "left"), started(tmp_path, "--name", "right"):
        unclear = await run(tmp_path, "stop")
        assert unclear.code == WRONG_USE and "left" in unclear.stderr and "right" in unclear.stderr
        unknown = await run(tmp_path, "stop", "middle")
        assert unknown.code == WRONG_USE and "left, right" in unknown.stderr
        assert (await run(tmp_path, "stop", "right")).stdout == "Stopped right.\n"
        assert (await run(tmp_path, "stop", "--all")).stdout == "Stopped left.\n"
        assert (await run(tmp_path, "stop", "--all")).code == 0


async def test_status_shows_what_runs_and_how_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For people and for programs; a part that does not work is named, with a status that is not 0."""
    nobody = await run(tmp_path, "status")
    assert nobody.code == FAILED and "interopsim start" in nobody.stderr
    async with running(tmp_path, *UP, "--name", "mine", "--db", "x.db") as program:
        ready = await program.ready_line()
        shown = await run(tmp_path, "status")
        assert shown.code == 0
        for part in ("mine: works", ready["grpc"], ready["admin"], ready["http"], ready["db"], ready["version"]):
            assert part in shown.stdout
        [facts] = json.loads((await run(tmp_path, "status", "mine", "--json")).stdout)["simulators"]
        assert (facts["pid"], facts["health"], facts["troubles"]) == (program.pid, "works", {})
        assert facts["uptime_seconds"] >= 0 and facts["connections"] == 0 and "nodes" not in facts
        (tmp_path / "x.db").unlink()
        while (await run(tmp_path, "check")).code == 0:  # until the server has looked
            pass
        troubled = await run(tmp_path, "status")
        assert troubled.code == FAILED and "mine: troubled" in troubled.stdout and "deleted" in troubled.stdout
        assert "does not serve" in (await run(tmp_path, "check")).stderr
    monkeypatch.setenv("INTEROPSIM", json.dumps(ready))
    [gone] = json.loads((await run(tmp_path, "status", "--json")).stdout)["simulators"]
    assert gone["health"] == "silent"
    unnamed = {name: value for name, value in ready.items() if name not in ("pid", "version")}
    for more, told in (({}, "version unknown, pid unknown"), ({"pid": "\x1b[2J\x9b\u202e"}, r"pid \x1b[2J\x9b\u202e")):
        monkeypatch.setenv("INTEROPSIM", json.dumps(unnamed | more))
        shown = await run(tmp_path, "status")
        assert shown.code == FAILED and told in shown.stdout and shown.stderr == ""


async def test_check_is_an_exit_status(tmp_path: Path) -> None:
    """Of nobody, of a silent port, of a server that is another, of a simulator."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"127.0.0.1:{listener.getsockname()[1]}"
    with silent_port() as silent:
        for address in (nobody, silent):
            ended = await run(tmp_path, "check", "--admin", address)
            assert ended.code == FAILED and address in ended.stderr and "does not answer" in ended.stderr
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        ended = await run(tmp_path, "check", "--quiet", python=TELLS_IMPORTS)
        assert (ended.code, ended.stdout) == (0, "")
        assert not {each.partition(".")[0] for each in ended.imported} & {
            "aiohttp",
            "cryptography",
            "rich",
            "interop_api",
        }


async def test_wait_ends_when_one_is_ready(tmp_path: Path) -> None:
    """Also when it is started later; or with a sentence at the end of its time."""
    late = await run(tmp_path, "wait", "--timeout", "0.1", "--admin", "127.0.0.1:9")
    assert late.code == FAILED and "0.1 seconds" in late.stderr
    async with running(tmp_path, "wait") as waiting, running(tmp_path, *UP) as program:
        await program.ready_line()
        assert (await waiting.end()).code == 0


@pytest.mark.parametrize("shell", ["sh", "github", "dotenv", "fish", "powershell"])
async def test_env_leads_a_shell_to_it(tmp_path: Path, shell: str) -> None:
    """A quote in a path ends no quotation; `sh` itself reads what is for it."""
    async with running(tmp_path, *UP, "--db", "it's.db") as program:
        ready = await program.ready_line()
        ended = await run(tmp_path, "env", "--shell", shell)
        assert ended.code == 0
        lines = ended.stdout.splitlines()
        assert len(lines) == 4 and all("it's" not in line for line in lines)
        assert ready["grpc"] in lines[1] and ready["admin"] in lines[2] and ready["http"] in lines[3]
        if shell == "sh":
            script = f'{ended.stdout}\n{shlex.quote(sys.executable)} -c "{SAY_WHERE}"'
            process = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=asyncio.subprocess.PIPE)
            said, _ = await process.communicate()
            admin, _, line = said.decode().partition(" ")
            assert (admin, json.loads(line)) == (ready["admin"], ready)
    assert (await run(tmp_path, "env")).code == FAILED


async def test_run_has_a_simulator_for_one_command(tmp_path: Path) -> None:
    """The command finds it, and it has gone afterwards."""
    found = await run(tmp_path, "run", "--", sys.executable, "-m", "interop_server", "clock", "show", "--json")
    assert (found.code, found.stderr) == (0, "") and not json.loads(found.stdout)["is_frozen"]
    frozen = await run(
        tmp_path, "run", "--freeze-at", "2027-01-01T00:00:00Z", "--",
        sys.executable, "-m", "interop_server", "clock", "show",
    )  # fmt: skip
    assert frozen.stdout == "2027-01-01T00:00:00.000Z, frozen\n"
    for flag in ("--help", "-h"):
        helped = await run(tmp_path, "run", flag)
        assert (helped.code, helped.stderr) == (0, "") and "-- COMMAND..." in helped.stdout
    assert left_behind(tmp_path) == [] and left_behind(state_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("no-such-command",), 127),
        (("/",), 126),
        (("sh", "-c", "kill -KILL $$"), 137),
    ],
    ids=["status", "not_found", "not_runnable", "signal"],
)
async def test_run_ends_as_its_command_does(tmp_path: Path, command: tuple[str, ...], code: int) -> None:
    """As a shell would say it."""
    ended = await run(tmp_path, "run", "--", *command)
    assert (ended.code, ended.stdout) == (code, "") and "Traceback" not in ended.stderr
    assert left_behind(state_of(tmp_path)) == []


async def test_run_hands_signals_on(tmp_path: Path) -> None:
    """The command decides what becomes of it; the simulator goes after it."""
    script = "trap 'echo heard; exit 3' TERM; echo '{}'; while :; do sleep 0.05; done"
    async with running(tmp_path, "run", "--", "sh", "-c", script) as program:
        await program.ready_line()
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert (ended.code, ended.stdout) == (3, "heard\n")
    assert left_behind(state_of(tmp_path)) == []


async def test_a_killed_run_leaves_no_simulator(tmp_path: Path) -> None:
    """Its command, which nobody ends, does not keep it either."""
    script = "echo $INTEROPSIM; echo '{\"pid\": '$$'}'; exec sleep 60"
    async with running(tmp_path, "run", "--", "sh", "-c", script) as program:
        ready, command = await program.ready_line(), await program.ready_line()
        try:
            program.signal(signal.SIGKILL)
            await gone(ready["pid"])
        finally:
            os.kill(command["pid"], signal.SIGKILL)
        await program.end()
    assert left_behind(tmp_path) == [] and left_behind(state_of(tmp_path)) == []


async def test_run_fails_for_what_its_simulator_says(tmp_path: Path) -> None:
    """Wrong options before the command, a fault that never fired after it."""
    wrong = await run(tmp_path, "run", "--grcp", "x", "--", "true")
    assert wrong.code == WRONG_USE and "--grpc" in wrong.stderr
    nothing = await run(tmp_path, "run", "--grpc", "127.0.0.1:0")
    assert nothing.code == WRONG_USE and "two hyphens" in nothing.stderr
    (tmp_path / "faults.toml").write_text(
        '[[faults]]\nname = "lost"\nmatch.stanza = "message"\nmatch.direction = "to_client"\ndrop = {}\n'
    )
    ended = await run(tmp_path, "run", "--faults", "faults.toml", "--require-fired", "--", "true")
    assert ended.code == FAILED and "lost" in ended.stderr, ended.stderr


async def test_the_doctor_names_what_is_in_the_way(tmp_path: Path) -> None:
    """What a killed one left, and a state folder that cannot be used; nothing is changed."""
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        program.signal(signal.SIGKILL)
        await program.end()
    [folder] = left_behind(tmp_path)
    ended = await run(tmp_path, "doctor", "--json")
    wrong = {each["about"]: each["sentence"] for each in json.loads(ended.stdout)["findings"] if each["is_wrong"]}
    assert ended.code == FAILED
    assert f"{program.pid}.json" in wrong["state files"] and folder in wrong["temporary folders"]
    assert not {"python", "packages", "clock", "disk", "file limit", "state folder"} & set(wrong)
    (state_of(tmp_path) / f"{program.pid}.json").unlink(missing_ok=True)
    state_of(tmp_path).rmdir()
    state_of(tmp_path).write_text("a file where the folder would be")
    text = await run(tmp_path, "doctor")
    assert text.code == FAILED and "INTEROPSIM_STATE" in text.stdout and "Traceback" not in text.stderr
