"""T13: messages are sent again and again, by senders, by a network that recorded them, and by readers who never ack."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.connection.login import whatsapp_login
from tests.bench.lean_client import Account, LeanClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream
from tests.e2e.wire import Wire, message_ids, sealed_message
from tests.threats.crowd import MANY, lean_whatsapp, whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T13"), pytest.mark.requirement("SIM-06")]

TIMES = 10


async def send_acks(client: LeanClient, count: int) -> list[stanza_pb2.SendAck]:
    """Reads what became of messages."""
    acks: list[stanza_pb2.SendAck] = []
    while len(acks) < count:
        for stanza in await client.receive():
            acks += stanza.send_acks.acks
    return acks


async def send_over_and_over(client: LeanClient, to: str, ids: Sequence[str]) -> list[stanza_pb2.SendAck]:
    """Sends messages of these ids, in one batch and in batches of their own, without waiting for an answer."""
    messages = [sealed_message(to, message_id) for message_id in ids]
    await client.send(messages * (TIMES // 2))
    for _ in range(TIMES // 2):
        await client.send(messages)
    return await send_acks(client, len(ids) * TIMES)


@pytest.mark.requirement("MSG-04")
async def test_what_is_sent_many_times_arrives_once(world: World, attack: Attack) -> None:
    """50 people send each of their messages ten times at once; one of them again after a reconnect."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    ids = ["once", "twice"]
    attack.tries(f"Sending {len(ids)} messages {TIMES} times each from {MANY} clients at once, all under the same ids")
    async with Wire(bob.transport) as wire, whatsapp_crowd(world) as crowd:
        await wire.ask(200)
        async with asyncio.timeout(WAIT_SECONDS * 2):
            answers = await asyncio.gather(*(send_over_and_over(client, bob.jid, ids) for client in crowd))
        for acks in answers:
            assert len({(ack.id, ack.timestamp_ms) for ack in acks}) == len(ids)
            assert not any(ack.HasField("error") for ack in acks)
        taken: list[stanza_pb2.Stanza] = []
        while len(message_ids(taken)) < MANY * len(ids):
            taken += await wire.take()
        await wire.ack([stanza for stanza in taken if stanza.HasField("message")])
        assert not message_ids(await wire.ping())
    arrived = Counter((stanza.message.from_jid, stanza.message.id) for stanza in taken if stanza.message.id)
    assert arrived == Counter((client.jid, message_id) for client in crowd for message_id in ids)
    attack.holds(
        f"{MANY * TIMES * len(ids):,} sends, {MANY * len(ids)} deliveries: each message once, each repetition "
        "acknowledged with the first one's timestamp"
    )


@pytest.mark.requirement("MSG-04")
async def test_an_id_stays_taken_after_delivery_and_reconnect(world: World, attack: Attack) -> None:
    """Also once the recipient has acked, and on another connection of the sender."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    alice = await world.whatsapp_device(QUIET)
    account = Account(alice.state.auth_private_key, whatsapp_login(alice.jid))
    await alice.connect()
    await alice.accept_terms()
    await alice.opt_in([world.integrator])
    await alice.close()
    attack.tries("Sending a message again on a new connection, after it was delivered and acked, with other content")
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        timestamps = set()
        for ciphertext in (b"first", b"second", b"third"):
            client = await LeanClient.log_in(world.endpoint.grpc, account)
            await client.send([sealed_message(bob.jid, "same", ciphertext)])
            timestamps.add((await send_acks(client, 1))[0].timestamp_ms)
            await client.close()
            if ciphertext == b"first":
                delivery = (await wire.take_until("message"))[-1]
                assert delivery.message.enc[0].ciphertext == b"first"
                await wire.ack([delivery])
        assert not message_ids(await wire.ping())
        assert len(timestamps) == 1
    attack.holds("Acknowledged with the first timestamp, and not delivered again: the first content stands")


@pytest.mark.requirement("CHN-05")
async def test_recorded_frames_open_nothing(world: World, attack: Attack) -> None:
    """Somebody between 50 clients and the server sends their frames again: on the same stream, and on a new one."""
    bob = await world.third_party("bob", QUIET)
    attack.tries(f"Replaying recorded frames of {MANY} connections, on their own stream and after a new handshake")

    async def replay(number: int) -> list[str]:
        alice = await world.whatsapp_device(QUIET)
        batch = stanza_pb2.Batch(stanzas=[sealed_message(bob.jid, f"m{number}")]).SerializeToString()
        reasons = []
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
            recorded = chat_pb2.ConnectRequest(sealed=stream.noise.encrypt(batch))
            await stream.send(recorded)
            await stream.receive_kind("send_acks")
            await stream.send(recorded)
            reasons.append((await stream.ending()).reason)
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
            await stream.send(recorded)
            reasons.append((await stream.ending()).reason)
        return reasons

    outcomes = await asyncio.gather(*(replay(number) for number in range(MANY)))
    assert outcomes == [["FRAME_AUTHENTICATION_FAILED"] * 2] * MANY
    attack.holds("FRAME_AUTHENTICATION_FAILED each time: a frame has one place in one stream")


@pytest.mark.requirement("MSG-09")
async def test_what_is_not_acked_comes_again_and_what_is_acked_never(world: World, attack: Attack) -> None:
    """A reader who drops the connection, acks twice, acks what is not there, and acks what is somebody else's."""
    bob, carol = await world.third_party("bob", QUIET), await world.third_party("carol", QUIET)
    await bob.close()
    await carol.close()
    count = 20
    attack.tries("Dropping the connection before the ack, acking twice, acking unknown and other people's deliveries")
    async with AsyncExitStack() as stack:
        alice = await lean_whatsapp(world, stack)
        await alice.send(sealed_message(bob.jid, f"m{number}") for number in range(count))
        await send_acks(alice, count)
    seen = []
    for _ in range(3):
        async with Wire(bob.transport) as wire:
            assert wire.preview.messages == count
            await wire.ask(200)
            seen.append([stanza for stanza in await wire.take_until("offline_end") if stanza.HasField("message")])
        async with Wire(carol.transport) as thief:
            await thief.ack(seen[-1])
            await thief.ping()
    first = [(stanza.delivery_id, stanza.message.id) for stanza in seen[0]]
    assert [[(stanza.delivery_id, stanza.message.id) for stanza in delivered] for delivered in seen] == [first] * 3
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        await wire.take_until("offline_end")
        unknown = [stanza_pb2.Stanza(delivery_id=delivery_id) for delivery_id in (0, 1 << 62, (1 << 64) - 1)]
        for _ in range(2):
            await wire.ack(seen[0] + unknown)
        assert not message_ids(await wire.ping())
    async with Wire(bob.transport) as wire:
        assert wire.preview.messages == 0
    attack.holds("All came again, in order, under the same ids, until Bob acked; acks by others and doubles do nothing")
