"""Whole numbers that people write: in digits, within bounds, and of a length that can be read."""

import pytest

from interop_protocol.whole_numbers import read_whole


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("65535", 65_535), ("007", 7), ("0" * 95 + "65535", 65_535)])
def test_a_number_within_bounds_is_read(text: str, number: int) -> None:
    assert read_whole(text, 0, 65_535) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1_0", " 1", "1\n", "\u0661", "²", "1.0", "0x1", "65536", "9" * 5_000]
)
def test_what_is_no_number_or_out_of_bounds_is_none(text: str) -> None:
    """Also a number of so many digits that Python refuses to read it."""
    assert read_whole(text, 0, 65_535) is None


def test_a_number_may_have_no_upper_bound() -> None:
    """But a hundred digits at most."""
    assert read_whole("9" * 100, 0) == 10**100 - 1
    assert read_whole("9" * 101, 0) is None
    assert read_whole("0", 1) is None
