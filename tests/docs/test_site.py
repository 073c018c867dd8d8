"""The site is built where the extra `docs` is installed: strictly, and without anything of another host."""

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.docs.site import SOURCE, build, render

pytest.importorskip("zensical", reason="The extra `docs` is not installed: make site.")
_LOADED = re.compile(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//")


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Links lead somewhere, or it is not built."""
    shutil.copyfile(ROOT / "mkdocs.yml", tmp_path / "mkdocs.yml")
    assert build(tmp_path) == 0
    built = {path.relative_to(tmp_path / "site").as_posix(): path for path in (tmp_path / "site").rglob("*.html")}
    wanted = {page.replace("README.md", "index.md").removesuffix(".md") + ".html" for page in PAGES}
    assert wanted <= set(built)
    for name, path in built.items():
        text = path.read_text()
        assert _LOADED.findall(text) == [], name
        assert not any(word in text for word in ('class="mermaid"', "glightbox")), f"{name} would load a script"


def test_a_link_that_leads_nowhere_fails(tmp_path: Path) -> None:
    """To a page as to a heading."""
    shutil.copyfile(ROOT / "mkdocs.yml", tmp_path / "mkdocs.yml")
    assert build(tmp_path) == 0
    page = tmp_path / SOURCE / "docs" / "faq.md"
    right = page.read_text()
    for wrong in ("[nowhere](nowhere.md)", "[no heading](client.md#no-such-heading)"):
        page.write_text(f"{right}\n{wrong}\n")
        assert render(tmp_path) != 0
