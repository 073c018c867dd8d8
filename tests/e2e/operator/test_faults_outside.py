"""Faults of media, of a messenger's own server, and of time: what comes of each, and that nothing stored is harmed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
import pytest_asyncio

from interop_api.admin.v1alpha1 import faults_pb2
from interop_client.connection.calls import unary_call
from interop_client.media.crypto import MediaTampered
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.media.test_flows_media import WAYS, Friends, friends
from tests.e2e.operator.faults import counts, fault, ordered, until_held
from tests.e2e.raw import QUIET, refused
from tests.e2e.wire import Wire, message_ids, sealed_message

__all__ = ["friends"]
CALLS = {"gRPC": "MediaService.Download", "HTTP": "http.upload"}
MINUTE_MS = 60_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "spoil",
    [{"flip_bits": 1}, {"keep_bytes": 1_000}, {"keep_bytes": 0}, {"extra_bytes": 16}],
    ids=["flipped", "cut", "empty", "longer"],
)
async def test_a_client_notices_other_bytes(friends: Friends, way: str, spoil: dict[str, int]) -> None:
    """It shows nothing of them; the blob is as it was, and comes at the next attempt."""
    document, media = await friends.document_from_alice()
    seed = {"seed": 3} if "flip_bits" in spoil else {}
    async with ordered(friends.world.admin, fault("spoilt", {"call": CALLS[way]}, spoil_media=spoil, **seed)):
        with pytest.raises(MediaTampered):
            await friends.bob.download(media, friends.folder / "read", friends.way(way))
        assert not (friends.folder / "read").exists()
        assert (await counts(friends.world.admin, "spoilt"))[1] >= 1
    await friends.bob.download(media, friends.folder / "read", friends.way(way))
    assert (friends.folder / "read").read_bytes() == document.read_bytes()


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_download_has_another_status(friends: Friends, status: int) -> None:
    """And no body."""
    _, media = await friends.picture_from_bob()
    async with ordered(
        friends.world.admin,
        fault("status", {"call": "http.partner_media"}, spoil_media={"http_status": status}, times=1),
    ):
        async with friends.http.get(friends.url(media)) as response:
            assert (response.status, await response.read()) == (status, b"")
        async with friends.http.get(friends.url(media)) as response:
            assert response.status == 200 and len(await response.read()) == media.encrypted.ciphertext_length


async def test_a_download_is_refused_or_broken_off(friends: Friends) -> None:
    """With any reason; the next one is served."""
    _, media = await friends.document_from_alice()
    rules = [
        fault("grpc", {"call": CALLS["gRPC"], "actor": friends.bob.jid}, refuse={"reason": "BLOB_EXPIRED"}, times=1),
        fault("http", {"call": CALLS["HTTP"]}, close={}),
    ]
    async with ordered(friends.world.admin, *rules):
        with refused("BLOB_EXPIRED"):
            await friends.bob.download(media, friends.folder / "read")
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await friends.http.get(friends.url(media))
    await friends.bob.download(media, friends.folder / "read")


async def test_a_key_set_cannot_be_fetched(world: World) -> None:
    """The last good one counts on; nothing was asked of the messenger's server."""
    match = {"call": "partner.jwks", "integrator": world.integrator}
    async with ordered(world.admin, fault("down", match, unreachable={}, times=1)):
        with refused("JWKS_UNAVAILABLE"):
            await world.admin.refresh_jwks(world.integrator)
        await world.device("ada", QUIET).enlist(world.partner.issue_token("ada"))
        assert await world.admin.refresh_jwks(world.integrator) == 1


async def test_a_push_does_not_arrive_and_is_tried_again(world: World) -> None:
    """The messenger gets the second attempt; another messenger's pushes are not met."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.close()
    match = {"call": "partner.push", "integrator": world.integrator}
    async with ordered(world.admin, fault("down", match, unreachable={}, times=1)):
        await alice.send_text(bob.jid, "wake up")
        push = await world.partner.wait_for_push("bob", timeout=10)
        assert (json.loads(push.body), push.number) == ({"to": "bob"}, 1)
        assert await counts(world.admin, "down") == (2, 1, 0)


@pytest_asyncio.fixture
async def frozen_world(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[World]:
    """A world in a simulator of its own, whose clock is frozen."""
    async with recorded_simulator(tmp_path / "simulator.log") as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
            await world.admin.freeze_clock()
            yield world


async def test_a_delay_ends_by_the_servers_clock(frozen_world: World) -> None:
    """Of calls, and of stanzas either way; those that come meanwhile pass."""
    world = frozen_world
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    for client in (alice, bob):
        await client.close()
    late = {"delay": {"delay_ms": MINUTE_MS // 6}, "times": 1}
    rules = [
        fault("in", {"stanza": "message", "direction": "to_server", "actor": alice.jid}, **late),
        fault("out", {"stanza": "message", "direction": "to_client", "actor": bob.jid}, **late),
    ]
    async with Wire(alice.transport) as to_alice, Wire(bob.transport) as to_bob, ordered(world.admin, *rules):
        await to_bob.take_until("offline_end")
        await to_alice.send(*(sealed_message(bob.jid, each) for each in ("a", "b", "c")))
        assert message_ids([(await to_bob.take_until("message"))[-1]]) == ["c"]
        for name in ("in", "out"):
            await until_held(world.admin, name)
        await world.admin.advance_clock(MINUTE_MS // 6)
        came = [(await to_bob.take_until("message"))[-1] for _ in range(2)]
        assert sorted(message_ids(came)) == ["a", "b"]


async def test_a_call_is_late_by_the_servers_clock(frozen_world: World) -> None:
    """An advance of the clock brings the answer."""
    world = frozen_world
    bob = await world.third_party("bob", QUIET)
    match = {"call": "PreKeyService.CountOneTimePreKeys", "actor": bob.jid}
    async with ordered(world.admin, fault("late", match, delay={"delay_ms": MINUTE_MS // 6})):
        counting = asyncio.create_task(bob.count_prekeys())
        await until_held(world.admin, "late")
        await world.admin.advance_clock(MINUTE_MS // 6 - 1)
        assert await counts(world.admin, "late") == (1, 1, 1)
        await world.admin.advance_clock(1)
        assert await counting == 20


async def test_media_come_slowly_by_the_servers_clock(frozen_world: World, tmp_path: Path) -> None:
    """Chunk by chunk, each after its delay."""
    async with aiohttp.ClientSession() as http:
        alice, bob = await frozen_world.whatsapp(), await frozen_world.third_party("bob")
        pair = Friends(frozen_world, alice, bob, tmp_path, http)
        document, media = await pair.document_from_alice()
        slow = fault("slow", {"call": CALLS["gRPC"]}, spoil_media={"chunk_delay_ms": 1_000})
        async with ordered(frozen_world.admin, slow):
            reading = asyncio.create_task(bob.download(media, tmp_path / "read"))
            advances = 0
            while not reading.done():
                await frozen_world.admin.advance_clock(1_000)
                advances += 1
            await reading
            assert advances >= 2 and (tmp_path / "read").read_bytes() == document.read_bytes()


async def test_what_makes_no_sense_is_refused_over_the_wire(world: World) -> None:
    """Bytes that are no message, names that are taken or unknown, too many of anything: nothing is added."""
    good = fault("good", {"stanza": "pong", "actor": "1-10000000000001@interop"}, drop={})
    async with grpc.aio.insecure_channel(world.endpoint.admin) as channel:
        for method in ("AddFaults", "ListFaults", "ReleaseFault", "ClearFaults"):
            path = f"/interop_api.admin.v1alpha1.FaultService/{method}"
            with pytest.raises(grpc.aio.AioRpcError) as broken:
                await channel.unary_unary(path)(b"\xff\xff")
            assert broken.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        async with ordered(world.admin, good):
            with refused("ALREADY_REGISTERED"):
                await world.admin.add_faults([good])
            with refused("TOO_MANY_ITEMS"):
                await world.admin.add_faults([good] * 101)
            with refused("TOO_MANY_ITEMS"):
                await world.admin.clear_faults(*["good"] * 101)
            with refused("NOT_REGISTERED"):
                await world.admin.clear_faults("good", "bad")
            with refused("NOT_REGISTERED"):
                await world.admin.release_fault("bad")
            with refused("REQUEST_MALFORMED"):
                await world.admin.add_faults([faults_pb2.Fault(name="f", match=good.match)])
            with refused("REQUEST_MALFORMED"):
                await world.admin.add_faults([])
            named = faults_pb2.AddFaultsRequest(
                faults=[fault("twice", {"stanza": "pong", "actor": "1-10000000000001@interop"}, drop={})],
                request_id="r1",
            )
            for _ in range(2):
                method = "/interop_api.admin.v1alpha1.FaultService/AddFaults"
                await unary_call(channel, method, named, faults_pb2.AddFaultsResponse)
            assert [each.fault.name for each in (await world.admin.list_faults()).faults] == ["good", "twice"]
            await world.admin.clear_faults("twice")
