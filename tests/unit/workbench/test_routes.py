"""What the page and people are told over HTTP: what cannot be is refused with a sentence; needs no simulator."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from interop_client.errors import ServerRefusal
from interop_protocol.endpoint import Endpoint
from interop_workbench.cast import NOBODY
from interop_workbench.edge import Unwanted
from interop_workbench.feed import Feed
from interop_workbench.page import Page
from interop_workbench.person import Person
from interop_workbench.service import ACTIONS, Service
from interop_workbench.world import World

Client = TestClient[web.Request, web.Application]


class Refusing:
    """An admin service that refuses everything."""

    def __init__(self, reason: str) -> None:
        self.refusal = ServerRefusal(reason)

    async def audit_account(self, _: str) -> AsyncIterator[list[object]]:
        raise self.refusal
        yield []

    async def explain_refusal(self, _: str) -> None:
        raise self.refusal


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Nobody, and a simulator that is not there."""
    world = World(Endpoint("127.0.0.1:1", bytes(32), admin="127.0.0.1:1"), NOBODY, tmp_path, None, lambda _: None)
    yield world
    await world.admin.close()


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Asks service and page, with the key."""
    service, feed = Service(world), Feed(world.admin)
    application = service.application()
    application.add_routes(Page(world, feed, service.key).routes())
    headers = {"Authorization": f"Bearer {service.key}"}
    async with TestClient(TestServer(application), headers=headers) as client:
        yield client
    await feed.close()


async def test_the_files_of_the_page_are_served(client: Client) -> None:
    for name, kind in (("index.html", "text/html"), ("main.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        async with client.get(f"/page/{name}") as response:
            assert (response.status, response.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")


@pytest.mark.parametrize("name", ["a" * 300 + ".html", "a" * 5_000 + ".html", "a%00.html", "..%2findex.html", ".html"])
async def test_what_is_no_file_of_the_page_is_not_there(client: Client, name: str) -> None:
    """Also what no file system takes for a name."""
    async with client.get(f"/page/{name}") as response:
        assert (response.status, list(await response.json())) == (404, ["error"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(
            ("clock", {"do": "advance", "by": by})
            for by in ("9" * 15 + "d", "9" * 15 + "ms" + "9" * 15 + "d", 5, "\ud800")
        ),
        *(("faults", {"do": "clear", "name": name}) for name in (5, 0, ["a"], {"a": 1}, "\ud800", None)),
        *(("faults", {"do": "release", "name": name}) for name in (5, "")),
        *(("faults", {"do": "add", "toml": toml}) for toml in (5, "\ud800", "[")),
        *(("tokens", {"user": "a", "defect": defect}) for defect in (["x"], {"x": 1}, 5, None, "\ud800", "x")),
        *(("tokens", {"user": user}) for user in ("\ud800", 5)),
        *(("people", {"name": name}) for name in ("\ud800", 5)),
        ("people", {"name": "Xe", "phone_number": "\ud800"}),
    ],
)
async def test_what_cannot_be_is_refused_with_a_sentence(client: Client, path: str, body: dict[str, object]) -> None:
    """Before the simulator is asked, and whatever the fields are."""
    async with client.post(f"/api/{path}", json=body) as response:
        assert (response.status, list(await response.json())) == (400, ["error"])


@pytest.mark.parametrize(
    ("action", "body"), [("send-file", {"base64": "é"}), ("send-file", {"base64": "AAA"}), ("read", {"from": 0})]
)
async def test_what_a_person_cannot_be_told_is_refused(action: str, body: dict[str, Any]) -> None:
    with pytest.raises(Unwanted) as unwanted:
        await ACTIONS[action](cast(Person, None), body)
    assert unwanted.value.status == 400


@pytest.mark.parametrize(
    ("reason", "status"), [("NOT_REGISTERED", 404), ("REQUEST_MALFORMED", 400), ("UNAVAILABLE", 503)]
)
async def test_only_what_is_not_there_is_not_found(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch, reason: str, status: int
) -> None:
    """A simulator that does not answer has said nothing of an account or a refusal."""
    monkeypatch.setattr(world, "admin", Refusing(reason))
    for path in ("accounts/a", "refusals/a"):
        async with client.get(f"/api/{path}") as response:
            assert (path, response.status, list(await response.json())) == (path, status, ["error"])
