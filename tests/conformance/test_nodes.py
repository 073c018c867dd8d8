"""The kit with two nodes of one world in the place of its simulator: some checks in which both have a part."""

import pytest

from interop_conformance.verdict import HELD
from tests.conformance.nodes import judged

CHECKS = (
    "ENL-08.enlists", "CHN-07.one-key-over-a-restart", "CHN-11.stays-away-when-replaced", "MSG-12.sends-text",
    "MSG-12.shows-text", "MSG-12.typing-out", "MSG-12.typing-in", "MSG-09.lost-ack", "MSG-08.backlog-in-order",
    "RCP-01.shows-read", "RCP-03.asks-again", "RCP-03.answers-a-request", "KEY-09.refills",
    "KEY-17.changed-identity-is-shown", "MSG-04.dishonest-duplicate", "MSG-09.dishonest-hang-ups",
)  # fmt: skip
"""`python -m tests.conformance.nodes` runs all."""


@pytest.mark.timeout(600)
@pytest.mark.requirement("SIM-05", "MSG-07", "MSG-13")
async def test_the_sdk_is_conformant_at_one_node_while_people_are_at_the_other() -> None:
    """As with one simulator: nobody notices."""
    results = await judged(CHECKS)
    assert {result.check.id for result in results} >= {*CHECKS}
    assert [
        f"{each.check.id}: expected {each.expected}; got {each.got}" for each in results if each.verdict not in HELD
    ] == []
