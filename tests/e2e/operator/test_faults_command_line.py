"""`interopsim faults` and `up --faults`: what a person types, what it says, and what a CI job gets as its status."""

import asyncio
import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from interop_admin.client import AdminClient
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.endpoint import Endpoint
from tests.e2e.conftest import World
from tests.e2e.operator.faults import until_held
from tests.e2e.program import ANY_PORTS, Ended, run, running
from tests.e2e.raw import QUIET

WRONG_USE, NOT_FIRED = 2, 1
BUSY = """\
[[faults]]
name = "busy"
times = 1
match = { call = "EnlistmentService.Enlist" }
refuse = { reason = "JWKS_UNAVAILABLE" }

[[faults]]
name = "idle"
match = { stanza = "message", direction = "to_client", integrator = 17 }
drop = {}
"""


async def no_token() -> str:
    """Never asked for."""
    raise AssertionError


async def faults(folder: Path, world: World, *arguments: str) -> Ended:
    """Runs `interopsim faults` against the simulator of a world."""
    return await run(folder, "faults", *arguments, "--admin", world.endpoint.admin)


def listed(ended: Ended, name: str) -> dict[str, Any]:
    """What `--json` says of a fault."""
    found: list[dict[str, Any]] = json.loads(ended.stdout)["faults"]
    return next(each for each in found if each["name"] == name)


async def test_a_fault_is_written_as_flags_listed_and_cleared(world: World, tmp_path: Path) -> None:
    """It is called after what it does; a text for people, and an object for machines."""
    ada = await world.third_party("ada", QUIET)
    flags = ("--call", "PreKeyService.CountOneTimePreKeys", "--actor", ada.jid, "--times", "1")
    action = "refuse:reason=RATE_LIMITED,retry_after_ms=700,requirement=KEY-14"
    added = await faults(tmp_path, world, "add", *flags, "--do", action)
    name = "refuse.PreKeyService.CountOneTimePreKeys"
    assert (added.code, added.stdout, added.stderr) == (0, f"Added {name}.\n", "")
    with pytest.raises(ServerRefusal) as caught:
        await ada.count_prekeys()
    assert (caught.value.reason, caught.value.retry_after_ms) == ("RATE_LIMITED", 700)
    shown = await faults(tmp_path, world, "list")
    assert f"{name}: refuse PreKeyService.CountOneTimePreKeys: matched 1, fired 1, held 0\n" in shown.stdout
    entry = listed(await faults(tmp_path, world, "list", "--json"), name)
    assert (entry["matched"], entry["fired"], entry["match"]["actor"]) == (1, 1, ada.jid)
    cleared = await faults(tmp_path, world, "clear", name, "--require-fired", "--json")
    assert (cleared.code, listed(cleared, name)["fired"]) == (0, 1)


async def test_what_is_held_is_released_by_hand(world: World, tmp_path: Path) -> None:
    """A person decides when the answer comes."""
    ada = await world.third_party("ada", QUIET)
    flags = ("--name", "held", "--stanza", "pong", "--actor", ada.jid, "--do", "hold")
    assert (await faults(tmp_path, world, "add", *flags, "--json")).stdout == '{"added": ["held"]}\n'
    ping = asyncio.create_task(ada.ping())
    await until_held(world.admin, "held")
    released = await faults(tmp_path, world, "release", "held")
    assert (released.code, released.stdout) == (0, "Released 1.\n")
    await ping
    await faults(tmp_path, world, "clear", "held")


async def test_a_fault_that_never_fired_fails_the_job(world: World, tmp_path: Path) -> None:
    """With status 1, and its name on stderr; what is asked for is printed all the same."""
    file = tmp_path / "faults.toml"
    file.write_text(BUSY.replace("EnlistmentService.Enlist", "InteropService.OptOut"))
    assert (await faults(tmp_path, world, "add", str(file))).stdout == "Added busy, idle.\n"
    shown = await faults(tmp_path, world, "list", "--require-fired")
    assert shown.code == NOT_FIRED and "busy: refuse" in shown.stdout
    assert "busy, idle" in shown.stderr and "never fired" in shown.stderr
    cleared = await faults(tmp_path, world, "clear", "busy", "idle", "--require-fired")
    assert cleared.code == NOT_FIRED and "Error: these faults never fired: busy, idle.\n" in cleared.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "Name a FILE of faults"),
        (("--call", "X.Y"), "Say with --do what is done"),
        (("--call", "PreKeyService.TakePreKeyBundle", "--do", "drop"), "--call: .*did you mean PreKeyService.TakePre"),
        (("--stanza", "message", "--do", "drop"), "--to: "),
        (("--stanza", "massage", "--to", "client", "--do", "drop"), "--stanza: .*did you mean message"),
        (("--call", "http.upload", "--do", "dorp"), "--do: there is no `dorp`: did you mean `drop`"),
        (("--call", "http.upload", "--do", "zzz"), "--do: there is no `zzz`: choose from refuse, .*unreachable"),
        (
            ("--call", "http.upload", "--do", "name"),
            "--do: there is no `name`: choose from refuse, .*unreachable",
        ),
        (("--call", "http.upload", "--do", "delay:ms=3"), "--do: there is no `ms`"),
        (("--call", "http.upload", "--do", "delay:3"), "field=value"),
        (("--call", "http.upload", "--do", "delay:delay_ms=0"), "--do: `delay_ms` is 1 to"),
        (("--call", "http.upload", "--do", "drop", "--times", "0"), "--times: "),
        (("--call", "http.upload", "--do", "drop", "--chance", "5"), "--seed: "),
        (("--call", "http.upload", "--do", "drop", "--name", "a b"), "--name: "),
        (("--call", "http.upload", "--do", f"delay:delay_ms={'9' * 5_000}"), "--do: this is a whole number"),
        (("--call", "http.upload", "--do", "name:a=1"), "--do: there is no `name`: choose from refuse"),
        (("--stanza", "message", "--to", "client", "--do", f"forge:from_jid={'1' * 321}"), "--do: .*320 characters"),
        (("nowhere.toml",), "does not exist"),
        (("/dev/zero",), "is no regular file"),
    ],
)
async def test_wrong_use_is_a_sentence_that_names_the_flag(
    world: World, tmp_path: Path, arguments: tuple[str, ...], hint: str
) -> None:
    """Status 2, nothing is added, and no traceback."""
    ended = await faults(tmp_path, world, "add", *arguments)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert re.search(hint, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (await world.admin.list_faults()).faults


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ('name = "idle"', 'nam = "idle"', "line 8: faults[1].nam: there is no `nam`: did you mean `name`?"),
        ("times = 1", "times = ", "line 3"),
        ('"EnlistmentService.Enlist"', '"Enlist"', "line 4: faults[0].match.call: `call` names nothing that there is"),
        ("drop = {}", "hold = { }\ndrop = {}", "line 11: faults[1].drop: `hold` stands there already"),
        ('name = "idle"', 'name = "busy"', "line 8: faults[1].name: there is a fault of this name"),
    ],
)
async def test_a_wrong_file_is_a_sentence_that_names_the_line(
    world: World, tmp_path: Path, old: str, new: str, hint: str
) -> None:
    """Whoever reads it, the running simulator or one that is to start: status 2, and nothing is started."""
    assert old in BUSY
    file = tmp_path / "faults.toml"
    file.write_text(BUSY.replace(old, new, 1))
    for ended in (
        await faults(tmp_path, world, "add", str(file)),
        await run(tmp_path, "up", *ANY_PORTS, "--faults", str(file)),
    ):
        assert (ended.code, ended.stdout) == (WRONG_USE, "")
        assert "faults.toml" in ended.stderr and "Traceback" not in ended.stderr
        assert hint.rstrip("?") in " ".join(ended.stderr.split()), ended.stderr
    assert not (await world.admin.list_faults()).faults


@pytest.mark.parametrize("is_required", [False, True])
async def test_a_simulator_starts_with_faults_and_says_what_never_fired(tmp_path: Path, is_required: bool) -> None:
    """At its end, as its status: 1 with --require-fired, and 0 without."""
    file = tmp_path / "faults.toml"
    file.write_text(BUSY)
    flags = ("--require-fired",) if is_required else ()
    async with running(tmp_path, "up", *ANY_PORTS, "--faults", str(file), *flags) as program:
        ready = await program.ready_line()
        async with AdminClient(ready["admin"]) as admin:
            assert [each.fault.name for each in (await admin.list_faults()).faults] == ["busy", "idle"]
        client = ThirdPartyClient.direct(Endpoint.from_ready_line(json.dumps(ready)), ClientState.generate(), no_token)
        for reason in ("JWKS_UNAVAILABLE", "TOKEN_MALFORMED"):
            with pytest.raises(ServerRefusal) as caught:
                await client.enlist("no token")
            assert caught.value.reason == reason
        await client.close()
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == (NOT_FIRED if is_required else 0)
    assert ("Error: These faults never fired: idle." in ended.stderr) is is_required


async def test_the_commands_of_the_page_run(world: World, tmp_path: Path) -> None:
    """As they stand in docs/faults.md, one after the other."""
    page = (Path(__file__).parents[3] / "docs" / "faults.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 6
    for line in lines:
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("interopsim", "faults")
        ended = await faults(tmp_path, world, *arguments)
        assert ended.code == 0, f"{line}: {ended.stderr}"


@pytest.mark.parametrize("command", [("faults", "release"), ("journal", "--action"), ("trace", "--after")])
async def test_an_argument_that_is_no_text_is_a_sentence(
    world: World, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Whatever the bytes are for: status 2, and no traceback."""
    ended = await run(tmp_path, *command, os.fsdecode(b"a\xff"), "--admin", world.endpoint.admin)
    assert (ended.code, ended.stdout) == (WRONG_USE, "")
    assert "is no text in UTF-8." in ended.stderr and "Traceback" not in ended.stderr
