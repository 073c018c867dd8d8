"""The page against whoever means it ill: hostile text, other sites, no key; and against more than it can show."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, Route, expect

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import journal_pb2
from interop_client.messaging.events import TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_workbench.cast import NOBODY
from interop_workbench.feed import Feed
from interop_workbench.page import Page as Routes
from interop_workbench.service import Service
from interop_workbench.world import World
from tests.workbench.conftest import OpenPage
from tests.workbench.people import Running, running

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>\u202e\u2066{{7*7}}${7*7}javascript:alert(3)"
VIEWS = ("Phones", "Journal", "Wire", "Time", "Faults", "Messengers")
PER_SECOND = 5_000
TRY_EVERYTHING = """async url => {
  const post = (type, mode) => fetch(url + 'api/people/Blocker/send', {method: 'POST', mode,
    headers: {'Content-Type': type}, body: '{"to": "bob", "text": "forged"}'})
    .then(answer => answer.type, () => 'refused');
  const read = path => fetch(url + path).then(answer => answer.text(), () => 'refused');
  const stream = new Promise(done => {
    const source = new EventSource(url + 'api/events');
    source.onmessage = () => done('read');
    source.onerror = () => { source.close(); done('refused'); };
  });
  return {simple: await post('text/plain', 'no-cors'), json: await post('application/json', 'cors'),
    state: await read('api/state'), phone: await read('api/people/Blocker'), page: await read(''),
    stream: await stream};
}"""
"""What a page of another site can try, and what became of it."""
EVIL_PAGE = """<!doctype html><title>Evil</title><form method="post" enctype="text/plain">
<input name='{"to": "bob", "text": "forged", "rest": "' value='"}'></form>"""
SUBMIT_A_FORM = """url => {
  const [form] = document.forms;
  form.action = url + 'api/people/Blocker/send';
  form.submit();
}"""
"""Posts what reads as JSON, which a form can do without being asked whether it may."""


@asynccontextmanager
async def served(application: web.Application) -> AsyncIterator[str]:
    """Serves an application on a port of its own, which makes it another site."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def test_a_page_that_looks_on_has_no_controls_and_no_key(open_page: OpenPage, tmp_path: Path) -> None:
    """Without `--ui-control` nothing that changes anything is there, and the API refuses whoever has no key."""
    async with running(tmp_path, "--people") as bench:
        bob = await bench.user("bob")
        await bob.send_text(bench.jid("Slow"), "May I?")
        page = await open_page(f"{bench.page}#phones/Slow")
        await expect(page.get_by_text("Looking on")).to_be_visible()
        await page.get_by_role("button", name="Message of bob").click()
        await expect(page.locator(".envelope.is-selected").first).to_be_visible()
        for view in VIEWS:
            await page.get_by_role("tab", name=view).click()
            await expect(page.get_by_role("tabpanel", name=view)).to_be_visible()
            controls = page.locator("textarea, form:not([role=search]), .primary, .menu, .actions, .card button")
            await expect(controls).to_have_count(0)
        await page.goto("about:blank")
        async with bench.http.get(f"{bench.page}api/state") as response:
            assert (await response.json())["key"] == ""
        for path in ("people/Slow/accept", "clock", "faults", "partners/31", "people", "tokens"):
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
                async with bench.http.post(f"{bench.page}api/{path}", json={}, headers=headers) as response:
                    assert response.status == 403, path
                    assert "key" in (await response.json())["error"]


async def test_what_people_send_is_shown_as_text(bench: Running, open_page: OpenPage, tmp_path: Path) -> None:
    """Markup, marks of direction and very long words in texts, captions, reactions and names run nothing."""
    bob = await bench.user("bob-the-hostile")
    page = await open_page(f"{bench.page}#phones/Away")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await bench.tell("people/Away/online")
    to = bench.jid("Away")
    first = await bob.send_text(to, HOSTILE)
    await bob.wait_for(TextReceived)
    await bob.send_text(to, "w" * 5_000)
    file = tmp_path / "page.html"
    file.write_text("<script>alert(4)</script>")
    await bench.send_picture(bob, to, file, HOSTILE)
    await bob.send_reaction(to, first.id, HOSTILE[:64])
    await bob.send_reachability_ping("+31600000008", "<b>Eve</b>")
    phone = page.locator("#phone")
    await expect(page.locator(".chat, .back").first).to_be_visible()
    if await phone.locator(".chat").count():
        await phone.locator(".chat").first.click()
    texts = phone.locator(".message.is-theirs .body bdi")
    await expect(texts.filter(has_text="onerror").first).to_have_text(HOSTILE)
    await expect(texts.filter(has_text="w" * 4_000).first).to_be_visible()
    link = phone.locator("a.file")
    await expect(link).to_contain_text("onerror")
    await expect(link).to_contain_text("\\u202e")
    async with page.expect_download() as download:
        await link.click()
    assert (await (await download.value).path()).read_text() == "<script>alert(4)</script>"
    await expect(phone.locator(".reactions").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert await page.evaluate("getComputedStyle(document.querySelector('.message bdi')).unicodeBidi") == "isolate"
    assert await page.locator("#phone script, #phone img[onerror], main script").count() == 0


def poisoned(value: Any, name: str = "") -> Any:
    """The same answer with something hostile in place of every text that comes from outside."""
    if isinstance(value, dict):
        return {key: poisoned(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each, name) for each in value]
    kept = ("key", "direction", "outcome", "kind", "tick", "request_state", "inbox", "state", "status", "action")
    return HOSTILE + "w" * 5_000 if isinstance(value, str) and name not in kept else value


async def what_happens(bench: Running, bob: ThirdPartyClient) -> dict[str, Any]:
    """A batch with entries of both kinds: the wire is recorded from some moment on at which a page watches."""
    batch: dict[str, Any] = {"journal": [], "wire": []}
    async with bench.http.get(f"{bench.page}api/events") as response:
        while not batch["journal"] or not batch["wire"]:
            await bob.send_text(bench.jid("Rotator"), "Hello again")
            line = await response.content.readline()
            if line.startswith(b"data: "):
                came = json.loads(line[6:])
                batch = came | {name: batch[name] + came[name] for name in ("journal", "wire")}
    return batch


@pytest.mark.parametrize("width", [390, 1280])
async def test_hostile_answers_are_shown_as_text(width: int, open_page: OpenPage, bench: Running) -> None:
    """Whatever the answers say in names, ids and all other fields is text, and fits, on every view."""
    bob = await bench.user(f"bob-{width}")
    await bob.send_text(bench.jid("Rotator"), "Hello")
    await bob.wait_for(TextReceived)
    async with bench.http.get(f"{bench.page}api/phones/Rotator?chat=") as response:
        phone = poisoned(await response.json())
    batch = await what_happens(bench, bob)
    batch = poisoned(batch | {"journal": batch["journal"][-20:], "wire": batch["wire"][-20:]})
    async with bench.http.get(f"{bench.page}api/accounts/{bench.jid('Rotator')}") as response:
        account = poisoned(await response.json())
    faults = [{"name": "f", "action": "hold", "rule": {"name": "f"}, "matched": 1, "fired": 1, "held": 1}]

    async def answer(route: Route) -> None:
        if "/api/events" in route.request.url:
            body = f"data: {json.dumps(batch)}\n\n"
            await route.fulfill(body=body, content_type="text/event-stream")
        elif "/api/phones/" in route.request.url:
            await route.fulfill(json=phone | {"notices": [{"kind": "ping", "text": HOSTILE, "at_ms": 1}]})
        elif "/api/accounts/" in route.request.url:
            await route.fulfill(json=account)
        else:
            response = await route.fetch()
            told = await response.json()
            told = poisoned(told | {"faults": faults} if "faults" in told else told)
            if "people" in told:
                told["people"] = told["people"][:1]
            await route.fulfill(json=told)

    async def prepare(page: Page) -> None:
        await page.route("**/api/**", answer)

    page = await open_page(bench.page, prepare=prepare, viewport={"width": width, "height": 900})
    await expect(page.locator("#phone .message bdi").first).to_contain_text("onerror")
    await page.get_by_role("button", name="Back to the chats").click()
    await expect(page.locator("#phone .notice bdi")).to_contain_text("onerror")
    for view in VIEWS:
        await page.get_by_role("tab", name=view).click()
        panel = page.get_by_role("tabpanel", name=view)
        await expect(panel).to_be_visible()
        if view not in ("Time",):
            await expect(panel).to_contain_text("<script>alert(2)</script>")
        assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), view
        assert await page.locator("main script, img[onerror], img[src=x]").count() == 0
        seen = await panel.inner_text()
        assert view == "Phones" or "\u202e" not in seen, "logs show marks of direction as what they are"
    # The page asks again and again: what it has just asked is answered by nobody once it is closed.
    await page.unroute_all(behavior="ignoreErrors")


async def test_other_sites_can_do_nothing(bench: Running, open_page: OpenPage) -> None:
    """A page of another site reads nothing, changes nothing and frames nothing; a rebound name is refused."""

    async def evil(_: web.Request) -> web.Response:
        return web.Response(text=EVIL_PAGE, content_type="text/html")

    application = web.Application()
    application.router.add_get("/", evil)
    async with served(application) as site, bench.http.get(f"{bench.page}api/phones/Blocker") as response:
        before = await response.json()
        page = await open_page(site, allowed=("Failed to load resource", "CORS policy"))
        tried = await page.evaluate(TRY_EVERYTHING, bench.page)
        assert tried == {
            "simple": "refused",
            "json": "refused",
            "state": "refused",
            "phone": "refused",
            "page": "refused",
            "stream": "refused",
        }
        await page.evaluate(SUBMIT_A_FORM, bench.page)
        await expect(page.locator("body")).to_contain_text("Send JSON.")
    async with bench.http.get(f"{bench.page}api/phones/Blocker") as response:
        assert await response.json() == before
    body = {"to": "bob", "text": "forged"}
    async with bench.http.post(f"{bench.page}api/people/Blocker/send", data=body) as response:
        assert response.status == 415
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        async with bench.http.get(f"{bench.page}api/state", headers={"Host": host}) as response:
            assert response.status == 421 and "key" not in await response.json()
    async with bench.http.get(bench.page) as response:
        policy = response.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy


class Flood(AdminClient):
    """A simulator in which 5,000 things a second happen, every tenth of them refused."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.told = 0

    async def read_journal(self, **_: Any) -> AsyncGenerator[journal_pb2.ReadJournalResponse, None]:
        begun = time.monotonic()
        while True:
            while self.told < (time.monotonic() - begun) * PER_SECOND:
                self.told += 1
                entry = journal_pb2.JournalEntry(
                    number=self.told,
                    actor=f"31-{self.told % 500}@interop",
                    action="stanza.message",
                    outcome=journal_pb2.JOURNAL_OUTCOME_ACCEPTED
                    if self.told % 10
                    else journal_pb2.JOURNAL_OUTCOME_REFUSED,
                    reason="" if self.told % 10 else "RATE_LIMITED",
                    request_id=f"{self.told:016}",
                    at_ms=1_800_000_000_000 + self.told,
                )
                yield journal_pb2.ReadJournalResponse(entry=entry)
            await asyncio.sleep(0.01)


async def test_the_page_answers_while_5000_things_a_second_happen(
    bench: Running, open_page: OpenPage, tmp_path: Path
) -> None:
    """Frames go on, clicks are answered, rows stay few, and what is left out is counted."""
    flood = Flood(bench.endpoint.admin)
    world = World(bench.endpoint, NOBODY, tmp_path, None, lambda _: None)
    feed, service = Feed(flood), Service(world)
    application = service.application()
    routes = Routes(world, feed, "")
    application.add_routes(routes.routes())
    application.on_shutdown.append(routes.stop)
    async with world, served(application) as url:
        page = await open_page(f"{url}#journal")
        await expect(page.locator("#journal .gap").first).to_be_visible()
        await page.evaluate(
            "() => { window.frames = 0; const next = () => { frames += 1; requestAnimationFrame(next); }; next(); }"
        )
        begun = flood.told
        for outcome in ("refused", "accepted", "refused", ""):
            await page.get_by_label("Outcome").select_option(outcome)
            wanted = page.locator("#journal .entry").first
            await expect(wanted).to_have_class(f"entry is-{outcome}" if outcome else re.compile("entry is-"))
            await page.wait_for_function("limit => frames > limit", arg=await page.evaluate("frames") + 10)
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("#journal")).to_contain_text("Paused:")
        shown = await page.locator("#journal .entry").first.inner_text()
        await page.wait_for_function("limit => frames > limit", arg=await page.evaluate("frames") + 10)
        assert await page.locator("#journal .entry").first.inner_text() == shown
        await page.get_by_role("button", name="Go on").click()
        await page.get_by_role("tab", name="Time").click()
        await expect(page.get_by_role("timer")).to_be_visible()
        assert await page.locator("#journal li").count() <= 400
        assert flood.told - begun > PER_SECOND, "it was not a flood"
        await page.goto("about:blank")
        await flood.close()
