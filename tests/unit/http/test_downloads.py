"""Downloads over HTTP: whole, in ranges, from the store and through the media proxy (MED-02, MED-03, MED-04, T11)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession, TCPConnector, web

from interop_protocol.encoding import media_token
from interop_server.blobs.local import LocalBlobStore
from interop_server.core.journal import Journal
from interop_server.core.limits import DAY_MS, Limits
from interop_server.core.media.media import Media, UploadRequest
from interop_server.core.media.strays import blob_name
from interop_server.core.model import Account, Partner, PartnerStatus, Platform
from interop_server.core.ratelimit import OwnBuckets, Rates
from interop_server.core.seats import Seats
from interop_server.core.store import Store
from interop_server.fault_gate import FaultGate
from interop_server.http import downloads
from interop_server.http.listener import listen
from interop_server.http.partner_media import HttpPartnerMediaSource
from interop_server.http.surface import build_application, serve
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock
from tests.stores import open_store

ServePartner = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
BLOB = bytes(range(256)) * 8_192
LIMITS = Limits(partner_media_seconds=5.0)
PROXY = "/interop/whatsapp/download"


@dataclass
class World:
    """A served media store and what is behind it."""

    media: Media
    store: Store
    blobs: LocalBlobStore
    clock: ManualClock
    user: Account
    port: int

    async def upload(self, content: bytes = BLOB) -> str:
        token = media_token(hashlib.sha256(content).digest())
        request = UploadRequest(await self.media.grant_upload(self.user), token, len(content), 0)
        upload = await self.media.start_upload(self.user, request)
        assert not isinstance(upload, str)
        await upload.write(content)
        return await upload.finish()


@pytest.fixture
async def world(tmp_path: Path, journal: Journal, gate: FaultGate) -> AsyncIterator[World]:
    clock = ManualClock(1_700_000_000_000)
    store, blobs = await open_store(tmp_path / "store"), LocalBlobStore(tmp_path / "blobs", clock)
    seats = Seats(LIMITS)
    rate = Rates(clock, LIMITS, OwnBuckets(clock)).shared("upload")
    media = Media(store, blobs, HttpPartnerMediaSource(LIMITS, seats), clock, SeededRng(1), LIMITS, rate)
    user = await store.accounts.put_whatsapp_user(
        "4915112345678@s.whatsapp.net", "4915112345678", bytes(32), Platform.ANDROID, clock.now_ms()
    )

    async def nothing(*_: object) -> Any:
        raise AssertionError("downloads enlist nobody and serve no key set")

    application = build_application(nothing, media, nothing, journal, seats, gate)
    server = listen("127.0.0.1", 0)
    await server.serve(lambda sock: serve(application, sock, 100, 20))
    yield World(media, store, blobs, clock, user, server.port)
    await server.stop()
    await store.close()


@pytest.fixture
async def session(world: World) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"http://127.0.0.1:{world.port}") as client:
        yield client


async def refused(session: ClientSession, path: str, status: int, reason: str, **headers: str) -> Any:
    async with session.get(path, headers=headers) as response:
        assert response.status == status
        body = await response.json()
        fields = {"reason", "requirement", "advice", "recovery", "code", "request_id"}
        assert body.keys() - {"retry_after_ms"} == fields
        assert ("retry_after_ms" in body) == (body["recovery"] in ("same_again", "reconnect"))
        assert body["reason"] == reason
        return response


@pytest.mark.requirement("MED-04")
async def test_a_blob_is_served_whole(world: World, session: ClientSession) -> None:
    """With the headers that the documents name; HEAD has the same ones and no body."""
    path = await world.upload()
    for method in ("GET", "HEAD"):
        async with session.request(method, path) as response:
            assert response.status == 200
            assert response.headers["Content-Length"] == str(len(BLOB))
            assert response.headers["Content-Type"] == "application/octet-stream"
            assert response.headers["Accept-Ranges"] == "bytes"
            assert response.headers["Server"] == "interopsim"
            assert await response.read() == (BLOB if method == "GET" else b"")


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=1-"}])
async def test_a_connection_goes_on_after_a_download(
    world: World, session: ClientSession, headers: dict[str, str]
) -> None:
    """Only what is cut short ends it: an end would take what is still on its way to a slow reader."""
    path, ends = await world.upload(), set()
    for _ in range(3):
        async with session.get(path, headers=headers) as response:
            assert response.connection is not None and response.connection.transport is not None
            ends.add(response.connection.transport.get_extra_info("sockname"))
            assert (await response.read())[-256:] == BLOB[-256:]
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-1000004", 5, 1_000_004),
        ("bytes=100-", 100, len(BLOB) - 1),
        ("bytes=100-99999999999", 100, len(BLOB) - 1),
        ("bytes=-10", len(BLOB) - 10, len(BLOB) - 1),
        ("bytes=-99999999999", 0, len(BLOB) - 1),
    ],
)
async def test_one_range_is_served(world: World, session: ClientSession, header: str, first: int, last: int) -> None:
    """Of each of the forms that HTTP has."""
    async with session.get(await world.upload(), headers={"Range": header}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(BLOB)}"
        assert response.content_length == last - first + 1
        assert await response.read() == BLOB[first : last + 1]


@pytest.mark.parametrize("header", [f"bytes={len(BLOB)}-", f"bytes={len(BLOB)}-{len(BLOB)}", "bytes=-0"])
async def test_a_range_outside_is_refused(world: World, session: ClientSession, header: str) -> None:
    """And the answer says how long the blob is."""
    response = await refused(session, await world.upload(), 416, "range_invalid", Range=header)
    assert response.headers["Content-Range"] == f"bytes */{len(BLOB)}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,3-4"},
        {"Range": "bytes=5-4"},
        {"Range": "bytes=-"},
        {"Range": "lines=0-1"},
        {"Range": "bytes=0-٣"},
        {"Range": "bytes=0-" + "9" * 100},
        {"Range": "bytes=0-1", "If-Range": '"tag"'},
    ],
)
async def test_a_range_that_is_not_understood_is_ignored(
    world: World, session: ClientSession, headers: dict[str, str]
) -> None:
    """As HTTP allows: the whole blob is a good answer."""
    async with session.get(await world.upload(), headers=headers) as response:
        assert (response.status, await response.read()) == (200, BLOB)


@pytest.mark.requirement("MED-04")
async def test_unknown_and_expired_blobs_are_told_apart(world: World, session: ClientSession) -> None:
    """404 for a path that never was, 410 for one whose time has passed, and for one whose bytes are gone (MED-08)."""
    path = await world.upload()
    gone = await world.upload(b"other")
    await world.blobs.delete(blob_name(world.user.account_id, hashlib.sha256(b"other").digest()))
    await refused(session, gone, 410, "blob_expired")
    await refused(session, f"{path}x", 404, "blob_not_found")
    await refused(session, "/v/t", 404, "blob_not_found")
    world.clock.advance(LIMITS.media_days * DAY_MS)
    await refused(session, path, 410, "blob_expired")
    async with session.head(path) as response:
        assert response.status == 410


@pytest.fixture
def add_partner(world: World, partner: Callable[..., Partner]) -> Callable[[str], Awaitable[Partner]]:
    """Registers a partner that hosts media under a base URL."""

    async def add(base_url: str, **changes: Any) -> Partner:
        registered = replace(partner(base_url), **changes)
        await world.store.partners.put(registered)
        return registered

    return add


@pytest.mark.requirement("MED-02", "MED-03")
async def test_a_partners_blob_is_passed_through(
    session: ClientSession, add_partner: Callable[..., Awaitable[Partner]], serve_partner: ServePartner
) -> None:
    """Whole or a range; the partner sees the reference and nothing of who asks (MED-02)."""
    requests: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(body=BLOB, content_type="image/png")

    await add_partner(await serve_partner(answer))
    path, private = f"{PROXY}/100/ref_1.x~y-z/", {"Cookie": "who=ada", "X-Forwarded-For": "192.0.2.7", "Referer": "r"}
    async with session.get(path, headers=private) as response:
        assert (response.status, await response.read()) == (200, BLOB)
        assert response.headers["Content-Type"] == "application/octet-stream"
    async with session.get(path, headers={"Range": "bytes=-300"}) as response:
        assert (response.status, await response.read()) == (206, BLOB[-300:])
    assert {request.path for request in requests} == {"/media/ref_1.x~y-z"}
    for request in requests:
        assert not request.headers.keys() & {"Cookie", "X-Forwarded-For", "Forwarded", "Referer", "Via"}


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-9", "bytes=-1"])
async def test_no_part_of_a_partners_empty_blob_can_be_asked_for(
    session: ClientSession, add_partner: Callable[..., Awaitable[Partner]], serve_partner: ServePartner, header: str
) -> None:
    """No Content-Range says that a part has no bytes (RFC 9110, section 14.4)."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"")

    await add_partner(await serve_partner(answer))
    response = await refused(session, f"{PROXY}/100/empty/", 416, "range_invalid", Range=header)
    assert response.headers["Content-Range"] == "bytes */0"


@pytest.mark.requirement("SIM-06", "MED-03")
async def test_one_address_does_not_take_all_that_partners_servers_are_asked_for(
    world: World,
    session: ClientSession,
    add_partner: Callable[..., Awaitable[Partner]],
    serve_partner: ServePartner,
) -> None:
    """However slowly it reads: others still get their blobs, and it gets those that the server stores itself."""
    path, most, asked = f"{PROXY}/100/r/", Limits().address_partner_media, list[str]()
    all_wait, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/slow"):
            asked.append(request.path)
            if len(asked) == most:
                all_wait.set()
            await go_on.wait()
        return web.Response(body=BLOB)

    async def get_slowly() -> bytes:
        async with session.get(f"{PROXY}/100/slow/") as response:
            return await response.read()

    await add_partner(await serve_partner(answer))
    own = await world.upload()
    slow = [asyncio.create_task(get_slowly()) for _ in range(most)]
    await all_wait.wait()
    await refused(session, path, 429, "rate_limited")
    async with session.get(own) as response:
        assert (response.status, await response.read()) == (200, BLOB)
    elsewhere = TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        ClientSession(f"http://127.0.0.1:{world.port}", connector=elsewhere) as other,
        other.get(path) as response,
    ):
        assert (response.status, await response.read()) == (200, BLOB)
    go_on.set()
    assert await asyncio.gather(*slow) == [BLOB] * most
    async with session.get(path) as response:
        assert (response.status, await response.read()) == (200, BLOB)


async def test_a_partner_that_says_no_length_is_passed_through(
    session: ClientSession, add_partner: Callable[..., Awaitable[Partner]], serve_partner: ServePartner
) -> None:
    """Then neither does the proxy, and no range can say where it ends: the whole blob comes, never a part as 200."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(BLOB)
        return response

    await add_partner(await serve_partner(answer))
    for header in ("", "bytes=-300", "bytes=10-", "bytes=0-9", "bytes=10-19"):
        async with session.get(f"{PROXY}/100/r/", headers={"Range": header}) as response:
            assert (response.status, response.content_length, await response.read()) == (200, None, BLOB)


@pytest.mark.parametrize(
    ("partner_status", "status", "reason"),
    [
        (404, 404, "blob_not_found"),
        (410, 404, "blob_not_found"),
        (500, 502, "partner_media_unavailable"),
        (302, 502, "partner_media_unavailable"),
    ],
)
async def test_a_partners_trouble_has_its_status(
    session: ClientSession,
    add_partner: Callable[..., Awaitable[Partner]],
    serve_partner: ServePartner,
    partner_status: int,
    status: int,
    reason: str,
) -> None:
    """A blob that the partner does not have is not found; everything else is a bad gateway."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=partner_status, headers={"Location": "http://127.0.0.1:1/"})

    await add_partner(await serve_partner(answer))
    await refused(session, f"{PROXY}/100/r/", status, reason)


@pytest.mark.parametrize(
    ("integrator", "changes"),
    [(200, {}), (100, {"media_url": ""}), (100, {"status": PartnerStatus.SUSPENDED})],
    ids=["unknown", "hosts nothing", "suspended"],
)
async def test_only_a_registered_active_partner_is_asked(
    session: ClientSession,
    add_partner: Callable[..., Awaitable[Partner]],
    closed_port: str,
    integrator: int,
    changes: dict[str, Any],
) -> None:
    """Any other looks like an unknown blob."""
    await add_partner(closed_port, **changes)
    await refused(session, f"{PROXY}/{integrator}/r/", 404, "blob_not_found")


@pytest.mark.parametrize("declared", [True, False], ids=["declared length", "chunked"])
async def test_a_blob_that_breaks_off_is_not_taken_for_a_whole_one(
    session: ClientSession,
    add_partner: Callable[..., Awaitable[Partner]],
    serve_bytes: Callable[..., Awaitable[str]],
    declared: bool,
) -> None:
    """The partner breaks off after the head went out: the reader's connection breaks off too."""
    head = b"Content-Length: 300000" if declared else b"Transfer-Encoding: chunked"
    sent = b"x" * 200_000 if declared else b"30d40\r\n" + b"x" * 200_000 + b"\r\n"
    await add_partner(await serve_bytes(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + sent))
    with pytest.raises((ClientPayloadError, ConnectionError)):
        async with session.get(f"{PROXY}/100/r/") as response:
            await response.read()


async def raw_status(port: int, target: str) -> tuple[int, bytes]:
    """Sends a request target as it is: a client library would tidy it up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"{PROXY}/100/../", 400),
        (f"{PROXY}/100/%2e%2e/", 400),
        (f"{PROXY}/100/%2E%2E%2Fsecret/", 400),
        (f"{PROXY}/100/a%2Fb/", 400),
        (f"{PROXY}/100/a%252Fb/", 400),
        (f"{PROXY}/100/a/b/", 400),
        (f"{PROXY}/100/a//", 400),
        (f"{PROXY}/100//", 400),
        (f"{PROXY}/100/", 400),
        (f"{PROXY}/100/../../../../3p/interop_reg", 400),
        (f"{PROXY}/100/%2e%2e/%2e%2e/%2e%2e/%2e%2e/.well-known/jwks", 400),
        (f"{PROXY}/100/a\\b/", 400),
        (f"{PROXY}/100/http:%2F%2Fevil.example/", 400),
        (f"{PROXY}/100/@evil.example/", 400),
        (f"{PROXY}/100/%00/", 400),
        (f"{PROXY}/100/%C3%A9/", 400),
        (f"{PROXY}/100/{'r' * 257}/", 400),
        (f"{PROXY}/0/r/", 400),
        (f"{PROXY}/1000/r/", 400),
        (f"{PROXY}/0100/r/", 400),
        (f"{PROXY}/-1/r/", 400),
        (f"{PROXY}/../v/tabc", 400),
        ("/v/t../../etc/passwd", 404),
        ("/v/t%2e%2e%2fetc%2fpasswd", 404),
        ("/v/../v/tabc", 404),
        ("/v%2Ftabc", 404),
        ("//v/tabc", 404),
        ("/v/t?" + "x" * 1_000, 404),
    ],
)
async def test_a_path_is_taken_as_written(
    world: World,
    add_partner: Callable[..., Awaitable[Partner]],
    serve_partner: ServePartner,
    target: str,
    status: int,
) -> None:
    """No dot segment and no escape turns one path into another, and the partner is not asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(body=BLOB)

    await add_partner(await serve_partner(answer))
    got, answer_bytes = await raw_status(world.port, target)
    assert got == status
    assert b'"reason"' in answer_bytes
    assert asked == []


async def test_a_target_with_a_host_is_no_open_proxy(world: World, closed_port: str) -> None:
    """Asked for a foreign address as a proxy would be, the server looks at the path alone."""
    status, _ = await raw_status(world.port, f"{closed_port}/v/tabc")
    assert status == 404


async def test_a_reader_that_leaves_before_the_first_byte_is_no_fault(
    world: World,
    session: ClientSession,
    add_partner: Callable[..., Awaitable[Partner]],
    serve_partner: ServePartner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While the partner's server thinks about it: nothing is logged but that the download broke off."""
    caplog.set_level("INFO")
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        is_asked.set()
        await may_answer.wait()
        return web.Response(body=b"blob")

    await add_partner(await serve_partner(answer))
    _, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(f"GET {PROXY}/100/r/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await is_asked.wait()
    writer.close()
    await writer.wait_closed()
    await refused(session, "/v/tAAAA", 404, "blob_not_found")  # by now the server has seen the reader leave
    may_answer.set()
    async with asyncio.timeout(5):
        while "a download broke off" not in caplog.text:
            await refused(session, "/v/tAAAA", 404, "blob_not_found")
    assert "ERROR" not in caplog.text


@pytest.mark.requirement("SIM-06")
async def test_a_reader_that_takes_nothing_is_given_up(
    world: World,
    session: ClientSession,
    add_partner: Callable[..., Awaitable[Partner]],
    serve_partner: ServePartner,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its time, which is shorter here: its connection ends, and with it the request to the partner."""
    caplog.set_level("INFO")
    monkeypatch.setattr(downloads, "SEND_SECONDS", 0.05)
    await add_partner(await serve_partner(endless))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1)
    writer.write(f"GET {PROXY}/100/r/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(20):
        while "a download broke off: TimeoutError" not in caplog.text:
            await refused(session, "/v/tAAAA", 404, "blob_not_found")
        with suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
    writer.close()


async def endless(request: web.Request) -> web.StreamResponse:
    """Serves a blob that goes on as long as somebody takes it."""
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(bytes(1 << 20))
    return response


async def test_nothing_of_what_is_no_request_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A client that counts its bytes wrongly sends its token where a request line should be."""
    caplog.set_level("DEBUG")
    for request in (
        b"POST /3p/interop_reg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\ntoken=canary-token\r\n\r\n",
        b"GET /\xff\xfe?token=canary-token HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX canary-token: y\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request)
        async with asyncio.timeout(5):
            assert b" 400 " in (await reader.read()).split(b"\r\n")[0]
        writer.close()
        await writer.wait_closed()
    assert "a request was not HTTP" in caplog.text
    assert "canary" not in caplog.text
