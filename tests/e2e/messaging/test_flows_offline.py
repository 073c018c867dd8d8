"""What waits for someone who is away: announced, fetched in parts, in order, until acked, and pushed about."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from aiohttp import web

from interop_api.v1 import stanza_pb2
from interop_client.connection.transport import Transport
from interop_client.errors import Recovery, ServerRefusal
from interop_client.messaging.events import (
    IdentityChanged,
    OfflinePreview,
    ReceiptReceived,
    TextReceived,
    TrustedContact,
)
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import WAIT_SECONDS, Wire, message_ids, sealed_message

BACKLOG = 450
NACK_MISSING_SECRET = 495


async def away(world: World, user: str = "bob") -> ThirdPartyClient:
    """An enlisted third-party user with published prekeys, whose client is not connected."""
    client = await world.third_party(user)
    await client.close()
    return client


async def acquainted(world: World) -> tuple[WhatsAppClient, ThirdPartyClient]:
    """Alice, and Bob who is away. She has written to him before: nothing new of hers comes with a mark of trust."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await alice.send_text(bob.jid, "before")
    await bob.wait_for(TextReceived)
    await bob.wait_for(TrustedContact)
    await bob.close()
    await bob.wait_for(OfflinePreview)
    return alice, bob


async def send_sealed(sender: WhatsAppClient, to: str, ids: Sequence[str]) -> list[int]:
    """Sends messages that nobody can open, all at once, and returns when the server took each."""
    sent = await asyncio.gather(*(sender.send_encrypted(sealed_message(to, message_id).message) for message_id in ids))
    return [message.timestamp_ms for message in sent]


def numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


@pytest.mark.requirement("MSG-08", "SIM-02")
async def test_a_backlog_is_announced_fetched_in_parts_and_ends_with_a_mark(world: World) -> None:
    """Nothing comes unasked; 100 bring 100, two requests of 200 bring the rest, with live traffic behind it (MSG-08).

    1. 450 messages wait.
    2. Bob asks for 100, and gets them.
    3. Alice writes while most of the backlog is still to come: that waits for its turn.
    """
    alice, bob = await acquainted(world)
    waiting, live = numbered("waiting", BACKLOG), numbered("live", 3)
    await send_sealed(alice, bob.jid, waiting)
    async with Wire(bob.transport) as wire:
        assert (wire.preview.messages, wire.preview.receipts, wire.preview.notifications) == (BACKLOG, 0, 0)
        assert await wire.ping() == []

        await wire.ask(100)
        backlog = await wire.take(100)
        assert await wire.ping() == []
        await send_sealed(alice, bob.jid, live)
        assert await wire.ping() == []

        await wire.ask(200)
        await wire.ask(200)
        *rest, end = await wire.take_until("offline_end")
        backlog += rest
        assert message_ids(backlog) == waiting
        assert all(delivery.offline for delivery in backlog)
        assert end.offline_end.count == BACKLOG
        behind = await wire.take(len(live))
        assert (message_ids(behind), [delivery.offline for delivery in behind]) == (live, [False] * 3)
        delivery_ids = [delivery.delivery_id for delivery in backlog + behind]
        assert delivery_ids == sorted(set(delivery_ids))
        times = [delivery.message.timestamp_ms for delivery in backlog + behind]
        assert times == sorted(times)


@pytest.mark.requirement("MSG-08", "SIM-02")
async def test_an_empty_backlog_is_announced_and_ends_at_once(world: World) -> None:
    """Preview and end mark come without being asked for, also when all counts are 0 (MSG-08)."""
    bob = await away(world)
    async with Wire(bob.transport) as wire:
        [end] = await wire.take_until("offline_end")
        assert wire.preview == stanza_pb2.OfflinePreview()
        assert end.offline_end.count == 0


async def test_a_backlog_counts_messages_receipts_and_notifications_apart(world: World) -> None:
    """Bob's message arrived, Alice answered and changed her identity key: one of each waits for him (MSG-08)."""
    alice, bob = await acquainted(world)
    await bob.connect()
    await alice.close()
    await bob.send_text(alice.jid, "Hello")
    await bob.close()
    await alice.connect()
    received = await alice.wait_for(TextReceived)
    await alice.send_text(bob.jid, "Hello yourself", reply_to=received)
    await alice.close()
    new_phone = ClientState.generate(alice.jid)
    new_phone.auth_private_key = alice.state.auth_private_key
    async with WhatsAppClient.direct(world.endpoint, new_phone) as alice_again:
        await alice_again.publish_prekeys(20)

    await bob.wait_for(OfflinePreview)  # of the connection before
    await bob.connect()
    assert await bob.wait_for(OfflinePreview) == OfflinePreview(messages=1, receipts=1, notifications=1)
    assert (await bob.wait_for(TextReceived)).reply_to == received.id
    assert (await bob.wait_for(ReceiptReceived)).message_ids == (received.id,)
    assert await bob.wait_for(IdentityChanged) == IdentityChanged(alice.jid)


@pytest.mark.requirement("MSG-09")
async def test_what_was_not_acked_comes_again_after_a_dropped_connection(world: World) -> None:
    """Bob loses his connection with six messages unacked; what he then acks never comes again (MSG-09)."""
    alice, bob = await acquainted(world)
    ids = numbered("m", 6)
    async with Wire(bob.transport) as wire:
        await wire.take_until("offline_end")
        await send_sealed(alice, bob.jid, ids)
        first = await wire.take(6)
        assert [delivery.offline for delivery in first] == [False] * 6

    async with Wire(bob.transport) as wire:
        assert wire.preview.messages == 6
        await wire.ask(200)
        *again, _ = await wire.take_until("offline_end")
        assert [delivery.delivery_id for delivery in again] == [delivery.delivery_id for delivery in first]
        assert [delivery.message for delivery in again] == [delivery.message for delivery in first]
        assert all(delivery.offline for delivery in again)
        await wire.ack(again[:4])
        await wire.ack(again[:4])  # idempotent
        await wire.ping()

    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        assert message_ids(await wire.take_until("offline_end")) == ids[4:]


@pytest.mark.requirement("MSG-04")
async def test_a_message_sent_again_is_acked_as_before_and_not_delivered_twice(world: World) -> None:
    """The same id once more: while it waits, after it was acked, and after both reconnected (MSG-04)."""
    alice, bob = await world.whatsapp(), await away(world)
    first = await send_sealed(alice, bob.jid, ["same"])
    assert await send_sealed(alice, bob.jid, ["same"]) == first
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        *deliveries, _ = await wire.take_until("offline_end")
        assert message_ids(deliveries) == ["same"]
        await wire.ack(deliveries)
        await wire.ping()
        assert await send_sealed(alice, bob.jid, ["same"]) == first
        assert await wire.ping() == []

    await alice.close()
    await alice.connect()
    assert await send_sealed(alice, bob.jid, ["same"]) == first
    async with Wire(bob.transport) as wire:
        await wire.take_until("offline_end")
        assert await send_sealed(alice, bob.jid, ["same"]) == first
        await send_sealed(alice, bob.jid, ["other"])
        assert message_ids(await wire.take()) == ["other"]


@pytest.mark.requirement("MSG-10")
@pytest.mark.one_node("each node has counters of its own")
async def test_a_nack_ends_redelivery_and_is_counted(world: World) -> None:
    """Bob cannot take one of two messages: only the other comes again (MSG-10)."""
    alice, bob = await world.whatsapp(), await away(world)
    await send_sealed(alice, bob.jid, ["bad", "good"])
    counted = f"nack_{NACK_MISSING_SECRET}"
    before = (await world.admin.get_statistics()).counted[counted]
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        *deliveries, _ = await wire.take_until("offline_end")
        nack = stanza_pb2.Nack(delivery_id=deliveries[0].delivery_id, nack_code=NACK_MISSING_SECRET)
        await wire.send(stanza_pb2.Stanza(nack=nack), stanza_pb2.Stanza(nack=nack))
        assert await wire.ping() == []

    assert (await world.admin.get_statistics()).counted[counted] == before + 1
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        assert message_ids(await wire.take_until("offline_end")) == ["good"]


@pytest.mark.requirement("MSG-10")
@pytest.mark.one_node("each node has counters of its own")
async def test_every_nack_code_ends_redelivery(world: World) -> None:
    """All codes from 400 to 599 are taken and counted, each by itself, also those that nobody has seen yet (MSG-10)."""
    observed = [421, 463, 475, 479, 487, 488, 489, 490, 491, 493, 495, 496, 499, 500, 550, 551, 552]
    codes = [400, *observed, 588, 599]
    alice, bob = await acquainted(world)
    await send_sealed(alice, bob.jid, [f"refused-{code}" for code in codes])
    before = (await world.admin.get_statistics()).counted
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        *deliveries, _ = await wire.take_until("offline_end")
        for delivery, code in zip(deliveries, codes, strict=True):
            await wire.send(stanza_pb2.Stanza(nack=stanza_pb2.Nack(delivery_id=delivery.delivery_id, nack_code=code)))
        assert await wire.ping() == []

    after = (await world.admin.get_statistics()).counted
    assert [after[f"nack_{code}"] - before[f"nack_{code}"] for code in codes] == [1] * len(codes)
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        assert message_ids(await wire.take_until("offline_end")) == []


@pytest.mark.requirement("MSG-09")
async def test_no_more_is_in_flight_than_the_limit_allows(world: World) -> None:
    """A client that acks nothing gets `max_unacked_deliveries` and no more; each ack makes room for one.

    The room is shared: it holds in the backlog and behind it.
    """
    alice, bob = await acquainted(world)
    async with Wire(bob.transport) as wire:
        limit = wire.login.limits.max_unacked_deliveries
        await wire.take_until("offline_end")
        await send_sealed(alice, bob.jid, numbered("m", limit + 30))
        in_flight = await wire.take(limit)
        assert await wire.ping() == []

        await wire.ack(in_flight[:10])
        more = await wire.take(10)
        assert message_ids(more) == [f"m-{limit + number}" for number in range(10)]
        assert await wire.ping() == []

    async with Wire(bob.transport) as wire:
        for _ in range(limit // 200 + 1):
            await wire.ask(200)
        in_flight = await wire.take(limit)
        assert await wire.ping() == []
        await wire.ack(in_flight)
        *rest, end = await wire.take_until("offline_end")
        assert (len(rest), end.offline_end.count) == (20, limit + 20)


async def test_a_request_for_too_much_of_the_backlog_is_refused(world: World) -> None:
    """One request asks for 1 to 200; the connection goes on (MSG-08)."""
    bob = await away(world)
    async with Wire(bob.transport) as wire:
        await wire.take_until("offline_end")
        for count in (0, 201):
            await wire.ask(count)
            [refused] = await wire.take()
            assert refused.stanza_refused.error.requirement == "MSG-08"
        assert await wire.ping() == []


async def test_the_sdk_fetches_a_backlog_by_itself_and_decrypts_it_in_order(world: World) -> None:
    """More than one request's worth of real messages, while Alice goes on writing (MSG-08)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.close()
    texts = numbered("waiting", 230)
    for text in texts:
        await alice.send_text(bob.jid, text)
    async with bob:
        for text in numbered("live", 5):
            await alice.send_text(bob.jid, text)
            texts.append(text)
        received = [await bob.wait_for(TextReceived) for _ in texts]
        assert [text.text for text in received] == texts
        assert all(text.offline for text in received[:230])
    assert await mailbox_of(bob.transport) == 0


@pytest.mark.requirement("LIF-01")
async def test_a_push_says_who_should_connect_and_nothing_else(world: World) -> None:
    """Bob is away: his messenger is told, with a token that it verified. While he is connected it is not (LIF-01)."""
    alice, bob = await world.whatsapp(), await away(world)
    await send_sealed(alice, bob.jid, ["m"])

    push = await world.partner.wait_for_push("bob", timeout=WAIT_SECONDS)
    assert json.loads(push.body) == {"to": "bob"}

    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        waited = (await wire.take_until("offline_end"))[:-1]
        await send_sealed(alice, bob.jid, ["n"])
        await wire.ack([*waited, *await wire.take_until("message")])
        await wire.ping()
    eve = await away(world, "eve")
    await send_sealed(alice, eve.jid, ["o"])
    after = await world.partner.wait_for_push("eve", timeout=WAIT_SECONDS)
    assert after.number == push.number + 1, "the message to Bob, who was connected, was pushed"


@pytest.mark.requirement("LIF-02")
async def test_pushes_about_one_user_are_coalesced(world: World) -> None:
    """While a push is under way, five more messages cause one more push, not five (LIF-02)."""
    alice, bob = await world.whatsapp(), await away(world)
    bodies: asyncio.Queue[str] = asyncio.Queue()
    may_answer = asyncio.Event()

    async def take_push(request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Bearer ")
        await bodies.put(await request.text())
        await may_answer.wait()
        return web.Response()

    application = web.Application()
    application.router.add_post("/slow", take_push)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await world.register(push_url=f"http://127.0.0.1:{runner.addresses[0][1]}/slow")
        before = (await world.admin.get_statistics()).counted
        async with asyncio.timeout(WAIT_SECONDS):
            await send_sealed(alice, bob.jid, ["first"])
            assert json.loads(await bodies.get()) == {"to": "bob"}
            await send_sealed(alice, bob.jid, ["a"])
            await send_sealed(alice, bob.jid, ["b", "c", "d", "e"])
            counted = (await world.admin.get_statistics()).counted
            assert counted["push_sent"] == before["push_sent"]
            assert counted["push_coalesced"] > before["push_coalesced"]
            may_answer.set()
            assert json.loads(await bodies.get()) == {"to": "bob"}
            while (counted := (await world.admin.get_statistics()).counted)["push_sent"] < before["push_sent"] + 2:
                pass
        assert bodies.empty()
        assert counted["push_sent"] == before["push_sent"] + 2
    finally:
        await runner.cleanup()


async def test_an_account_that_was_never_enlisted_cannot_be_written_to(world: World) -> None:
    """Nothing is kept for nobody (OPT-09)."""
    alice = await world.whatsapp()
    before = (await world.stored())["mailbox"]
    nobody = f"{world.integrator}-99999999999999@interop"
    assert await refused(send_sealed(alice, nobody, ["m"])) == "RECIPIENT_NOT_REACHABLE"
    assert (await world.stored())["mailbox"] == before


async def mailbox_of(transport: Transport) -> int:
    """How many messages wait for somebody who is not connected."""
    async with Wire(transport) as wire:
        return wire.preview.messages


@pytest.mark.requirement("MSG-04")
async def test_an_id_is_for_one_recipient(world: World) -> None:
    """The second recipient gets nothing, and the sender is told, instead of an ack for what went nowhere (MSG-04)."""
    alice, carol = await world.whatsapp(options=QUIET), await world.whatsapp(options=QUIET)
    bob = await world.third_party("bob", QUIET)
    await bob.send_encrypted(sealed_message(alice.jid, "once").message)
    with pytest.raises(ServerRefusal) as refusal:
        await bob.send_encrypted(sealed_message(carol.jid, "once").message)
    assert (refusal.value.reason, refusal.value.recovery) == ("MESSAGE_ID_REUSED", Recovery.NEVER)
    await bob.send_encrypted(sealed_message(carol.jid, "twice").message)
