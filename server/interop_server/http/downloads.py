"""Serves blobs over HTTP: whole, a range, or the head only; knows nothing of where the bytes come from."""

import asyncio
import logging
import re
from typing import NamedTuple

from aiohttp import hdrs, web

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import ANONYMOUS
from interop_server.core.media.media import Download
from interop_server.faulty_media import MediaAccess
from interop_server.http.refusals import record_acceptance, refusal_response

SEND_SECONDS = 60.0
"""How long a client may take to read one chunk; policy."""
_RANGE = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))", re.ASCII)
_log = logging.getLogger(__name__)


class _Range(NamedTuple):
    """A range as `open_download` takes it."""

    offset: int | None
    length: int | None


_WHOLE = _Range(None, None)


async def respond_with_blob(request: web.Request, media: MediaAccess, direct_path: str) -> web.StreamResponse:
    """Answers GET or HEAD with a blob, or with the one range that the client asks for.

    A Range header that asks for several ranges or is malformed is ignored, as RFC 9110, section 14.2, allows. So is one
    for a blob whose length nobody tells: a partial answer must say where it ends.

    Args:
        request: The request.
        media: Opens the blob.
        direct_path: The path exactly as it came, nothing unescaped.

    Raises:
        Refusal: The blob is not available; nothing was sent.
    """
    try:
        wanted = await _wanted_range(request, media, direct_path)
        async with media.open_download(direct_path, *wanted) as download:
            if wanted != _WHOLE and download.length == 0:
                raise Refusal(Reason.RANGE_INVALID, "the blob is empty")
            if wanted == _WHOLE or download.length is not None:
                return await _respond(request, download, is_partial=wanted != _WHOLE)
        async with media.open_download(direct_path, *_WHOLE) as download:
            return await _respond(request, download, is_partial=False)
    except Refusal as refusal:
        if refusal.reason is not Reason.RANGE_INVALID:
            raise
        async with media.open_download(direct_path, *_WHOLE) as download:
            total = _number(download.total_bytes)
            return refusal_response(request, refusal, headers={hdrs.CONTENT_RANGE: f"bytes */{total}"})


async def _respond(request: web.Request, download: Download, *, is_partial: bool) -> web.StreamResponse:
    # Recorded before anything is sent: what the client does after the download must come later in the journal.
    response = _head(download, is_partial=is_partial)
    response.headers.update(record_acceptance(request, ANONYMOUS))
    await _send(request, response, download)
    return response


async def _wanted_range(request: web.Request, media: MediaAccess, direct_path: str) -> _Range:
    header = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    # Blobs have no validator, so a conditional range never matches its condition (RFC 9110, section 13.1.5).
    if header is None or hdrs.IF_RANGE in request.headers or request.method == hdrs.METH_HEAD:
        return _WHOLE
    first, last, suffix = header.groups()
    if suffix is not None:
        return await _suffix_range(media, direct_path, int(suffix))
    if last is None:
        return _Range(int(first), None)
    return _Range(int(first), int(last) - int(first) + 1) if int(first) <= int(last) else _WHOLE


async def _suffix_range(media: MediaAccess, direct_path: str, length: int) -> _Range:
    async with media.open_download(direct_path, *_WHOLE) as download:
        total = download.total_bytes
    return _WHOLE if total is None else _Range(max(0, total - length), length)


def _head(download: Download, *, is_partial: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.ACCEPT_RANGES: "bytes", hdrs.CONTENT_TYPE: "application/octet-stream"})
    response.content_length = download.length
    if is_partial:
        assert download.length is not None, "a partial answer says where it ends"
        last = download.offset + download.length - 1
        response.set_status(206)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {download.offset}-{last}/{_number(download.total_bytes)}"
    return response


async def _send(request: web.Request, response: web.StreamResponse, download: Download) -> None:
    is_complete = False
    try:
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            async for chunk in download.chunks:
                async with asyncio.timeout(SEND_SECONDS):
                    await response.write(chunk)
            await response.write_eof()
        is_complete = True
    except (Refusal, OSError) as error:
        _log.info("a download broke off: %s", error.reason.name if isinstance(error, Refusal) else type(error).__name__)
    finally:
        # Too late for a status: only an aborted connection tells the client that the download is incomplete.
        if not is_complete and request.transport is not None:
            request.transport.abort()


def _number(total: int | None) -> str:
    return "*" if total is None else str(total)
