"""The end of accounts, and what goes with time."""

import hashlib

from interop_protocol.encoding import media_token
from interop_server.core.errors import Reason
from interop_server.core.limits import DAY_MS
from interop_server.core.media import Upload, UploadRequest

from .world import ClientKeys, World, message, refused, token

HOUR_MS = 3_600_000


async def test_a_deleted_account_leaves_nothing_behind(world: World) -> None:
    """Account, keys, mailbox, blocklist, chats and mapping go, and the connection ends (LIF-03)."""
    user = await world.opted_in()
    await world.tokens.verify(token())
    before = await world.store.count_rows()
    ada = await world.enlisted()
    await world.prekeys.add(ada, ClientKeys().one_time(1, 5))
    await world.blocklist.block(ada, "491510000000@s.whatsapp.net")
    await world.router.send_messages(user, [message(ada)])
    await world.router.send_messages(ada, [message(user)])
    [delivery] = await world.mailbox.deliveries(user, 0, 10)
    await world.mailbox.forget(user, [delivery.delivery_id])

    await world.lifecycle.delete_account(ada)

    assert world.connections.ended == [(ada.account_id, Reason.NOT_ENLISTED)]
    assert await world.store.get_account(ada.jid) is None
    left = await world.store.count_rows()
    # Of a deleted account stays that its JID was given out, and of others what is theirs.
    assert left == before | {"given_jid": before["given_jid"] + 1, "sent_message": 1}


async def test_who_was_deleted_enlists_afresh(world: World) -> None:
    """With a new JID; the old one is not reachable, like one that never was (LIF-03, LIF-05)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.lifecycle.delete_account(ada)
    again = await world.enlisted()
    assert (again.external_id, again.jid != ada.jid) == (ada.external_id, True)
    to_old, to_nobody, to_new = await world.router.send_messages(
        user, [message(ada, "a"), message("100-10000000000000@interop", "b"), message(again, "c")]
    )
    assert to_old.refusal is not None and to_nobody.refusal is not None
    assert (to_old.refusal.reason, to_old.refusal.advice) == (to_nobody.refusal.reason, to_nobody.refusal.advice)
    assert to_new.refusal is None


async def test_a_whatsapp_user_is_not_deleted_by_this_call(world: World) -> None:
    """It is the partners' users' (LIF-03)."""
    user = await world.whatsapp_user()
    with refused(Reason.CALLER_NOT_THIRD_PARTY_USER), world.quiet():
        await world.lifecycle.delete_account(user)
    assert await world.account(user.jid) == user


async def test_the_sweep_takes_what_has_expired_and_nothing_else(world: World) -> None:
    """Old messages, expired blobs and abandoned uploads go; a second sweep finds nothing (MSG-07, MED-07)."""
    ada, user = await world.enlisted(), await world.opted_in()
    names = {}
    for blob in (b"old blob", b"fresh blob"):
        auth = world.media.grant_upload(user)
        sha256 = hashlib.sha256(blob).digest()
        names[blob] = sha256.hex()
        upload = await world.media.start_upload(user, UploadRequest(auth, media_token(sha256), len(blob), 0))
        assert isinstance(upload, Upload)
        await upload.write(blob)
        await upload.finish()
        await world.router.send_messages(ada, [message(user, blob.decode().replace(" ", "-"))])
        world.clock.advance(15 * DAY_MS)
    world.clock.advance(1)
    for _ in range(2):
        await world.lifecycle.sweep()
        assert [item.stanza_id for item in await world.waiting(user)] == ["fresh-blob"]
        assert await world.blobs.open_reader(names[b"old blob"]) is None
        assert await world.blobs.open_reader(names[b"fresh blob"]) is not None


async def test_the_sweep_takes_abandoned_uploads(world: World) -> None:
    """After an hour without a byte, and not before (MED-07)."""
    user = await world.whatsapp_user()
    sha256 = hashlib.sha256(b"unfinished").digest()
    auth = world.media.grant_upload(user)
    upload = await world.media.start_upload(user, UploadRequest(auth, media_token(sha256), 10, 0))
    assert isinstance(upload, Upload)
    await upload.write(b"unfin")
    await upload.suspend()
    world.clock.advance(HOUR_MS)
    await world.lifecycle.sweep()
    assert await world.blobs.committed_bytes(sha256.hex()) == 5
    world.clock.advance(1)
    await world.lifecycle.sweep()
    assert await world.blobs.committed_bytes(sha256.hex()) == 0
