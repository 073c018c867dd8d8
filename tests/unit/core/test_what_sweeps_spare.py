"""A sweep takes what is due, and spares what is not: what came a millisecond later, and what is in use."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from interop_protocol.encoding import media_token
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, SECOND_MS
from interop_server.core.media.media import Upload, UploadRequest
from interop_server.core.media.strays import blob_name
from interop_server.core.messages import ReportedMessage
from interop_server.core.model import Account, MediaBlob, Sanction, SanctionKind, SpamFlow
from interop_server.core.sweeps import STEP
from interop_server.runtime.rng import SeededRng
from interop_server.storage.sqlite.media import SqliteMedia

from .world import BATS, World, message, refused

NAMES = ("old", "young")
"""Two of each kind: the second is made a millisecond after the first."""


class Kind(NamedTuple):
    """One kind of thing that expires."""

    name: str
    """As its sweep is called."""
    requirement: str
    """What its sweep serves, as the journal says."""
    kept_ms: int
    make: Callable[[World, str], Awaitable[object]]
    left: Callable[[World], Awaitable[list[str]]]
    """Which of those that were made are still there."""


async def _user(world: World) -> Account:
    return await world.store.accounts.get("491511234567@s.whatsapp.net") or await world.opted_in()


async def _ada(world: World) -> Account:
    known = await world.store.accounts.get_by_external_id(BATS, "ada")
    account = known or await world.enlisted()
    world.connections.online.add(account.account_id)
    return account


async def _send(world: World, name: str) -> None:
    [outcome] = await world.router.send_messages(await _ada(world), [message(await _user(world), name)])
    assert outcome.refusal is None


async def _waiting(world: World) -> list[str]:
    user = await _user(world)
    return [each.item.stanza_id for each in await world.store.mailbox.list_deliveries(user.account_id, 0, 10, 0)]


async def _sent(world: World) -> list[str]:
    sent = await world.store.sent.get((await _ada(world)).account_id, NAMES)
    return [name for name in NAMES if name in sent]


def _blob(name: str) -> bytes:
    return name.encode() * 10


def _sha256(name: str) -> bytes:
    return hashlib.sha256(_blob(name)).digest()


async def _begin_upload(world: World, name: str, *, written: bytes) -> Upload:
    user = await _user(world)
    request = UploadRequest(await world.media.grant_upload(user), media_token(_sha256(name)), len(_blob(name)), 0)
    upload = await world.media.start_upload(user, request)
    assert isinstance(upload, Upload)
    await upload.write(written)
    return upload


async def _upload(world: World, name: str) -> None:
    await (await _begin_upload(world, name, written=_blob(name))).finish()


async def _blobs(world: World) -> list[str]:
    user = await _user(world)
    names = {name: blob_name(user.account_id, _sha256(name)) for name in NAMES}
    return [name for name in NAMES if await world.blobs.open_reader(names[name]) is not None]


async def _traces(world: World) -> list[str]:
    user = await _user(world)
    return [name for name in NAMES if await world.store.media.get_own(user.account_id, _sha256(name)) is not None]


async def _abandon_upload(world: World, name: str) -> None:
    await (await _begin_upload(world, name, written=b"half")).suspend()


async def _uploads(world: World) -> list[str]:
    user = await _user(world)
    names = {name: blob_name(user.account_id, _sha256(name)) for name in NAMES}
    return [name for name in NAMES if await world.blobs.committed_bytes(names[name])]


async def _stray(world: World, name: str) -> None:
    user = await _user(world)
    writer = await world.blobs.open_writer(blob_name(user.account_id, _sha256(name)))
    await writer.write(_blob(name))
    await writer.commit()


async def _sanction(world: World, name: str) -> None:
    sanction = Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, world.clock.now_ms())
    await world.store.standing.put((await world.enlisted(name)).external_user, sanction)


async def _sanctions(world: World) -> list[str]:
    users = {name: (await world.enlisted(name)).external_user for name in NAMES}
    return [name for name, user in users.items() if await world.store.standing.list_in_force(user, 0)]


async def _report(world: World, name: str) -> None:
    user, reported = await _user(world), await world.enlisted(name)
    await world.router.send_messages(reported, [message(user, name)])
    await world.reports.report(user, reported.jid, SpamFlow.CONTACT_INFO, [ReportedMessage(name, None)])


async def _reported(world: World) -> list[str]:
    accounts = {name: await world.enlisted(name) for name in NAMES}
    counts = {name: await world.store.reports.count_complaints(each, 0) for name, each in accounts.items()}
    return [name for name, complaints in counts.items() if complaints.reporters]


async def _enlist(world: World, name: str) -> None:
    await world.enlisted(name)


async def _accounts(world: World) -> list[str]:
    return [name for name in NAMES if await world.store.accounts.get_by_external_id(BATS, name)]


async def _ping(world: World, name: str) -> None:
    number = f"+49170000000{NAMES.index(name)}"
    await world.whatsapp_user(number)
    await world.reachability.ping(await _ada(world), number, "Ada")


async def _pings(world: World) -> list[str]:
    oldest_ms = await world.store.reachability.oldest_ping_ms()
    count = (await world.store.count_rows())["reachability_ping"]
    assert count < 2 or oldest_ms is not None
    return list(NAMES)[-count:] if count else []


DAY, MONTH, HOUR_MS = DAY_MS, 30 * DAY_MS, 3_600 * SECOND_MS
KINDS = [
    Kind("mailbox_items", "MSG-07", MONTH, _send, _waiting),
    Kind("sent_messages", "MSG-04", 2 * MONTH, _send, _sent),
    Kind("blobs", "MED-07", MONTH, _upload, _blobs),
    Kind("blob_traces", "MED-04", 2 * MONTH, _upload, _traces),
    Kind("unfinished_uploads", "MED-07", HOUR_MS, _abandon_upload, _uploads),
    Kind("stray_blobs", "MED-07", HOUR_MS, _stray, _blobs),
    Kind("ended_sanctions", "ABU-08", DAY, _sanction, _sanctions),
    Kind("reports", "ABU-08", MONTH, _report, _reported),
    Kind("enlistments", "LIF-04", MONTH, _enlist, _accounts),
    Kind("reachability_pings", "OPT-12", MONTH, _ping, _pings),
]


async def take_away(world: World, name: str) -> int:
    """Sweeps one kind; the others are left alone."""
    [sweep] = [sweep for sweep in world.rules.sweeps() if sweep.name == name]
    return (await sweep.take_away(world.clock.now_ms())).taken


async def test_every_kind_is_here(world: World) -> None:
    """What a later release lets expire is tried as well."""
    swept = [(sweep.name, sweep.requirement) for sweep in world.rules.sweeps()]
    assert swept == [(kind.name, kind.requirement) for kind in KINDS]


@pytest.mark.requirement("MSG-07", "MSG-04", "MED-07", "MED-04", "ABU-08", "LIF-04", "OPT-12")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_what_is_younger_is_spared(world: World, kind: Kind) -> None:
    """A millisecond before its time the first is there; in its time it goes, and the one made after it stays."""
    for name in NAMES:
        await kind.make(world, name)
        world.clock.advance(1)
    world.clock.advance(kind.kept_ms - 3)
    assert await take_away(world, kind.name) == 0
    assert await kind.left(world) == ["old", "young"]
    world.clock.advance(1)
    assert await take_away(world, kind.name) == 1
    assert await kind.left(world) == ["young"]
    world.clock.advance(1)
    assert await take_away(world, kind.name) == 1
    assert await kind.left(world) == []


@pytest.mark.requirement("MED-07")
async def test_an_upload_that_goes_on_is_spared(world: World) -> None:
    """However long its uploader takes: it ends as if nobody had swept, while one beside it is taken."""
    upload = await _begin_upload(world, "young", written=_blob("young")[:5])
    await _abandon_upload(world, "old")
    world.clock.advance(100 * DAY)
    assert await take_away(world, "unfinished_uploads") == 1
    await upload.write(_blob("young")[5:])
    await upload.finish()
    assert await _blobs(world) == ["young"]


@pytest.mark.requirement("MED-07")
async def test_an_upload_that_was_resumed_is_as_old_as_its_last_byte(world: World) -> None:
    """Not as its first."""
    await _abandon_upload(world, "old")
    world.clock.advance(HOUR_MS - 1)
    user = await _user(world)
    request = UploadRequest(await world.media.grant_upload(user), media_token(_sha256("old")), len(_blob("old")), 4)
    upload = await world.media.start_upload(user, request)
    assert isinstance(upload, Upload)
    await upload.suspend()
    world.clock.advance(HOUR_MS - 1)
    assert await take_away(world, "unfinished_uploads") == 0
    world.clock.advance(1)
    assert await take_away(world, "unfinished_uploads") == 1


@pytest.mark.requirement("MED-07")
async def test_a_blob_that_was_uploaded_again_is_spared(world: World) -> None:
    """Until thirty days after the last time, under the path that it always had."""
    await _upload(world, "old")
    user = await _user(world)
    before = await world.store.media.get_own(user.account_id, _sha256("old"))
    world.clock.advance(MONTH - 1)
    request = UploadRequest(await world.media.grant_upload(user), media_token(_sha256("old")), len(_blob("old")), 0)
    path = await world.media.start_upload(user, request)
    assert before is not None and path == before.direct_path
    world.clock.advance(1)
    assert await take_away(world, "blobs") == 0
    world.clock.advance(MONTH - 2)
    assert (await take_away(world, "blobs"), await _blobs(world)) == (0, ["old"])
    world.clock.advance(1)
    assert (await take_away(world, "blobs"), await _blobs(world)) == (1, [])


@pytest.mark.requirement("MED-07")
async def test_what_another_node_has_swept_is_not_told_again(world: World) -> None:
    """Also where that is more than one step, and something is left beside it."""
    other_node = replace(world.media, rng=SeededRng(8, 1, "another node"))
    user = await _user(world)
    for number in range(STEP + 1):
        await world.media.register(user, number.to_bytes(32, "big"), 1)
    await _upload(world, "old")
    world.clock.advance(1)
    await _upload(world, "young")
    world.clock.advance(MONTH)
    assert await world.blobs.delete(blob_name(user.account_id, _sha256("old")))
    assert (await take_away(world, "blobs"), await _blobs(world)) == (1, [])
    [sweep] = [sweep for sweep in other_node.sweeps() if sweep.name == "blobs"]
    assert (await sweep.take_away(world.clock.now_ms())).taken == 0


@pytest.mark.requirement("MED-07")
async def test_a_blob_with_a_row_is_no_stray(world: World) -> None:
    """However old it is, and beside strays; and more than the rows of one page are looked through."""
    user = await _user(world)
    for number in range(STEP + 1):
        await world.media.register(user, number.to_bytes(32, "big"), 1)
    await _upload(world, "old")
    await _stray(world, "young")
    world.clock.advance(2 * HOUR_MS)
    assert (await take_away(world, "stray_blobs"), await _blobs(world)) == (1, ["old"])
    assert (await take_away(world, "stray_blobs"), await _blobs(world)) == (0, ["old"])


@pytest.mark.requirement("MED-07")
async def test_a_blob_whose_row_fails_is_found_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when all were looked at before: it is as old as its upload, and goes in its time."""
    assert await take_away(world, "stray_blobs") == 0
    upload = await _begin_upload(world, "old", written=_blob("old"))

    async def fail(_: object) -> MediaBlob:
        raise Refusal(Reason.SERVER_FAULT)

    with monkeypatch.context() as patched:
        patched.setattr(type(world.store.media), "put", lambda store, blob: fail(blob))
        with refused(Reason.SERVER_FAULT):
            await upload.finish()
    world.clock.advance(HOUR_MS - 1)
    assert (await take_away(world, "stray_blobs"), await _blobs(world)) == (0, ["old"])
    world.clock.advance(1)
    assert (await take_away(world, "stray_blobs"), await _blobs(world)) == (1, [])


@pytest.mark.requirement("MED-07")
@pytest.mark.parametrize("kind", ["blobs", "stray_blobs"])
async def test_a_sweep_between_a_blob_and_its_row_spares_it(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Though time leaps just then, and the same blob has expired before: whoever is told the path can download it."""
    if kind == "blobs":
        await _upload(world, "old")
        world.clock.advance(MONTH)
    upload = await _begin_upload(world, "old", written=_blob("old"))
    real, sweeping = type(world.store.media).put, list[asyncio.Task[int]]()

    async def put(store: SqliteMedia, blob: MediaBlob) -> MediaBlob:
        world.clock.advance(2 * HOUR_MS)
        sweeping.append(asyncio.create_task(take_away(world, kind)))
        for _ in range(30):
            await world.store.count_rows()  # so long that the sweep gets as far as it can
        return await real(store, replace(blob, expires_at_ms=blob.expires_at_ms + 2 * HOUR_MS))

    monkeypatch.setattr(type(world.store.media), "put", put)
    await upload.finish()
    await asyncio.gather(*sweeping)
    assert await _blobs(world) == ["old"]


@pytest.mark.requirement("MED-07")
async def test_the_trace_of_a_blob_goes_after_its_bytes(world: World) -> None:
    """In whatever order the sweeps run after a long time off: nothing is left that no row leads to."""
    await _upload(world, "old")
    world.clock.advance(3 * MONTH)
    assert await take_away(world, "blob_traces") == 1
    assert await _blobs(world) == []


@pytest.mark.requirement("LIF-04")
async def test_who_is_connected_is_spared(world: World) -> None:
    """As is who was connected at the last moment that the server noted; the absent one beside them goes."""
    for name in NAMES:
        await world.enlisted(name)
    young = await world.store.accounts.get_by_external_id(BATS, "young")
    assert young is not None
    world.connections.online.add(young.account_id)
    world.clock.advance(MONTH)
    assert await take_away(world, "enlistments") == 1
    assert await _accounts(world) == ["young"]
    world.connections.online.clear()
    world.clock.advance(MONTH - 1)
    assert await take_away(world, "enlistments") == 0
    world.clock.advance(1)
    assert await take_away(world, "enlistments") == 1


@pytest.mark.requirement("ABU-08")
async def test_a_ban_for_good_is_spared(world: World) -> None:
    """It has no end that could be a day ago; one that was lengthened ends at its new end."""
    for name in NAMES:
        await _sanction(world, name)
    banned, locked = await world.enlisted("old"), await world.enlisted("young")
    await world.store.standing.put(banned.external_user, Sanction(SanctionKind.BAN))
    longer = Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, world.clock.now_ms() + DAY)
    await world.store.standing.put(locked.external_user, longer)
    world.clock.advance(DAY)
    assert await take_away(world, "ended_sanctions") == 1
    assert await world.store.standing.list_in_force(banned.external_user, 0) == [Sanction(SanctionKind.BAN)]
    assert await world.store.standing.list_in_force(locked.external_user, 0) == [longer]
    world.clock.advance(1_000 * DAY)
    assert await take_away(world, "ended_sanctions") == 1
    assert await world.store.standing.list_in_force(banned.external_user, 0) == [Sanction(SanctionKind.BAN)]


@pytest.mark.requirement("MED-07")
async def test_a_look_for_strays_that_fails_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever there was is still to be found."""
    await _stray(world, "old")
    world.clock.advance(2 * HOUR_MS)

    async def fail(_: object) -> dict[str, int]:
        raise Refusal(Reason.SERVER_FAULT)

    with monkeypatch.context() as patched:
        patched.setattr(type(world.blobs), "list_stored", fail)
        for _ in range(2):
            with refused(Reason.SERVER_FAULT):
                await take_away(world, "stray_blobs")
    assert (await take_away(world, "stray_blobs"), await _blobs(world)) == (1, [])
