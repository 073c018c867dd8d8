"""What people do in a chat beside writing: reactions, changes, deletions, typing; and what does not cross over."""

import pytest

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.memory import EDIT_WINDOW_MS
from interop_client.messaging.events import (
    ChangeRefused,
    DeletionReceived,
    EditReceived,
    ReactionReceived,
    ReceiptReceived,
    TextReceived,
    Typing,
    Unsupported,
)
from interop_client.signal.content import EPHEMERAL_FIELD, STICKER_FIELD, pad
from interop_client.signal.errors import UnsupportedContent
from interop_client.state import ClientState
from interop_server.core.limits import Limits
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world

pytestmark = pytest.mark.requirement("MSG-12")


async def both_ways(world: World) -> list[tuple[InteropClient, InteropClient]]:
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    return [(alice, bob), (bob, alice)]


async def test_a_reaction_is_put_on_and_taken_off(world: World) -> None:
    """To the other's message and to one's own, both ways."""
    for sender, recipient in await both_ways(world):
        sent = await sender.send_text(recipient.jid, "Hello")
        await recipient.wait_for(TextReceived)
        for emoji in ("👍", ""):
            await recipient.send_reaction(sender.jid, sent.id, emoji)
            reaction = await sender.wait_for(ReactionReceived)
            assert (reaction.sender, reaction.target_id, reaction.emoji) == (recipient.jid, sent.id, emoji)
        await sender.send_reaction(recipient.jid, sent.id, "🙂", is_own_message=True)
        assert (await recipient.wait_for(ReactionReceived)).emoji == "🙂"


async def test_a_text_is_changed_and_deleted(world: World) -> None:
    """To the server a change is a text like any other; each is delivered with a receipt of its own (MSG-02)."""
    for sender, recipient in await both_ways(world):
        sent = await sender.send_text(recipient.jid, "Helo")
        assert (await recipient.wait_for(TextReceived)).text == "Helo"
        edit = await sender.send_edit(recipient.jid, sent.id, "Hello")
        edited = await recipient.wait_for(EditReceived)
        assert (edited.sender, edited.id, edited.target_id, edited.text) == (sender.jid, edit.id, sent.id, "Hello")
        deletion = await sender.send_deletion(recipient.jid, sent.id)
        deleted = await recipient.wait_for(DeletionReceived)
        assert (deleted.sender, deleted.id, deleted.target_id) == (sender.jid, deletion.id, sent.id)
        delivered = {(await sender.wait_for(ReceiptReceived)).message_ids for _ in range(3)}
        assert delivered == {(sent.id,), (edit.id,), (deletion.id,)}


async def test_a_text_can_be_changed_for_twenty_minutes(tmp_path: object, signing_keys: SigningKeys) -> None:
    """By the server's time, to the millisecond, also over a restart of Bob's client; a deletion has no such limit."""
    clock = AdjustableClock(1_700_000_000_000)
    async with own_world(tmp_path, signing_keys, Limits(silent_seconds=10**9), clock) as (world, _):  # type: ignore[arg-type]
        alice, bob = await world.whatsapp(), await world.third_party("bob")
        sent = await alice.send_text(bob.jid, "Helo")
        await bob.wait_for(TextReceived)
        await world.admin.advance_clock(EDIT_WINDOW_MS)
        await alice.send_edit(bob.jid, sent.id, "Hello")
        assert (await bob.wait_for(EditReceived)).text == "Hello"
        await bob.close()
        bob = type(bob)(bob.transport, ClientState.from_bytes(bob.state.to_bytes()))
        world.close_later(bob)
        await bob.connect()
        await alice.send_edit(bob.jid, sent.id, "Hello!")
        assert (await bob.wait_for(EditReceived)).text == "Hello!"
        await world.admin.advance_clock(1)
        for target_id in (sent.id, "never"):
            late = await alice.send_edit(bob.jid, target_id, "I never said hello")
            refused = await bob.wait_for(ChangeRefused)
            assert (refused.id, refused.target_id, refused.reason) == (late.id, target_id, "TOO_LATE")
        await alice.send_deletion(bob.jid, sent.id)
        assert (await bob.wait_for(DeletionReceived)).target_id == sent.id


@pytest.mark.parametrize("change", ["PROTOCOL_MESSAGE_TYPE_REVOKE", "PROTOCOL_MESSAGE_TYPE_MESSAGE_EDIT"])
async def test_nobody_changes_what_somebody_else_wrote(world: World, change: str) -> None:
    """Whatever a foreign client makes of it: Alice's message stays as it is."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    sent = await alice.send_text(bob.jid, "Hello")
    await bob.wait_for(TextReceived)
    key = content_pb2.MessageKey(remote_jid=alice.jid, from_me=False, id=sent.id)
    protocol_message = content_pb2.ProtocolMessage(
        key=key,
        type=content_pb2.ProtocolMessageType.Value(change),
        edited_message=content_pb2.Message(conversation="Goodbye"),
    )
    await bob.send_message(alice.jid, content_pb2.Message(protocol_message=protocol_message))
    refused = await alice.wait_for(ChangeRefused)
    assert (refused.sender, refused.target_id, refused.reason) == (bob.jid, sent.id, "NOT_OWN")


def of_field(number: int) -> bytes:
    """A serialised `Message` whose only content is a field that content.proto does not have."""
    tag = number << 3 | 2
    return bytes((tag & 0x7F | 0x80, tag >> 7)) + b"\x02\x08\x01"


EPHEMERAL_SETTING = content_pb2.Message(
    protocol_message=content_pb2.ProtocolMessage(type=content_pb2.PROTOCOL_MESSAGE_TYPE_EPHEMERAL_SETTING)
)
UNSUPPORTED = {
    "STICKER": of_field(STICKER_FIELD),
    "DISAPPEARING_MESSAGES": of_field(EPHEMERAL_FIELD),
    "FIELD_49": of_field(49),
    "DISAPPEARING_MESSAGES ": EPHEMERAL_SETTING.SerializeToString(),
    "PROTOCOL_MESSAGE_99": content_pb2.Message.FromString(b"\x62\x02\x10\x63").SerializeToString(),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
async def test_what_third_party_chats_do_not_have_is_not_sent_and_is_marked(world: World, kind: str) -> None:
    """The client refuses to send it; from a client that does, it arrives as something that cannot be shown (MSG-12)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.send_text(alice.jid, "Hello")
    await alice.wait_for(TextReceived)
    plaintext = UNSUPPORTED[kind]
    before = bob.state.to_bytes()
    with pytest.raises(UnsupportedContent):
        await bob.send_message(alice.jid, content_pb2.Message.FromString(plaintext), message_id="refused")
    assert bob.state.to_bytes() == before
    ciphertext = bob.state.signal.encrypt(alice.jid, pad(plaintext, 5))
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE, ciphertext=ciphertext.body)
    message = stanza_pb2.Message(id="foreign", to_jid=alice.jid, type=stanza_pb2.MESSAGE_TYPE_TEXT, enc=(enc,))
    await bob.send_encrypted(message)
    shown = await alice.wait_for(Unsupported)
    assert (shown.sender, shown.id, shown.kind) == (bob.jid, "foreign", kind.strip())
    received = await bob.wait_for(lambda event: isinstance(event, ReceiptReceived) and "foreign" in event.message_ids)
    assert isinstance(received, ReceiptReceived) and not received.is_read


@pytest.mark.requirement("MSG-13")
async def test_typing_is_shown(world: World) -> None:
    """While both are there; who has blocked sees nothing, and is not seen (MSG-13)."""
    for sender, recipient in await both_ways(world):
        await sender.send_text(recipient.jid, "Hello")
        await recipient.wait_for(TextReceived)
        for state, name in (
            (stanza_pb2.TYPING_STATE_COMPOSING, "COMPOSING"),
            (stanza_pb2.TYPING_STATE_RECORDING, "RECORDING"),
            (stanza_pb2.TYPING_STATE_PAUSED, "PAUSED"),
        ):
            await sender.send_typing(recipient.jid, state)
            typing = await recipient.wait_for(Typing)
            assert (typing.sender, typing.state, typing.expires_after_seconds > 0) == (sender.jid, name, True)
        await recipient.block(sender.jid)
        await sender.send_typing(recipient.jid)
        await recipient.send_typing(sender.jid)
        for client in (sender, recipient):
            await client.ping()
            await client.ping()
            with pytest.raises(TimeoutError):
                await client.wait_for(Typing, 0)
        await recipient.unblock(sender.jid)
