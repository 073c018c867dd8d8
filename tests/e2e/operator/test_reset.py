"""A clean world without a restart: nothing of the old one is left, and the server is the same."""

import signal
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from interop_admin.client import AdminClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import ConnectionLost, TextReceived
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import open_world
from tests.e2e.program import ANY_PORTS, left_behind, run, running
from tests.evidence import new_journal
from tests.postgres import fresh_database

FREEZE = "2027-01-01T00:00:00Z"
FAULTS = """
[[faults]]
name = "told"
match.stanza = "message"
match.direction = "to_client"
times = 1
drop = {}
"""


@dataclass
class Resettable:
    """A simulator of the test's own, in whose folder commands find it."""

    folder: Path
    endpoint: Endpoint
    stack: AsyncExitStack
    keys: SigningKeys
    worlds: int = 0

    async def talk(self) -> dict[str, int]:
        """A messenger and two people who talk; how many of what is kept of them there are."""
        self.worlds += 1
        async with AsyncExitStack() as stack:
            opened = open_world(self.endpoint, self.keys, self.folder.with_name(f"partner-{self.worlds}"))
            world = await stack.enter_async_context(opened)
            alice, bob = await world.whatsapp(), await world.third_party("bob")
            await bob.send_text(alice.jid, "Hello")
            await alice.wait_for(TextReceived)
            stored = await world.stored()
            return {name: stored[name] for name in ("partner", "account", "published_keys", "chat")}


@pytest_asyncio.fixture(params=["memory", "file", "postgres"])
async def resettable(
    request: pytest.FixtureRequest, tmp_path: Path, signing_keys: SigningKeys
) -> AsyncIterator[Resettable]:
    """On a database that goes, on one that stays, and on one of a server."""
    folder = tmp_path / "simulator"
    folder.mkdir()
    journal = ("--journal", str(new_journal()))
    async with AsyncExitStack() as stack:
        database: tuple[str, ...] = () if request.param == "memory" else ("--db", "x.db")
        if request.param == "postgres":
            database = ("--store", await stack.enter_async_context(fresh_database()))
        program = await stack.enter_async_context(running(folder, "up", *ANY_PORTS, *journal, *database))
        ready = await program.ready_line()
        address = Endpoint(ready["grpc"], bytes.fromhex(ready["root_public_key"]), ready["http"], ready["admin"])
        yield Resettable(folder, address, stack, signing_keys)
        program.signal(signal.SIGTERM)
        ended = await program.end()
        assert (ended.code, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert request.param == "file" or left_behind(folder) == []


async def test_a_reset_leaves_nothing_and_the_server_is_the_same(resettable: Resettable) -> None:
    """The same story makes the same rows again, with the certificates that clients trust already."""
    async with AdminClient(resettable.endpoint.admin) as admin:
        before = await resettable.talk()
        await admin.advance_clock(86_400_000)
        ahead = (await admin.get_clock()).now_ms
        ended = await run(resettable.folder, "reset")
        assert (ended.code, ended.stderr) == (0, "") and "clean world" in ended.stdout
        statistics = await admin.get_statistics()
        stored = dict(statistics.stored)
        assert statistics.world == 2 and not dict(statistics.troubles)
        assert {name for name, rows in stored.items() if rows} == {"server", "secret"}
        assert await admin.list_partners() == [] and await admin.list_connections() == []
        entries = [response.entry async for response in admin.read_journal()]
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        assert not any("PutPartner" in entry.action for entry in entries)
        assert (await admin.get_clock()).now_ms < ahead
        assert await resettable.talk() == before


async def test_bytes_that_are_no_request_reset_nothing(resettable: Resettable) -> None:
    """As for every call."""
    async with grpc.aio.insecure_channel(resettable.endpoint.admin) as channel:
        call = channel.unary_unary("/interop_api.admin.v1alpha1.AdminService/ResetWorld")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"\xff")
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    async with AdminClient(resettable.endpoint.admin) as admin:
        assert (await admin.get_statistics()).world == 1


async def test_people_are_told_to_reconnect_and_then_to_enlist(resettable: Resettable) -> None:
    """Their connections end in order; their accounts are gone."""
    async with (
        open_world(resettable.endpoint, resettable.keys, resettable.folder.with_name("partner")) as world,
        AdminClient(resettable.endpoint.admin) as admin,
    ):
        bob = await world.third_party("bob")
        await admin.reset()
        assert (await bob.wait_for(ConnectionLost)).reason == "SERVER_DRAINING"
        await world.register()
        with pytest.raises(ServerRefusal) as refused:
            await bob.connect()
        assert refused.value.reason == "NOT_ENLISTED"


async def test_clock_and_faults_are_as_they_were_told_at_the_start(tmp_path: Path) -> None:
    """Those added later are gone; one that fired before the reset has fired."""
    assert tomllib.loads(FAULTS)
    (tmp_path / "faults.toml").write_text(FAULTS)
    options = ("--freeze-at", FREEZE, "--seed", "1", "--faults", "faults.toml", "--require-fired")
    async with running(tmp_path, "up", *ANY_PORTS, *options) as program:
        ready = await program.ready_line()
        async with AdminClient(ready["admin"]) as admin:
            start = (await admin.get_clock()).now_ms
            first = await admin.put_whatsapp_user("+49151100000000", bytes(range(32)))
            await run(tmp_path, "faults", "add", "--stanza", "any", "--to", "server", "--do", "drop", "--name", "later")
            await admin.advance_clock(1_000)
            for world in (2, 3):
                await admin.reset()
                assert (await admin.get_statistics()).world == world
                clock = await admin.get_clock()
                assert (clock.now_ms, clock.is_frozen) == (start, True)
                assert [state.fault.name for state in (await admin.list_faults()).faults] == ["told"]
                assert await admin.put_whatsapp_user("+49151100000000", bytes(range(32))) == first
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 1 and "told" in ended.stderr and "later" in ended.stderr


async def test_a_reset_of_a_database_outlives_a_kill(tmp_path: Path) -> None:
    """Once it is said to be done."""
    async with running(tmp_path, "up", *ANY_PORTS, "--db", "x.db") as program:
        ready = await program.ready_line()
        async with AdminClient(ready["admin"]) as admin:
            await admin.put_whatsapp_user("+49151100000000", bytes(range(32)))
            await admin.reset()
        program.signal(signal.SIGKILL)
        await program.end()
    async with running(tmp_path, "up", *ANY_PORTS, "--db", "x.db") as program:
        again = await program.ready_line()
        assert again["root_public_key"] == ready["root_public_key"]
        async with AdminClient(again["admin"]) as admin:
            assert dict((await admin.get_statistics()).stored)["account"] == 0
