"""Pages of lists: how long one is, and where the next begins."""

import pytest

from interop_server.core.errors import Reason
from interop_server.core.paging import give_token, page_limit, read_token

from .world import refused

pytestmark = pytest.mark.requirement("OPT-06")

AS_LONG_AS_MAY_BE = "p" * (200 - len(give_token("list", "")))
"""A place whose token has 200 characters."""


@pytest.mark.parametrize(("page_size", "entries"), [(0, 100), (1, 1), (999, 999), (1_000, 1_000)])
def test_a_page_is_as_long_as_was_asked_for(page_size: int, entries: int) -> None:
    """The server chooses for who does not."""
    assert page_limit(page_size, "OPT-06") == entries


def test_a_page_has_a_thousand_entries_at_most() -> None:
    """One more is refused, by the rule of the list."""
    for rule in ("OPT-06", "PRX-05"):
        with refused(Reason.REQUEST_MALFORMED, rule) as caught:
            page_limit(1_001, rule)
        assert [violation.field for violation in caught.value.violations] == ["page_size"]


@pytest.mark.parametrize("place", ["", "7", "1:2.3@interop", "\udfff", AS_LONG_AS_MAY_BE])
def test_a_token_is_read_as_it_was_given(place: str) -> None:
    """Whatever the place is called."""
    assert read_token("list", give_token("list", place), "page_token", "OPT-06") == place


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "7",
        give_token("list of another", "7"),
        give_token("list", "7")[:-1],
        give_token("list", "7") + "0",
        "8" + give_token("list", "7")[1:],
        give_token("list", AS_LONG_AS_MAY_BE + "p"),
    ],
)
def test_what_was_not_given_out_for_a_list_is_refused(token: str) -> None:
    """Of another list, mistyped, or longer than any that is given out."""
    with refused(Reason.REQUEST_MALFORMED, "SIM-07") as caught:
        read_token("list", token, "resume_token", "SIM-07")
    assert [violation.field for violation in caught.value.violations] == ["resume_token"]
