"""Milestone 3: texts both ways, receipts, push, and what the encryption promises."""

from copy import deepcopy

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import OfflinePreview, ReceiptReceived, RetryRequested, TextReceived
from interop_client.signal.chain import MessageKeys
from interop_client.signal.content import decode_message, encode_message
from interop_client.signal.errors import SignalError
from interop_client.signal.messages import Authentication, Header, SignalMessage
from interop_client.signal.session import _encrypt
from interop_client.signal.store import CiphertextType, SignalState
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World

pytestmark = pytest.mark.requirement("SIM-05")
_TYPES = {
    stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE: CiphertextType.PREKEY,
    stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET: CiphertextType.DOUBLE_RATCHET,
}


class Tap:
    """What a client sends on the wire, for whoever listens there."""

    def __init__(self, client: InteropClient) -> None:
        self.messages: list[stanza_pb2.Message] = []
        send = client.transport.send

        async def listen(*stanzas: stanza_pb2.Stanza) -> None:
            self.messages += [deepcopy(stanza.message) for stanza in stanzas if stanza.HasField("message")]
            await send(*stanzas)

        client.transport.send = listen  # type: ignore[method-assign]


def try_to_open(stolen: bytes, sender: str, message: stanza_pb2.Message) -> bytes:
    """What somebody gets out of a recorded message with a stolen state."""
    [enc] = message.enc
    return SignalState.from_bytes(stolen).decrypt(sender, _TYPES[enc.type], enc.ciphertext)


async def say(sender: InteropClient, recipient: InteropClient, text: str) -> TextReceived:
    """Sends a text and waits for it."""
    await sender.send_text(recipient.jid, text)
    received = await recipient.wait_for(TextReceived)
    assert received.text == text
    return received


@pytest.mark.feature("send text", "receive text", "delivery receipts", "read receipts")
async def test_texts_go_both_ways_with_their_receipts(world: World) -> None:
    """Each side writes, learns that it arrived, and that it was read."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    for sender, recipient in ((bob, alice), (alice, bob)):
        received = await say(sender, recipient, f"Hello from {sender.jid}")
        delivered = await sender.wait_for(ReceiptReceived)
        assert (delivered.is_read, delivered.message_ids) == (False, (received.id,))
        await recipient.mark_read(received)
        read = await sender.wait_for(ReceiptReceived)
        assert (read.is_read, read.message_ids) == (True, (received.id,))


@pytest.mark.feature("push")
async def test_a_push_brings_back_who_is_away(world: World) -> None:
    """It says no more than whom it is for; what waited comes after the login."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await say(bob, alice, "I am off")
    await bob.close()
    await alice.send_text(bob.jid, "Come back")
    push = await world.partner.wait_for_push("bob", 10)
    assert push.body == '{"to": "bob"}'
    await bob.connect()
    assert (await bob.wait_for(lambda event: isinstance(event, OfflinePreview) and event.messages > 0)) is not None
    assert (await bob.wait_for(TextReceived)).text == "Come back"


@pytest.mark.feature("forward secrecy")
async def test_keys_stolen_later_open_nothing_that_came_before(world: World) -> None:
    """Each message has a key of its own, which is gone once it was used."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    tap = Tap(alice)
    await say(alice, bob, "First")
    await say(bob, alice, "Second")
    await say(alice, bob, "Third")
    stolen = bob.state.signal.to_bytes()
    assert len(tap.messages) == 2
    for message in tap.messages:
        with pytest.raises(SignalError):
            try_to_open(stolen, alice.jid, message)


@pytest.mark.feature("post-compromise security")
async def test_keys_stolen_earlier_open_nothing_after_a_round_trip(world: World) -> None:
    """The next turn of the conversation mixes in a key that the thief does not have."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    tap = Tap(alice)
    await say(alice, bob, "Before")
    await say(bob, alice, "Answer")
    stolen = bob.state.signal.to_bytes()
    await say(alice, bob, "Still readable to the thief")
    assert try_to_open(stolen, alice.jid, tap.messages[-1])
    await say(bob, alice, "The ratchet turns")
    await say(alice, bob, "Not any more")
    with pytest.raises(SignalError):
        try_to_open(stolen, alice.jid, tap.messages[-1])


@pytest.mark.feature("deniability")
async def test_the_reader_of_a_message_could_have_written_it(world: World) -> None:
    """With the keys that she reads with, Alice makes a message that passes for Bob's, in every byte that is checked."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await say(bob, alice, "What Bob wrote")
    before = alice.state.signal.to_bytes()
    record = SignalState.from_bytes(before).records[bob.jid]
    session = record.current
    chain = session.ratchet.receiving_chains[-1]
    keys = MessageKeys.expand(chain.chain_key.message_secret())
    words = encode_message(text_content("What Bob never wrote"))
    forged = SignalMessage.seal(
        Header(chain.ratchet_key, chain.chain_key.counter, 0),
        _encrypt(keys, words),
        Authentication(keys.mac_key, session.remote_identity, session.local_identity),
    )
    opened = SignalState.from_bytes(before).decrypt(bob.jid, CiphertextType.DOUBLE_RATCHET, forged.encode())
    assert decode_message(opened).conversation == "What Bob never wrote"


async def talk(alice: InteropClient, bob: InteropClient, turns: int) -> None:
    """Has both write in turn: with each turn the keys move on."""
    for turn in range(turns):
        await say(bob, alice, f"Bob's turn {turn}")
        await say(alice, bob, f"Alice's turn {turn}")


@pytest.mark.feature("send retry")
async def test_what_cannot_be_decrypted_is_asked_for_again(world: World) -> None:
    """Bob's phone goes back to a backup that is two turns old; what Alice writes then arrives all the same, once."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(alice, bob, 1)
    backup = bob.state.to_bytes()
    await talk(alice, bob, 2)
    await bob.close()
    restored = world.device("bob", state=ClientState.from_bytes(backup))
    await restored.connect()
    sent = await alice.send_text(bob.jid, "Can you read this?")
    received = await restored.wait_for(TextReceived)
    assert (received.id, received.text) == (sent.id, "Can you read this?")
    assert (await alice.wait_for(RetryRequested)).message_id == sent.id


@pytest.mark.feature("receive retry")
async def test_what_a_recipient_could_not_decrypt_is_sent_again(world: World) -> None:
    """The same with Alice's phone: Bob's client sends what she asks for, under the same id."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await talk(alice, bob, 1)
    backup = alice.state.to_bytes()
    await talk(alice, bob, 2)
    await alice.close()
    async with WhatsAppClient.direct(world.endpoint, ClientState.from_bytes(backup)) as restored:
        sent = await bob.send_text(alice.jid, "Can you read this?")
        received = await restored.wait_for(TextReceived)
        assert (received.id, received.text) == (sent.id, "Can you read this?")
        assert (await bob.wait_for(RetryRequested)).message_id == sent.id
