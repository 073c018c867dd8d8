"""What the workbench lets in, and how it answers what it does not."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
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

    application = web.Application(middlewares=[guard(KEY)])
    application.router.add_post("/", echo)
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
