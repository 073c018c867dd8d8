"""Time passes in a running simulator as its operator says: what falls due is done before the call returns."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from interop_admin.client import AdminClient
from interop_api.v1 import prekeys_pb2
from interop_client.connection.calls import unary_call
from interop_client.connection.login import whatsapp_login
from interop_protocol.endpoint import Endpoint
from interop_server.http.push import PushPolicy
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.media.test_refusals_downloads import download
from tests.e2e.media.test_refusals_uploads import CONTENT, Uploader, chunk
from tests.e2e.outcomes import refused as refusal_of
from tests.e2e.raw import QUIET, RawStream, refused
from tests.e2e.wire import Wire, sealed_message

pytestmark = pytest.mark.requirement("SIM-04")

SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS
DAY_MS = 24 * HOUR_MS


@pytest_asyncio.fixture
async def own_world(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[World]:
    """A world in a simulator of its own, whose clock is frozen; its database is `simulator.db`."""
    async with recorded_simulator(tmp_path / "simulator.log", tmp_path / "simulator.db") as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
            await world.admin.freeze_clock()
            yield world


async def advance(admin: AdminClient, ms: int) -> dict[str, int]:
    """Advances the clock; how often what fired."""
    before = await admin.get_clock()
    answer = await admin.advance_clock(ms)
    assert (answer.clock.now_ms, answer.clock.is_frozen) == (before.now_ms + ms, before.is_frozen)
    return {timers.name: timers.count for timers in answer.fired}


def files(folder: Path) -> list[str]:
    """Names of the blobs and uploads that lie in the store, ascending."""
    return sorted(path.name for path in (folder / "simulator.db.blobs").rglob("*") if path.is_file())


async def test_a_clock_stands_moves_and_runs(own_world: World) -> None:
    """Frozen it shows the same time twice; advanced, that much more; a time to come is reached; then it runs on."""
    admin = own_world.admin
    first = await admin.get_clock()
    assert first.is_frozen and await admin.get_clock() == first
    assert (await admin.freeze_clock()).clock == first
    await advance(admin, 90 * SECOND_MS)
    assert (await admin.freeze_clock(first.now_ms + 2 * HOUR_MS)).clock.now_ms == first.now_ms + 2 * HOUR_MS
    running = await admin.resume_clock()
    assert not running.is_frozen and running.now_ms >= first.now_ms + 2 * HOUR_MS
    answer = await admin.advance_clock(DAY_MS)
    assert not answer.clock.is_frozen and answer.clock.now_ms >= running.now_ms + DAY_MS
    assert (await admin.resume_clock()).now_ms >= answer.clock.now_ms


async def test_time_that_cannot_be_is_refused_and_changes_nothing(own_world: World) -> None:
    """Neither backwards, nor nowhere, nor further than ten years at once or than the year 9999."""
    admin = own_world.admin
    before = await admin.get_clock()
    for ms in (0, 3_650 * DAY_MS + 1, 2**63 - 1, -1, -(2**63)):
        with refused("REQUEST_MALFORMED", ms):
            await admin.advance_clock(ms)
    for at_ms in (before.now_ms - 1, 0, -1, -(2**63), before.now_ms + 3_650 * DAY_MS + 1, 2**63 - 1):
        with refused("REQUEST_MALFORMED", at_ms):
            await admin.freeze_clock(at_ms)
    assert await admin.get_clock() == before


@pytest.mark.requirement("MSG-07", "MED-04", "MED-07")
async def test_thirty_days_take_with_them_what_was_kept_for_so_long(own_world: World, tmp_path: Path) -> None:
    """To the millisecond: an unfinished upload after an hour, a message and a blob after thirty days.

    1. A message waits for Alice; Carol has uploaded a blob, and begun another one.
    2. An hour passes.
    3. Thirty days have passed: store and disk are empty of them, and the path of the blob says that it has expired.
    4. Thirty more days: its trace is gone, and the path still says so (MED-04).
    """
    admin = own_world.admin
    alice, bob = await own_world.whatsapp(options=QUIET), await own_world.third_party("bob", QUIET)
    await alice.close()
    await bob.send_encrypted(sealed_message(alice.jid, "m").message)
    client = await own_world.whatsapp(options=QUIET)
    carol = Uploader(client)
    await carol.grant()
    path = await carol.upload(carol.start(), chunk(CONTENT))
    other = CONTENT[::-1]
    with refused("UPLOAD_LENGTH_MISMATCH"):
        await carol.upload(carol.start(other), chunk(other[:100]))
    [blob] = [name for name in files(tmp_path) if not name.endswith(".part")]
    assert len(files(tmp_path)) == 2

    assert await advance(admin, HOUR_MS - 1) == {"silence": 2, "key_sets": 1, "connected_accounts": 1}
    assert len(files(tmp_path)) == 2
    assert await advance(admin, 1) == {"unfinished_uploads": 1}
    assert files(tmp_path) == [blob]

    await advance(admin, 30 * DAY_MS - HOUR_MS - 1)
    assert (files(tmp_path), (await own_world.stored())["mailbox"]) == ([blob], 1)
    await client.connect()
    assert await download(client, path) == CONTENT
    assert await advance(admin, 1) == {"mailbox_items": 1, "blobs": 1}
    stored = await own_world.stored()
    assert (files(tmp_path), stored["mailbox"], stored["sent_message"], stored["media"]) == ([], 0, 1, 1)
    async with Wire(alice.transport) as wire:
        assert wire.preview.messages == 0
    with refused("BLOB_EXPIRED"):
        await download(client, path)

    assert await advance(admin, 30 * DAY_MS) == {
        "silence": 1, "enlistments": 1, "blob_traces": 1, "key_sets": 1, "connected_accounts": 1,
    }  # fmt: skip
    assert (await own_world.stored())["sent_message"] == 0, "whose sender is un-enlisted"
    await client.connect()
    with refused("BLOB_EXPIRED"):
        await download(client, path)


@pytest.mark.requirement("MSG-07", "MED-04", "MED-07", "CHN-12", "ENL-03", "SIM-07")
async def test_one_leap_tells_the_same_story_in_order(own_world: World) -> None:
    """Sixty-one days at once: the journal has each end at its own time, or within a second after it."""
    admin = own_world.admin
    alice, bob = await own_world.whatsapp(options=QUIET), await own_world.third_party("bob", QUIET)
    await alice.close()
    await bob.send_encrypted(sealed_message(alice.jid, "m").message)
    await bob.close()
    carol = Uploader(await own_world.whatsapp(options=QUIET))
    await carol.grant()
    await carol.upload(carol.start(), chunk(CONTENT))
    other = CONTENT[::-1]
    with refused("UPLOAD_LENGTH_MISMATCH"):
        await carol.upload(carol.start(other), chunk(other[:100]))
    begin_ms = (await admin.get_clock()).now_ms
    last = [answer.entry.resume_token async for answer in admin.read_journal()][-1]

    await advance(admin, 61 * DAY_MS)

    entries = [answer.entry async for answer in admin.read_journal(resume_token=last)]
    story = [(entry.action, entry.at_ms - begin_ms) for entry in entries if entry.actor != "operator"]
    due = {
        "chat.stream": 180 * SECOND_MS,
        "timer.unfinished_uploads": HOUR_MS,
        "timer.mailbox_items": 30 * DAY_MS,
        "timer.blobs": 30 * DAY_MS,
        "timer.blob_traces": 60 * DAY_MS,
        "timer.key_sets": 61 * DAY_MS,
    }
    assert due.keys() <= {action for action, _ in story}, story
    for action, at_ms in story:
        if action in due:
            assert due[action] <= at_ms <= due[action] + max(SECOND_MS, due[action] // 1_000), story
    assert [at_ms for _, at_ms in story] == sorted(at_ms for _, at_ms in story)


@pytest.mark.requirement("CHN-01", "CHN-12")
async def test_a_connection_that_fell_silent_is_over_when_the_call_returns(own_world: World) -> None:
    """Its session is dead, the account counts as away, and its client is told why (CHN-12)."""
    alice = await own_world.whatsapp_device(QUIET)
    async with RawStream(own_world.endpoint.grpc) as stream:
        login = await stream.log_in(alice.state.auth_private_key, whatsapp_login(alice.jid))
        assert await advance(own_world.admin, 179 * SECOND_MS) == {}
        assert [connection.jid for connection in await own_world.admin.list_connections()] == [alice.jid]
        assert await advance(own_world.admin, SECOND_MS) == {"silence": 1}
        assert await own_world.admin.list_connections() == []
        count = unary_call(
            stream.grpc_channel,
            "/interop_api.v1.PreKeyService/CountOneTimePreKeys",
            prekeys_pb2.CountOneTimePreKeysRequest(),
            prekeys_pb2.CountOneTimePreKeysResponse,
            (("authorization", f"Bearer {login.session_token}"),),
        )
        assert await refusal_of(count) == "SESSION_DEAD"
        await stream.check_ends("CONNECTION_SILENT")


@pytest.mark.requirement("LIF-02")
async def test_retries_of_a_push_take_place_before_the_call_returns(own_world: World) -> None:
    """A messenger that cannot be reached is tried five times, and given up; no time passes in the real world."""
    alice = await own_world.whatsapp(options=QUIET)
    bob = await own_world.third_party("bob", QUIET)
    await bob.close()
    await own_world.register(push_url="http://127.0.0.1:1/nobody")
    await alice.send_encrypted(sealed_message(bob.jid, "m").message)
    retries = PushPolicy().retry_delays_seconds
    assert await advance(own_world.admin, int(sum(retries) * SECOND_MS) - 1) == {"push_retry": len(retries) - 1}
    counted = (await own_world.admin.get_statistics()).counted
    assert (counted["push_sent"], counted["push_failed"]) == (0, 0)
    assert await advance(own_world.admin, 1) == {"push_retry": 1}
    counted = (await own_world.admin.get_statistics()).counted
    assert (counted["push_sent"], counted["push_failed"]) == (0, 1)


async def test_two_operators_move_the_clock_one_after_the_other(own_world: World) -> None:
    """Each gets what it asked for, and time has moved by the sum."""
    before = await own_world.admin.get_clock()
    answers = await asyncio.gather(*(own_world.admin.advance_clock(days * DAY_MS) for days in (10, 20, 40)))
    assert (await own_world.admin.get_clock()).now_ms == before.now_ms + 70 * DAY_MS
    assert [timers.count for answer in answers for timers in answer.fired if timers.name == "key_sets"] == [1, 1, 1]
    for days, answer in zip((10, 20, 40), answers, strict=True):
        assert answer.clock.now_ms >= before.now_ms + days * DAY_MS
