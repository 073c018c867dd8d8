"""Requests to a messenger's server, bounded in every way, each with a record; knows no check."""

import hashlib
import itertools
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from interop_conformance.check import NotSo
from interop_conformance.partner_subject import place_of

MAX_ANSWER_BYTES = 64 * 1024
"""Longest answer that is read, unless a check expects a longer one."""
_SHOWN_HEADERS = (
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Content-Encoding",
    "Cache-Control",
    "Expires",
    "ETag",
    "Location",
    "Allow",
    "Retry-After",
)


class Unanswered(NotSo):
    """The server gave no answer that can be read: it is silent, hangs up, floods, or does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """Whether the status says that the request is wrong."""
        return 400 <= self.status < 500

    def __str__(self) -> str:
        redirect = f" to {self.headers['Location'][:100]!r}" if "Location" in self.headers else ""
        return f"status {self.status}{redirect}, {len(self.body)} bytes"


class Probe:
    """Asks a messenger's server. An asynchronous context manager: frees its connections.

    It follows no redirect, keeps no cookie, and unpacks nothing.

    Args:
        places: The hosts and ports that it may contact.
        seconds: How long an answer may take, as a whole.
    """

    def __init__(self, places: Collection[tuple[str, int]], seconds: float) -> None:
        self._places = places
        self._seconds = seconds
        self._numbers = itertools.count(1)
        self.wire: list[Mapping[str, Any]] = []
        """What was asked and answered so far, secrets left out."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            connector=aiohttp.TCPConnector(limit=64, force_close=True),
            headers={"Accept-Encoding": "identity", "User-Agent": "interopsim-conformance"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Sends a request, its path exactly as it is written, and reads the answer.

        Raises:
            Unanswered: There is no answer that can be read, in time and within the size.
            ValueError: Nobody has named this host.
        """
        if place_of(url) not in self._places:
            raise ValueError(f"the kit was not told of {url}")
        number = next(self._numbers)
        self._note(number, "to_partner", len(body or b""), _request(method, url, headers or {}, body))
        try:
            async with self._http.request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            ) as response:
                answer = Answer(response.status, response.headers, await _read(response, max_bytes))
        except TimeoutError:
            raise self._unanswered(number, method, url, f"no whole answer within {self._seconds:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise self._unanswered(number, method, url, f"{type(error).__name__}: {said}") from error
        self._note(number, "from_partner", len(answer.body), _response(answer, headers or {}))
        return answer

    def _unanswered(self, number: int, method: str, url: str, got: str) -> Unanswered:
        self._note(number, "from_partner", 0, {"failure": got})
        return Unanswered(f"{method} {shown_url(url)} is answered", got)

    def _note(self, number: int, direction: str, size: int, content: Mapping[str, Any]) -> None:
        self.wire.append(
            {
                "number": number,
                "at_ms": time.time_ns() // 1_000_000,
                "connection": "",
                "jid": "",
                "direction": direction,
                "kind": "http",
                "size_bytes": size,
                "content": content,
            }
        )


def shown_url(url: str) -> str:
    """Returns a URL, cut for people."""
    return url if len(url) <= 160 else f"{url[:120]}… ({len(url)} characters)"


def digest(data: bytes) -> Mapping[str, Any]:
    """Returns what a report says of bytes that may be secret."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > max_bytes:
            raise ValueError(f"the answer is longer than {max_bytes} bytes")
    return bytes(body)


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Mapping[str, Any]:
    shown: dict[str, Any] = {"method": method, "url": shown_url(url)}
    secret = headers.get("Authorization")
    shown["headers"] = {name: value[:200] for name, value in headers.items() if name != "Authorization"}
    if secret is not None:
        shown["authorization"] = digest(secret.encode())
    if body is not None:
        shown["body"] = digest(body)
    return shown


def _response(answer: Answer, asked: Mapping[str, str]) -> Mapping[str, Any]:
    headers = {name: answer.headers[name][:200] for name in _SHOWN_HEADERS if name in answer.headers}
    shown: dict[str, Any] = {"status": answer.status, "headers": headers, "body": digest(answer.body)}
    if answer.is_refusal and len(answer.body) <= 1_000:
        token = asked.get("Authorization", "").partition(" ")[2]
        text = answer.body.decode(errors="replace")
        shown["text"] = text.replace(token, "…")[:300] if token else text[:300]
    return shown
