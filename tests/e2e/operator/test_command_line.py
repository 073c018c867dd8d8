"""The command line: it helps, says what is wrong in a sentence, and leaves nothing behind when it could not start."""

import json
import signal
import socket
import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest

from interop_protocol.times import format_time
from tests.e2e.program import ANY_PORTS, TELLS_IMPORTS, Ended, left_behind, run, running

WRONG_USE, FAILED = 2, 1


def assert_sentence(ended: Ended, *parts: str, code: int = FAILED) -> None:
    """The program failed with one sentence that names these things, and no traceback."""
    assert (ended.code, ended.stdout) == (code, "")
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert line.endswith(".")
    assert all(part in line for part in parts), line
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (("up", "--grcp", "127.0.0.1:0"), "--grpc"),
        (("up", "--log-levle", "info"), "--log-level"),
        (("upp",), "up"),
        (("stauts",), "'status'"),
        (("clock", "freze"), "'freeze'"),
    ],
)
async def test_a_misspelt_word_is_answered_with_the_right_one(
    tmp_path: Path, arguments: tuple[str, ...], suggestion: str
) -> None:
    """Exit 2, as for every wrong use of a command."""
    ended = await run(tmp_path, *arguments)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert f"{arguments[-1] if len(arguments) == 1 else arguments[1]}" in ended.stderr
    assert "Did you mean" in ended.stderr and suggestion in ended.stderr.partition("Did you mean")[2]


@pytest.mark.parametrize("arguments", [("up", "--log-level", "loud"), ("up", "extra"), ("up", "--db", ".")])
async def test_wrong_use_is_told_before_anything_starts(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = await run(tmp_path, *arguments)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert "Error: " in ended.stderr and "Traceback" not in ended.stderr
    assert left_behind(tmp_path) == []


@pytest.mark.requirement("SIM-06")
@pytest.mark.parametrize("arguments", [("limits",), ("up",), ("demo", "--image"), ("clock", "show")])
async def test_what_was_typed_is_quoted_harmlessly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Wherever the sentence about it is made."""
    ended = await run(tmp_path, *arguments, "a\x1b[31m\u202eb\u2028")
    assert ended.code == WRONG_USE
    assert r"a\x1b[31m\u202eb\u2028" in ended.stderr and ended.stderr.replace("\n", "").isprintable()


async def test_help_says_what_it_is_and_what_to_type(tmp_path: Path) -> None:
    """The first screen names a command to start with; that of `up` has a whole example that works."""
    for flag in ("--help", "-h"):
        first = await run(tmp_path, flag)
        assert first.code == 0
        assert "interopsim demo" in first.stdout and "Not for production" in first.stdout
        assert {"up", "demo"} <= {line.split()[0] for line in first.stdout.splitlines() if line.startswith("  ")}
    up = await run(tmp_path, "up", "--help")
    example = up.stdout.partition("Example: interopsim ")[2].split()
    assert example[0] == "up" and "--db" in example
    async with running(tmp_path, *example) as program:
        assert (await program.ready_line())["db"] == str(tmp_path / "sim.db")


async def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--version")
    assert (ended.code, ended.stdout) == (0, f"interopsim, version {version('interopsim')}\n")


@pytest.mark.parametrize("arguments", [("--help",), ("up", "--help"), ("clock", "advance", "--help"), ("--version",)])
async def test_asking_costs_no_import_of_what_serves(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Neither gRPC nor aiohttp nor the database is loaded to print a text."""
    ended = await run(tmp_path, *arguments, python=TELLS_IMPORTS)
    assert ended.code == 0
    imported = {each.partition(".")[0] for each in ended.imported}
    assert "click" in imported
    assert not imported & {"grpc", "aiohttp", "aiosqlite", "asyncpg", "google", "joserfc", "cryptography", "rich"}


@pytest.mark.parametrize("flag", ["--grpc", "--admin", "--http"])
async def test_a_port_that_is_taken_is_told_and_nothing_is_left_behind(tmp_path: Path, flag: str) -> None:
    """The sentence names the address and the way out; temporary files are gone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await run(tmp_path, "up", *ANY_PORTS, flag, address)
    assert_sentence(ended, address, "port 0")
    assert left_behind(tmp_path) == []


async def test_the_port_of_another_simulator_is_taken(tmp_path: Path) -> None:
    """Two servers never share a port, as the system would allow."""
    async with running(tmp_path, "up", *ANY_PORTS) as first:
        ready = await first.ready_line()
        for flag in ("--grpc", "--admin"):
            assert_sentence(await run(tmp_path, "up", *ANY_PORTS, flag, ready[flag[2:]]), ready[flag[2:]])


@pytest.mark.parametrize(
    ("flag", "address"),
    [
        ("--grpc", "4460"),
        ("--grpc", "127.0.0.1:65536"),
        ("--grpc", "127.0.0.1:-1"),
        ("--grpc", ""),
        ("--grpc", ":0"),
        ("--grpc", ":4460"),
        ("--grpc", "http://127.0.0.1:0"),
        ("--admin", "127.0.0.1"),
        ("--http", "127.0.0.1:port"),
    ],
)
async def test_an_address_of_wrong_form_is_told(tmp_path: Path, flag: str, address: str) -> None:
    ended = await run(tmp_path, "up", *ANY_PORTS, flag, address)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert repr(address) in ended.stderr and "host:port" in ended.stderr
    assert left_behind(tmp_path) == []


async def test_a_host_that_is_not_this_machines_is_told(tmp_path: Path) -> None:
    """192.0.2.1 is nobody's: it is reserved for documentation."""
    assert_sentence(await run(tmp_path, "up", *ANY_PORTS, "--http", "192.0.2.1:0", "--allow-remote"), "192.0.2.1:0")


async def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """The sentence says both versions; the file is as it was."""
    db = tmp_path / "sim.db"
    async with running(tmp_path, "up", *ANY_PORTS, "--db", str(db)) as program:
        await program.ready_line()
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = db.read_bytes()
    assert_sentence(await run(tmp_path, "up", *ANY_PORTS, "--db", str(db)), str(db), "version 99")
    assert db.read_bytes() == before


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("These are my notes, and no database at all.\n" * 100)
    assert_sentence(await run(tmp_path, "up", *ANY_PORTS, "--db", str(text)), str(text), "not a SQLite database")
    assert text.read_text().startswith("These are my notes")
    assert left_behind(tmp_path) == ["notes.txt"]


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    db = tmp_path / "theirs.db"
    with sqlite3.connect(db) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    connection.close()
    before = db.read_bytes()
    assert_sentence(await run(tmp_path, "up", *ANY_PORTS, "--db", str(db)), str(db), "another application")
    assert db.read_bytes() == before


@pytest.mark.parametrize("place", ["missing/sim.db", "file/sim.db", "loop"])
async def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, place: str) -> None:
    """A folder that is not there, a file where a folder should be, a link that leads nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = left_behind(tmp_path)
    assert_sentence(await run(tmp_path, "up", *ANY_PORTS, "--db", str(tmp_path / place)), str(tmp_path / place))
    assert left_behind(tmp_path) == before


@pytest.mark.requirement("SIM-04")
async def test_the_clock_is_shown_frozen_moved_and_resumed(tmp_path: Path) -> None:
    """In words for people, as one object for programs."""
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        where = ("--admin", (await program.ready_line())["admin"])

        async def clock(*arguments: str) -> str:
            ended = await run(tmp_path, "clock", *arguments, *where)
            assert (ended.code, ended.stderr) == (0, "")
            return ended.stdout

        assert (await clock("show")).endswith("Z, running\n")
        shown = json.loads(await clock("show", "--json"))
        assert set(shown) == {"now_ms", "now", "is_frozen"} and shown["is_frozen"] is False
        at_ms = shown["now_ms"] + 86_400_000
        at = format_time(at_ms)
        assert (await clock("freeze", "--at", at)).startswith(f"{at}, frozen\nFired: key_sets 1")
        assert await clock("freeze") == f"{at}, frozen\n"
        later = format_time(at_ms + 250)
        assert await clock("advance", "250ms") == f"{later}, frozen\nFired: nothing fell due\n"
        moved = json.loads(await clock("advance", "1d1h30m1s", "--json"))
        assert moved.pop("fired")["key_sets"] == 1
        assert moved == {
            "now_ms": at_ms + 250 + 91_801_000,
            "now": format_time(at_ms + 250 + 91_801_000),
            "is_frozen": True,
        }
        assert (await clock("resume")).endswith("Z, running\n")
        assert json.loads(await clock("show", "--json"))["now_ms"] >= moved["now_ms"]

        for arguments, part in (
            (("freeze", "--at", "2020-01-01T00:00:00Z"), "does not go backwards"),
            (("advance", "4000d"), "3,650 days"),
            (("advance", "0s"), "`advance_ms`"),
        ):
            ended = await run(tmp_path, "clock", *arguments, *where)
            assert_sentence(ended, "REQUEST_MALFORMED", part, code=WRONG_USE)


@pytest.mark.requirement("SIM-04")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("advance", "30"), "30d, 12h, 5m, 90s, 250ms"),
        (("advance", "12 h"), "1d12h"),
        (("advance", "-1d"), "time does not go backwards"),
        (("advance",), "DURATION"),
        (("freeze", "--at", "2026-01-01T00:00:00"), "2026-01-01T00:00:00Z"),
        (("freeze", "--at", "tomorrow"), "2026-01-01T00:00:00Z"),
    ],
)
async def test_a_wrong_duration_or_time_is_answered_with_how_to_write_one(
    tmp_path: Path, arguments: tuple[str, ...], hint: str
) -> None:
    """Before anybody is asked."""
    ended = await run(tmp_path, "clock", *arguments)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert hint in ended.stderr and "Traceback" not in ended.stderr


async def test_a_command_that_finds_no_simulator_says_where_it_looked(tmp_path: Path) -> None:
    """Nobody listens, somebody else does, or the address is that of another surface."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = f"127.0.0.1:{gone.getsockname()[1]}"
    assert_sentence(await run(tmp_path, "clock", "show", "--admin", nobody), nobody, "interopsim up")
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        ready = await program.ready_line()
        for address in (ready["grpc"], ready["http"].removeprefix("http://")):
            assert_sentence(await run(tmp_path, "clock", "show", "--admin", address), address, "admin")


async def test_commands_find_the_simulator_of_the_ready_line_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INTEROPSIM says where, as it does to the samples; a flag says otherwise, and what is no such line is told."""
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        ready = await program.ready_line()
        monkeypatch.setenv("INTEROPSIM", json.dumps(ready))
        assert (await run(tmp_path, "clock", "show")).code == 0
        assert_sentence(await run(tmp_path, "clock", "show", "--admin", ready["grpc"]), "is not the admin address")
    monkeypatch.setenv("INTEROPSIM", "127.0.0.1:4461")
    ended = await run(tmp_path, "clock", "show")
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert "INTEROPSIM" in ended.stderr and "interopsim up" in ended.stderr and "Traceback" not in ended.stderr
