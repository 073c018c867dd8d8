"""`interopsim up --people` and the commands that go with it, as a user runs them."""

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interop_admin.client import AdminClient
from interop_server.app import Simulator
from interop_server.config import Config
from interop_server.workbench import WorkbenchChoice
from tests.e2e.program import ANY_PORTS, END_SECONDS, Ended, Program, gone, left_behind, run, running, state_of

WRONG_USE, FAILED = 2, 1
CAST = """
[partner]
integrator = 77
name = "Owl"
issuer = "https://owl.example"

[[people]]
name = "Grace"
phone_number = "+31600000077"
habit = "echo"
"""
SAMPLE = Path(__file__).parents[3] / "clients/python/samples/00_write_to_echo.py"


async def people_of(folder: Path, *arguments: str) -> dict[str, object]:
    """What a command prints with --json."""
    ended = await run(folder, *arguments, "--json")
    assert ended.code == 0, ended.stderr
    facts: dict[str, object] = json.loads(ended.stdout)
    return facts


async def test_a_person_at_a_terminal_is_told_where_the_page_is(tmp_path: Path) -> None:
    """On standard error; the ready line is for programs, and who reads it from a pipe gets that alone."""
    ours, theirs = os.openpty()
    arguments = (sys.executable, "-m", "interop_server", "up", *ANY_PORTS, "--people")
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        said = b""
        while b"token bob" not in said:
            said += await asyncio.to_thread(os.read, ours, 4096)
        assert f"The page is {ready['ui']}" in said.decode()
    finally:
        process.terminate()
        await process.wait()
        os.close(ours)


async def test_the_usual_people_are_there(tmp_path: Path) -> None:
    """The ready line has what a client needs; from nothing to an answer are three commands, none of them code."""
    async with running(tmp_path, "up", *ANY_PORTS, "--people", "--no-ui", "--seed", "7") as program:
        ready = await program.ready_line()
        assert [person["name"] for person in ready["people"]][:2] == ["Echo", "Ada"]
        assert ready["partner"]["name"] == "Pigeon" and ready["partner"]["tokens"].startswith("http://127.0.0.1:")
        assert "ui" not in ready and ready["first_token"] == "interopsim token bob"
        status = (await run(tmp_path, "status", "--json")).stdout
        assert ready["workbench"]["url"] in status and ready["workbench"]["key"] not in status
        token = await run(tmp_path, "token", "bob")
        assert token.stdout.count(".") == 2 and token.stderr == ""
        sample = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SAMPLE)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "INTEROPSIM_STATE": str(state_of(tmp_path))},
        )
        told, _ = await sample.communicate(token.stdout.encode())
        assert sample.returncode == 0 and "Is anybody there?" in told.decode()
        wire = await run(tmp_path, "trace", "31600000001@s.whatsapp.net")
        assert "message" in wire.stdout and "Is anybody there?" not in wire.stdout
        program.signal(signal.SIGINT)
        assert (await program.end()).code == 0
        await gone(ready["workbench"]["pid"])
    assert left_behind(tmp_path) == [] and left_behind(state_of(tmp_path)) == []


async def test_the_people_leave_with_a_server_that_is_killed(tmp_path: Path) -> None:
    """Their pipe ends."""
    file = tmp_path / "cast.toml"
    file.write_text(CAST)
    async with running(tmp_path, "up", *ANY_PORTS, "--people", str(file), "--no-ui") as program:
        ready = await program.ready_line()
        program.signal(signal.SIGKILL)
        await program.end()
        await gone(ready["workbench"]["pid"])


async def test_people_who_have_gone_are_missed(tmp_path: Path) -> None:
    """The server goes on without them, also in a clean world, and says so once, in health and wherever it is asked."""
    file = tmp_path / "cast.toml"
    file.write_text(CAST)
    async with running(tmp_path, "up", *ANY_PORTS, "--people", str(file), "--no-ui") as program:
        ready = await program.ready_line()
        async with AdminClient(ready["admin"]) as admin, asyncio.timeout(END_SECONDS):
            assert await admin.check()
            os.kill(ready["workbench"]["pid"], signal.SIGKILL)
            while await admin.check():
                pass
            assert "ended by signal 9" in (await admin.get_statistics()).troubles["people"]
            async with grpc.aio.insecure_channel(ready["grpc"]) as channel:
                request = health_pb2.HealthCheckRequest(service="interop_api.v1.ChatService")
                one = await health_pb2_grpc.HealthStub(channel).Check(request)
            assert one.status == health_pb2.HealthCheckResponse.SERVING
            await admin.reset()
            assert "ended by signal 9" in (await admin.get_statistics()).troubles["people"]
        assert "people" in (await run(tmp_path, "status")).stdout
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 0 and ended.stderr.count("ended by signal 9") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_start_that_is_broken_off_is_no_failure_of_the_people(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C goes to all of the terminal: the people hear of it from the simulator alone, by the end of their pipe."""
    people, work = tmp_path / "people" / "interop_workbench", tmp_path / "work"
    people.mkdir(parents=True)
    (people / "__init__.py").touch()
    work.mkdir()
    (people / "__main__.py").write_text(
        "import os, sys\nprint('begun', file=sys.stderr, flush=True)\nos.read(0, 1)\nprint('left', file=sys.stderr)\n"
    )
    arguments = ("up", *ANY_PORTS, "--people", "--log-level", "error")
    async with running(work, *arguments, path=people.parent, is_leader=True) as program:
        assert program.stderr is not None
        async with asyncio.timeout(END_SECONDS):
            assert await program.stderr.readline() == b"begun\n"
        os.killpg(program.pid, number)
        assert await program.end() == Ended(0, "", "left\n")
    assert left_behind(work) == []


async def test_people_whose_pipe_ends_while_they_come_leave_at_once(tmp_path: Path) -> None:
    """Here the simulator never answers. Nothing is left of them."""
    asked = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    endpoint = {"event": "ready", "grpc": address, "admin": address, "http": address, "root_public_key": "00" * 32}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "interop_workbench", "--simulator", json.dumps(endpoint)),
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        async with asyncio.timeout(END_SECONDS):
            await asked.wait()
            assert process.stdin is not None
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for writer in writers:
            writer.close()
        silent.close()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--people", "nobody.toml"), WRONG_USE, "nobody.toml is not there"),
        (("--people", "/dev/zero"), WRONG_USE, "/dev/zero is no regular file"),
        (("--people", "wrong.toml"), WRONG_USE, "did you mean `habit`"),
        (("--people", "no.toml"), WRONG_USE, "this is not TOML"),
        (("--people", "refused.toml"), WRONG_USE, "cannot take part"),
        (("--ui-control",), WRONG_USE, "--ui"),
        (("--people", "--no-ui", "--ui-control"), WRONG_USE, "--ui"),
    ],
)
async def test_wrong_use_is_told_and_nothing_is_left(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Before anything is ready; the sentence says what to change."""
    (tmp_path / "wrong.toml").write_text(CAST.replace("habit", "habbit"))
    (tmp_path / "refused.toml").write_text(CAST.replace("+31600000077", "number"))
    (tmp_path / "no.toml").write_text("nonsense")
    ended = await run(tmp_path, "up", *ANY_PORTS, *arguments)
    assert (ended.code, ended.stdout) == (code, "") and said in ended.stderr and "Traceback" not in ended.stderr
    assert left_behind(tmp_path) == ["no.toml", "refused.toml", "wrong.toml"]


@pytest.mark.parametrize("name", ["wrong.toml", "no.toml"])
async def test_a_wrong_file_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    """With one sentence: no server has made its database by then, or said anything."""
    (tmp_path / "wrong.toml").write_text(CAST.replace("habit", "habbit"))
    (tmp_path / "no.toml").write_text("nonsense")
    ended = await run(tmp_path, "up", *ANY_PORTS, "--db", "world.db", "--people", name)
    assert (ended.code, ended.stdout, len(ended.stderr.splitlines())) == (WRONG_USE, "", 1)
    assert not (tmp_path / "world.db").exists()


async def test_a_server_is_not_ready_before_its_people_are(tmp_path: Path) -> None:
    """Health says so of the whole, and of each service that it serves: the people are its clients."""
    port = "127.0.0.1:0"
    simulator = Simulator(Config(port, port, port, tmp_path / "db", workbench=WorkbenchChoice(), grace_seconds=0.5))
    endpoint = await simulator.start()
    try:
        async with AdminClient(endpoint.admin) as admin, grpc.aio.insecure_channel(endpoint.grpc) as channel:
            assert not await admin.check()
            assert (await admin.get_statistics()).troubles == {"people": "they are not there yet"}
            request = health_pb2.HealthCheckRequest(service="interop_api.v1.ChatService")
            one = await health_pb2_grpc.HealthStub(channel).Check(request)
            assert one.status == health_pb2.HealthCheckResponse.SERVING
            simulator.people_are_there()
            while not await admin.check():
                pass
            assert (await admin.get_statistics()).troubles == {}
    finally:
        await simulator.stop()


@pytest_asyncio.fixture
async def owl(tmp_path: Path) -> Program:
    """A simulator with a cast of its own."""
    (tmp_path / "cast.toml").write_text(CAST)
    async with running(tmp_path, "up", *ANY_PORTS, "--people", str(tmp_path / "cast.toml"), "--no-ui") as program:
        await program.ready_line()
        yield program


@pytest.mark.usefixtures("owl")
async def test_people_do_what_they_are_told(tmp_path: Path) -> None:
    """One is added, writes, reads, blocks, opts out, and goes; each command has a sentence and an object."""
    added = await people_of(tmp_path, "user", "add", "Kay", "+31600000078")
    assert added["jid"] == "31600000078@s.whatsapp.net"
    listed = await run(tmp_path, "user", "list")
    assert "Grace" in listed.stdout and "Kay" in listed.stdout and "opted in for 77" in listed.stdout
    enlisted = await run(tmp_path, "user", "send", "Kay", "bob", "Hello")
    assert enlisted.code == FAILED and "does not find 'bob'" in enlisted.stderr
    for arguments, said in (
        (("inbox", "Kay", "combined"), "Kay's inbox is combined."),
        (("offline", "Kay"), "Kay is offline."),
        (("online", "kay"), "kay is online."),
        (("change-keys", "Kay"), "Kay has new keys."),
        (("opt-out", "Kay"), "Opted in for nobody now."),
        (("opt-in", "Kay", "--integrator", "77"), "Opted in for 77."),
        (("show", "Kay"), ""),
    ):
        ended = await run(tmp_path, "user", *arguments)
        assert (ended.code, ended.stdout.strip()) == (0, said), ended.stderr
    assert (await people_of(tmp_path, "user", "read", "Kay")) == {"messages": []}
    unheard = await run(tmp_path, "user", "send", "Kay", "77-12345678901234@interop", "Hello")
    assert unheard.code == FAILED and "RECIPIENT_NOT_REACHABLE" in unheard.stderr
    [(_, request_id)] = re.findall("(`interopsim explain ([0-9a-f]{16})` says why)", unheard.stderr)
    explained = await run(tmp_path, "explain", request_id)
    assert "No such account" in explained.stdout, explained.stdout
    for emoji in ("👍", ""):
        missing = await run(tmp_path, "user", "react", "Kay", "77-12345678901234@interop", "nosuch", emoji)
        assert missing.code == FAILED and "Kay has no message nosuch" in missing.stderr


IMPOSSIBLE = (
    (("user", "send", "Nobody", "bob", "Hello"), WRONG_USE, "There is no person 'Nobody' here: Grace."),
    (("user", "send", "Grace", "bob"), WRONG_USE, "either TEXT or --file"),
    (("user", "add", "Grace", "+31600000079"), FAILED, "name or number already"),
    (("user", "add", "Kay", "+31600000077"), FAILED, "name or number already"),
    (("user", "add", "Kay", "+31 (6) 0000-0077"), FAILED, "name or number already"),
    (("user", "add", "GRACE", "+31600000079"), FAILED, "name or number already"),
    (("user", "add", "Kay Two", "+31600000079"), WRONG_USE, "without blanks"),
    (("user", "add", "Kay", "none"), WRONG_USE, "cannot take part"),
    (("user", "add", "Kay", "+31600000079", "--habit", "script"), WRONG_USE, "needs `lines`"),
    (("user", "opt-in", "Grace", "--integrator", "999"), FAILED, "PARTNER_UNKNOWN"),
    (("token", "bob", "--defect", "expird"), WRONG_USE, "did you mean expired"),
    (("token", "bob", "--expired", "--alg", "none"), WRONG_USE, "one defect"),
    (("token", ""), WRONG_USE, "1 to 256"),
    (("token", "bob", "--ttl", "0"), WRONG_USE, "--ttl"),
)


@pytest.mark.usefixtures("owl")
async def test_what_cannot_be_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """And an exit status that says whose fault it is."""
    for arguments, code, said in IMPOSSIBLE:
        ended = await run(tmp_path, *arguments)
        assert (ended.code, ended.stdout) == (code, ""), arguments
        assert said in ended.stderr and "Traceback" not in ended.stderr, ended.stderr


@pytest.mark.usefixtures("owl")
async def test_people_come_back_into_a_world_that_begins_anew(tmp_path: Path) -> None:
    """Those who were online by themselves, others when they are told to go online."""
    await people_of(tmp_path, "user", "add", "Kay", "+31600000078", "--offline")
    assert (await run(tmp_path, "reset")).code == 0
    assert (await run(tmp_path, "user", "online", "Kay")).code == 0
    listed = await run(tmp_path, "partner", "list")
    assert "Owl" in listed.stdout
    assert "Kay is offline" in (await run(tmp_path, "user", "offline", "Kay")).stdout


@pytest.mark.usefixtures("owl")
async def test_a_wrong_token_says_what_it_must_meet(tmp_path: Path) -> None:
    """On standard error, so that the token alone goes down a pipe; the catalogue is listed."""
    ended = await run(tmp_path, "token", "bob", "--expired")
    assert ended.stdout.count(".") == 2 and "TOKEN_EXPIRED (ENL-05)" in ended.stderr
    answer = await people_of(tmp_path, "token", "bob", "--alg", "none")
    assert answer["reason"] == "TOKEN_ALGORITHM_REFUSED"
    listed = await run(tmp_path, "token", "--list-defects")
    assert "wrong-audience" in listed.stdout and "TOKEN_CLAIMS_INVALID (ENL-07)" in listed.stdout
    defects = json.loads((await run(tmp_path, "token", "--list-defects", "--json")).stdout)["defects"]
    assert "wrong-audience" in [each["name"] for each in defects]
    assert {frozenset(each) for each in defects} == {frozenset(("name", "sentence", "reason", "requirement"))}
    nobody = await run(tmp_path, "token")
    assert nobody.code == WRONG_USE and "Missing argument 'USER'" in nobody.stderr


async def test_messengers_are_registered_listed_and_suspended(tmp_path: Path) -> None:
    """Without a line of code; where there are no people, the sentence says how to get some."""
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        await program.ready_line()
        added = await run(tmp_path, "partner", "add", "42", "Raven", "--base-url", "http://127.0.0.1:1")
        assert added.stdout == "Raven is registered as 42: its key set could not be fetched yet.\n"
        assert (await run(tmp_path, "partner", "suspend", "42")).stdout == "Messenger 42 is suspended.\n"
        [listed] = (await people_of(tmp_path, "partner", "list"))["partners"]  # type: ignore[misc]
        assert (listed["name"], listed["status"], listed["identifier_type"]) == ("Raven", "suspended", "username")
        assert (await run(tmp_path, "partner", "resume", "42")).code == 0
        assert "Raven  active" in (await run(tmp_path, "partner", "list")).stdout
        missing = await run(tmp_path, "partner", "suspend", "43")
        assert missing.code == FAILED and "NOT_REGISTERED" in missing.stderr
        wrong = await run(tmp_path, "partner", "add", "42", "Raven", "--base-url", "nowhere")
        assert wrong.code == WRONG_USE and "REQUEST_MALFORMED" in wrong.stderr
        alone = await run(tmp_path, "token", "bob")
        assert alone.code == FAILED and "interopsim up --people" in alone.stderr
        program.signal(signal.SIGTERM)
        await program.end()
    nobody = await run(tmp_path, "user", "list")
    assert nobody.code == WRONG_USE and "No simulator runs" in nobody.stderr
