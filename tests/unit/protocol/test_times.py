"""Times and durations as people write them, and nothing that could be taken for two things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.times import format_time, parse_duration, parse_time

LATEST_MS = 253_402_300_799_999


@given(st.integers(-62_135_596_800_000, LATEST_MS))
def test_a_time_is_read_as_it_was_written(ms: int) -> None:
    """To the millisecond, up to the year 9999."""
    assert parse_time(format_time(ms)) == ms


def test_the_text_of_a_time() -> None:
    """Always with its milliseconds, and with the one letter for UTC."""
    assert [format_time(ms) for ms in (0, 1_767_225_600_001, LATEST_MS)] == [
        "1970-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00.001Z",
        "9999-12-31T23:59:59.999Z",
    ]


@pytest.mark.parametrize("ms", [LATEST_MS + 1, -62_135_596_800_001, 2**63 - 1, -(2**63), 10**40])
def test_a_time_without_a_text_is_its_number(ms: int) -> None:
    """A clock can run past the year 9999, and a peer can say anything: both are shown."""
    assert format_time(ms) == f"{ms} ms"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01T01:30:00+01:30", 1_767_225_600_000),
        ("2026-01-01T00:00:00.0019Z", 1_767_225_600_001),
        ("9999-12-31T23:59:59.999Z", LATEST_MS),
    ],
)
def test_a_time_has_a_zone(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize("text", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "1767225600000", "2026-13-01T00:00Z"])
def test_what_is_no_time_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(ValueError, match="2026-01-01T00:00:00Z"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30d", 2_592_000_000),
        ("12h", 43_200_000),
        ("5m", 300_000),
        ("90s", 90_000),
        ("250ms", 250),
        ("1d12h", 129_600_000),
        ("1m1ms", 60_001),
        ("1ms1m", 60_001),
        ("0s", 0),
        ("253402300799s999ms", LATEST_MS),
        ("007s", 7_000),
    ],
)
def test_a_duration_is_a_sum(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "d",
        "1.5h",
        "-1d",
        "1d 12h",
        "1D",
        "1w",
        "1sm",
        "٣d",
        "1d\n",
        "9" * 16 + "s",
        "9" * 15 + "d",
        "253402300800s",
        "253402300799s1s",
    ],
)
def test_what_is_no_duration_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(ValueError, match="1d12h"):
        parse_duration(text)
