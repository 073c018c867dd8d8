"""`python -m tests.workbench.screenshots`: photographs the page for the documents, on a desktop and on a phone."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, async_playwright

from tests.browser import CHROMIUM, NO_CHROMIUM, QUIET
from tests.workbench.people import running
from tests.workbench.story import tell

IMAGES = Path(__file__).parents[2] / "docs/images"
SIZES = {"desktop": (1280, 980), "phone": (390, 844)}


async def photograph(browser: Browser, url: str, name: str, scheme: str, folder: Path) -> None:
    """Takes one picture, of the phone of Ada beside what the server sees."""
    width, height = SIZES[name]
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto(f"{url}#phones/Ada")
    await page.locator(".picture").wait_for()
    await page.locator(".envelope").nth(3).wait_for()
    await page.get_by_text("From my window").click()
    await page.locator(".envelope.is-selected").first.wait_for()
    await page.evaluate("document.activeElement.blur()")
    await page.screenshot(path=folder / f"page-{name}-{scheme}.png", full_page=name == "phone")
    await page.close()


async def main(folder: Path) -> None:
    """Plays the story, and photographs it."""
    with TemporaryDirectory() as name:
        temporary = Path(name)
        async with running(temporary, "--people", "--ui-control") as bench, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
            watching = await browser.new_page()  # what goes over the wire is recorded while somebody watches
            await watching.goto(bench.page)
            await watching.get_by_text("Live", exact=True).wait_for()
            await tell(bench, temporary)
            for size in SIZES:
                for scheme in ("light", "dark"):
                    await photograph(browser, bench.page, size, scheme, folder)
            await browser.close()


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit(f"{NO_CHROMIUM}.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(IMAGES))
