"""Receipts and retry receipts on the wire: forwarded to whom they concern, dropped and counted otherwise."""

from collections.abc import Sequence

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.signal.store import SignalState
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, message_ids, sealed_message

Stanza = stanza_pb2.Stanza


async def away(*clients: InteropClient) -> None:
    for client in clients:
        await client.close()


def retry(to: str, message_id: str, count: int, signal: SignalState, **changes: object) -> Stanza:
    """A retry receipt as a client sends it, with a fresh bundle from the second time on."""
    receipt = stanza_pb2.RetryReceipt(
        to_jid=to, message_id=message_id, retry_count=count, reason=stanza_pb2.RETRY_REASON_BAD_MAC, registration_id=7
    )
    receipt.MergeFrom(stanza_pb2.RetryReceipt(**changes))  # type: ignore[arg-type]
    if count > 1:
        keys = signal.publishable
        [one_time] = signal.generate_one_time_prekeys(1)
        receipt.keys.identity_key = keys.identity_key
        receipt.keys.signed_prekey_id = keys.signed_prekey.key_id
        receipt.keys.signed_prekey = keys.signed_prekey.public_key
        receipt.keys.signed_prekey_signature = keys.signed_prekey.signature
        receipt.keys.one_time_prekey_id = one_time.key_id
        receipt.keys.one_time_prekey = one_time.public_key
    return Stanza(retry_receipt=receipt)


async def counted(world: World, *names: str) -> list[int]:
    statistics = (await world.admin.get_statistics()).counted
    return [statistics[name] for name in names]


async def send(wire: Wire, *messages: Stanza) -> Sequence[stanza_pb2.SendAck]:
    await wire.send(*messages)
    return (await wire.take_until("send_acks"))[-1].send_acks.acks


@pytest.mark.requirement("RCP-03", "RCP-04")
async def test_a_message_is_asked_for_and_sent_again_under_its_id(world: World) -> None:
    """Through both mailboxes, with keys as they were given; the resend is no duplicate, a second one is (RCP-04).

    1. Bob gets a message, and asks for it again, twice.
    2. Alice is away: both wait for her, announced apart from other receipts.
    3. She sends it again with the counts that were asked for, and with one that was not.
    """
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await away(alice, bob)
    async with Wire(bob.transport) as wire_of_bob:
        async with Wire(alice.transport) as wire:
            [first] = await send(wire, sealed_message(bob.jid, "m1"))
        [*_, delivery] = await wire_of_bob.take_until("message")
        asked = [retry(alice.jid, "m1", count, bob.state.signal) for count in (1, 2)]
        await wire_of_bob.ack([delivery])
        await wire_of_bob.send(*asked)
        await wire_of_bob.ping()

        async with Wire(alice.transport) as wire:
            preview = wire.preview
            assert (preview.messages, preview.receipts, preview.retry_receipts) == (0, 0, 2)
            await wire.ask(10)
            waiting = await wire.take(2)
            for stanza, sent in zip(waiting, asked, strict=True):
                arrived = stanza.retry_receipt
                assert arrived.timestamp_ms and stanza.delivery_id and stanza.offline
                assert (arrived.to_jid, arrived.from_jid) == ("", bob.jid)
                sent.retry_receipt.ClearField("to_jid")
                arrived.ClearField("timestamp_ms")
                arrived.ClearField("from_jid")
                assert arrived == sent.retry_receipt
            await wire.ack(waiting)
            acks = []
            for count in (2, 1, 2, 3):
                again = sealed_message(bob.jid, "m1", b"again %d" % count)
                again.message.retry_count = count
                acks += await send(wire, again)
            assert [ack.HasField("error") for ack in acks] == [False] * 4
            assert acks[0].timestamp_ms >= first.timestamp_ms
            assert [ack.timestamp_ms for ack in acks[1:]] == [first.timestamp_ms] * 3
        [resent] = [stanza.message for stanza in await wire_of_bob.ping()]
        assert (resent.id, resent.retry_count, resent.enc[0].ciphertext) == ("m1", 2, b"again 2")


@pytest.mark.requirement("RCP-04", "RCP-05", "RCP-03")
@pytest.mark.one_node("each node has counters of its own")
async def test_retries_that_nobody_asked_for_are_dropped_and_counted(world: World) -> None:
    """The sixth of a message, one that counts six, one of a message that was never sent: no answer (RCP-04, RCP-05)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await away(alice, bob)
    [before] = await counted(world, "retry_dropped")
    async with Wire(alice.transport) as wire, Wire(bob.transport) as wire_of_bob:
        await wire.take_until("offline_end")
        await send(wire, sealed_message(bob.jid, "m1"))
        signal = bob.state.signal
        await wire_of_bob.send(
            retry(alice.jid, "never", 1, signal),
            *(retry(alice.jid, "m1", count, signal) for count in (1, 6, 5, 4, 3, 2, 1)),
        )
        await wire_of_bob.ping()
        arrived = [stanza.retry_receipt for stanza in await wire.ping()]
        assert [receipt.retry_count for receipt in arrived] == [1, 5, 4, 3, 2]
    assert await counted(world, "retry_dropped") == [before + 3]


@pytest.mark.requirement("RCP-05")
@pytest.mark.one_node("a ping shows what its own node has done")
async def test_receipts_for_what_was_never_sent_are_dropped_id_by_id(world: World) -> None:
    """The rest of the receipt goes through; a message to somebody else was not sent to Bob (RCP-05)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    eve = await world.third_party("eve", QUIET)
    await away(alice, bob, eve)
    [before] = await counted(world, "receipt_dropped")
    async with Wire(alice.transport) as wire, Wire(bob.transport) as wire_of_bob:
        await wire.take_until("offline_end")
        await send(wire, sealed_message(bob.jid, "m1"), sealed_message(eve.jid, "m2"), sealed_message(bob.jid, "m3"))
        delivered = stanza_pb2.RECEIPT_TYPE_DELIVERED
        for ids in (["m1", "m2", "made-up", "m3"], ["m2"]):
            receipt = stanza_pb2.Receipt(type=delivered, to_jid=alice.jid, message_ids=ids)
            await wire_of_bob.send(Stanza(receipt=receipt))
        await wire_of_bob.ping()
        [stanza] = await wire.ping()
        assert list(stanza.receipt.message_ids) == ["m1", "m3"]
    assert await counted(world, "receipt_dropped") == [before + 3]


@pytest.mark.requirement("RCP-05", "ABU-02")
@pytest.mark.one_node("each node has counters of its own")
async def test_the_blocked_get_no_retry_receipts_and_send_none(world: World) -> None:
    """Bob cannot tell his own block from a client that never asks (RCP-05, ABU-02)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.block(bob.jid)
    await away(alice, bob)
    [before] = await counted(world, "retry_dropped")
    async with Wire(alice.transport) as wire, Wire(bob.transport) as wire_of_bob:
        [ack] = await send(wire_of_bob, sealed_message(alice.jid, "m1"))
        assert not ack.HasField("error")
        await wire.send(retry(bob.jid, "m1", 1, alice.state.signal))
        await wire_of_bob.send(retry(alice.jid, "m1", 1, bob.state.signal))
        assert message_ids(await wire.ping()) == []
        assert not any(stanza.HasField("retry_receipt") for stanza in await wire_of_bob.ping())
    assert await counted(world, "retry_dropped") == [before + 2]
