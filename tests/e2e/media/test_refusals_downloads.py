"""Downloads of what is not there, and partners' media servers that answer wrongly: refused, nothing else is asked."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from yarl import URL

from interop_api.v1 import interop_pb2, media_pb2
from interop_client.client import InteropClient
from interop_client.connection.transport import DirectTransport
from interop_client.errors import refusal_from_json
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import QUIET, WAIT_SECONDS, case, check, no_trace, refused

BLOB = os.urandom(1_000)
"""What the partner's media server hosts under `blob`."""


async def download(client: InteropClient, path: str, offset: int | None = None, length: int | None = None) -> bytes:
    """Downloads a path, or a range of it."""
    assert isinstance(client.transport, DirectTransport)
    request = media_pb2.DownloadRequest(direct_path=path, offset=offset, length=length)
    async with asyncio.timeout(WAIT_SECONDS):
        return b"".join([part.chunk async for part in client.transport.download(request)])


async def check_http(world: World, path: str, reason: str, status: int, **headers: str) -> None:
    """Asserts that a plain GET of a path is refused with a status, and for a reason."""
    url = URL(world.endpoint.http + path, encoded=True)
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers, allow_redirects=False) as response:
        outcome = await response.json()
    check(refusal_from_json(outcome), reason)
    assert response.status == status


@pytest.mark.requirement("MED-04")
async def test_an_unknown_path_is_not_found(world: World) -> None:
    """Nor is anything that looks like a file of the server's (MED-04)."""
    alice = await world.whatsapp(options=QUIET)
    paths = [
        "/v/t",
        "/v/t" + "A" * 32,
        "/v/t/../../etc/passwd",
        "/v/t%2e%2e/",
        "/v/t" + "x" * 9_000,
        "/v/t\0",
        "/v/t' OR 1=1",
    ]
    others = [
        "",
        "/",
        "nonsense",
        "v/tAAAA",
        "file:///etc/passwd",
        "http://127.0.0.1:1/v/tAAAA",
        "/interop/whatsapp/",
        "/V/T",
    ]
    async with no_trace(world.admin):
        for path in paths + others:
            with refused("BLOB_NOT_FOUND", path[:40]):
                await download(alice, path)
        for path in ("/v/t", "/v/tAAAA", "/v/t%2e%2e/", "/v/t%00", "/v/t/../../etc/passwd"):
            with case(f"GET {path}"):
                await check_http(world, path, "BLOB_NOT_FOUND", 404)


async def test_a_range_lies_within_the_blob(world: World) -> None:
    """A start at or after the end, and no bytes at all, are refused; an end after the end is not (MED-04)."""
    client = await world.whatsapp(options=QUIET)
    alice = Uploader(client)
    await alice.grant()
    path = await alice.upload(alice.start(BLOB), chunk(BLOB))
    async with no_trace(world.admin):
        for offset, length in (
            (1_000, None),
            (1_001, 1),
            (2**63, None),
            (2**64 - 1, 2**64 - 1),
            (0, 0),
            (5, 0),
            (None, 0),
        ):
            with refused("RANGE_INVALID", (offset, length)):
                await download(client, path, offset, length)
        for wanted in ("bytes=1000-", "bytes=1001-1002"):
            with case(wanted):
                await check_http(world, path, "RANGE_INVALID", 416, Range=wanted)
    assert await download(client, path, 999, 2**64 - 1) == BLOB[999:]
    assert await download(client, path, 0, 1) == BLOB[:1]


@pytest.mark.requirement("MED-03")
async def test_a_storage_reference_stays_within_its_partner(world: World) -> None:
    """No dots to climb, no other host, no scheme, no slash, nothing escaped: asked for nothing (MED-03; T11)."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}/"
    references = [
        "..", "../secret", "..%2fsecret", "a/../../b", ".", ".hidden", "a/b", "a//b", "/etc/passwd", "é",
        "//127.0.0.1/x",
        "http://127.0.0.1:1/", "127.0.0.1:1", "a@127.0.0.1", "%2e%2e", "%00", "a%20b", "a b", "a\0", "a\n",
        "a\r\nHost: x", "", "a?b=c", "a#b", "a\\b", "a" * 257, "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}",
    ]  # fmt: skip
    elsewhere = [
        "0/blob/",
        "01/blob/",
        "1000/blob/",
        "-1/blob/",
        "x/blob/",
        "/blob/",
        "",
        f"{world.integrator}",
        "1 /blob/",
    ]
    async with recording_server({}) as (url, asked), no_trace(world.admin):
        await world.register(media_url=url)
        for reference in references:
            with refused("STORAGE_REFERENCE_INVALID", reference[:40]):
                await download(alice, f"{here}{reference}/")
        for rest in elsewhere:
            with refused("STORAGE_REFERENCE_INVALID", rest):
                await download(alice, f"/interop/whatsapp/download/{rest}")
        for reference in ("..%2fsecret", "%2e%2e", "a%20b", "%00", "a%2Fb"):
            with case(f"GET {reference}"):
                await check_http(world, f"{here}{reference}/", "STORAGE_REFERENCE_INVALID", 400)
        assert asked == []


async def test_only_active_partners_with_a_media_server_host_blobs(world: World) -> None:
    """A partner that is unknown, not active or without media has none (MED-02, ENL-01)."""
    alice = await world.whatsapp(options=QUIET)
    path = f"/interop/whatsapp/download/{world.integrator}/blob/"
    async with recording_server({}) as (url, asked):
        await world.register(media_url=url, status=interop_pb2.PARTNER_STATUS_SUSPENDED)
        with refused("BLOB_NOT_FOUND", "suspended"):
            await download(alice, path)
        partner = await world.register()
        partner.media_url = ""
        await world.admin.put_partner(partner)
        with refused("BLOB_NOT_FOUND", "no media server"):
            await download(alice, path)
        with refused("BLOB_NOT_FOUND", "unknown"):
            await download(alice, "/interop/whatsapp/download/995/blob/")
        assert asked == []


@asynccontextmanager
async def recording_server(answers: dict[str, bytes]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers each path with exactly these bytes and then hangs up; yields its URL and what was asked."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        asked.append(path)
        writer.write(answers.get(path.rpartition("/")[2], b""))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/media", asked
    finally:
        server.close()
        await server.wait_closed()


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An HTTP answer, true or not."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


UNAVAILABLE, NOT_FOUND = "PARTNER_MEDIA_UNAVAILABLE", "BLOB_NOT_FOUND"
WRONG_ANSWERS: dict[str, tuple[bytes, str]] = {
    "redirect": (http("302 Found", b"", "Location: /media/blob"), UNAVAILABLE),
    "redirect-away": (http("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"), UNAVAILABLE),
    "moved": (http("301 Moved Permanently", b"", "Location: file:///etc/passwd"), UNAVAILABLE),
    "error": (http("500 Internal Server Error", b"oops"), UNAVAILABLE),
    "busy": (http("503 Service Unavailable"), UNAVAILABLE),
    "forbidden": (http("403 Forbidden"), UNAVAILABLE),
    "no-content": (b"HTTP/1.1 204 No Content\r\n\r\n", UNAVAILABLE),
    "partial": (http("206 Partial Content", BLOB, "Content-Range: bytes 0-999/1000"), UNAVAILABLE),
    "absent": (http("404 Not Found"), NOT_FOUND),
    "gone": (http("410 Gone"), NOT_FOUND),
    "silent": (b"", UNAVAILABLE),
    "garbage": (b"\xff" * 300 + b"\r\n\r\n", UNAVAILABLE),
    "no-http": (b"220 smtp.example ESMTP\r\n\r\n", UNAVAILABLE),
    "truncated": (http("200 OK", BLOB, length=2_000), UNAVAILABLE),
    "truncated-at-once": (http("200 OK", b"", length=2_000), UNAVAILABLE),
    "broken-chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", UNAVAILABLE),
    "chunks-without-end": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", UNAVAILABLE),
    "compressed": (http("200 OK", BLOB, "Content-Encoding: gzip"), UNAVAILABLE),
    "long-head": (http("200 OK", BLOB, "X: " + "x" * 100_000), UNAVAILABLE),
    "too-large": (http("200 OK", b"x", length=(2 << 30) + 1), "BLOB_TOO_LARGE"),
    "far-too-large": (http("200 OK", b"x", length=2**63 - 1), "BLOB_TOO_LARGE"),
    "no-length-at-all": (http("200 OK", b"x", length=10**30), UNAVAILABLE),
}
"""By reference: what the media server answers, and what the downloader is told."""


@pytest.mark.requirement("MED-03")
async def test_a_media_server_that_answers_wrongly_is_refused(world: World) -> None:
    """Over gRPC and over HTTP; no redirect is followed; a good blob is served before and after (MED-03; T11)."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}/"
    answers = {name: answer for name, (answer, _) in WRONG_ANSWERS.items()}
    async with recording_server(answers | {"blob": http("200 OK", BLOB)}) as (url, asked), no_trace(world.admin):
        await world.register(media_url=url)
        assert await download(alice, f"{here}blob/") == BLOB
        for name, (_, reason) in WRONG_ANSWERS.items():
            asked.clear()
            with refused(reason, name):
                await download(alice, f"{here}{name}/")
            assert set(asked) == {f"/media/{name}"}
            if not name.startswith("truncated") and name != "chunks-without-end":
                with case(f"GET {name}"):
                    await check_http(world, f"{here}{name}/", reason, 404 if reason == NOT_FOUND else 502)
        assert await download(alice, f"{here}blob/") == BLOB


async def test_a_range_from_a_media_server_is_the_one_that_was_asked_for(world: World) -> None:
    """Another one, or a start outside the blob, is refused, whether or not the server knows ranges (MED-03, MED-04)."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}/"
    answers = {
        "ignores": http("200 OK", BLOB),
        "refuses": http("416 Range Not Satisfiable"),
        "shifted": http("206 Partial Content", BLOB[9:19], "Content-Range: bytes 9-18/1000"),
        "short": http("206 Partial Content", BLOB[10:12], "Content-Range: bytes 10-11/1000"),
        "unsaid": http("206 Partial Content", BLOB[10:20]),
        "nonsense": http("206 Partial Content", BLOB[10:20], "Content-Range: bytes x-y/z"),
        "longer": http("206 Partial Content", BLOB[10:40], "Content-Range: bytes 10-19/1000"),
        "beyond": http("206 Partial Content", BLOB[10:20], "Content-Range: bytes 10-19/15"),
    }
    async with recording_server(answers) as (url, _), no_trace(world.admin):
        await world.register(media_url=url)
        assert await download(alice, f"{here}ignores/", 10, 10) == BLOB[10:20]
        for name, offset, length, reason in (
            ("ignores", 1_000, None, "RANGE_INVALID"),
            ("ignores", 2**63, 1, "RANGE_INVALID"),
            ("ignores", 0, 0, "RANGE_INVALID"),
            ("refuses", 10, 10, "RANGE_INVALID"),
            ("refuses", None, None, UNAVAILABLE),
            *((name, 10, 10, UNAVAILABLE) for name in ("shifted", "short", "unsaid", "nonsense", "longer", "beyond")),
        ):
            with refused(reason, (name, offset, length)):
                await download(alice, f"{here}{name}/", offset, length)


async def test_a_media_server_that_is_down_is_refused(world: World) -> None:
    """At once, with what the partner has to do (MED-03)."""
    alice = await world.whatsapp(options=QUIET)
    async with recording_server({}) as (url, _):
        await world.register(media_url=url)
    path = f"/interop/whatsapp/download/{world.integrator}/blob/"
    with refused(UNAVAILABLE):
        await download(alice, path)
    await check_http(world, path, UNAVAILABLE, 502)


async def test_what_came_before_a_break_is_never_a_whole_blob(world: World) -> None:
    """A plain GET of a blob that breaks off ends with an error, not with a short answer (MED-03)."""
    path = f"/interop/whatsapp/download/{world.integrator}/truncated/"
    async with recording_server({"truncated": http("200 OK", BLOB, length=2_000)}) as (url, _):
        await world.register(media_url=url)
        async with aiohttp.ClientSession() as session, session.get(world.endpoint.http + path) as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()
