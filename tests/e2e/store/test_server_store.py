"""The command line and the operator's view of a store on a server: what is refused, what is said when it goes away."""

import asyncio
import signal
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from interop_admin.client import AdminClient
from interop_client.errors import ServerRefusal
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import open_world
from tests.e2e.operator.test_journal_troubles import NOT_SERVING, SERVING, health
from tests.e2e.program import ANY_PORTS, Ended, left_behind, loaded_by_a_plain_start, run, running
from tests.evidence import new_journal
from tests.postgres import ask, fresh_database, own_server, url_of

UP = ("up", *ANY_PORTS)
WRONG_USE = 2
SECRET = "s3cret-w0rd"
NOWHERE = f"postgresql://me:{SECRET}@127.0.0.1:1/db"
USER = "+49151100000000"


def check_sentence(ended: Ended, *parts: str) -> None:
    """Asserts that it ended as wrong use, with one sentence that says this and no secret."""
    assert (ended.code, ended.stdout) == (WRONG_USE, ""), ended
    [sentence] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert all(part in sentence for part in parts), sentence
    assert SECRET not in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--store", NOWHERE, "--db", "x.db"), "exclude each other"),
        (("--store", f"mysql://me:{SECRET}@localhost/db"), "begins with postgresql://"),
        (("--store", f"postgresql://me:{SECRET}/x@localhost/db"), "percent-encoded"),
        (("--store", NOWHERE), "cannot be used as the database"),
        (("--store", f"postgresql://me:{SECRET}@/db?host=/nowhere"), "cannot be used as the database"),
    ],
    ids=["both", "not_ours", "not_encoded", "nobody_listens", "no_socket"],
)
async def test_what_cannot_be_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...], part: str) -> None:
    """Nothing is left behind."""
    check_sentence(await run(tmp_path, *UP, *arguments), part)
    assert left_behind(tmp_path) == []


async def test_a_database_that_is_not_ours_or_in_use_is_left_alone(tmp_path: Path) -> None:
    """Another application's, another version's, and one that a simulator has."""
    async with fresh_database() as url:
        await ask(url, "CREATE TABLE theirs (id integer)")
        check_sentence(await run(tmp_path, *UP, "--store", url), "another application")
        await ask(url, "DROP TABLE theirs")
        async with running(tmp_path, *UP, "--store", url) as program:
            await program.ready_line()
            check_sentence(await run(tmp_path, *UP, "--store", url), "in use by another simulator")
            program.signal(signal.SIGTERM)
            assert (await program.end()).code == 0
        await ask(url, "UPDATE schema_version SET version = 99")
        check_sentence(await run(tmp_path, *UP, "--store", url), "schema version 99")


async def test_without_the_package_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    """A plain start needs none of it, and loads none."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "asyncpg.py").write_text("raise ModuleNotFoundError(name='asyncpg')\n")
    async with running(tmp_path, *UP, "--store", NOWHERE, path=tmp_path / "modules") as program:
        check_sentence(await program.end(), "pip install 'interopsim[cluster]'")
    imported = await loaded_by_a_plain_start(tmp_path, tmp_path / "modules")
    assert "interop_server.storage.sqlite.store" in imported
    assert not [name for name in imported if name.startswith(("asyncpg", "interop_server.storage.postgres"))]


async def test_the_operators_commands_say_where_it_is(tmp_path: Path) -> None:
    """The ready line, `status` and `doctor` name the database, and never the password."""
    async with fresh_database() as url:
        with_password = url.replace("postgres@", f"postgres:{SECRET}@", 1)
        async with running(tmp_path, *UP, "--name", "mine", "--store", with_password) as program:
            ready = await program.ready_line()
            assert ready["db"].startswith("postgresql:///t") and SECRET not in str(ready)
            for command in ("status", "doctor"):
                ended = await run(tmp_path, command)
                assert SECRET not in ended.stdout + ended.stderr
                assert command == "doctor" or (ended.code == 0 and ready["db"] in ended.stdout), ended
            program.signal(signal.SIGTERM)
            ended = await program.end()
            assert ended.code == 0 and SECRET not in ended.stderr


@pytest.mark.requirement("SIM-03")
async def test_a_server_that_goes_away_is_told_and_comes_back(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Health and `status` say so, callers are told when to try again; afterwards all that was told is there."""
    folder = tmp_path / "simulator"
    folder.mkdir()
    with own_server() as (server, place):
        async with running(folder, *UP, "--store", url_of(place), "--journal", str(new_journal())) as program:
            ready = await program.ready_line()
            endpoint = Endpoint(ready["grpc"], bytes.fromhex(ready["root_public_key"]), ready["http"], ready["admin"])
            async with (
                AdminClient(ready["admin"]) as admin,
                open_world(endpoint, signing_keys, tmp_path / "partner") as world,
            ):
                jid = await admin.put_whatsapp_user(USER, bytes(range(32)))
                await asyncio.to_thread(server.kill)
                with pytest.raises(ServerRefusal, match="STORAGE_UNAVAILABLE") as refused:
                    await admin.put_whatsapp_user(USER, bytes(range(32)))
                assert refused.value.retry_after_ms
                assert await health(ready["admin"], "storage", "journal") == [NOT_SERVING, SERVING]
                status = await run(folder, "status")
                assert status.code == 1 and "postgresql:///postgres cannot be used" in status.stdout
                await asyncio.to_thread(server.start)
                await until(ready["grpc"], SERVING)
                assert (await run(folder, "status")).code == 0
                assert await admin.put_whatsapp_user(USER, bytes(range(32))) == jid
                assert (await world.stored())["account"] == 1
            program.signal(signal.SIGTERM)
            ended = await program.end()
    assert (ended.code, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert ended.stderr.count("cannot be used") == ended.stderr.count("works again") == 1


async def until(address: str, status: int) -> None:
    """Waits until health says that."""
    async with asyncio.timeout(20), grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        while (await watch.read()).status != status:
            pass
        watch.cancel()
