"""A server is newer than the client: nothing stays in flight for ever, and what can be shown is shown."""

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import ReceiptReceived, TextReceived, Typing, Undecryptable
from interop_client.state import ClientState
from tests.unit.client.conftest import ScriptedTransport, Stanza
from tests.unit.client.messaging.conftest import ALICE, Alice

NEWER_KIND = b"\xea\x01\x00"
"""An empty stanza of kind 29, which nobody knows."""
NEWER_VALUE = 99
UNKNOWN_STANZA, UNKNOWN_TYPE = 488, 490
DELIVERY = 1_000

pytestmark = pytest.mark.requirement("MSG-10")


def newer(delivery_id: int) -> Stanza:
    return Stanza.FromString(Stanza(delivery_id=delivery_id).SerializeToString() + NEWER_KIND)


def nacks(transport: ScriptedTransport) -> list[tuple[int, int]]:
    return [(nack.delivery_id, nack.nack_code) for nack in transport.of_kind("nack")]


@pytest.mark.parametrize(
    "stanza",
    [
        newer(DELIVERY),
        Stanza(delivery_id=DELIVERY, notification=stanza_pb2.Notification(timestamp_ms=1)),
    ],
    ids=["a kind", "an event"],
)
async def test_a_delivery_of_a_newer_kind_is_nacked(
    bob: InteropClient, transport: ScriptedTransport, alice: Alice, stanza: Stanza
) -> None:
    """With 488, so that it ends; what comes after it is opened."""
    transport.deliver(stanza, alice.delivery("Hi"))
    assert (await bob.wait_for(TextReceived)).text == "Hi"
    await transport.until(lambda: nacks(transport) == [(DELIVERY, UNKNOWN_STANZA)])
    await transport.until(lambda: transport.acked == [1])


async def test_a_stanza_of_a_newer_kind_that_is_no_delivery_is_passed_over(
    bob: InteropClient, transport: ScriptedTransport, alice: Alice
) -> None:
    """There is nothing to answer."""
    transport.deliver(newer(0), Stanza(notification=stanza_pb2.Notification()), alice.delivery("Hi"))
    assert (await bob.wait_for(TextReceived)).text == "Hi"
    await transport.until(lambda: transport.acked == [1])
    assert nacks(transport) == []


async def test_newer_deliveries_of_a_backlog_count_as_come(bob: InteropClient, transport: ScriptedTransport) -> None:
    """The next part is asked for, although nothing of the first one was understood."""
    transport.login.limits.max_offline_batch = 2
    await bob.connect()
    first = [newer(DELIVERY + number) for number in range(2)]
    for stanza in first:
        stanza.offline = True
    transport.deliver(Stanza(offline_preview=stanza_pb2.OfflinePreview(messages=3)))
    await transport.until(lambda: len(transport.of_kind("offline_batch")) == 1)
    transport.deliver(*first)
    await transport.until(lambda: len(transport.of_kind("offline_batch")) == 2)
    assert {batch.count for batch in transport.of_kind("offline_batch")} == {2}


async def test_a_message_of_a_newer_type_is_nacked_and_told(
    bob: InteropClient, transport: ScriptedTransport, alice: Alice
) -> None:
    """With 490: neither opened nor asked for again, and the user learns that there was one."""
    typed, sealed, good = (alice.delivery(text) for text in ("newer", "sealed in a newer way", "Hi"))
    typed.message.type = NEWER_VALUE  # type: ignore[assignment]
    sealed.message.enc[0].type = NEWER_VALUE  # type: ignore[assignment]
    transport.deliver(typed, sealed, good)
    told = [await bob.wait_for(Undecryptable) for _ in range(2)]
    assert told == [Undecryptable(ALICE, id, "UNKNOWN_TYPE") for id in ("m1", "m2")]
    assert (await bob.wait_for(TextReceived)).text == "Hi"
    await transport.until(lambda: nacks(transport) == [(1, UNKNOWN_TYPE), (2, UNKNOWN_TYPE)])
    assert transport.of_kind("retry_receipt") == []


async def test_a_receipt_of_a_newer_type_is_nacked(bob: InteropClient, transport: ScriptedTransport) -> None:
    """With 490: it is no proof that a message was delivered."""
    receipt = stanza_pb2.Receipt(from_jid=ALICE, message_ids=["m1"])
    receipt.type = NEWER_VALUE  # type: ignore[assignment]
    transport.deliver(Stanza(receipt=receipt, delivery_id=DELIVERY))
    await transport.until(lambda: nacks(transport) == [(DELIVERY, UNKNOWN_TYPE)])
    with pytest.raises(TimeoutError):
        await bob.wait_for(ReceiptReceived, 0)


async def test_other_newer_values_count_as_not_said(
    bob: InteropClient, transport: ScriptedTransport, alice: Alice
) -> None:
    """A message is not lost because of how it is to be shown; a sign of typing that says nothing is not shown."""
    delivery = alice.delivery("Hi")
    delivery.message.inbox_mode = NEWER_VALUE  # type: ignore[assignment]
    delivery.message.request_state = NEWER_VALUE  # type: ignore[assignment]
    typing = stanza_pb2.Typing(from_jid=ALICE)
    typing.state = NEWER_VALUE  # type: ignore[assignment]
    transport.deliver(Stanza(typing=typing), delivery)
    event = await bob.wait_for(TextReceived)
    assert (event.text, event.inbox_mode, event.request_state) == ("Hi", "", "")
    with pytest.raises(TimeoutError):
        await bob.wait_for(Typing, 0)


async def test_nothing_is_sent_that_the_server_does_not_know(state: ClientState, transport: ScriptedTransport) -> None:
    """A server without typing is not told of it, and everything else goes on."""
    del transport.login.capabilities[:]
    async with InteropClient(transport, state) as bob:
        await bob.send_typing(ALICE)
        transport.deliver(Stanza(offline_end=stanza_pb2.OfflineEnd()))
        await bob.mark_read()
    assert transport.of_kind("typing") == []
