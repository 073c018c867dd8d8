"""T16: receipts tell when somebody's device is on; somebody who has no business with them tries to get some."""

import pytest

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import LoginOptions, third_party_login, whatsapp_login
from interop_client.connection.transport import DirectTransport
from interop_client.messaging.contents import reaction_content
from interop_client.messaging.events import ReceiptReceived, TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T16"), pytest.mark.requirement("SIM-06")]

DELIVERED, READ = stanza_pb2.RECEIPT_TYPE_DELIVERED, stanza_pb2.RECEIPT_TYPE_READ


def receipt(kind: stanza_pb2.ReceiptType.ValueType, to: str, *ids: str) -> stanza_pb2.Stanza:
    """A receipt for messages of somebody."""
    return stanza_pb2.Stanza(receipt=stanza_pb2.Receipt(type=kind, to_jid=to, message_ids=ids))


async def receipts_after(wire: Wire, sentinel: InteropClient, jid: str) -> list[stanza_pb2.Stanza]:
    """What has come on a wire before a message of a sentinel, which is sent last."""
    await sentinel.send_encrypted(sealed_message(jid, "sentinel").message)
    return [stanza for stanza in await wire.take_until("message") if stanza.HasField("receipt")]


@pytest.mark.requirement("ABU-02")
async def test_the_blocked_get_no_receipt(world: World, attack: Attack) -> None:
    """What Mallory sends is acknowledged by the server, and then nothing more is heard of it."""
    alice, mallory = await world.whatsapp(), await world.third_party("mallory")
    await mallory.send_text(alice.jid, "before")
    received = await alice.wait_for(TextReceived)
    await mallory.wait_for(ReceiptReceived)
    await alice.block(mallory.jid)
    await mallory.close()
    attack.tries(
        "Writing to somebody who has blocked the sender, and waiting for receipts of it and of earlier messages"
    )
    carol = await world.whatsapp()
    async with Wire(mallory.transport) as wire:
        await wire.ask(200)
        await wire.send(sealed_message(alice.jid, "unheard"))
        assert (await wire.take_until("send_acks"))[-1].send_acks.acks[0].timestamp_ms > 0
        await alice.mark_read(received)
        await alice.ping()
        assert not await receipts_after(wire, carol, mallory.jid)
    attack.holds("None comes: neither delivered, nor read, also not for what was sent before the block")


@pytest.mark.requirement("RCP-05")
async def test_a_stranger_gets_no_receipt(world: World, second_world: World, attack: Attack) -> None:
    """Alice has not chosen Mallory's messenger: nothing of Mallory's reaches her device, so nothing comes back."""
    alice, mallory = await world.whatsapp(), await second_world.third_party("mallory", QUIET)
    attack.tries(
        "Sending messages, reactions to messages that do not exist, and receipts to somebody who has not opted in"
    )
    reaction = sealed_message(alice.jid, "reaction")
    reaction.message.type = stanza_pb2.MESSAGE_TYPE_REACTION
    for stanza in (sealed_message(alice.jid, "text"), reaction):
        assert await refused(mallory.send_encrypted(stanza.message)) == "RECIPIENT_NOT_REACHABLE"
    await mallory.close()
    await alice.close()
    async with Wire(mallory.transport) as wire:
        await wire.send(*(receipt(kind, alice.jid, "m1", "m2") for kind in (DELIVERED, READ)))
        assert {stanza.WhichOneof("kind") for stanza in await wire.ping()} <= {"offline_end"}
    async with Wire(alice.transport) as wire:
        assert (wire.preview.messages, wire.preview.receipts) == (0, 0)
    attack.holds("Messages are refused, receipts go nowhere and are not answered: no device is ever woken")


def with_read_receipts(world: World, client: InteropClient, is_on: bool) -> DirectTransport:
    """The account's channel, with read receipts on or off."""
    options = LoginOptions(read_receipts=is_on)

    async def log_in() -> chat_pb2.LoginPayload:
        if client.jid.endswith("@interop"):
            return third_party_login(client.jid, world.partner.issue_token("bob"), options)
        return whatsapp_login(client.jid, options)

    return DirectTransport(world.endpoint, client.state.auth_private_key, log_in)


@pytest.mark.requirement("RCP-01")
async def test_read_receipts_need_both(world: World, attack: Attack) -> None:
    """Alice sends one although she, or Bob, has them off: a client cannot be made to tell more, nor be told more."""
    attack.tries("Sending and receiving read receipts although one of the two has turned them off")
    for alice_on, bob_on in ((True, False), (False, True), (False, False)):
        alice, bob = await world.whatsapp(), await world.third_party("bob")
        sent = await bob.send_text(alice.jid, "Hello")
        await alice.wait_for(TextReceived)
        await bob.wait_for(ReceiptReceived)
        await alice.close()
        await bob.close()
        bob_wire = Wire(with_read_receipts(world, bob, bob_on))
        async with bob_wire, Wire(with_read_receipts(world, alice, alice_on)) as alice_wire:
            await bob_wire.ask(200)
            await alice_wire.send(receipt(READ, bob.jid, sent.id))
            await alice_wire.ping()
            assert not await receipts_after(bob_wire, await world.whatsapp(), bob.jid), (alice_on, bob_on)
    attack.holds("The server drops a read receipt unless both have them on")


async def test_silent_messages_tell_nothing_more(world: World, attack: Attack) -> None:
    """A contact may learn that a message arrived, once. Reactions to nothing, repetitions and pings tell no more."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    attack.tries("Probing a contact's device with reactions to messages that do not exist, repeated, and with typing")
    sent = await bob.send_message(alice.jid, reaction_content(alice.jid, "no-such-message", "👍", is_own_message=False))
    first = await bob.wait_for(ReceiptReceived)
    assert first.message_ids == (sent.id,)
    await bob.close()
    carol = await world.whatsapp()
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        typing = stanza_pb2.Typing(to_jid=alice.jid, state=stanza_pb2.TYPING_STATE_COMPOSING)
        for _ in range(20):
            await wire.send(sealed_message(alice.jid, sent.id), stanza_pb2.Stanza(typing=typing))
        await alice.ping()
        assert not await receipts_after(wire, carol, bob.jid)
    attack.holds("A repeated message is not delivered again, and typing has no receipt: nothing comes back")


@pytest.mark.requirement("RCP-05")
async def test_receipts_for_what_was_never_sent_go_nowhere(world: World, attack: Attack) -> None:
    """Mallory, a contact, makes up receipts to see what Alice's device does with them, and asks for messages again."""
    alice, mallory = await world.whatsapp(), await world.third_party("mallory")
    sent = await alice.send_text(mallory.jid, "Hello")
    await mallory.wait_for(TextReceived)
    await alice.wait_for(ReceiptReceived)
    await mallory.close()
    await alice.close()
    attack.tries("Sending receipts and retry receipts for messages that were never sent, or were sent to somebody else")
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    before = (await world.admin.get_statistics()).counted
    made_up = [stanza_pb2.RetryReceipt(to_jid=alice.jid, message_id=name, retry_count=1) for name in ("m1", "m2")]
    async with Wire(mallory.transport) as wire:
        await wire.send(*(receipt(kind, alice.jid, "m1", "m2") for kind in (DELIVERED, READ)))
        await wire.send(*(stanza_pb2.Stanza(retry_receipt=asked) for asked in made_up))
        assert {stanza.WhichOneof("kind") for stanza in await wire.ping()} <= {"offline_end"}
    async with Wire(bob.transport) as wire:
        await wire.send(*(receipt(kind, alice.jid, sent.id) for kind in (DELIVERED, READ)))
        await wire.ping()
    async with Wire(alice.transport) as wire:
        preview = wire.preview
        assert (preview.messages, preview.receipts, preview.retry_receipts) == (0, 0, 0)
    after = (await world.admin.get_statistics()).counted
    assert after["receipt_dropped"] >= before["receipt_dropped"] + 4
    assert after["retry_dropped"] >= before["retry_dropped"] + 2
    attack.holds("Dropped, counted and not answered: only who was sent a message can say what became of it")
