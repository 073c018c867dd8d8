"""The end of accounts, and what goes with time."""

import hashlib

import pytest

from interop_protocol.encoding import media_token
from interop_server.core.errors import Reason
from interop_server.core.limits import DAY_MS
from interop_server.core.media.media import Upload, UploadRequest
from interop_server.core.media.strays import blob_name
from interop_server.core.model import Account
from interop_server.core.sweeps import STEP, Sweep
from tests.unit.core.world import NOW_MS, ClientKeys, World, message, refused, token

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

    await world.deletion.delete(ada)

    assert world.connections.ended == [(ada.account_id, Reason.NOT_ENLISTED)]
    assert await world.store.accounts.get(ada.jid) is None
    left = await world.store.count_rows()
    # Of a deleted account stays that its JID was given out, and of others what is theirs.
    assert left == before | {"given_jid": before["given_jid"] + 1, "sent_message": 1}


@pytest.mark.requirement("LIF-03")
async def test_who_was_deleted_enlists_afresh(world: World) -> None:
    """With a new JID; the old one is not reachable, like one that never was (LIF-03, LIF-05)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.deletion.delete(ada)
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
    with refused(Reason.CALLER_NOT_THIRD_PARTY_USER, "LIF-03"), world.quiet():
        await world.deletion.delete(user)
    assert await world.account(user.jid) == user


@pytest.mark.requirement("MSG-07", "MED-07")
async def test_the_sweep_takes_what_has_expired_and_nothing_else(world: World) -> None:
    """Old messages, expired blobs and abandoned uploads go; a second sweep finds nothing (MSG-07, MED-07)."""
    ada, user = await world.enlisted(), await world.opted_in()
    world.connections.online.add(ada.account_id)  # or she would go, too (LIF-04)
    names = {}
    for blob in (b"old blob", b"fresh blob"):
        auth = await world.media.grant_upload(user)
        sha256 = hashlib.sha256(blob).digest()
        names[blob] = blob_name(user.account_id, sha256)
        upload = await world.media.start_upload(user, UploadRequest(auth, media_token(sha256), len(blob), 0))
        assert isinstance(upload, Upload)
        await upload.write(blob)
        await upload.finish()
        await world.router.send_messages(ada, [message(user, blob.decode().replace(" ", "-"))])
        world.clock.advance(15 * DAY_MS)
    for taken in ({"mailbox_items": 1, "blobs": 1}, {}):
        assert await world.sweep() == taken
        assert [item.stanza_id for item in await world.waiting(user)] == ["fresh-blob"]
        assert await world.blobs.open_reader(names[b"old blob"]) is None
        assert await world.blobs.open_reader(names[b"fresh blob"]) is not None


async def test_the_sweep_takes_abandoned_uploads(world: World) -> None:
    """After an hour without a byte, and not before; one that is suspended later stays (MED-07)."""
    user = await world.whatsapp_user()
    sha256 = hashlib.sha256(b"unfinished").digest()
    auth = await world.media.grant_upload(user)
    upload = await world.media.start_upload(user, UploadRequest(auth, media_token(sha256), 10, 0))
    assert isinstance(upload, Upload)
    await upload.write(b"unfin")
    await upload.suspend()
    world.clock.advance(HOUR_MS - 1)
    assert await world.sweep() == {}
    assert await world.blobs.committed_bytes(blob_name(user.account_id, sha256)) == 5
    world.clock.advance(1)
    assert await world.sweep() == {"unfinished_uploads": 1}
    assert await world.blobs.committed_bytes(blob_name(user.account_id, sha256)) == 0


async def uploaded(world: World, user: Account, content: bytes) -> None:
    sha256 = hashlib.sha256(content).digest()
    request = UploadRequest(await world.media.grant_upload(user), media_token(sha256), len(content), 0)
    upload = await world.media.start_upload(user, request)
    assert isinstance(upload, Upload)
    await upload.write(content)
    await upload.finish()


@pytest.mark.requirement("SIM-04", "MED-04", "MED-07", "MSG-07")
async def test_a_sweep_says_when_the_next_thing_falls_due(world: World) -> None:
    """So nobody has to look before that: the oldest thing's time, or else as long as a thing stored now is kept."""
    ada, user = await world.enlisted(), await world.opted_in()
    sweeps = {sweep.name: sweep for sweep in (*world.mailbox.sweeps(), *world.media.sweeps())}
    assert [(name, sweep.retention_ms) for name, sweep in sweeps.items()] == [
        ("mailbox_items", 30 * DAY_MS),
        ("sent_messages", 60 * DAY_MS),
        ("blobs", 30 * DAY_MS),
        ("blob_traces", 60 * DAY_MS),
        ("unfinished_uploads", HOUR_MS),
        ("stray_blobs", DAY_MS),
    ]
    for sweep in sweeps.values():
        assert await sweep.next_due_ms() is None
        assert await sweep.take_away(NOW_MS) == (0, NOW_MS + sweep.retention_ms)

    await uploaded(world, user, b"blob")
    await world.router.send_messages(ada, [message(user, "first")])
    world.clock.advance(DAY_MS)
    await world.router.send_messages(ada, [message(user, "second")])
    assert await sweeps["mailbox_items"].next_due_ms() == NOW_MS + 30 * DAY_MS
    assert await sweeps["mailbox_items"].take_away(NOW_MS + 30 * DAY_MS) == (1, NOW_MS + 31 * DAY_MS)
    assert await sweeps["sent_messages"].next_due_ms() == NOW_MS + 60 * DAY_MS
    assert await sweeps["sent_messages"].take_away(NOW_MS + 60 * DAY_MS) == (1, NOW_MS + 61 * DAY_MS)
    assert await sweeps["blobs"].take_away(NOW_MS + 30 * DAY_MS - 1) == (0, NOW_MS + 30 * DAY_MS)
    assert await sweeps["blobs"].take_away(NOW_MS + 30 * DAY_MS) == (1, NOW_MS + 60 * DAY_MS)
    assert await sweeps["blobs"].next_due_ms() is None
    assert await sweeps["blob_traces"].next_due_ms() == NOW_MS + 60 * DAY_MS
    assert await sweeps["blob_traces"].take_away(NOW_MS + 60 * DAY_MS) == (1, NOW_MS + 120 * DAY_MS)


@pytest.mark.requirement("MSG-07")
async def test_a_sweep_lets_others_in_between_its_steps() -> None:
    """However many things are due: none is left, and no step deletes more than its share."""
    left, steps = [3 * STEP + 1], []

    async def oldest_ms() -> int | None:
        return NOW_MS if left[0] else None

    async def delete(before_ms: int, most: int) -> int:
        assert before_ms == NOW_MS + 1
        count = min(left[0], most)
        left[0] -= count
        steps.append(count)
        return count

    sweep = Sweep("things", "MSG-07", DAY_MS, oldest_ms, delete)
    assert await sweep.take_away(NOW_MS + DAY_MS - 1) == (0, NOW_MS + DAY_MS)
    assert await sweep.take_away(NOW_MS + DAY_MS) == (3 * STEP + 1, NOW_MS + 2 * DAY_MS)
    assert steps == [STEP, STEP, STEP, 1, 0]
