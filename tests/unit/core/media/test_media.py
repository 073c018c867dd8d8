"""Blobs: up, down and through the proxy; every byte asked for, and nothing else."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.encoding import decode_base64url, encode_base64url, media_token
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS
from interop_server.core.media.media import (
    PROXY_PREFIX,
    Upload,
    UploadRequest,
    blob_name,
    check_range,
    parse_upload_token,
)
from interop_server.core.model import Account, PartnerStatus
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock
from tests.unit.core.world import BATS, OWLS, World, partner, refused

BuildWorld = Callable[..., Awaitable[World]]

BLOB = bytes(range(256)) * 9
TOKEN = media_token(hashlib.sha256(BLOB).digest())
THIRTY_DAYS_MS = 30 * DAY_MS


def announced(auth: str, blob: bytes = BLOB, *, length: int | None = None, offset: int = 0) -> UploadRequest:
    token = media_token(hashlib.sha256(blob).digest())
    return UploadRequest(auth, token, len(blob) if length is None else length, offset)


async def started(world: World, user: Account, request: UploadRequest) -> Upload:
    upload = await world.media.start_upload(user, request)
    assert isinstance(upload, Upload)
    return upload


async def uploaded(world: World, user: Account, blob: bytes = BLOB) -> str:
    upload = await started(world, user, announced(await world.media.grant_upload(user), blob))
    await upload.write(blob)
    return await upload.finish()


async def downloaded(world: World, path: str, offset: int | None = None, length: int | None = None) -> bytes:
    async with world.media.open_download(path, offset, length) as download:
        content = b"".join([chunk async for chunk in download.chunks])
    assert download.length in (None, len(content))
    return content


async def test_what_goes_up_comes_down(world: World) -> None:
    """Under a path that tells nothing of owner or content (MED-04)."""
    user = await world.whatsapp_user()
    path = await uploaded(world, user)
    assert path.startswith("/v/t")
    assert TOKEN not in path
    async with world.media.open_download(path, None, None) as download:
        assert (download.total_bytes, download.offset, download.length) == (len(BLOB), 0, len(BLOB))
        assert b"".join([chunk async for chunk in download.chunks]) == BLOB


async def test_an_upload_comes_in_chunks_of_any_size(world: World) -> None:
    """Also empty ones (MED-07)."""
    user = await world.whatsapp_user()
    upload = await started(world, user, announced(await world.media.grant_upload(user)))
    for chunk in (b"", BLOB[:1], BLOB[1:1000], b"", BLOB[1000:]):
        await upload.write(chunk)
    assert await downloaded(world, await upload.finish()) == BLOB


async def test_uploading_is_for_whatsapp_users(world: World) -> None:
    """A partner's blobs stay at the partner (MED-02)."""
    ada = await world.enlisted()
    with refused(Reason.CALLER_NOT_WHATSAPP_USER, "MED-04"):
        await world.media.start_upload(ada, announced(await world.media.grant_upload(ada)))


async def test_an_upload_needs_its_own_fresh_permission(world: World) -> None:
    """Not an invented one, not another user's, not one of an hour ago (MED-05)."""
    user, other = await world.whatsapp_user(), await world.whatsapp_user("+33612345678")
    auth = await world.media.grant_upload(user)
    for account, used in ((user, ""), (user, "invented"), (other, auth)):
        with refused(Reason.UPLOAD_AUTH_INVALID):
            await world.media.start_upload(account, announced(used))
        with refused(Reason.UPLOAD_AUTH_INVALID):
            await world.media.upload_status(account, used, TOKEN)
    world.clock.advance(world.limits.upload_auth_seconds * 1_000 - 1)
    assert await world.media.upload_status(user, auth, TOKEN) == (0, "")
    world.clock.advance(1)
    with refused(Reason.UPLOAD_AUTH_INVALID):
        await world.media.upload_status(user, auth, TOKEN)
    fresh = await world.media.grant_upload(user)
    assert await world.media.upload_status(user, fresh, TOKEN) == (0, "")


async def test_a_permission_holds_at_every_node(world: World) -> None:
    """Also after a restart, and no matter how many more were given: nobody keeps them (MED-05)."""
    user = await world.whatsapp_user()
    auths = [await world.media.grant_upload(user) for _ in range(300)]
    assert len({*auths}) == len(auths)
    other_node = replace(world.media, rng=SeededRng(8, 1, "another node"))
    for auth in (auths[0], auths[-1]):
        assert await other_node.upload_status(user, auth, TOKEN) == (0, "")
    assert await world.media.upload_status(user, await other_node.grant_upload(user), TOKEN) == (0, "")


async def test_a_permission_cannot_be_made_from_another(world: World) -> None:
    """With any bit of it changed, for another account, or for longer than any holds (MED-05)."""
    user = await world.whatsapp_user()
    granted = decode_base64url(await world.media.grant_upload(user), 32)
    for bit in range(len(granted) * 8):
        changed = (int.from_bytes(granted, "big") ^ 1 << bit).to_bytes(len(granted), "big")
        with refused(Reason.UPLOAD_AUTH_INVALID):
            await world.media.upload_status(user, encode_base64url(changed), TOKEN)
    for another in (replace(user, account_id=77), replace(user, auth_key=bytes(32)), replace(user, jid="1@w")):
        with refused(Reason.UPLOAD_AUTH_INVALID):
            await world.media.upload_status(another, encode_base64url(granted), TOKEN)
    of_later = replace(world.media, clock=ManualClock(world.clock.now_ms() + 1))
    with refused(Reason.UPLOAD_AUTH_INVALID):
        await world.media.upload_status(user, await of_later.grant_upload(user), TOKEN)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "==",
        "+" + TOKEN[1:],
        "é" * 43,
        "../" + TOKEN[3:],
        "\ud800" * 43,
    ],
)
async def test_an_upload_token_is_the_hash_in_base64url(world: World, token: str) -> None:
    """43 characters, nothing else (MED-05)."""
    user = await world.whatsapp_user()
    auth = await world.media.grant_upload(user)
    with refused(Reason.UPLOAD_TOKEN_INVALID):
        await world.media.start_upload(user, UploadRequest(auth, token, 1, 0))
    with refused(Reason.UPLOAD_TOKEN_INVALID):
        await world.media.upload_status(user, auth, token)


@given(st.binary(min_size=32, max_size=32))
def test_every_hash_has_its_token(sha256: bytes) -> None:
    """One, without padding (MED-05)."""
    assert parse_upload_token(encode_base64url(sha256)) == sha256


@pytest.mark.parametrize(
    ("length", "reason"),
    [(0, Reason.UPLOAD_LENGTH_MISMATCH), (-1, Reason.UPLOAD_LENGTH_MISMATCH), (101, Reason.BLOB_TOO_LARGE)],
)
async def test_the_declared_length_is_bounded(build_world: BuildWorld, length: int, reason: Reason) -> None:
    """Before a byte is taken (MED-07)."""
    world = await build_world(max_blob_bytes=100)
    user = await world.whatsapp_user()
    with refused(reason):
        await world.media.start_upload(user, announced(await world.media.grant_upload(user), length=length))
    for most in (1, 100):
        assert await downloaded(world, await uploaded(world, user, bytes(most))) == bytes(most)


async def test_more_than_was_declared_is_refused_at_once(world: World) -> None:
    """And what came is thrown away (MED-07)."""
    user = await world.whatsapp_user()
    auth = await world.media.grant_upload(user)
    upload = await started(world, user, announced(auth, length=10))
    await upload.write(BLOB[:10])
    with refused(Reason.UPLOAD_LENGTH_MISMATCH):
        await upload.write(BLOB[10:11])
    assert await world.media.upload_status(user, auth, TOKEN) == (0, "")


async def test_less_than_was_declared_is_no_blob_yet(world: World) -> None:
    """An upload that ends too early is refused and goes on where it ended, like one that broke (MED-07)."""
    user = await world.whatsapp_user()
    auth = await world.media.grant_upload(user)
    upload = await started(world, user, announced(auth))
    await upload.write(BLOB[:-1])
    with refused(Reason.UPLOAD_LENGTH_MISMATCH):
        await upload.finish()
    assert await world.media.upload_status(user, auth, TOKEN) == (len(BLOB) - 1, "")
    rest = await started(world, user, announced(auth, offset=len(BLOB) - 1))
    await rest.write(BLOB[-1:])
    assert await downloaded(world, await rest.finish()) == BLOB


async def test_bytes_that_do_not_hash_to_the_token_are_no_blob(world: World) -> None:
    """Nobody can put other content under a hash (MED-05)."""
    user = await world.whatsapp_user()
    auth = await world.media.grant_upload(user)
    upload = await started(world, user, announced(auth))
    await upload.write(BLOB[:-1] + b"x")
    with refused(Reason.UPLOAD_HASH_MISMATCH):
        await upload.finish()
    assert await world.media.upload_status(user, auth, TOKEN) == (0, "")
    assert (await world.store.count_rows())["media"] == 0


async def test_an_upload_is_resumed_where_it_stopped(world: World) -> None:
    """Status says where to go on; any other offset is refused without harm (MED-07)."""
    user = await world.whatsapp_user()
    auth = await world.media.grant_upload(user)
    upload = await started(world, user, announced(auth))
    await upload.write(BLOB[:1000])
    with refused(Reason.UPLOAD_OFFSET_MISMATCH):
        await world.media.start_upload(user, announced(auth))
    await upload.suspend()
    assert await world.media.upload_status(user, auth, TOKEN) == (1000, "")
    for wrong in (0, 999, 1001):
        with refused(Reason.UPLOAD_OFFSET_MISMATCH):
            await world.media.start_upload(user, announced(auth, offset=wrong))
    resumed = await started(world, user, announced(auth, offset=1000))
    await resumed.write(BLOB[1000:])
    path = await resumed.finish()
    assert await world.media.upload_status(user, auth, TOKEN) == (len(BLOB), path)
    assert await downloaded(world, path) == BLOB


async def test_what_is_there_already_is_not_sent_again(world: World) -> None:
    """Its uploader gets the path at once, and its life begins anew (MED-07)."""
    user = await world.whatsapp_user()
    path = await uploaded(world, user)
    world.clock.advance(THIRTY_DAYS_MS - 1)
    assert await world.media.start_upload(user, announced(await world.media.grant_upload(user))) == path
    world.clock.advance(THIRTY_DAYS_MS - 1)
    assert await downloaded(world, path) == BLOB


@pytest.mark.requirement("MED-05", "MED-07")
async def test_nobody_gets_in_the_way_of_somebody_elses_upload(world: World) -> None:
    """Who knows its hash can neither hold it up, nor spoil it, nor learn of it (MED-05, MED-07)."""
    user, eve = await world.whatsapp_user(), await world.whatsapp_user("+33612345678")
    grants = {account.account_id: await world.media.grant_upload(account) for account in (user, eve)}
    holding = await started(world, eve, announced(grants[eve.account_id]))
    await holding.write(b"poison")
    upload = await started(world, user, announced(grants[user.account_id]))
    await upload.write(BLOB[:100])
    await holding.suspend()
    await upload.suspend()
    assert await world.media.upload_status(user, grants[user.account_id], TOKEN) == (100, "")
    assert await world.media.upload_status(eve, grants[eve.account_id], TOKEN) == (6, "")
    upload = await started(world, user, announced(grants[user.account_id], offset=100))
    await upload.write(BLOB[100:])
    path = await upload.finish()
    assert await world.media.upload_status(eve, grants[eve.account_id], TOKEN) == (6, "")
    assert await downloaded(world, path) == BLOB


@pytest.mark.requirement("MED-07")
async def test_two_who_upload_the_same_have_a_blob_each(world: World) -> None:
    """With paths and lives of their own (MED-04, MED-07)."""
    user, other = await world.whatsapp_user(), await world.whatsapp_user("+33612345678")
    first = await uploaded(world, user)
    world.clock.advance(DAY_MS)
    second = await uploaded(world, other)
    assert first != second
    world.clock.advance(THIRTY_DAYS_MS - DAY_MS + 1)
    assert await world.sweep() == {"blobs": 1}
    assert await reason_of_download(world, first) is Reason.BLOB_EXPIRED
    assert await downloaded(world, second) == BLOB


async def test_blobs_are_swept_one_after_the_other(world: World) -> None:
    """In steps of any size, the oldest first."""
    paths = []
    for number in range(5):
        paths.append(await uploaded(world, await world.whatsapp_user(f"+3361234567{number}")))
        world.clock.advance(1)
    [sweep] = [each for each in world.media.sweeps() if each.name == "blobs"]
    world.clock.advance(THIRTY_DAYS_MS)
    now_ms = world.clock.now_ms()
    assert [await sweep.delete(now_ms, most) for most in (1, 1, 2, 2, 2)] == [1, 1, 2, 1, 0]
    assert [await reason_of_download(world, path) for path in paths] == [Reason.BLOB_EXPIRED] * 5


async def reason_of_download(world: World, path: str) -> Reason:
    try:
        await downloaded(world, path)
    except Refusal as refusal:
        return refusal.reason
    raise AssertionError("not refused")


async def test_expired_and_unknown_are_told_apart(world: World) -> None:
    """An expired path is 410, an unknown one 404, also after the bytes are swept away (MED-04, MED-07)."""
    user = await world.whatsapp_user()
    path = await uploaded(world, user)
    world.clock.advance(THIRTY_DAYS_MS - 1)
    assert await downloaded(world, path) == BLOB
    for _ in range(2):
        world.clock.advance(1)
        assert await reason_of_download(world, path) is Reason.BLOB_EXPIRED
        assert await reason_of_download(world, path + "x") is Reason.BLOB_NOT_FOUND
        await world.sweep()
    auth = await world.media.grant_upload(user)
    assert await world.media.upload_status(user, auth, TOKEN) == (0, "")
    assert await uploaded(world, user) == path
    assert await downloaded(world, path) == BLOB


async def test_an_expired_path_stays_expired(world: World) -> None:
    """Also when nothing about the blob is kept any more, and in the next process: 410 never becomes 404 (MED-04)."""
    path = await uploaded(world, await world.whatsapp_user())
    for _ in range(4):
        world.clock.advance(THIRTY_DAYS_MS)
        await world.sweep()
        assert await reason_of_download(world, path) is Reason.BLOB_EXPIRED
    assert await world.store.media.get(path) is None
    changed = path[:-1] + ("A" if path[-1] != "A" else "B")
    for unknown in (changed, path + "x", path[:-1], path.swapcase(), "/v/t"):
        assert await reason_of_download(world, unknown) is Reason.BLOB_NOT_FOUND


async def test_a_blob_that_was_lost_can_be_uploaded_again(world: World, tmp_path: Path) -> None:
    """Metadata without bytes is no blob (MED-04)."""
    user = await world.whatsapp_user()
    path = await uploaded(world, user)
    await world.blobs.delete(blob_name(user.account_id, hashlib.sha256(BLOB).digest()))
    assert await reason_of_download(world, path) is Reason.BLOB_EXPIRED
    assert await uploaded(world, user) == path
    assert await downloaded(world, path) == BLOB


RANGES = [
    (None, None, (0, 100)),
    (0, None, (0, 100)),
    (0, 1, (0, 1)),
    (99, None, (99, 1)),
    (99, 50, (99, 1)),
    (10, 20, (10, 20)),
    (None, 30, (0, 30)),
    (0, 10**30, (0, 100)),
]


@pytest.mark.parametrize(("offset", "length", "expected"), RANGES)
async def test_a_range_is_cut_to_the_blob(
    world: World, offset: int | None, length: int | None, expected: tuple[int, int]
) -> None:
    """What lies inside is sent, and said (MED-04)."""
    assert check_range(100, offset, length) == expected
    path = await uploaded(world, await world.whatsapp_user(), BLOB[:100])
    assert await downloaded(world, path, offset, length) == BLOB[expected[0] : sum(expected)]


@pytest.mark.parametrize(("offset", "length"), [(100, None), (100, 1), (10**30, None), (0, 0), (None, 0), (50, 0)])
async def test_a_range_outside_of_the_blob_is_refused(world: World, offset: int | None, length: int | None) -> None:
    """Nothing to send is a refusal that says how long the blob is (MED-04)."""
    path = await uploaded(world, await world.whatsapp_user(), BLOB[:100])
    with refused(Reason.RANGE_INVALID) as caught:
        await downloaded(world, path, offset, length)
    assert "100" in caught.value.detail


@given(st.integers(1, 1000), st.none() | st.integers(0, 2000), st.none() | st.integers(0, 2000))
def test_a_range_never_leaves_the_blob(total: int, offset: int | None, length: int | None) -> None:
    """Whatever is asked for (MED-04)."""
    try:
        start, count = check_range(total, offset, length)
    except Refusal as refusal:
        assert refusal.reason is Reason.RANGE_INVALID
        assert (offset or 0) >= total or length == 0
    else:
        assert start == (offset or 0)
        assert 1 <= count <= total - start
        assert length is None or count <= length


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v",
        "/v/t",
        "/v/../etc/passwd",
        "/v/t' OR 1=1 --",
        "/interop/whatsapp/download",
        "interop",
        "\0",
        "é" * 9,
    ],
)
async def test_a_path_that_was_never_given_out_is_not_found(world: World, path: str) -> None:
    """Paths are looked up, never opened (MED-04)."""
    await uploaded(world, await world.whatsapp_user())
    assert await reason_of_download(world, path) is Reason.BLOB_NOT_FOUND


@pytest.fixture
async def media_url() -> AsyncIterator[str]:
    """A partner's media server on loopback that has one blob, `/media/blob-1`, and tells what it was asked."""

    async def answer(request: web.Request) -> web.Response:
        asked = {"X-Asked": ",".join(sorted(request.headers))}
        if request.path != "/media/blob-1":
            return web.Response(status=404, headers=asked)
        return web.Response(body=BLOB, headers=asked)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/media"
    await runner.cleanup()


async def test_a_partners_blob_comes_through_the_proxy(world: World, media_url: str) -> None:
    """Whole or a range, with or without the slash at the end (MED-02)."""
    await world.register(partner(BATS, media_url=media_url))
    path = f"{PROXY_PREFIX}{BATS}/blob-1"
    assert await downloaded(world, f"{path}/") == await downloaded(world, path) == BLOB
    assert await downloaded(world, path, 1000) == BLOB[1000:]
    assert await downloaded(world, path, 1000, 10) == BLOB[1000:1010]
    assert await downloaded(world, path, None, 10**9) == BLOB
    async with world.media.open_download(path, 2_300, 100) as download:
        assert (download.total_bytes, download.offset, download.length) == (len(BLOB), 2_300, len(BLOB) - 2_300)
    assert await reason_of_download(world, f"{PROXY_PREFIX}{BATS}/blob-2/") is Reason.BLOB_NOT_FOUND


@pytest.fixture
async def media_url_without_length() -> AsyncIterator[str]:
    """A partner's media server that does not say how long its blob is."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(BLOB)
        await response.write_eof()
        return response

    application = web.Application()
    application.router.add_get("/blob-1", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_partner_need_not_say_how_long_a_blob_is(world: World, media_url_without_length: str) -> None:
    """Then the proxy does not say it either (MED-02)."""
    await world.register(partner(BATS, media_url=media_url_without_length))
    async with world.media.open_download(f"{PROXY_PREFIX}{BATS}/blob-1/", None, None) as download:
        assert (download.total_bytes, download.length) == (None, None)
        assert b"".join([chunk async for chunk in download.chunks]) == BLOB


@pytest.mark.parametrize(
    "place",
    [
        *("", "/", "100", "100/", "100//", "/ref", "0/ref", "1000/ref", "00100/ref", "-1/ref", "+1/ref", "1e2/ref"),
        *(
            "\u0661\u0660\u0660/ref",
            "100/.",
            "100/..",
            "100/../secret",
            "100/.hidden",
            "100/a/b",
            "100/a//",
            "100//ref",
        ),
        *("100/%2e%2e", "100/a%2Fb", "100/a?b", "100/a#b", "100/a\\b", "100/a b", "100/a\n", "100/a\0", "100/a:b@c"),
        *("100/é", "100/" + "a" * 257, "100/@evil.example", "100/\ud800"),
    ],
)
async def test_a_hostile_storage_reference_never_reaches_a_partner(world: World, media_url: str, place: str) -> None:
    """One path segment of harmless characters, and nothing else (MED-03)."""
    await world.register(partner(BATS, media_url=media_url))
    assert await reason_of_download(world, PROXY_PREFIX + place) is Reason.STORAGE_REFERENCE_INVALID


async def test_the_proxy_asks_only_active_partners_that_host_media(world: World, media_url: str) -> None:
    """Unknown, without a media server, not active: not found (MED-02, MED-03, ENL-01)."""
    await world.register(partner(BATS, media_url=media_url, status=PartnerStatus.SUSPENDED), partner(OWLS))
    for integrator in (BATS, OWLS, 998):
        assert await reason_of_download(world, f"{PROXY_PREFIX}{integrator}/blob-1/") is Reason.BLOB_NOT_FOUND
