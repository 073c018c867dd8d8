"""Nodes of two releases are one world while they are rolled: of this one, and of ones that change its tables."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import interop_server
from interop_client.client import InteropClient
from interop_client.messaging.events import ConnectionLost, TextReceived
from interop_demo.processes import Child, simulator
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.nodes.conftest import Nodes, at_both
from tests.e2e.nodes.test_connections import second_of
from tests.e2e.program import ANY_PORTS, running
from tests.e2e.store.test_server_store import check_sentence
from tests.evidence import new_journal

EXPANDS = """-- Expands: programs of the versions before go on.
ALTER TABLE mailbox ADD COLUMN note TEXT;
CREATE TABLE note (id BIGINT PRIMARY KEY);
"""
CONTRACTS = """-- Contracts: programs of the version before go on, older ones do not.
ALTER TABLE mailbox DROP COLUMN note;
"""
BREAKS = "DROP TABLE note;\n"


def release(folder: Path, files: Sequence[str]) -> Path:
    """Makes a later release of the server: with some more files of its schema. Returns where its modules are."""
    shutil.copytree(Path(interop_server.__file__).parent, folder / "interop_server")
    for number, file in enumerate(files):
        (folder / f"interop_server/storage/postgres/schema/9{number:03}_later.sql").write_text(file)
    return folder


def node_of(release: Path, nodes: Nodes, number: int) -> Child:
    """Describes a node of a release, with the arguments of one of this release."""
    arguments = ["--journal", str(new_journal()), *nodes.arguments[number]]
    return simulator(nodes.folder / f"{number}.log", None, arguments, {"PYTHONPATH": str(release)})


async def talk(one: InteropClient, other: InteropClient, what: str) -> None:
    """Each writes to the other."""
    for sender, to in ((one, other), (other, one)):
        await sender.send_text(to.jid, f"{what} from {sender.jid}")
        assert (await to.wait_for(TextReceived)).text == f"{what} from {sender.jid}"


@pytest.mark.requirement("SIM-03", "CHN-10")
async def test_a_roll(own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> None:
    """Nodes are replaced one by one, people come back as they are told to, and one of the older release is killed
    and comes back on the newer tables."""
    later = release(tmp_path / "later", [EXPANDS])
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        alice, bob = await both.here.whatsapp(), await both.there.third_party("bob")
        await talk(alice, bob, "before")
        await own_nodes.children[1].stop()
        assert (await bob.wait_for(ConnectionLost)).reason == "SERVER_DRAINING"
        async with node_of(later, own_nodes, 1) as second:
            own_nodes.children = (own_nodes.children[0], second)
            bob = await moved(bob, both.here, own_nodes, 1)
            await talk(alice, bob, "across releases")
            await own_nodes.children[0].kill()
            await own_nodes.children[0].start()
            alice = await moved(alice, both.here, own_nodes, 0)
            await talk(alice, bob, "after a death")
            await own_nodes.children[0].stop()
            async with node_of(later, own_nodes, 0) as first:
                own_nodes.children = (first, second)
                alice = await moved(alice, both.here, own_nodes, 0)
                await talk(alice, bob, "rolled")
                await alice.close()
                await bob.close()


async def moved(client: InteropClient, world: World, nodes: Nodes, number: int) -> InteropClient:
    """Connects somebody to a node with what their device has, and returns the client."""
    world.endpoint = nodes.endpoint(number)
    await client.close()
    again = second_of(client, "bob", world)
    await again.connect()
    return again


@pytest.mark.requirement("SIM-03")
async def test_who_would_be_broken_is_stopped_first(own_nodes: Nodes, tmp_path: Path) -> None:
    """What the older release still uses is not taken away while it lives; then nodes of it do not come back."""
    releases = [release(tmp_path / f"{count}", [EXPANDS, CONTRACTS, BREAKS][:count]) for count in (1, 2, 3)]
    older, newer = own_nodes.children

    async def start_refused(number: int) -> None:
        arguments = ("up", *ANY_PORTS, *own_nodes.arguments[1])
        async with running(tmp_path, *arguments, path=releases[number]) as program:
            check_sentence(await program.end(), "stop them first")

    await newer.stop()
    await start_refused(1)  # it would expand for a version that nobody was made for, and contract
    async with node_of(releases[0], own_nodes, 1):
        pass
    await older.stop()
    async with node_of(releases[0], own_nodes, 0):
        await start_refused(2)
        async with node_of(releases[1], own_nodes, 1):
            pass
        async with running(tmp_path, "up", *ANY_PORTS, *own_nodes.arguments[1]) as program:
            check_sentence(await program.end(), "this program needs version")
    async with node_of(releases[2], own_nodes, 0):
        pass
