"""T11: a storage reference, or a messenger's media server, makes the media proxy fetch what it must not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from yarl import URL

from interop_client.errors import ServerRefusal
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_downloads import download, http, recording_server
from tests.e2e.raw import QUIET, no_trace, refused
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T11"), pytest.mark.requirement("SIM-06", "MED-03")]

SECRET = b"internal secret"


@asynccontextmanager
async def internal_server() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Something on the same machine that only the server can reach; yields `host:port`, and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        writer.write(http("200 OK", SECRET))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await server.wait_closed()


def escapes(address: str) -> list[str]:
    """Storage references that a careless server takes for another place."""
    return [
        "..", "../..", "../secret", "..%2f..%2fsecret", "..%252fsecret", "%2e%2e", "....//", "..\\secret", "a/../../b",
        f"http://{address}", f"//{address}/", f"\\\\{address}\\", f"@{address}", f"x@{address}", f":80@{address}",
        f"a?url=http://{address}", f"a#@{address}", f"a\r\nHost: {address}", f"a HTTP/1.1\r\nHost: {address}\r\n\r\n",
        "file:///etc/passwd", "gopher://x", "a\0b", "", ".", "%00", "\N{FULLWIDTH FULL STOP}" * 2, "a" * 300,
    ]  # fmt: skip


async def test_a_reference_leads_nowhere_but_below_the_registered_address(world: World, attack: Attack) -> None:
    """Over gRPC and over HTTP, raw and escaped."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}"
    attack.tries("Storage references with dots, slashes, schemes, hosts, line breaks and escapes, over gRPC and HTTP")
    async with internal_server() as (address, asked), recording_server({}) as (url, fetched), no_trace(world.admin):
        await world.register(media_url=url)
        references = escapes(address)
        for reference in references:
            with refused("STORAGE_REFERENCE_INVALID", reference):
                await download(alice, f"{here}/{reference}/")
        for path in (f"http://{address}/", f"//{address}/x", f"/interop/whatsapp/download/http://{address}/x/"):
            with pytest.raises(ServerRefusal):
                await download(alice, path)
        async with aiohttp.ClientSession() as session:
            for reference in references:
                with suppress(ValueError):  # what aiohttp itself cannot send
                    target = URL(f"{world.endpoint.http}{here}/{reference}/", encoded=True)
                    async with session.get(target, allow_redirects=False) as response:
                        assert response.status in (400, 404, 502), reference
                        assert SECRET not in await response.read()
        assert not asked
        assert {*fetched} <= {"/media/a"}  # what stands before a query or a fragment is a good reference
    attack.holds("Each is refused before anything is fetched: the internal server is never asked")


async def test_a_redirect_is_not_followed(world: World, attack: Attack) -> None:
    """The messenger's media server itself sends the proxy elsewhere, with every status that there is for it."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}"
    attack.tries("A media server that redirects to an internal address: 300 to 308, to http, to file, and as a refresh")
    async with internal_server() as (address, asked):
        answers = {f"r{status}": http(f"{status} X", b"", f"Location: http://{address}/") for status in range(300, 309)}
        answers["file"] = http("302 Found", b"", "Location: file:///etc/passwd")
        answers["refresh"] = http("200 OK", b"", f"Refresh: 0; url=http://{address}/")
        async with recording_server(answers) as (url, fetched):
            await world.register(media_url=url)
            for name in answers:
                if name == "refresh":
                    assert await download(alice, f"{here}/{name}/") == b""
                else:
                    with refused("PARTNER_MEDIA_UNAVAILABLE", name):
                        await download(alice, f"{here}/{name}/")
            assert sorted(fetched) == sorted(f"/media/{name}" for name in answers)
        assert not asked
    attack.holds("PARTNER_MEDIA_UNAVAILABLE each time: no redirect is followed, and the internal server is never asked")


async def test_an_endless_answer_is_cut_off(world: World, attack: Attack) -> None:
    """A media server that announces, or sends, more than there may be."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}"
    attack.tries("A media server that announces more than 2 GiB, a negative length, two lengths, or none that is true")
    answers = {
        "huge": http("200 OK", b"x", length=(2 << 30) + 1),
        "two": http("200 OK", b"x", "Content-Length: 7"),
        "negative": http("200 OK", b"x", length=-1),
        "short": http("200 OK", b"x", length=1 << 30),
        "bomb": http("200 OK", b"\x1f\x8b" + bytes(100), "Content-Encoding: gzip"),
    }
    async with recording_server(answers) as (url, _), no_trace(world.admin):
        await world.register(media_url=url)
        for name in answers:
            with refused("BLOB_TOO_LARGE" if name == "huge" else "PARTNER_MEDIA_UNAVAILABLE", name):
                await download(alice, f"{here}/{name}/")
    attack.holds("Too large, contradictory, cut off or compressed answers are refused; nothing of them is kept")
