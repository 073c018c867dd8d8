"""Blobs are fetched from partners' servers and from nowhere else, within bounds (MED-02, MED-03, T11)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.http.outbound import PROXIED
from interop_server.http.partner_media import GATHER_BYTES, HttpPartnerMediaSource

ServePartner = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
ServeBytes = Callable[..., Awaitable[str]]
BLOB = bytes(range(256)) * 1_024
LIMITS = Limits(max_blob_bytes=len(BLOB), partner_media_seconds=5.0)
HASTY = Limits(max_blob_bytes=len(BLOB), partner_media_seconds=0.05)


async def fetch(
    media_url: str, offset: int = 0, length: int | None = None, limits: Limits = LIMITS, reference: str = "r1"
) -> tuple[int | None, bytes]:
    async with HttpPartnerMediaSource(limits).fetch(media_url, reference, offset, length) as media:
        assert media.offset == offset
        return media.total_bytes, b"".join([chunk async for chunk in media.chunks])


async def refused(reason: Reason, call: Awaitable[object]) -> None:
    with pytest.raises(Refusal) as caught:
        await call
    assert caught.value.reason is reason


async def ignore_ranges(_: web.Request) -> web.Response:
    return web.Response(body=BLOB)


async def honour_ranges(request: web.Request) -> web.Response:
    wanted = request.http_range
    start, stop, _ = slice(wanted.start, wanted.stop).indices(len(BLOB))
    if start >= len(BLOB):
        return web.Response(status=416)
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(BLOB)}"} if "Range" in request.headers else {}
    return web.Response(status=206 if headers else 200, body=BLOB[start:stop], headers=headers)


async def stream_unknown_length(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, len(BLOB), 10_000):
        await response.write(BLOB[start : start + 10_000])
    return response


SERVERS = {"honours ranges": honour_ranges, "ignores ranges": ignore_ranges, "says no length": stream_unknown_length}
RANGES = [(0, None), (0, 1), (1, 2), (100_000, 70_000), (len(BLOB) - 1, None), (len(BLOB) - 1, 1), (5, len(BLOB))]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("offset", "length"), RANGES)
async def test_a_range_is_the_same_from_every_kind_of_server(
    serve_partner: ServePartner, server: str, offset: int, length: int | None
) -> None:
    """Whether it honours ranges, ignores them, or does not even say how long the blob is."""
    total, content = await fetch(await serve_partner(SERVERS[server]), offset, length)
    assert content == BLOB[offset:][:length]
    assert total == (None if server == "says no length" else len(BLOB))


@pytest.mark.requirement("SIM-06")
async def test_so_many_are_asked_for_at_once(serve_partner: ServePartner) -> None:
    """Whoever asks, and of whichever messenger: one too many is refused unasked; when one has ended there is room."""
    url, asked = await serve_partner(SERVERS["honours ranges"]), 0
    source = HttpPartnerMediaSource(Limits(partner_media_requests=1))
    async with source.fetch(url, "r1", 0, 1):
        with pytest.raises(Refusal) as caught:
            async with source.fetch("http://127.0.0.1:1", "r2", 0, 1):
                asked += 1
    assert (caught.value.reason, caught.value.requirement, asked) == (Reason.RATE_LIMITED, "SIM-06", 0)
    assert caught.value.retry_after_ms
    async with source.fetch(url, "r1", 0, 1) as media:
        assert [chunk async for chunk in media.chunks] == [BLOB[:1]]


@pytest.mark.requirement("SIM-06", "MED-03")
async def test_a_server_that_does_not_answer_leaves_room_for_others(serve_partner: ServePartner) -> None:
    """However many ask for its blobs, from wherever; when it has answered, there is room again."""
    all_wait, go_on, most = asyncio.Event(), asyncio.Event(), Limits().partner_media_each
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) == most:
            all_wait.set()
        await go_on.wait()
        return web.Response(body=BLOB)

    async def first_byte(url: str) -> bytes:
        async with source.fetch(url, "r1", 0, None) as media:
            return (await anext(media.chunks))[:1]

    slow, quick = await serve_partner(answer), await serve_partner(SERVERS["honours ranges"])
    source = HttpPartnerMediaSource(Limits())
    waiting = [asyncio.create_task(first_byte(slow)) for _ in range(most)]
    await all_wait.wait()
    await refused(Reason.RATE_LIMITED, first_byte(slow))
    assert [await first_byte(quick), len(asked)] == [BLOB[:1], most]
    go_on.set()
    assert await asyncio.gather(*waiting, first_byte(quick)) == [BLOB[:1]] * (most + 1)
    assert await first_byte(slow) == BLOB[:1]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("offset", "length"), [(len(BLOB), None), (len(BLOB) + 1, 5), (0, 0), (1 << 60, None)])
async def test_a_range_outside_is_refused(
    serve_partner: ServePartner, server: str, offset: int, length: int | None
) -> None:
    """By the same reason from every kind of server, before a byte is passed on."""
    if server == "says no length" and offset == len(BLOB):
        assert await fetch(await serve_partner(SERVERS[server]), offset, length) == (None, b"")
        return
    await refused(Reason.RANGE_INVALID, fetch(await serve_partner(SERVERS[server]), offset, length))


@pytest.mark.requirement("MED-03")
@pytest.mark.parametrize("reference", ["r1", "..", ".", "%2e%2e", "a/../../b", "a?b#c", "@evil.example"])
async def test_a_reference_stays_one_segment_below_the_media_url(serve_partner: ServePartner, reference: str) -> None:
    """Though the rules let such references not even come here; and the request says nothing about who asks."""
    requests: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(body=BLOB)

    base_url = await serve_partner(answer)
    await fetch(f"{base_url}/media/", reference=reference)
    [request] = requests
    assert request.raw_path.startswith("/media/")
    assert request.raw_path.count("/") == 2
    assert set(request.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", PROXIED}
    assert (request.headers["User-Agent"], request.headers["Accept-Encoding"]) == ("interopsim", "identity")


@pytest.mark.requirement("MED-03")
async def test_cookies_are_not_kept(serve_partner: ServePartner) -> None:
    """A server that sets one does not see it again."""
    cookies: list[Mapping[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(dict(request.cookies))
        return web.Response(body=BLOB, headers={"Set-Cookie": "who=ada"})

    base_url, source = await serve_partner(answer), HttpPartnerMediaSource(LIMITS)
    for _ in range(2):
        async with source.fetch(base_url, "r1", 0, None) as media:
            assert [chunk async for chunk in media.chunks]
    assert cookies == [{}, {}]


@pytest.mark.requirement("MED-03")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(serve_partner: ServePartner, status: int) -> None:
    """Neither to the same host nor to another one."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/media/secret"})

    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch(await serve_partner(answer)))
    assert paths == ["/r1"]


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (404, {}, Reason.BLOB_NOT_FOUND),
        (410, {}, Reason.BLOB_NOT_FOUND),
        (500, {}, Reason.PARTNER_MEDIA_UNAVAILABLE),
        (401, {}, Reason.PARTNER_MEDIA_UNAVAILABLE),
        (204, {}, Reason.PARTNER_MEDIA_UNAVAILABLE),
        (206, {"Content-Range": f"bytes 0-4/{len(BLOB)}"}, Reason.PARTNER_MEDIA_UNAVAILABLE),
        (416, {}, Reason.PARTNER_MEDIA_UNAVAILABLE),
        (200, {"Content-Encoding": "gzip"}, Reason.PARTNER_MEDIA_UNAVAILABLE),
    ],
)
async def test_a_wrong_answer_is_refused(
    serve_partner: ServePartner, status: int, headers: dict[str, str], reason: Reason
) -> None:
    """Unknown blobs look unknown; everything else is the partner's trouble."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"" if status == 204 else b"12345", headers=headers)

    await refused(reason, fetch(await serve_partner(answer)))


@pytest.mark.parametrize(
    "content_range",
    ["", "bytes */100", "bytes 0-9/100", "bytes 11-19/100", "bytes 10-18/100", "bytes 10-9/100", "bytes 10-19/15", "x"],
)
async def test_a_partial_answer_must_be_the_range_asked_for(serve_partner: ServePartner, content_range: str) -> None:
    """Bytes 10 to 19 were asked for, and ten bytes come, but labelled otherwise."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=206, body=b"x" * 10, headers={"Content-Range": content_range})

    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch(await serve_partner(answer), 10, 10))


@pytest.mark.parametrize(("total", "expected"), [("100", 100), ("*", None)])
async def test_a_partial_answer_may_keep_the_total_to_itself(
    serve_partner: ServePartner, total: str, expected: int | None
) -> None:
    """`*` stands for a length that the server does not know."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=206, body=b"0123456789", headers={"Content-Range": f"bytes 10-19/{total}"})

    assert await fetch(await serve_partner(answer), 10, 10) == (expected, b"0123456789")


@pytest.mark.requirement("MED-03")
@pytest.mark.parametrize("server", ["ignores ranges", "says no length", "honours ranges"])
async def test_a_blob_over_the_limit_is_refused(serve_partner: ServePartner, server: str) -> None:
    """By its declared length at once, and by what comes when nothing is declared."""
    limits = Limits(max_blob_bytes=len(BLOB) - 1, partner_media_seconds=5.0)
    base_url = await serve_partner(SERVERS[server])
    await refused(Reason.BLOB_TOO_LARGE, fetch(base_url, limits=limits))
    await refused(Reason.BLOB_TOO_LARGE, fetch(base_url, offset=5, limits=limits))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD % 1_000 + b"x" * 999, id="a byte short"),
        pytest.param(HEAD % 200_000 + b"x" * 199_999, id="a byte short of many"),
        pytest.param(CHUNKED + b"5\r\nabcde\r\n", id="no last chunk"),
        pytest.param(CHUNKED + b"zz\r\n", id="bad chunk size"),
        pytest.param(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9/10\r\n\r\n123", id="short range"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"y" * 100_000 + b"\r\n\r\n", id="endless header"),
    ],
)
async def test_a_broken_answer_is_never_taken_for_a_whole_one(serve_bytes: ServeBytes, content: bytes) -> None:
    """However it breaks off."""
    length = 10 if b"206" in content else None
    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch(await serve_bytes(content), 0, length))


@pytest.mark.parametrize("content", [b"", HEAD % 10, HEAD % 10 + b"abc"], ids=["no head", "no body", "half a body"])
async def test_a_silent_server_is_given_up(serve_bytes: ServeBytes, content: bytes) -> None:
    """Before its head, after it, or in the middle of the body."""
    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch(await serve_bytes(content, then_hang=True), limits=HASTY))


async def test_a_trickling_server_is_given_up(serve_partner: ServePartner) -> None:
    """It sends byte by byte, so that no single wait is long: 64 KiB must come in the time of one read."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BLOB)
        await response.prepare(request)
        for index in range(GATHER_BYTES - 1):
            await response.write(BLOB[index : index + 1])
            await asyncio.sleep(0)
        return response

    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch(await serve_partner(trickle), limits=HASTY))


async def test_an_unreachable_server_is_refused(closed_port: str) -> None:
    """Nobody listens there; or the registered URL is none."""
    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch(closed_port))
    await refused(Reason.PARTNER_MEDIA_UNAVAILABLE, fetch("no-url"))


async def test_a_fault_of_the_reader_is_not_blamed_on_the_partner(serve_partner: ServePartner) -> None:
    """What goes wrong while the blob is passed on keeps its own name; a slow reader is no slow server."""
    base_url = await serve_partner(honour_ranges)
    with pytest.raises(ConnectionResetError):
        async with HttpPartnerMediaSource(LIMITS).fetch(base_url, "r1", 0, None) as media:
            await anext(media.chunks)
            raise ConnectionResetError
