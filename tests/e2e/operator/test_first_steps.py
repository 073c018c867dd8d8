"""What a newcomer trips over on the command line: wrong values, narrow and plain terminals, pipes, interrupts."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.program import ANY_PORTS, END_SECONDS, Ended, run, running, state_of

WRONG_USE, FAILED, INTERRUPTED = 2, 1, 130
UP = ("up", *ANY_PORTS)


async def in_a_shell(folder: Path, script: str, **environment: str) -> Ended:
    """Runs a line of shell in which `$SIM` is the program."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script,
        cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SIM": f"{sys.executable} -m interop_server", "INTEROPSIM_STATE": str(state_of(folder)),
             **environment},
    )  # fmt: skip
    async with asyncio.timeout(END_SECONDS):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


async def test_an_http_address_may_be_written_as_it_is_shown(tmp_path: Path) -> None:
    """With its scheme, and a slash at the end."""
    async with running(tmp_path, *UP, "--http", "http://127.0.0.1:0/") as program:
        assert (await program.ready_line())["http"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("up", "--seed", "-1"), "-1"),
        (("up", "--limit", "send_burst="), "whole number"),
        (("up", "--limit", "send_brust=5"), "did you mean send_burst?"),
        (("up", "--location", "networks", "--location-networks", "pipe"), "no regular file"),
        (("requirements", "KEY05"), "did you mean KEY-05?"),
        (("clock", "advance", "-5d"), "time does not go backwards"),
        (("faults", "add", "--stanza", "message", "--to", "client", "--do", "drop", "--chance", "0"), "--chance"),
        (("faults", "add", "--stanza", "message", "--to", "client", "--do", "drop", "--nth", "0"), "--nth"),
        (("faults", "add", "--stanza", "message", "--to", "client", "--do", "drop", "--actor", ""), "--actor"),
        (("faults", "add", "--call", "X.Y", "--do", "refuse:reason=RATE_LIMTED"), "did you mean RATE_LIMITED"),
    ],
    ids=lambda each: "_".join(each) if isinstance(each, tuple) else "",
)
async def test_a_wrong_value_is_told_before_anybody_is_asked(
    tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    """With the name that was meant, where there is one near."""
    os.mkfifo(tmp_path / "pipe")
    ended = await run(tmp_path, *arguments)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert part in ended.stderr and "Traceback" not in ended.stderr


async def test_the_server_names_what_was_meant_too(tmp_path: Path) -> None:
    """A reason or requirement that there is not would find nothing, for ever; an id that is not kept is explained."""
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        for flag, wrong, meant in (
            ("--reason", "RATE_LIMTED", "RATE_LIMITED"),
            ("--requirement", "KEY05", "KEY-05"),
        ):
            ended = await run(tmp_path, "journal", flag, wrong)
            assert (ended.code, ended.stdout) == (WRONG_USE, "") and f"did you mean {meant}" in ended.stderr
            assert (await run(tmp_path, "journal", flag, meant)).code == 0
        unknown = await run(tmp_path, "explain", "5f0c6d1e2a3b4c5d")
        assert unknown.code == FAILED
        assert "16 hexadecimal digits" in unknown.stderr and "100,000 entries" in unknown.stderr
        assert (await run(tmp_path, "explain", "no/id")).code == WRONG_USE


async def test_gRPC_says_nothing_of_its_own(tmp_path: Path) -> None:
    """Neither of a port that is taken nor of a server that is none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await run(tmp_path, *UP, "--grpc", address, "--log-level", "error")
    assert ended.code == FAILED
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["Error"], ended.stderr


async def test_following_ends_with_the_simulator(tmp_path: Path) -> None:
    """That is no failure, and is said."""
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        async with running(tmp_path, "journal", "--follow", "--json") as following:
            await run(tmp_path, "clock", "freeze")
            await following.lines_until("FreezeClock")
            program.signal(signal.SIGTERM)
            await program.end()
            ended = await following.end()
    assert ended.code == 0 and "has stopped" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "command", ["limits", "requirements", "--help", "up --help", "faults --help", "journal", "status", "doctor", "env"]
)
async def test_output_goes_where_it_can(tmp_path: Path, command: str) -> None:
    """A reader that has gone, a full disk, a terminal with ASCII only and sixty columns: no traceback."""
    async with running(tmp_path, *UP) as program:
        await program.ready_line()
        await run(tmp_path, "clock", "freeze")  # so that the journal has something to show
        # More than a pipe holds goes to nobody, or all of it has been written: both end in order.
        closed = await in_a_shell(tmp_path, f"$SIM {command} | true; exit ${{PIPESTATUS[0]}}")
        full = await in_a_shell(tmp_path, f"$SIM {command} > /dev/full")
        plain = await in_a_shell(tmp_path, f"$SIM {command}", LC_ALL="C", PYTHONIOENCODING="ascii", COLUMNS="60")
    assert closed.code in (0, FAILED) and closed.stderr == ""
    assert full.code == FAILED and full.stderr == "Error: standard output cannot be written: No space left on device.\n"
    assert plain.code == 0 or command == "doctor"
    assert plain.stdout.isascii() and "Traceback" not in plain.stderr


@pytest.mark.parametrize("command", ["", "faults", "clock"])
async def test_no_help_is_cut(tmp_path: Path, command: str) -> None:
    """However narrow the terminal is."""
    ended = await in_a_shell(tmp_path, f"$SIM {command} --help", COLUMNS="60")
    usage, _, rest = ended.stdout.partition("\n")
    assert ended.code == 0 and usage.startswith("Usage: ") and "..." not in rest


@pytest.mark.parametrize("after", range(0, 12))
async def test_an_interrupt_is_met_at_any_moment(tmp_path: Path, after: int) -> None:
    """While modules are loaded, too: after each so many of them, the program interrupts itself."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Interrupt:\n"
        f"    left = {after * 40}\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if 'interop_server.entry' in sys.modules:\n"
        "            if self.left == 0:\n"
        "                os.kill(os.getpid(), signal.SIGINT)\n"
        "            Interrupt.left -= 1\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    async with running(tmp_path, "journal", "--admin", "127.0.0.1:9", path=tmp_path) as program:
        ended = await program.end()
    assert ended.code in (INTERRUPTED, FAILED) and "Traceback" not in ended.stderr, ended.stderr
    assert ended.code == INTERRUPTED or "no simulator answers" in ended.stderr


async def test_an_interrupt_while_the_simulator_is_looked_for_is_met(tmp_path: Path) -> None:
    """Where a class is made, Python makes another error of an interrupt, which nobody takes for one."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Part:\n"
        "    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'interop_admin.endpoint':\n"
        "            type('Made', (), {'part': Part()})\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    async with running(tmp_path, "journal", path=tmp_path) as program:
        ended = await program.end()
    assert (ended.code, ended.stdout, ended.stderr.strip()) == (INTERRUPTED, "", "")


async def test_version_has_a_short_flag(tmp_path: Path) -> None:
    assert (await run(tmp_path, "-V")).stdout == (await run(tmp_path, "--version")).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_shells_complete_names(tmp_path: Path, shell: str) -> None:
    """The script is printed; what it asks for is answered with limits, requirements and commands."""
    ended = await run(tmp_path, "completion", shell)
    assert ended.code == 0 and "_INTEROPSIM_COMPLETE" in ended.stdout

    async def completed(*words: str) -> str:
        asked = {
            "COMP_WORDS": " ".join(("interopsim", *words)),
            "COMP_CWORD": str(len(words)) if shell != "fish" else words[-1],
        }
        answer = await in_a_shell(tmp_path, "$SIM", _INTEROPSIM_COMPLETE=f"{shell}_complete", **asked)
        assert answer.code == 0, answer.stderr
        return answer.stdout

    assert "send_burst=" in await completed("up", "--limit", "send_b")
    assert "KEY-05" in await completed("requirements", "KEY")
    assert "doctor" in await completed("do")
    assert "RECIPIENT_NOT_REACHABLE" in await completed("journal", "--reason", "RECIPIENT_NOT")
    assert "OPT-09" in await completed("journal", "--requirement", "opt-0")
    assert "OPT-09" in await completed("faults", "add", "--requirement", "OPT-0")
    for command in ("start", "run"):  # they take the options of `up`
        assert "send_burst=" in await completed(command, "--seed", "1", "--limit", "send_b")
        assert "--location-networks" in await completed(command, "--loc")


async def test_what_repeats_in_the_log_is_said_once(tmp_path: Path) -> None:
    """With how often it came again, once something else is said."""
    program = (
        "import logging, sys\n"
        "from interop_server.log import log_to\n"
        "log_to(sys.stderr, 'INFO')\n"
        "for words in ('a', 'a', 'a', 'b', 'a', 'a'):\n"
        "    logging.getLogger('x').warning('%s', words)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE)
    _, stderr = await process.communicate()
    said = [line.rpartition(": ")[2] for line in stderr.decode().splitlines()]
    assert said == ["a", "the same 2 times more", "b", "a", "the same 1 times more"]


async def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    """On stderr, without beginning anything that a later try would stumble over."""
    makefile = Path(__file__).parents[3] / "Makefile"
    (tmp_path / "Makefile").write_text(makefile.read_text())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / "protos").mkdir()
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ended = await in_a_shell(tmp_path, f"make PYTHON={old} demo")
    assert ended.code != 0 and ended.stdout == "" and "Python 3.11 or newer is needed" in ended.stderr
    assert not (tmp_path / ".venv").exists()
    # One that is new enough, and makes an environment in which everything says what it was asked.
    new = tmp_path / "new-python"
    new.write_text(
        '#!/bin/sh\n[ "$2" != venv ] || { mkdir -p .venv/bin; for each in python pip interopsim; do\n'
        "printf '#!/bin/sh\\necho \"$0\"\\n' > .venv/bin/$each; chmod +x .venv/bin/$each; done; }\n"
    )
    new.chmod(0o755)
    again = await in_a_shell(tmp_path, f"make PYTHON={new} demo")
    assert (again.code, again.stdout) == (0, ".venv/bin/interopsim\n"), again.stderr
