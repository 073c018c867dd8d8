"""Fetches blobs from partners' media servers over HTTP; knows nothing of the client that downloads.

It asks only the registered host, follows no redirect and bounds every size and wait, so that a storage reference cannot
turn the server into an open proxy (MED-03; threat T11).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.ports import PartnerMedia
from interop_server.core.seats import Claim, Seats
from interop_server.http.outbound import describe_failure, is_encoded, open_session, transport_errors
from interop_server.http.own_places import OwnPlaces

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

GATHER_BYTES = 64 * 1024
"""How much a partner's server must send within one read's deadline: a slower trickle ends the download; policy."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")


class _Answer(NamedTuple):
    """What the head of a partner's answer promises."""

    total: int | None
    """Length of the whole blob."""
    skip: int
    """Bytes to discard before the range, from a server that ignores ranges."""
    length: int | None
    """How many bytes to pass on; None for all that come."""
    is_exact: bool
    """Whether fewer bytes than that are a failure; False where they end a blob of unknown length."""


class HttpPartnerMediaSource:
    """GETs blobs from partners' media servers. Source: MED-02, MED-03."""

    def __init__(self, limits: Limits, seats: Seats | None = None, own: OwnPlaces | None = None) -> None:
        self._limits = limits
        self._seats = seats or Seats(limits)
        self._own = own or OwnPlaces()

    @asynccontextmanager
    async def fetch(
        self, media_url: str, storage_reference: str, offset: int, length: int | None
    ) -> AsyncIterator[PartnerMedia]:
        """GETs `{media_url}/{storage_reference}`; asks only that host and follows no redirect.

        Args:
            media_url: The partner's registered media URL.
            storage_reference: As the partner's user put it into the message; one segment of the path.
            offset: First byte wanted.
            length: How many bytes; None for all to the end.

        Raises:
            Refusal: BLOB_NOT_FOUND, PARTNER_MEDIA_UNAVAILABLE, RANGE_INVALID, BLOB_TOO_LARGE or RATE_LIMITED.
        """
        if length == 0 or offset > self._limits.max_blob_bytes:
            raise Refusal(Reason.RANGE_INVALID)
        url = f"{media_url.rstrip('/')}/{quote(storage_reference, safe='')}"
        with self._seats.taken((Claim("partner_media_requests", None), Claim("partner_media_each", media_url))):
            async with self._fetched(url, offset, length) as media:
                yield media

    @asynccontextmanager
    async def _fetched(self, url: str, offset: int, length: int | None) -> AsyncIterator[PartnerMedia]:
        async with open_session(self._own) as session:
            response = await self._request(session, url, _range_header(offset, length))
            try:
                body = _Body(response, self._limits)
                answer = self._read_head(response, offset, length)
                await body.skip(answer.skip)
                yield PartnerMedia(answer.total, offset, body.chunks(answer, offset))
            finally:
                response.close()

    async def _request(self, session: "ClientSession", url: str, headers: dict[str, str]) -> "ClientResponse":
        from yarl import URL

        try:
            async with asyncio.timeout(self._limits.partner_media_seconds):
                # Used as written, so that no `.` or `%` in the reference resolves to another path.
                return await session.get(URL(url, encoded=True), headers=headers, allow_redirects=False)
        except transport_errors() as error:
            raise _unavailable(describe_failure(error)) from error

    def _read_head(self, response: "ClientResponse", offset: int, length: int | None) -> _Answer:
        _check_status(response, asked_range=bool(offset) or length is not None)
        if is_encoded(response):
            raise _unavailable("the server compressed the blob without being asked")
        if response.status == 206:
            answer = _read_partial(response, offset, length)
        else:
            answer = _read_whole(response.content_length, offset, length)
        if answer.total is not None and answer.total > self._limits.max_blob_bytes:
            raise _too_large(self._limits)
        return answer


class _Body:
    """A body as it arrives; each read has a deadline, and the sum of all reads a size limit."""

    def __init__(self, response: "ClientResponse", limits: Limits) -> None:
        self._content = response.content
        self._limits = limits
        self._left_over = b""

    async def skip(self, count: int) -> None:
        """Reads and discards the first bytes.

        Raises:
            Refusal: RANGE_INVALID when the body ends before them; PARTNER_MEDIA_UNAVAILABLE.
        """
        while count > 0:
            part = await self._read()
            if not part:
                raise Refusal(Reason.RANGE_INVALID)
            self._left_over = part[count:]
            count -= len(part)

    async def chunks(self, answer: _Answer, offset: int) -> AsyncIterator[bytes]:
        """Yields the promised bytes, which start at `offset` in the blob.

        Raises:
            Refusal: PARTNER_MEDIA_UNAVAILABLE or BLOB_TOO_LARGE.
        """
        passed, length = 0, answer.length
        while length is None or passed < length:
            part = self._left_over or await self._read()
            self._left_over = b""
            if not part:
                break
            part = part if length is None else part[: length - passed]
            passed += len(part)
            if offset + passed > self._limits.max_blob_bytes:
                raise _too_large(self._limits)
            yield part
        if answer.is_exact and length is not None and passed < length:
            raise _unavailable("the server broke off its answer")

    async def _read(self) -> bytes:
        parts: list[bytes] = []
        gathered = 0
        try:
            async with asyncio.timeout(self._limits.partner_media_seconds):
                while gathered < GATHER_BYTES and (part := await self._content.readany()):
                    parts.append(part)
                    gathered += len(part)
        except transport_errors() as error:
            raise _unavailable(describe_failure(error)) from error
        return b"".join(parts)


def _range_header(offset: int, length: int | None) -> dict[str, str]:
    if not offset and length is None:
        return {}
    last = "" if length is None else str(offset + length - 1)
    return {"Range": f"bytes={offset}-{last}"}


def _check_status(response: "ClientResponse", *, asked_range: bool) -> None:
    status = response.status
    if status in (404, 410):
        raise Refusal(
            Reason.BLOB_NOT_FOUND, f"the partner's server answered with status {status}", requirement="MED-02"
        )
    if status == 416 and asked_range:
        raise Refusal(Reason.RANGE_INVALID)
    if status != 200 and not (status == 206 and asked_range):
        raise _unavailable(f"the server answered with status {status}")


def _read_whole(total: int | None, offset: int, length: int | None) -> _Answer:
    if total is None:
        return _Answer(None, offset, length, is_exact=False)
    if offset and offset >= total:
        raise Refusal(Reason.RANGE_INVALID, f"the blob has {total} bytes")
    return _Answer(total, offset, total - offset if length is None else min(length, total - offset), is_exact=True)


def _read_partial(response: "ClientResponse", offset: int, length: int | None) -> _Answer:
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if content_range is None:
        raise _unavailable("a partial answer lacks a Content-Range")
    first, last = int(content_range[1]), int(content_range[2])
    total = None if content_range[3] == "*" else int(content_range[3])
    count = last - first + 1
    wanted = length if total is None else min(total - offset, length if length is not None else total)
    is_whole = count > 0 and (total is None or last < total) and (wanted is None or total is None or count >= wanted)
    if first != offset or not is_whole or response.content_length not in (None, count):
        raise _unavailable("the server answered with another range than was asked for")
    return _Answer(total, 0, count if wanted is None else min(count, wanted), is_exact=True)


def _unavailable(detail: str) -> Refusal:
    return Refusal(Reason.PARTNER_MEDIA_UNAVAILABLE, detail)


def _too_large(limits: Limits) -> Refusal:
    return Refusal(Reason.BLOB_TOO_LARGE, f"the limit is {limits.max_blob_bytes} bytes", requirement="MED-03")
