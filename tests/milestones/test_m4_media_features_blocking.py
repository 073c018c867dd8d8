"""Milestone 4: files, what people do with messages, and keeping others away."""

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import IdentityChanged, MediaReceived, ReactionReceived, TextReceived, Typing
from tests.e2e.conftest import World

pytestmark = pytest.mark.requirement("SIM-05")


async def receive_file(recipient: InteropClient, target: Path) -> bytes:
    """Waits for a file, downloads it, and returns what it holds."""
    received = await recipient.wait_for(MediaReceived)
    await recipient.download(received.media, target)
    return await asyncio.to_thread(target.read_bytes)


@pytest.mark.feature("send media", "receive media")
async def test_files_go_both_ways(world: World, tmp_path: Path) -> None:
    """Hosted by the messenger in one direction, by WhatsApp in the other; both are what was sent."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    picture, letter = tmp_path / "picture.png", tmp_path / "letter.pdf"
    picture.write_bytes(os.urandom(100_000))
    letter.write_bytes(os.urandom(50_000))

    async def host(blob: Path) -> str:
        reference = os.urandom(16).hex()
        url, data = f"{world.partner.media_url}/{reference}", await asyncio.to_thread(blob.read_bytes)
        async with aiohttp.ClientSession() as http, http.put(url, data=data) as response:
            assert response.ok
        return reference

    await bob.send_image(alice.jid, picture, host, mimetype="image/png")
    assert await receive_file(alice, tmp_path / "got-picture") == picture.read_bytes()
    await alice.send_document(bob.jid, letter, mimetype="application/pdf")
    assert await receive_file(bob, tmp_path / "got-letter") == letter.read_bytes()


@pytest.mark.feature("replies", "reactions")
async def test_replies_and_reactions_go_both_ways(world: World) -> None:
    """A reply names what it answers; a reaction is put on, changed, and taken off."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    for sender, recipient in ((bob, alice), (alice, bob)):
        sent = await sender.send_text(recipient.jid, "What do you think?")
        received = await recipient.wait_for(TextReceived)
        await recipient.send_text(sender.jid, "I like it", reply_to=received)
        assert (await sender.wait_for(TextReceived)).reply_to == sent.id
        for emoji in ("👍", "🎉", ""):
            await recipient.send_reaction(sender.jid, sent.id, emoji)
            reaction = await sender.wait_for(ReactionReceived)
            assert (reaction.target_id, reaction.emoji) == (sent.id, emoji)


@pytest.mark.feature("blocking")
async def test_whoever_is_blocked_does_not_get_through(world: World) -> None:
    """On either side: the sender is acked as ever, and nothing arrives until the block is lifted."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    for blocker, blocked in ((bob, alice), (alice, bob)):
        await blocker.block(blocked.jid)
        assert (await blocked.send_text(blocker.jid, "Can you hear me?")).timestamp_ms
        await blocker.unblock(blocked.jid)
        await blocked.send_text(blocker.jid, "And now?")
        assert (await blocker.wait_for(TextReceived)).text == "And now?"


@pytest.mark.feature("security notifications")
async def test_a_new_identity_key_is_told_to_both_sides_peers(world: World) -> None:
    """Whoever has talked with somebody learns of their new key before anything goes to it."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.send_text(alice.jid, "Hello")
    await alice.wait_for(TextReceived)
    new_phone = world.device("bob")
    assert await new_phone.enlist(world.partner.issue_token("bob")) == bob.jid
    assert await alice.wait_for(IdentityChanged) == IdentityChanged(bob.jid)
    await new_phone.connect()
    await new_phone.publish_prekeys(5)
    await alice.send_text(bob.jid, "Is that you?")
    async with asyncio.timeout(10):
        assert (await new_phone.wait_for(TextReceived)).text == "Is that you?"


@pytest.mark.feature("typing")
async def test_typing_is_shown_both_ways(world: World) -> None:
    """And that it ended; the client forgets it after so many seconds."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    for sender, recipient in ((bob, alice), (alice, bob)):
        for state in (stanza_pb2.TYPING_STATE_COMPOSING, stanza_pb2.TYPING_STATE_PAUSED):
            await sender.send_typing(recipient.jid, state)
            shown = await recipient.wait_for(Typing)
            assert (shown.sender, f"TYPING_STATE_{shown.state}") == (sender.jid, stanza_pb2.TypingState.Name(state))
            assert shown.expires_after_seconds
