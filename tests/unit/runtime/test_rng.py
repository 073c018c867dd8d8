"""What a source of randomness promises, and that a seed repeats itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_server.core.ports import Rng
from interop_server.runtime.rng import SeededRng, SystemRng


@pytest.mark.parametrize("rng", [SystemRng(), SeededRng(7)], ids=["system", "seeded"])
def test_numbers_cover_their_range_with_both_ends(rng: Rng) -> None:
    """Of three possible numbers, 200 draws miss none and add none."""
    assert {rng.number(-1, 1) for _ in range(200)} == {-1, 0, 1}
    assert rng.number(5, 5) == 5
    assert len(rng.token_bytes(33)) == 33
    assert rng.token_bytes(0) == b""


@given(seed=st.integers(), lengths=st.lists(st.integers(0, 100), max_size=8))
def test_a_seed_gives_one_sequence_however_it_is_cut(seed: int, lengths: list[int]) -> None:
    """The same seed gives the same bytes, in many small draws or in one."""
    many = SeededRng(seed)
    assert b"".join(map(many.token_bytes, lengths)) == SeededRng(seed).token_bytes(sum(lengths))


@given(low=st.integers(-(2**70), 2**70), span=st.integers(0, 2**70))
def test_a_number_lies_in_its_range(low: int, span: int) -> None:
    """However wide the range is."""
    assert low <= SeededRng(1).number(low, low + span) <= low + span


def test_each_purpose_has_a_sequence_of_its_own() -> None:
    """The same each time, whatever is drawn for others; a purpose is not part of the seed."""
    draws = {
        purpose: SeededRng(1, *purpose).token_bytes(16) for purpose in ((), ("a",), ("b",), (1,), (1, "a"), ("1",))
    }
    assert len(set(draws.values())) == len(draws)
    assert draws == {purpose: SeededRng(1, *purpose).token_bytes(16) for purpose in draws}
    assert SeededRng(11).token_bytes(16) != draws[1,]


def test_seeds_differ_and_empty_ranges_are_refused() -> None:
    """Two seeds share no sequence; no number lies in an empty range."""
    assert SeededRng(1).token_bytes(16) != SeededRng(2).token_bytes(16)
    with pytest.raises(ValueError, match="no number"):
        SeededRng(1).number(2, 1)
