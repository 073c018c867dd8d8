"""The length of a list's page; knows no list."""

from interop_server.core.errors import Reason, Refusal

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
MAX_PAGE_TOKEN_CHARACTERS = 160


def page_limit(page_size: int) -> int:
    """Returns how many entries a page of the requested size has; 0 leaves the size to the server.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    if page_size > MAX_PAGE:
        raise Refusal(Reason.REQUEST_MALFORMED, f"`page_size` is over {MAX_PAGE}", field="page_size")
    return page_size or DEFAULT_PAGE


def unknown_page_token() -> Refusal:
    """Returns the refusal of a token that the server did not give out with a page."""
    return Refusal(Reason.REQUEST_MALFORMED, "`page_token` is not one that this server gave out", field="page_token")
