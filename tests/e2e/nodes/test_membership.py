"""Nodes join and leave, are killed and hang: whoever they had connected is not lost to the others."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from interop_client.messaging.events import ConnectionLost
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.nodes.conftest import Both, Nodes, at_both, come_about
from tests.e2e.nodes.test_connections import jids, second_of
from tests.e2e.outcomes import refused
from tests.e2e.program import ANY_PORTS, Program, left_behind, loaded_by_a_plain_start, run, running
from tests.e2e.raw import QUIET
from tests.e2e.store.test_server_store import SECRET, check_sentence
from tests.e2e.wire import Wire, message_ids, sealed_message
from tests.nats import nats_server
from tests.postgres import fresh_database

UP = ("up", *ANY_PORTS)
STORE, BUS, BLOBS = "postgresql://127.0.0.1:1/db", f"nats://me:{SECRET}@127.0.0.1:1", "file:///tmp/blobs"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--bus", BUS), "add --store"),
        (("--bus", BUS, "--store", STORE), "add --blobs"),
        (("--bus", BUS, "--store", STORE, "--blobs", "folder"), "add --blobs with a URL"),
        (("--bus", BUS, "--store", STORE, "--blobs", BLOBS, "--seed", "1"), "not repeatable"),
        (
            ("--bus", BUS, "--store", STORE, "--blobs", BLOBS, "--freeze-at", "2027-01-01T00:00:00Z"),
            "all nodes have one clock",
        ),
        (("--bus", f"http://me:{SECRET}@127.0.0.1", "--store", STORE), "begins with nats://"),
        (("--bus", f"nats://me:{SECRET}/x@127.0.0.1", "--store", STORE), "percent-encoded"),
        (("--bus", "nats://127.0.0.1/a/b", "--store", STORE), "letters, digits"),
    ],
    ids=["no_store", "no_blobs", "blobs_of_its_own", "seed", "clock", "not_ours", "not_encoded", "prefix"],
)
async def test_what_is_no_node_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...], part: str) -> None:
    """Nothing is left behind, and no password is said."""
    check_sentence(await run(tmp_path, *UP, *arguments), part)
    assert left_behind(tmp_path) == []


async def test_without_the_package_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    """A plain start needs none of it, and loads none."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "nats.py").write_text("raise ModuleNotFoundError(name='nats')\n")
    async with running(tmp_path, *UP, "--bus", BUS, path=tmp_path / "modules") as program:
        check_sentence(await program.end(), "pip install 'interopsim[cluster]'")
    imported = await loaded_by_a_plain_start(tmp_path, tmp_path / "modules")
    assert "interop_server.rpc.entrance" in imported
    assert not [name for name in imported if name.startswith(("nats", "interop_server.nodes.", "interop_api.nodes"))]


async def test_a_bus_that_lets_nobody_in_and_one_that_is_away(tmp_path: Path) -> None:
    """The one is wrong use; without the other a node starts all the same, and says what is late."""
    with nats_server(("--user", "me", "--pass", SECRET)) as nats:
        async with fresh_database() as url:
            common = ("--store", url, "--blobs", f"file://{tmp_path}", "--bus")
            wrong = nats.url.replace("//", "//me:another@")
            check_sentence(await run(tmp_path, *UP, *common, wrong), "does not let this node in")
            right = nats.url.replace("//", f"//me:{SECRET}@")
            for address, is_well in ((right, True), (BUS, False)):
                async with running(tmp_path, *UP, *common, address) as program:
                    await program.ready_line()
                    status = await run(tmp_path, "status")
                    assert (status.code == 0) == is_well and SECRET not in status.stdout, status
                    assert ("a second late" in status.stdout) != is_well
                    program.signal(signal.SIGTERM)
                    assert (await program.end()).code == 0


async def test_names_and_places_are_given_once(own_nodes: Nodes, tmp_path: Path) -> None:
    """A third node needs another name, and who is no node another database."""
    check_sentence(await run(tmp_path, *UP, *own_nodes.arguments[0]), "is called node-1")
    alone = own_nodes.arguments[0][:2]
    check_sentence(await run(tmp_path, *UP, *alone), "in use by another simulator")


async def has_come(program: Program) -> bool:
    """Whether a simulator says that it is ready, and not that it ends."""
    try:
        return bool((await program.ready_line())["people"])
    except ValueError:
        return False


INES = """
[[people]]
name = "Ines"
phone_number = "+31600000021"
"""


async def test_people_are_at_one_node(tmp_path: Path) -> None:
    """Of two that start with them at once, one has them, and the other says where they are and what to do."""
    (tmp_path / "cast.toml").write_text(INES)
    with nats_server() as nats:
        async with fresh_database() as url:
            common = ("--bus", nats.url, "--store", url, "--blobs", f"file://{tmp_path}", "--people", "cast.toml")
            start = (*UP, *common, "--no-ui", "--node")
            async with running(tmp_path, *start, "here") as here, running(tmp_path, *start, "there") as there:
                is_here, is_there = await asyncio.gather(has_come(here), has_come(there))
                assert is_here != is_there
                refused, where = (there, "here") if is_here else (here, "there")
                check_sentence(await refused.end(), f"at the node {where} already", "start this one without --people")


@pytest.mark.requirement("SIM-03")
async def test_no_node_begins_a_clean_world_for_all(both: Both) -> None:
    """The others are in the midst of theirs."""
    assert await refused(both.there.admin.reset()) == "WORLD_SHARED"


@pytest.mark.requirement("LIF-01", "SIM-03")
async def test_a_killed_node_is_found_out(own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> None:
    """Whoever was connected there is pushed about what has come meanwhile; the node comes back under its name."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        alice, bob = await both.here.whatsapp(options=QUIET), await both.there.third_party("bob", QUIET)
        await come_about(lambda: knows(both.here, bob.jid))
        await alice.close()
        await own_nodes.children[1].kill()
        async with Wire(alice.transport) as wire:
            await wire.send(sealed_message(bob.jid, "late"))
            await wire.ping()
            assert bob.jid in await jids(both.here.admin)
            await come_about(lambda: has_pushed(both.here))
        assert bob.jid not in await jids(both.here.admin)
        await own_nodes.children[1].start()
        again = second_of(bob, "bob", both.here)
        async with Wire(again.transport) as wire:
            await wire.ask(10)
            assert message_ids(await wire.take_until("offline_end")) == ["late"]


async def has_pushed(world: World) -> bool:
    return (await world.admin.get_statistics()).counted["push_sent"] > 0


async def knows(world: World, jid: str) -> bool:
    return jid in await jids(world.admin)


@pytest.mark.requirement("CHN-11", "SIM-03")
async def test_a_node_that_hung_gives_its_connections_up(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """The others took it for dead. Its clients are told to come back, and can, to either node."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        alice, bob = await both.there.whatsapp(options=QUIET), await both.there.third_party("bob", QUIET)
        await come_about(lambda: knows(both.here, bob.jid))
        hung = own_nodes.children[1].pid
        os.kill(hung, signal.SIGSTOP)
        try:

            async def is_given_up() -> bool:
                return not await knows(both.here, bob.jid)

            await come_about(is_given_up)
            elsewhere = second_of(alice, "", both.here)
            await elsewhere.connect()
        finally:
            os.kill(hung, signal.SIGCONT)
        assert (await bob.wait_for(ConnectionLost)).reason == "SERVER_DRAINING"
        assert (await alice.wait_for(ConnectionLost)).reason in ("SERVER_DRAINING", "CONNECTION_REPLACED")
        await elsewhere.ping()
        assert await refused(second_of(bob, "bob", both.there).connect()) == ""


@pytest.mark.requirement("LIF-01", "CHN-10")
async def test_a_node_that_leaves_hands_its_clients_on(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """They are told to reconnect, at the other node they are expected, and whoever writes to them has them pushed."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        alice, bob = await both.here.whatsapp(options=QUIET), await both.there.third_party("bob", QUIET)
        stopping = asyncio.create_task(own_nodes.children[1].stop())
        assert (await bob.wait_for(ConnectionLost)).reason == "SERVER_DRAINING"
        assert await stopping == 0
        assert not await knows(both.here, bob.jid)
        await alice.close()
        async with Wire(alice.transport) as wire:
            await wire.send(sealed_message(bob.jid, "left"))
            await wire.ping()
        await come_about(lambda: has_pushed(both.here))
        async with Wire(second_of(bob, "bob", both.here).transport) as wire:
            await wire.ask(10)
            assert message_ids(await wire.take_until("offline_end")) == ["left"]
