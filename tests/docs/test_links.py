"""Links between the pages lead somewhere: to a file that is there, and to a heading that it has."""

import pytest

from tests.docs.pages import PAGES, ROOT, anchors_of, links_of


@pytest.mark.parametrize("page", [*PAGES])
def test_every_link_leads_somewhere(page: str) -> None:
    """Files and headings of the repository; what is elsewhere is not asked for."""
    for link in links_of(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (PAGES[page].parent / name).resolve() if name else PAGES[page]
        assert target.is_relative_to(ROOT) and target.exists(), f"{page}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors_of(target), f"{page}: {link}: there is no such heading"


def test_every_page_can_be_found() -> None:
    """From docs/index.md: a page that nothing links to has no readers."""
    linked = {f"docs/{link.partition('#')[0]}" for link in links_of("docs/index.md")}
    assert {page for page in PAGES if page.startswith("docs/")} - linked - {"docs/index.md"} == set()
