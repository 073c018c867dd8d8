"""report.html in a real Chromium: at the width of a phone and of a desktop, light and dark, with hostile text in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from interop_conformance.catalogue import load
from interop_conformance.check import Score, Subject
from interop_conformance.report.html import html_of
from interop_conformance.verdict import Result, Run, Verdict
from tests.browser import CHROMIUM, LEAST_CONTRAST, NO_CHROMIUM, QUIET, TEXTS, WIDTHS

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>\u202e\x1b[31m{{7*7}}' + "w" * 300

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every verdict in it, of a subject that names itself as an attacker would."""
    checks = list(load(Subject.CLIENT).values())
    results = [Result(check, Verdict.PASS, seconds=0.1) for check in checks]
    for result, verdict in zip(results, Verdict, strict=False):
        result.verdict, result.expected, result.got, result.log = verdict, HOSTILE, HOSTILE, HOSTILE
        result.wire = [
            {
                "number": 1,
                "at_ms": 1_000,
                "jid": "17-1@interop",
                "direction": "to_server",
                "kind": "message",
                "size_bytes": 9,
                "content": {"id": HOSTILE},
            }
        ] * 3
        result.journal = [{"actor": HOSTILE, "action": "stanza.message", "outcome": "refused", "reason": HOSTILE}]
        result.repeat = f"interopsim conformance client --command 'x' --only {result.check.id}"
    next(result for result in results if result.check.is_attack).score = Score.NOTICED
    run = Run(HOSTILE, "client", "direct", "2024", "0.1.0", 1, "", "2026-01-01T00:00:00+00:00", 12.0, True, results)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_of(run), encoding="utf-8", errors="backslashreplace")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_can_be_read(width: str, scheme: str, browser: Browser, report: Path, tmp_path: Path) -> None:
    """Nothing is wider than the page, text stands out from its ground, a click opens a check, and nothing is loaded."""
    page = browser.new_page(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator("details[open]").count() >= 3 and "not conformant" in page.locator("h1").inner_text()
    closed = page.locator("details:not([open])").first.element_handle()
    closed.query_selector("summary").click()
    assert closed.query_selector(".in").is_visible()
    least, where = page.evaluate(LEAST_CONTRAST, TEXTS)
    assert least >= 4.5, where
    assert asked == [report.as_uri()] and errors == []
    assert page.locator("img, script").count() == 0 and page.title().startswith("<img")
    page.screenshot(path=tmp_path / f"{width}-{scheme}.png")
    page.close()


def test_the_keyboard_opens_a_check(browser: Browser, report: Path) -> None:
    """Tab goes from check to check."""
    page = browser.new_page()
    page.goto(report.as_uri())
    summary = page.locator("details:not([open]) summary").first.element_handle()
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("element => element.parentElement.open")
    page.close()
