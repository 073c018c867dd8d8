"""What the workbench lets in, and how it answers what it does not."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from interop_workbench.edge import guard
from interop_workbench.service import body_of

KEY = "key"
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Asks something that answers with what it was told."""

    async def echo(request: web.Request) -> web.Response:
        return web.json_response(await body_of(request))

    async def fail(_: web.Request) -> web.Response:
        raise KeyError("secret")

    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        raise KeyError

    application = web.Application(middlewares=[guard(KEY)])
    application.add_routes([web.post("/", echo), web.get("/fail", fail), web.get("/break", break_off)])
    async with TestClient(TestServer(application)) as client:
        yield client


async def ask(client: Client, body: bytes, **headers: str) -> tuple[int, object]:
    """Returns status and JSON of an answer."""
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"} | headers
    async with client.post("/", data=body, headers=given) as response:
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        return response.status, await response.json()


async def test_json_is_taken(client: Client) -> None:
    """However its type is written."""
    for kind in ("application/json", "Application/JSON; charset=utf-8"):
        assert await ask(client, '{"a":"é"}'.encode(), **{"Content-Type": kind}) == (200, {"a": "é"})


@pytest.mark.parametrize(
    "kind",
    [
        *("", "text/plain", "application/json; charset=rot13", "application/json; charset=utf-16"),
        *("a/b" + "(" * 3_000, "application/json" + ";" * 8_000, "application/json; a*" + "1" * 5_000 + "=x"),
    ],
    ids=lambda kind: kind[:40],
)
async def test_what_is_no_json_is_refused(client: Client, kind: str) -> None:
    """Before anybody looks at the key, and in no time."""
    assert await ask(client, b"{}", **{"Content-Type": kind, "Authorization": ""}) == (415, {"error": "Send JSON."})


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"a":"\\ud800"}', b'{"\\udfff":1}', "{}".encode("utf-16")])
async def test_what_is_no_object_of_json_is_refused(client: Client, body: bytes) -> None:
    """Half a surrogate pair is JSON, but no text that anybody could be sent."""
    status, answer = await ask(client, body)
    assert (status, list(answer)) == (400, ["error"])  # type: ignore[call-overload]


async def test_a_body_that_cannot_be_unpacked_is_refused(client: Client) -> None:
    assert (await ask(client, b"{}", **{"Content-Encoding": "gzip"}))[0] == 400


async def test_what_nobody_thought_of_is_answered_and_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and whoever asks gets a sentence, and nothing of what went wrong."""
    async with client.get("/fail") as response:
        assert (response.status, list(await response.json())) == (500, ["error"])
        assert "secret" not in await response.text()
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert [(record.name, record.levelname) for record in caplog.records] == [("interop_workbench.edge", "ERROR")]


async def test_an_answer_that_breaks_off_is_not_followed_by_another(client: Client) -> None:
    """The connection ends, which is how the other side knows."""
    async with client.get("/break") as response:
        with pytest.raises(ClientPayloadError):
            await response.read()


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", ""])
async def test_a_site_that_goes_by_the_address_of_this_machine_gets_nothing(client: Client, host: str) -> None:
    """Nor does it with the key."""
    assert (await ask(client, b"{}", Host=host))[0] == 421
    assert await ask(client, b"{}", Host="LOCALHOST:1") == (200, {})
