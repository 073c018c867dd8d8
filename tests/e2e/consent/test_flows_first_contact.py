"""First contact through the running server: a message request, its answer, and what a decline does not show."""

import pytest

from interop_api.v1 import interop_pb2, stanza_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import OfflinePreview, ReceiptReceived, TextReceived, TrustedContact
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, check, no_trace, refused
from tests.e2e.wire import Wire, sealed_message

BUCKET_MS = 7 * 24 * 3_600_000
NOBODY = "49123456789@s.whatsapp.net"


async def talk(sender: InteropClient, recipient: InteropClient, text: str) -> TextReceived:
    """Sends a text and returns what arrives: nothing else may have come before it."""
    await sender.send_text(recipient.jid, text)
    received = await recipient.wait_for(TextReceived)
    assert received.text == text
    return received


async def states(client: WhatsAppClient) -> dict[str, int]:
    """Where each first contact stands, by identifier of the peer."""
    return {chat.external_id: chat.request_state async for chat in client.list_chats()}


@pytest.mark.requirement("OPT-14")
@pytest.mark.parametrize("by_writing", [False, True])
async def test_a_first_message_is_a_request_until_it_is_answered(world: World, by_writing: bool) -> None:
    """Alice accepts, or just writes back: from then on Bob's messages are ordinary, and he knows it (OPT-14)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    for text in ("Hello", "Are you there?"):
        assert (await talk(bob, alice, text)).request_state == "REQUESTED"
    assert await states(alice) == {"bob": stanza_pb2.MESSAGE_REQUEST_STATE_REQUESTED}

    if by_writing:
        assert (await talk(alice, bob, "Yes")).request_state == ""
    else:
        await alice.accept_message_request(bob.jid)
    mark = await bob.wait_for(TrustedContact)
    assert mark.jid == alice.jid
    assert mark.expires_at_ms % BUCKET_MS == 0
    assert (await talk(bob, alice, "Good")).request_state == "ACCEPTED"
    assert await states(alice) == {"bob": stanza_pb2.MESSAGE_REQUEST_STATE_ACCEPTED}

    await alice.accept_message_request(bob.jid)
    await talk(alice, bob, "Once is enough")
    await bob.close()
    assert [event async for event in bob.events() if isinstance(event, TrustedContact)] == []


@pytest.mark.requirement("OPT-14")
async def test_who_is_written_to_first_needs_no_request(world: World) -> None:
    """Alice began: Bob is trusted, also when he was away at the time (OPT-14)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.wait_for(OfflinePreview)
    await bob.close()
    await alice.send_text(bob.jid, "Hello")
    await bob.connect()
    assert await bob.wait_for(OfflinePreview) == OfflinePreview(messages=1, receipts=0, notifications=1)
    assert (await bob.wait_for(TrustedContact)).jid == alice.jid
    assert (await talk(bob, alice, "Hello yourself")).request_state == "ACCEPTED"


@pytest.mark.requirement("OPT-14")
async def test_after_a_decline_nothing_arrives_until_it_is_taken_back(world: World) -> None:
    """Texts are acked and never come, receipts neither; then Alice accepts after all (OPT-14)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    request = await talk(bob, alice, "Hello")
    sent = await alice.send_text(bob.jid, "Hello")  # accepts
    received = await bob.wait_for(TextReceived)
    await alice.wait_for(ReceiptReceived)
    await alice.decline_message_request(bob.jid)
    await alice.decline_message_request(bob.jid)
    assert await states(alice) == {"bob": stanza_pb2.MESSAGE_REQUEST_STATE_DECLINED}

    assert (await bob.send_text(alice.jid, "unheard")).timestamp_ms > request.timestamp_ms
    await bob.mark_read(received)
    await alice.delete_chat(bob.jid)
    assert (await bob.send_text(alice.jid, "unheard, too")).timestamp_ms > 0
    await bob.ping()
    assert await states(alice) == {}

    await alice.accept_message_request(bob.jid)
    assert (await talk(bob, alice, "after")).request_state == "ACCEPTED"
    await alice.close()
    receipts = [event async for event in alice.events() if isinstance(event, ReceiptReceived) and event.is_read]
    assert receipts == [], sent


@pytest.mark.requirement("OPT-14", "OPT-09")
async def test_a_decline_shows_in_no_answer(world: World) -> None:
    """What Bob, declined, and Carol, blocked, and Dave, who is heard, are told differs in no field (OPT-14, ABU-02)."""
    alice = await world.whatsapp()
    people = [await world.third_party(name) for name in ("bob", "carol", "dave")]
    of_alice = [await get_acquainted(alice, person) for person in people]
    await alice.decline_message_request(people[0].jid)
    await alice.block(people[1].jid)
    await alice.close()  # nobody gets a receipt now
    told = []
    for person, message_id in zip(people, of_alice, strict=True):
        await person.close()
        async with Wire(person.transport) as wire:
            await wire.take_until("offline_end")
            messages = [sealed_message(alice.jid, name) for name in ("m1", "m2", "m1")]
            receipt = stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_READ, to_jid=alice.jid, message_ids=[message_id])
            await wire.send(*messages, stanza_pb2.Stanza(receipt=receipt))
            answers = await wire.ping()
        acks = [ack for answer in answers for ack in answer.send_acks.acks]
        assert acks[2].timestamp_ms == acks[0].timestamp_ms  # the same id again has its first time
        for ack in acks:
            ack.timestamp_ms = min(ack.timestamp_ms, 1)
        told.append([answer.SerializeToString(deterministic=True) for answer in answers])
    assert told[0] == told[1] == told[2]
    async with Wire(alice.transport) as wire:
        assert (wire.preview.messages, wire.preview.receipts) == (2, 1)  # Dave's


async def get_acquainted(alice: WhatsAppClient, person: InteropClient) -> str:
    """Has both write to each other, and returns the id of Alice's message, which has arrived."""
    await talk(person, alice, "Hello")
    received = await talk(alice, person, "Hello yourself")
    await alice.wait_for(ReceiptReceived)
    return received.id


@pytest.mark.requirement("OPT-14")
async def test_an_answer_about_somebody_who_never_wrote_is_like_any_other(world: World) -> None:
    """Whether Bob exists, and has written, shows in no field; and he is told nothing (OPT-14)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    answers: set[bytes] = set()
    async with no_trace(world.admin):
        for jid in (bob.jid, f"{world.integrator}-1@interop", "999-1@interop", NOBODY, alice.jid):
            answers |= {await answer(alice, jid, choice) for choice in interop_pb2.MessageRequestAnswer.values()[1:]}
    await talk(bob, alice, "Hello")
    answers |= {await answer(alice, bob.jid, choice) for choice in interop_pb2.MessageRequestAnswer.values()[1:]}
    assert answers == {b""}


async def answer(client: InteropClient, jid: str, choice: int) -> bytes:
    request = interop_pb2.AnswerMessageRequestRequest(peer_jid=jid, answer=choice)  # type: ignore[arg-type]
    method = "/interop_api.v1.InteropService/AnswerMessageRequest"
    response = await client.transport.call(method, request, interop_pb2.AnswerMessageRequestResponse)
    return response.SerializeToString()


async def test_answers_and_addresses_that_are_none_are_refused(world: World) -> None:
    """Each with its reason (OPT-14, MSG-01)."""
    alice = await world.whatsapp(options=QUIET)
    async with no_trace(world.admin):
        for choice in (0, 3, -1):
            with refused("REQUEST_MALFORMED", choice):
                await answer(alice, NOBODY, choice)
        for jid, reason in (
            ("bob", "USER_VISIBLE_IDENTIFIER"),
            ("", "ADDRESS_MALFORMED"),
            ("120363000000000000@g.us", "GROUPS_NOT_SUPPORTED"),
            ("sms:+491511234567", "NUMBER_BASED_NOT_SUPPORTED"),
            ("x@call", "CALLS_NOT_SUPPORTED"),
            ("491511234567:3@s.whatsapp.net", "ADDRESS_NAMES_DEVICE"),
        ):
            with refused(reason, jid):
                await answer(alice, jid, interop_pb2.MESSAGE_REQUEST_ANSWER_ACCEPT)


@pytest.mark.requirement("ABU-05")
async def test_who_writes_to_too_many_strangers_has_to_wait_for_answers(world: World) -> None:
    """Fifty are written to; the next is refused with 475 and a time, until one of the fifty answers (ABU-05)."""
    bob = await world.third_party("bob", ClientOptions(refill_count=0))
    strangers = [await world.whatsapp(options=QUIET) for _ in range(51)]
    for number, stranger in enumerate(strangers[:50]):
        await bob.send_encrypted(sealed_message(stranger.jid, f"first-{number}").message)
    with pytest.raises(ServerRefusal) as raised:
        await bob.send_encrypted(sealed_message(strangers[50].jid, "one-too-many").message)
    check(raised.value, "NEW_CHATS_CAPPED")
    assert raised.value.retry_after_ms is not None and 0 < raised.value.retry_after_ms <= 24 * 3_600_000
    await bob.send_encrypted(sealed_message(strangers[0].jid, "an-open-chat").message)
    await strangers[7].accept_message_request(bob.jid)
    assert (await bob.send_encrypted(sealed_message(strangers[50].jid, "one-more").message)).timestamp_ms > 0
