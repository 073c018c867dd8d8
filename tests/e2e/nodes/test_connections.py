"""Two nodes, one world: one connection per account, sessions that hold at both, ends that reach whoever is meant."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import grpc.aio
import pytest

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import account_pb2, account_pb2_grpc, interop_pb2, prekeys_pb2, prekeys_pb2_grpc
from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded, refusal_from_rpc_error
from interop_client.messaging.events import ConnectionLost
from interop_client.whatsapp import WhatsAppClient
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.nodes.conftest import SECONDS, Both, Nodes, at_both, come_about
from tests.e2e.outcomes import ended, refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire

BAN = standing_pb2.SANCTION_KIND_BAN
SUSPENDED = interop_pb2.PARTNER_STATUS_SUSPENDED


def bearer(token: str) -> tuple[tuple[str, str]]:
    return (("authorization", f"Bearer {token}"),)


async def count_prekeys(world: World, token: str) -> int:
    """Asks a node how many prekeys are left, in a session that may be another's."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        stub = prekeys_pb2_grpc.PreKeyServiceStub(channel)
        try:
            answer = await stub.CountOneTimePreKeys(prekeys_pb2.CountOneTimePreKeysRequest(), metadata=bearer(token))
        except grpc.aio.AioRpcError as error:
            raise refusal_from_rpc_error(error) from error
    return int(answer.count)


async def jids(admin: AdminClient) -> list[str]:
    """Those that are connected, as a node knows it."""
    return [each.jid for each in await admin.list_connections()]


def second_of(client: InteropClient, user: str, world: World) -> InteropClient:
    """The same account's client at another node."""
    if isinstance(client, WhatsAppClient):
        other = WhatsAppClient.direct(world.endpoint, client.state, options=QUIET)
        world.close_later(other)
        return other
    return world.device(user, QUIET, client.state)


@pytest.mark.requirement("CHN-11")
@pytest.mark.parametrize("kind", ["WhatsApp", "third party"])
async def test_a_login_at_one_node_replaces_that_at_the_other(both: Both, kind: str) -> None:
    """There and back. The first is told why, its session is dead at both, and each node knows of one connection."""
    here, there = both.here, both.there
    first = await (here.whatsapp(options=QUIET) if kind == "WhatsApp" else here.third_party("bob", QUIET))
    clients = [first, second_of(first, "bob", there), second_of(first, "bob", here)]
    for one, next_one in pairwise(clients):
        await next_one.connect()
        assert (await one.wait_for(ConnectionLost)).reason == "CONNECTION_REPLACED"
        assert await refused(one.count_prekeys()) == "SESSION_DEAD"
        await next_one.ping()
        for world in (here, there):
            assert (await jids(world.admin)).count(first.jid) == 1


async def is_in(wire: Wire) -> bool:
    """Connects, and takes what comes at first; says whether that was not the end."""
    try:
        await wire.__aenter__()
        await wire.take_until("offline_end")
    except ConnectionEnded as end:
        assert end.reason == "CONNECTION_REPLACED"
        return False
    return True


@pytest.mark.requirement("CHN-11")
async def test_of_two_that_log_in_at_once_one_stays(both: Both) -> None:
    """Whichever it is: never none, never both, round after round."""
    alice = await both.here.whatsapp_device(QUIET)
    for _ in range(10):
        wires = [Wire(second_of(alice, "", world).transport) for world in (both.here, both.there)]
        are_in = await asyncio.gather(*(is_in(wire) for wire in wires))
        left = [wire for wire, is_open in zip(wires, are_in, strict=True) if is_open]
        async with asyncio.timeout(SECONDS):
            while len(left) > 1:
                left = [wire for wire in left if not await ended(wire.ping())]
        [survivor] = left
        assert await survivor.ping() == []
        for wire in wires:
            await wire.__aexit__()


@pytest.mark.requirement("CHN-01")
async def test_a_session_holds_at_every_node(both: Both) -> None:
    """At once, before the other node has heard of it; and it is dead at every node when the connection has ended."""
    alice = await both.here.whatsapp(options=QUIET)
    await alice.close()
    for _ in range(5):
        async with Wire(alice.transport) as wire:
            assert await count_prekeys(both.there, wire.login.session_token) == 20

        async def is_dead(token: str = wire.login.session_token) -> bool:
            return await refused(count_prekeys(both.there, token)) == "SESSION_DEAD"

        await come_about(is_dead)
    assert await refused(count_prekeys(both.there, "no token")) == "SESSION_DEAD"


@pytest.mark.requirement("LIF-03")
async def test_a_deletion_at_one_node_ends_the_connection_at_the_other(both: Both) -> None:
    """And nobody can log in as the account at either."""
    bob = await both.here.third_party("bob", QUIET)
    await bob.close()
    async with Wire(bob.transport) as wire, grpc.aio.insecure_channel(both.there.endpoint.grpc) as channel:
        stub = account_pb2_grpc.AccountServiceStub(channel)
        await stub.DeleteAccount(account_pb2.DeleteAccountRequest(), metadata=bearer(wire.login.session_token))
        assert await ended(wire.take_until("pong")) == "NOT_ENLISTED"
    for world in (both.here, both.there):
        assert await refused(second_of(bob, "bob", world).connect()) == "NOT_ENLISTED"


async def ban(both: Both, jid: str) -> None:
    await both.there.admin.impose_sanction(jid, BAN)


async def suspend(both: Both, jid: str) -> None:
    await both.there.register(status=SUSPENDED)


ENDS: dict[str, Callable[[Both, str], Awaitable[None]]] = {"BANNED": ban, "PARTNER_NOT_ACTIVE": suspend}


@pytest.mark.requirement("ABU-05", "ENL-01")
@pytest.mark.parametrize("reason", ENDS)
@pytest.mark.parametrize("has_bus", [True, False], ids=["with_bus", "without_bus"])
async def test_who_may_not_be_connected_is_not_for_long(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path, reason: str, has_bus: bool
) -> None:
    """Said at one node, done at the other, also without a bus; and nobody gets in again at either."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        bob = await both.here.third_party("bob", QUIET)
        if not has_bus:
            own_nodes.nats.kill()
        await ENDS[reason](both, bob.jid)
        assert (await bob.wait_for(ConnectionLost)).reason == reason
        for world in (both.here, both.there):
            assert await refused(second_of(bob, "bob", world).connect()) == reason
