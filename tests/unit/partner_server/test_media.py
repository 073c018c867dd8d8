"""Blobs by reference: what goes in comes out, whole or in part, and nothing else does (MED-02, MED-03)."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from partner_server import PartnerServer
from partner_server.media import is_storage_reference

BLOB = bytes(range(256)) * 3000


async def upload(http: aiohttp.ClientSession, partner: PartnerServer, reference: str, blob: bytes) -> int:
    async with http.put(f"{partner.media_url}/{reference}", data=blob) as response:
        return response.status


def files(folder: Path) -> list[Path]:
    return list((folder / "media").iterdir())


async def test_a_blob_comes_back_as_it_was_put(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    assert await upload(http, partner, "a-b_c.d~1", BLOB) == 201

    async with http.get(f"{partner.media_url}/a-b_c.d~1") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.content_length == len(BLOB)
        assert await response.read() == BLOB


@pytest.mark.parametrize(("header", "expected"), [("bytes=0-9", BLOB[:10]), ("bytes=767990-", BLOB[767990:])])
async def test_part_of_a_blob_can_be_asked_for(
    http: aiohttp.ClientSession, partner: PartnerServer, header: str, expected: bytes
) -> None:
    """MED-02: a download that broke off goes on where it stopped."""
    await upload(http, partner, "blob", BLOB)

    async with http.get(f"{partner.media_url}/blob", headers={"Range": header}) as response:
        assert response.status == 206
        assert await response.read() == expected
        assert response.headers["Content-Range"].endswith(f"/{len(BLOB)}")


async def test_a_range_outside_the_blob_is_refused(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    await upload(http, partner, "blob", b"short")
    async with http.get(f"{partner.media_url}/blob", headers={"Range": "bytes=5-9"}) as response:
        assert response.status == 416


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
@pytest.mark.parametrize(
    "date",
    [
        *(f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT", f"Mon, 01 Jan 2026 {'9' * 4_400}:00:00 GMT"),
        *(f"Mon, 01 Jan 2026 00:00:00 +{'9' * 4_299}", "Mon, 99 Foo 0000 99:99:99 GMT", "a", "Mon, \xe9"),
    ],
    ids=lambda date: date[:40],
)
async def test_a_condition_on_what_is_no_date_says_nothing(
    http: aiohttp.ClientSession, partner: PartnerServer, name: str, date: str
) -> None:
    """RFC 9110, sections 13.1.3 and 13.1.4: it is answered as without it."""
    await upload(http, partner, "blob", BLOB)
    async with http.get(f"{partner.media_url}/blob", headers={name: date, "X-Other": "\udcff"}) as response:
        assert (response.status, await response.read()) == (200, BLOB)


async def test_a_condition_on_a_date_or_a_tag_holds(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    """And a part of a blob is still had under one, and its head without it."""
    await upload(http, partner, "blob", BLOB)
    url = f"{partner.media_url}/blob"
    async with http.head(url) as response:
        assert (response.status, response.content_length, await response.read()) == (200, len(BLOB), b"")
        date, tag = response.headers["Last-Modified"], response.headers["ETag"]
    old = "Sat, 01 Jan 2000 00:00:00 GMT"
    for headers, status in (
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": old}, 200),
        ({"If-Unmodified-Since": old}, 412),
        ({"If-None-Match": tag}, 304),
        ({"If-Match": '"other"'}, 412),
        ({"If-Range": date, "Range": "bytes=0-9"}, 206),
        ({"If-Range": old, "Range": "bytes=0-9"}, 200),
    ):
        async with http.get(url, headers=headers) as response:
            assert (response.status, headers) == (status, headers)
            await response.read()


async def test_a_second_upload_replaces_the_first(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    await upload(http, partner, "blob", b"first and longer")
    await upload(http, partner, "blob", b"second")
    async with http.get(f"{partner.media_url}/blob") as response:
        assert await response.read() == b"second"


async def test_references_that_differ_in_case_are_two(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    """Also where the file system does not tell them apart."""
    await upload(http, partner, "Blob", b"upper")
    await upload(http, partner, "blob", b"lower")
    async with http.get(f"{partner.media_url}/Blob") as response:
        assert await response.read() == b"upper"


@pytest.mark.parametrize("reference", ["a%2Fb", "%2e%2e%2Fkeys", "a%00b", "a%20b", "%C3%A4", ".a", "a" * 257])
@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_bad_reference_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, tmp_path: Path, method: str, reference: str
) -> None:
    """MED-03: characters are checked after decoding, and nothing is written."""
    url = URL(f"{partner.media_url}/{reference}", encoded=True)
    async with http.request(method, url, data=b"x" if method == "PUT" else None) as response:
        assert response.status == 400
    assert files(tmp_path) == []


@pytest.mark.parametrize("reference", ["", ".", "..", ".a", "a/b", "a\n"])
def test_no_path_is_a_reference(reference: str) -> None:
    assert not is_storage_reference(reference)


async def test_an_unknown_reference_is_not_found(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    async with http.get(f"{partner.media_url}/nothing") as response:
        assert response.status == 404


async def test_a_blob_over_the_limit_is_refused_and_forgotten(
    http: aiohttp.ClientSession, partner: PartnerServer, tmp_path: Path
) -> None:
    """Also one that does not say how long it is."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield bytes(1 << 16)

    async with http.put(f"{partner.media_url}/blob", data=chunks()) as response:
        assert response.status == 413
    assert files(tmp_path) == []
