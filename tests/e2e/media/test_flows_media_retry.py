"""A file that is gone is sent again: its recipient asks, its sender uploads it once more, the message is the same."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from interop_client.client import ClientOptions
from interop_client.errors import ServerRefusal
from interop_client.media.upload import media_host
from interop_client.messaging.events import MediaReceived, MediaRetryRequested
from interop_client.state import ClientState
from interop_server.core.limits import DAY_MS, Limits
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET

pytestmark = pytest.mark.requirement("MED-08", "RCP-04")


def some_file(path: Path) -> Path:
    path.write_bytes(os.urandom(300_001))
    return path


async def gone(coroutine: object) -> ServerRefusal:
    with pytest.raises(ServerRefusal) as refused:
        await coroutine  # type: ignore[misc]
    return refused.value


@pytest.mark.parametrize("way", ["gRPC", "HTTP"])
async def test_a_picture_that_the_partner_has_lost_is_stored_again(world: World, tmp_path: Path, way: str) -> None:
    """Alice meets a 404 at the media proxy; Bob's client stores the picture once more; caption and id are the same."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    http = world.endpoint.http if way == "HTTP" else ""
    picture, host = some_file(tmp_path / "cat.png"), media_host(world.partner.media_url)
    sent = await bob.send_image(alice.jid, picture, host, caption="A cat")
    first = await alice.wait_for(MediaReceived)
    media_folder = tmp_path / "partner" / "media"
    for blob in await asyncio.to_thread(lambda: [path for path in media_folder.rglob("*") if path.is_file()]):
        await asyncio.to_thread(blob.unlink)
    refusal = await gone(alice.download(first.media, tmp_path / "seen", http))
    assert refusal.reason == "BLOB_NOT_FOUND"

    assert await alice.request_media_again(first, refusal)
    request = await bob.wait_for(MediaRetryRequested)
    assert request == MediaRetryRequested(alice.jid, sent.id, 1, 404)
    again = await bob.resend_media(request, picture, host)
    assert again.id == sent.id
    second = await alice.wait_for(MediaReceived)
    assert (second.sender, second.id, second.retry_count) == (bob.jid, sent.id, 1)
    assert (second.media.name, second.media.mimetype) == ("A cat", "image/png")
    assert second.media.direct_path != first.media.direct_path
    assert second.evidence is not None
    await alice.download(second.media, tmp_path / "seen", http)
    assert (tmp_path / "seen").read_bytes() == picture.read_bytes()
    assert alice.state.deliveries.asked == {}


async def test_a_document_that_has_expired_is_uploaded_again(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Thirty days later WhatsApp has it no more, which Bob meets as 410; that it was sent is still known (MED-07)."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, Limits(silent_seconds=10**9), clock) as (world, _):
        alice, bob = await world.whatsapp(), await world.third_party("bob")
        document = some_file(tmp_path / "report.pdf")
        sent = await alice.send_document(bob.jid, document, mimetype="application/pdf")
        first = await bob.wait_for(MediaReceived)
        await world.admin.advance_clock(30 * DAY_MS)
        refusal = await gone(bob.download(first.media, tmp_path / "read"))
        assert refusal.reason == "BLOB_EXPIRED"

        assert await bob.request_media_again(first, refusal)
        request = await alice.wait_for(MediaRetryRequested)
        assert (request.message_id, request.status) == (sent.id, 410)
        await alice.resend_media(request, document)
        second = await bob.wait_for(MediaReceived)
        assert (second.id, second.retry_count, second.media.name) == (sent.id, 1, "report.pdf")
        await bob.download(second.media, tmp_path / "read")
        assert (tmp_path / "read").read_bytes() == document.read_bytes()

        await world.admin.advance_clock(30 * DAY_MS)
        refusal = await gone(bob.download(second.media, tmp_path / "again"))
        assert await bob.request_media_again(second, refusal)
        await bob.ping()
        assert (await world.admin.get_statistics()).counted["retry_dropped"] == 1, "it was sixty days ago"


async def test_a_file_is_asked_for_five_times(world: World, tmp_path: Path) -> None:
    """Nobody answers, and Bob's client asks no more; a download that failed otherwise asks for nothing (RCP-04)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await alice.send_document(bob.jid, some_file(tmp_path / "report.pdf"))
    received = await bob.wait_for(MediaReceived)
    refusal = ServerRefusal("BLOB_EXPIRED")
    assert [await bob.request_media_again(received, refusal) for _ in range(6)] == [True] * 5 + [False]
    requests = [await alice.wait_for(MediaRetryRequested) for _ in range(5)]
    assert [request.retry_count for request in requests] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="PARTNER_MEDIA_UNAVAILABLE"):
        await bob.request_media_again(received, ServerRefusal("PARTNER_MEDIA_UNAVAILABLE"))
    resent = [await alice.resend_media(request, tmp_path / "report.pdf") for request in (requests[0], requests[4])]
    assert {message.id for message in resent} == {received.id}
    copies = [await bob.wait_for(MediaReceived) for _ in resent]
    assert [copy.retry_count for copy in copies] == [1, 5]


async def test_what_was_sent_must_be_known_to_be_sent_again(world: World, tmp_path: Path) -> None:
    """By this process, or by the application; a text is no file."""
    kept = {}

    async def find_sent(to: str, message_id: str) -> object:
        return kept.get((to, message_id))

    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    document = some_file(tmp_path / "report.pdf")
    sent = await alice.send_document(bob.jid, document)
    text = await alice.send_text(bob.jid, "No file")
    received = await bob.wait_for(MediaReceived)
    assert await bob.request_media_again(received, ServerRefusal("BLOB_NOT_FOUND"))
    request = await alice.wait_for(MediaRetryRequested)
    with pytest.raises(LookupError):
        await alice.resend_media(MediaRetryRequested(bob.jid, text.id, 1, 404), document)
    await alice.close()
    options = ClientOptions(refill_count=0, find_sent=find_sent)
    alice = type(alice)(alice.transport, ClientState.from_bytes(alice.state.to_bytes()), options=options)
    world.close_later(alice)
    await alice.connect()
    with pytest.raises(LookupError):
        await alice.resend_media(request, document)
    kept[bob.jid, sent.id] = sent.content
    await alice.resend_media(request, document)
    again = await bob.wait_for(MediaReceived)
    await bob.download(again.media, tmp_path / "read")
    assert (tmp_path / "read").read_bytes() == document.read_bytes()
