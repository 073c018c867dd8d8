"""Answers that their clients do not take count together for each caller."""

import pytest

from interop_server.core.errors import Reason
from interop_server.rpc.answers import CALLERS_PART, Answers
from tests.unit.core.world import refused

pytestmark = pytest.mark.requirement("SIM-06")


KIB = 1 << 10


def test_a_caller_has_a_share_of_what_may_wait() -> None:
    """One answer of any length, others beside it up to the share, and short ones always."""
    answers = Answers(100 * KIB * CALLERS_PART)
    answers.make_room("ada", 500 * KIB)
    release = answers.hold("ada", 60 * KIB)
    answers.make_room("ada", 40 * KIB)
    with refused(Reason.RATE_LIMITED) as caught:
        answers.make_room("ada", 40 * KIB + 1)
    assert (caught.value.requirement, caught.value.retry_after_ms) == ("SIM-06", 1_000)
    answers.make_room("bob", 500 * KIB)
    answers.hold("ada", 60 * KIB)
    answers.make_room("ada", 4 * KIB)
    release()
    answers.make_room("ada", 40 * KIB)


def test_all_together_are_bounded_for_those_who_leave_any() -> None:
    """Whoever leaves none is answered all the same."""
    answers = Answers(20 * KIB * CALLERS_PART)
    release = answers.hold("ada", 10 * KIB)
    for number in range(2 * CALLERS_PART - 2):
        answers.hold(number, 10 * KIB)
    answers.make_room("ada", 10 * KIB)
    answers.hold("bob", 10 * KIB)
    with refused(Reason.RATE_LIMITED):
        answers.make_room("ada", 5 * KIB)
    answers.make_room("carol", 500 * KIB)
    release()
    answers.make_room("ada", 500 * KIB)
    answers.make_room("bob", 10 * KIB)
