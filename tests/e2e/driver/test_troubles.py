"""What a driven device shows its user when something is wrong with a message, a file or a key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from interop_client.errors import ServerRefusal
from interop_client.messaging.contents import media_content
from interop_client.messaging.events import MediaReceived, TextReceived
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.driver.kit import Kit, over_pipes
from tests.e2e.driver.test_driver import DEVICE, connected
from tests.e2e.raw import QUIET
from tests.e2e.wire import sealed_message

pytestmark = pytest.mark.timeout(240)  # on a busy machine a start alone takes seconds


@pytest_asyncio.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    (tmp_path / "driver").mkdir()
    async with over_pipes(tmp_path / "driver") as kit:
        yield kit


async def test_a_changed_identity_is_a_warning(kit: Kit, world: World) -> None:
    """Alice has a new phone; what she then writes is shown, and what is no message of hers is shown as that."""
    alice = await world.whatsapp()
    bob = await connected(kit, world)
    await kit.do(DEVICE, send_text={"to_jid": alice.jid, "text": "hello"})
    await alice.wait_for(TextReceived)
    await alice.close()
    new_phone = ClientState.generate(alice.jid)
    new_phone.auth_private_key = alice.state.auth_private_key
    async with WhatsAppClient.direct(world.endpoint, new_phone, options=QUIET) as alice_again:
        await alice_again.publish_prekeys(20)
        assert (await kit.event(DEVICE, "identity_change_shown")).jid == alice.jid
        await kit.do(DEVICE, accept_identity={"jid": alice.jid})
        await alice_again.send_text(bob, "my new phone")
        assert (await kit.event(DEVICE, "text_shown")).text == "my new phone"
        await alice_again.send_encrypted(sealed_message(bob, "no-message").message)
        shown = await kit.event(DEVICE, "undecryptable_shown")
        assert (shown.sender_jid, shown.message_id, shown.is_awaited) == (alice.jid, "no-message", True)


async def test_a_file_is_shown_only_when_it_is_right(kit: Kit, world: World, tmp_path: Path) -> None:
    """One that is not what its sender says is an error, and the next one is shown."""
    alice = await world.whatsapp()
    bob = await connected(kit, world)
    await kit.do(DEVICE, send_text={"to_jid": alice.jid, "text": "hello"})
    await alice.wait_for(TextReceived)
    picture = {"to_jid": alice.jid, "content": b"picture"}
    await kit.do(DEVICE, send_media=picture)
    media = (await alice.wait_for(MediaReceived)).media
    wrong = replace(media, encrypted=replace(media.encrypted, plaintext_sha256=bytes(32)))
    sent = await alice.send_message(bob, media_content(wrong))
    error = await kit.event(DEVICE, "error_shown")
    assert (error.message_id, error.reason) == (sent.id, "MediaTampered") and error.detail
    right = await alice.send_message(bob, media_content(media))
    assert (await kit.event(DEVICE, "media_shown")).message_id == right.id


async def test_a_file_that_is_gone_is_sent_again(kit: Kit, world: World, tmp_path: Path) -> None:
    """Under the same id, without a command; without a media server the device says that it cannot send files."""
    alice = await world.whatsapp()
    await connected(kit, world)
    sent = await kit.do(DEVICE, send_media={"to_jid": alice.jid, "content": b"picture"})
    first = await alice.wait_for(MediaReceived)
    for blob in await asyncio.to_thread(lambda: [*(tmp_path / "partner" / "media").rglob("*")]):
        if await asyncio.to_thread(blob.is_file):
            await asyncio.to_thread(blob.unlink)
    with pytest.raises(ServerRefusal) as gone:
        await alice.download(first.media, tmp_path / "seen")
    assert await alice.request_media_again(first, gone.value)
    second = await alice.wait_for(MediaReceived)
    assert second.id == sent.message_id
    await alice.download(second.media, tmp_path / "seen")
    assert (tmp_path / "seen").read_bytes() == b"picture"
