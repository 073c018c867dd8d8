"""Frames that come faster than they are worked on are joined; a client cannot tell, but by how fast it goes."""

import asyncio
from collections.abc import Sequence

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.connection.login import whatsapp_login
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream
from tests.e2e.wire import sealed_message


async def logged_in(stream: RawStream, client: WhatsAppClient) -> None:
    await stream.log_in(client.state.auth_private_key, whatsapp_login(client.jid))


async def acks(stream: RawStream, count: int) -> list[stanza_pb2.SendAck]:
    """The next acks of messages, however they are spread over frames, and over the stanzas of one."""
    taken: list[stanza_pb2.SendAck] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(taken) < count:
            for stanza in await stream.receive():
                taken += stanza.send_acks.acks
    return taken


def frames(to: str, ids: Sequence[str]) -> list[bytes]:
    """One frame for each message."""
    return [stanza_pb2.Batch(stanzas=[sealed_message(to, each)]).SerializeToString() for each in ids]


@pytest.mark.requirement("MSG-04", "CHN-09")
async def test_messages_in_frames_of_their_own_are_acked_once_and_in_order(world: World) -> None:
    """Two hundred frames that the client sends without waiting for a single ack."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.close()
    ids = [f"m{number}" for number in range(200)]
    async with RawStream(world.endpoint.grpc) as stream:
        await logged_in(stream, alice)
        for frame in frames(bob.jid, ids):
            await stream.seal(frame)
        taken = await acks(stream, len(ids))
    assert [ack.id for ack in taken] == ids
    assert not any(ack.HasField("error") for ack in taken)
    times = [ack.timestamp_ms for ack in taken]
    assert times == sorted(times)


@pytest.mark.requirement("MSG-04", "CHN-09")
async def test_a_malformed_frame_leaves_those_before_it_unharmed(world: World) -> None:
    """They are acked, and each message is taken once when all are sent again on the next channel."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.close()
    sent = frames(bob.jid, ["a", "b", "c", "d"])
    async with RawStream(world.endpoint.grpc) as stream:
        await logged_in(stream, alice)
        # Nothing is written after it: gRPC's client tells of a failed write instead of how the stream ended.
        for frame in (*sent[:2], b"\xff\xff"):
            await stream.seal(frame)
        first = await acks(stream, 2)
        await stream.check_ends("FRAME_MALFORMED")
    async with RawStream(world.endpoint.grpc) as stream:
        await logged_in(stream, alice)
        for frame in sent:
            await stream.seal(frame)
        again = await acks(stream, 4)
    assert [ack.id for ack in first] == ["a", "b"]
    assert [ack.id for ack in again] == ["a", "b", "c", "d"]
    assert [ack.timestamp_ms for ack in again[:2]] == [ack.timestamp_ms for ack in first]


@pytest.mark.requirement("PRX-04")
async def test_what_comes_after_a_closed_client_is_not_taken(world: World) -> None:
    """Its frame may hold more, and more frames may be on their way."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.close()
    closed = stanza_pb2.Stanza(client_closed=stanza_pb2.ClientClosed())
    async with RawStream(world.endpoint.grpc) as stream:
        await logged_in(stream, alice)
        await stream.seal(frames(bob.jid, ["before"])[0])
        batch = stanza_pb2.Batch(stanzas=[closed, sealed_message(bob.jid, "after")])
        await stream.seal(batch.SerializeToString())
        await stream.seal(frames(bob.jid, ["later"])[0])
        # How it ended is not asked: gRPC's client tells of a failed write instead, when "later" comes after the end.
        await stream.ending()
    async with RawStream(world.endpoint.grpc) as stream:
        await logged_in(stream, alice)
        await stream.send_stanzas(*(sealed_message(bob.jid, each) for each in ("before", "after", "later")))
        before, after, later = await acks(stream, 3)
    assert before.timestamp_ms < after.timestamp_ms == later.timestamp_ms


@pytest.mark.requirement("MSG-14")
async def test_stanzas_of_different_kinds_keep_their_order_over_frames(world: World) -> None:
    """A ping between messages is answered after the acks of those before it."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.close()
    async with RawStream(world.endpoint.grpc) as stream:
        await logged_in(stream, alice)
        for number in range(20):
            ping = stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=number))
            for stanza in (sealed_message(bob.jid, f"m{number}"), ping):
                await stream.send_stanzas(stanza)
        seen: list[str] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while len(seen) < 40:
                for stanza in await stream.receive():
                    seen += [ack.id for ack in stanza.send_acks.acks]
                    seen += [f"p{stanza.pong.id}"] if stanza.HasField("pong") else []
    assert seen == [name for number in range(20) for name in (f"m{number}", f"p{number}")]
