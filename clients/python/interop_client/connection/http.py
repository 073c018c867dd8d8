"""One HTTP request with deadlines, no redirects, and errors of the standard library; knows no protocol.

Functions import it where they use it: it imports aiohttp, which is slow, and many clients make no HTTP request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from interop_client.connection.opening import https_context
from interop_client.errors import ServerRefusal

IDLE_SECONDS = 30.0
"""Longest wait for a connection, and between two reads."""


@asynccontextmanager
async def http_request(method: str, url: str, body: Any = None, ca: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    """Makes a request; the answer can be read within the block.

    Args:
        method: Such as `GET`.
        url: The URL.
        body: Fields of a form, or an open file.
        ca: The certificate to trust, as PEM; empty for those of the system.

    Raises:
        ServerRefusal: `HTTP_{status}`, when the status is neither 200 nor 201.
        ConnectionError: The server cannot be reached, or ended the connection early.
        TimeoutError: The server was silent for too long.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=IDLE_SECONDS, sock_read=IDLE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            await _begin(session, method, url, data=body, allow_redirects=False, ssl=https_context(ca)) as response,
        ):
            if response.status not in (200, 201):
                raise ServerRefusal(f"HTTP_{response.status}")
            yield response
    except TimeoutError:
        raise
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error)) from error


async def _begin(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
    try:
        return await session.request(method, url, **options)
    except UnicodeError as error:
        if getattr(error, "encoding", "idna") != "idna":  # of the body
            raise
        raise ConnectionError(f"{url} names no host: {error}") from error


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Returns the whole body of an answer.

    Raises:
        ServerRefusal: ANSWER_TOO_LARGE.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise ServerRefusal("ANSWER_TOO_LARGE")
    return bytes(body)
