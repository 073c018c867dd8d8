"""The HTTP surface: forms, paths, ranges and raw bytes that no browser would send; only documented statuses."""

import asyncio
import json
import re
from contextlib import suppress
from random import Random
from urllib.parse import quote, quote_from_bytes, urlsplit

import pytest

from interop_protocol.encoding import encode_base64url
from interop_server.core.errors import Reason
from tests.e2e.raw import enlistment
from tests.fuzz import hostile
from tests.fuzz.amount import BATCH
from tests.fuzz.campaign import Campaign
from tests.fuzz.outcomes import Undocumented, read
from tests.fuzz.target import INTEGRATOR, Target
from tests.refusals import ABOUT_A_FIELD, UNNAMEABLE, may_rest_on

pytestmark = pytest.mark.requirement("SIM-01", "ENL-08", "ENL-11", "MED-03", "MED-04")

STATUSES = frozenset({200, 206, 400, 404, 405, 410, 413, 414, 416, 431, 501, 502, 503, 505})
"""Documented ones, and what any HTTP server answers to a request that is none."""
QUIET_SECONDS = 0.1
"""After this without an answer, the server is told that nothing more will come."""
BODIES = ("application/x-www-form-urlencoded", "application/json", "multipart/form-data", "text/plain; charset=utf-16")
RANGES = (
    "bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-0,2-3", "bytes=abc", "bytes=99999999999999999999-", "items=0-1",
    "bytes=2047-2048", "bytes=-0", "bytes=0-99999999999999999999999", "bytes= 0 - 1", "0-1", "bytes=2048-",
    "bytes=\N{ARABIC-INDIC DIGIT ZERO}-1",
)  # fmt: skip

ENDINGS = (b"", b"", b"", b"&", b"&x", b"%", b"%zz", b"&a=%ff", b"&" * 300, b"=" * 20, b"&x=" + b"A" * 20_000)
"""Of a form."""


def form_of(target: Target, random: Random) -> bytes:
    """An enlistment form: good, with fields changed, doubled, left out or of other names, or noise."""
    request = enlistment(target.people.third_party.state, target.token(target.people.user))
    fields = [
        (field.name, encode_base64url(value)) for field, value in request.ListFields() if isinstance(value, bytes)
    ]
    fields += [("token", request.token), ("version", "1")]
    for _ in range(random.randrange(3)):
        at = random.randrange(len(fields))
        changes = (
            (fields[at][0], hostile.text(random)),
            (fields[at][0], encode_base64url(hostile.data(random)[:5_000])),
            (hostile.text(random), fields[at][1]),
        )
        change = random.choice((*changes, *changes[:2], None))
        fields[at : at + random.randrange(2)] = [] if change is None else [change]
        if not fields:
            break
    pairs = [f"{quote(name)}={quote(value)}" for name, value in fields]
    body = "&".join(pairs).encode()
    kind = random.randrange(12)
    if kind == 0:
        return hostile.data(random)
    if kind == 1:
        return body[: random.randrange(len(body) + 1)]
    return body + random.choice(ENDINGS)


def path_of(target: Target, random: Random) -> str:
    """A path of a blob, or one that looks like it, escaped or not."""
    noise = quote_from_bytes(hostile.data(random)[:60])
    piece = random.choice((hostile.text(random), noise, "blob", "..", "%2e%2e", "a%2fb"))
    path = random.choice(
        (
            target.blob_path,
            f"{target.blob_path}/{piece}",
            f"/v/t{piece}",
            f"/interop/whatsapp/download/{INTEGRATOR}/{piece}/",
            f"/interop/whatsapp/download/{piece}/blob/",
            f"/interop/whatsapp/download/{INTEGRATOR}/blob/{piece}",
            f"/.well-known/jwks{piece}",
            f"/3p/{piece}",
            f"/{piece}",
        )
    )
    return path if random.random() < 0.3 else quote(path, safe="/%?#")


def request_of(target: Target, random: Random) -> bytes:
    """One HTTP request, as it goes over the wire."""
    kind = random.randrange(10)
    if kind == 0:
        return hostile.data(random) + b"\r\n\r\n"
    host = urlsplit(target.endpoint.http).netloc
    lines = [f"Host: {host}", "Connection: close"]
    method, path, body = random.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "GE T", "get")), "/", b""
    if kind < 5:
        method, path, body = "POST", "/3p/interop_reg", form_of(target, random)
        lines += [f"Content-Type: {random.choice(BODIES[:1] * 6 + BODIES[1:])}"]
        length = len(body) if random.random() < 0.9 else random.choice((0, 5, 10**9, -1))
        if length <= len(body):
            lines += [f"Content-Length: {length}"]
    else:
        path = path_of(target, random)
        if random.random() < 0.5:
            lines += [f"Range: {random.choice((*RANGES, hostile.text(random)))}"]
    if random.random() < 0.1:
        lines += [f"X-{hostile.text(random)}: {hostile.text(random)}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


async def exchange(address: str, request: bytes) -> bytes:
    """Sends bytes on a connection of their own, says that no more will come, and returns all that comes back."""
    host, port = address.rsplit(":", 1)
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(host, int(port))
        with suppress(ConnectionError):  # what is refused early is not read to its end
            writer.write(request)
            await writer.drain()
        answer = b""
        with suppress(ConnectionError):
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    answer += await reader.read(1 << 16)
            except TimeoutError:
                writer.write_eof()  # the server waits for more
            while part := await reader.read(1 << 16):
                answer += part
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return answer


def check(request: bytes, answer: bytes) -> str:
    """Asserts that an answer is documented, and returns what it is in a word."""
    if not answer:
        return "closed"
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").split("\r\n")
    status = int(line.split(" ")[1])
    if status not in STATUSES:
        raise Undocumented(f"status {status}: {body[:500]!r}")
    if not any(header.lower() == "server: interopsim" for header in headers):
        return f"{status} of the HTTP library"  # it was no request
    if b"Content-Type: application/json" not in head or request.startswith(b"HEAD "):
        return str(status)
    outcome = json.loads(body)
    if "reason" not in outcome:
        assert outcome.keys() in ({"login", "status"}, {"keys"}), outcome
        return str(status)
    reason = outcome["reason"].upper()
    allowed = read()[0]["/interop_api.v1.EnlistmentService/Enlist"].item | {"REQUEST_MALFORMED"}
    if request.startswith(b"POST /3p/interop_reg "):
        assert status in (200, 405), answer
    else:
        allowed = read()[0]["/interop_api.v1.MediaService/Download"].whole | {"REQUEST_MALFORMED"}
    if reason not in allowed:
        raise Undocumented(f"{reason} is not among {sorted(allowed)}")
    assert may_rest_on(Reason[reason], outcome["requirement"])
    assert outcome["recovery"] == Reason[reason].recovery.name.lower()
    assert outcome["code"] == Reason[reason].code
    assert f"x-request-id: {outcome['request_id']}" in [header.lower() for header in headers], head
    if Reason[reason] in ABOUT_A_FIELD and not re.match(UNNAMEABLE, outcome["advice"]):
        assert outcome["violations"], outcome
    assert any(header.lower().startswith("x-request-id: ") for header in headers), head
    return f"{status} {reason}"


async def fire(target: Target, campaign: Campaign, random: Random) -> None:
    """Fires one batch, each request on a connection of its own."""
    address = urlsplit(target.endpoint.http).netloc
    requests = [request_of(target, random) for _ in range(BATCH)]
    answers = await asyncio.gather(*(exchange(address, request) for request in requests))
    for request, answer in zip(requests, answers, strict=True):
        try:
            campaign.outcomes[check(request, answer)] += 1
        except Exception as error:
            error.add_note(f"{request[:3_000]!r}\nanswered with\n{answer[:3_000]!r}")
            raise
        campaign.fired.add(request)


def test_a_request_answers_as_documented(runner: asyncio.Runner, target: Target, campaign: Campaign) -> None:
    """Whatever comes in: a documented outcome as JSON, or a connection that is closed."""
    campaign.run(lambda random: runner.run(fire(target, campaign, random)))
