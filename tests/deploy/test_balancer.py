"""Nodes of one world behind one address: deploy/haproxy.cfg, with a real HAProxy and real nodes."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded, ServerRefusal
from interop_client.messaging.events import MediaReceived, TextReceived
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world
from tests.e2e.nodes.conftest import Nodes, come_about, two_nodes

CONFIGURATION = Path(__file__).parents[2] / "deploy/haproxy.cfg"
NOWHERE = "127.0.0.1:1"

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not there: make extras.")


@asynccontextmanager
async def balancer(nodes: Nodes, log: Path) -> AsyncIterator[Endpoint]:
    """Has one address for two nodes; the third never answers."""
    grpc, http = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    first, second = nodes.endpoint(0), nodes.endpoint(1)
    places = {"GRPC": f"fd@{grpc.fileno()}", "HTTP": f"fd@{http.fileno()}", "C_GRPC": NOWHERE, "C_HTTP": NOWHERE}
    for name, node in (("A", first), ("B", second)):
        places |= {f"{name}_GRPC": node.grpc, f"{name}_HTTP": node.http.removeprefix("http://")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("haproxy", "-db", "-f", str(CONFIGURATION)),
            env={**os.environ, **places},
            pass_fds=(grpc.fileno(), http.fileno()),
            stdout=output,
            stderr=output,
        )
    grpc_address, http_address = (f"127.0.0.1:{each.getsockname()[1]}" for each in (grpc, http))
    for each in (grpc, http):
        each.close()
    try:
        yield replace(first, grpc=grpc_address, http=f"http://{http_address}")
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def behind(nodes: Nodes, signing_keys: SigningKeys, folder: Path) -> AsyncIterator[World]:
    """A world of one's own whose people know one address."""
    async with (
        balancer(nodes, folder / "haproxy.log") as endpoint,
        open_world(endpoint, signing_keys, folder / "partner") as world,
    ):
        yield world


async def talk(one: InteropClient, other: InteropClient, what: str) -> None:
    """Each writes to the other."""
    for sender, to in ((one, other), (other, one)):
        await sender.send_text(to.jid, what)
        assert (await to.wait_for(TextReceived)).text == what


async def test_people_talk_through_it_and_a_node_dies(tmp_path: Path) -> None:
    """Calls go to any node, blobs too; whose node was killed comes back to the same address, and misses nothing."""
    async with two_nodes(tmp_path) as nodes, behind(nodes, SigningKeys(), tmp_path) as world:
        alice = await world.whatsapp()
        peers = [await world.third_party(f"bob-{n}") for n in range(4)]
        for n, peer in enumerate(peers):
            await talk(alice, peer, f"hello {n}")
        document = tmp_path / "film.mkv"
        document.write_bytes(os.urandom(1 << 20))
        await alice.send_document(peers[0].jid, document)
        received = await peers[0].wait_for(MediaReceived)
        for way in ("", world.endpoint.http):
            await peers[0].download(received.media, tmp_path / "received", way)
            assert (tmp_path / "received").read_bytes() == document.read_bytes()

        await nodes.children[1].kill()
        lost = [client for client in (alice, *peers) if not await is_connected(client)]
        assert lost and len(lost) < 1 + len(peers), "the balancer does not spread"
        for client in lost:
            await come_about(lambda client=client: comes_back(client))
        for n, peer in enumerate(peers):
            await talk(alice, peer, f"and on {n}")


async def is_connected(client: InteropClient) -> bool:
    try:
        await client.ping()
    except ConnectionEnded:
        return False
    return True


async def comes_back(client: InteropClient) -> bool:
    """Tries again as a client does: a call can still meet the dead node until the balancer has noticed."""
    try:
        await client.connect()
    except (ServerRefusal, ConnectionEnded):
        return False
    return True
