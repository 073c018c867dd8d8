"""What the encryption promises: keys stolen later or earlier open nothing, and a transcript proves nothing."""

from copy import deepcopy

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.contents import text_content
from interop_client.messaging.events import TextReceived
from interop_client.signal.chain import MessageKeys
from interop_client.signal.content import decode_message, encode_message
from interop_client.signal.errors import SignalError
from interop_client.signal.messages import Authentication, Header, SignalMessage
from interop_client.signal.session import _encrypt
from interop_client.signal.store import CiphertextType, SignalState
from tests.e2e.conftest import World

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
