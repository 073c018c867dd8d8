"""A Chromium, a simulator with people and a page in control, and pages that tell what went wrong in them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser import CHROMIUM, NO_CHROMIUM, QUIET, WIDTHS
from tests.workbench.people import Running, running

expect.set_options(timeout=30_000)

OpenPage = Callable[..., Awaitable[Page]]
"""Opens a page: its address, then what `Browser.new_page` takes.

`allowed` are parts of errors that are meant to come; `prepare` is awaited with the page before it goes anywhere.
"""

_COUNT_VIOLATIONS = """
  window.violations = [];
  addEventListener("securitypolicyviolation", event => violations.push(event.violatedDirective));
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A simulator with the usual people, and a page in control."""
    async with running(tmp_path_factory.mktemp("bench"), "--people", "--ui-control") as bench:
        yield bench


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages, and fails at the end if any of them had an error or broke its Content-Security-Policy."""
    pages: list[Page] = []
    errors: list[str] = []

    async def open_page(url: str, *, allowed: tuple[str, ...] = (), prepare: Any = None, **options: Any) -> Page:
        options.setdefault("viewport", {"width": WIDTHS["desktop"], "height": 900})
        page = await browser.new_page(**options)
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on(
            "console",
            lambda said: (
                errors.append(f"{said.text} {said.location.get('url', '')}".rstrip())
                if said.type in ("error", "warning") and not any(part in said.text for part in allowed)
                else None
            ),
        )
        await page.add_init_script(_COUNT_VIOLATIONS)
        if prepare is not None:
            await prepare(page)
        await page.goto(url)
        return page

    yield open_page
    violations = [await page.evaluate("window.violations ?? []") for page in pages]
    told = list(errors)  # before the end: what a closing page still asks for goes past its routes
    for page in pages:
        await page.close()
    assert (told, violations) == ([], [[] for _ in pages])
