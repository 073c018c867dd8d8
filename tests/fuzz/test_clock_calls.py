"""The calls that move the clock, at a simulator of their own: what they do would reach everybody else."""

import asyncio
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import MethodDescriptor

from partner_server import SigningKeys
from tests.fuzz.amount import EXAMPLES
from tests.fuzz.campaign import Campaign
from tests.fuzz.methods import ADMIN_METHODS
from tests.fuzz.target import Target, open_target
from tests.fuzz.test_unary_calls import CLOCK, fire

pytestmark = pytest.mark.requirement("SIM-01", "SIM-04")

METHODS = [method for method in ADMIN_METHODS if method.containing_service.full_name == CLOCK]


@pytest.fixture(scope="module")
def clockwork(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A simulator whose clock may be anywhere."""
    opening = open_target(tmp_path_factory.mktemp("clockwork"), SigningKeys())
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_call_that_moves_the_clock_answers_as_documented(
    runner: asyncio.Runner, clockwork: Target, request: pytest.FixtureRequest, method: MethodDescriptor
) -> None:
    """However far it moves it; afterwards people enlist, connect and write by the clock as it is then."""
    campaign = Campaign(request.node, EXAMPLES)
    campaign.run(lambda random: runner.run(fire(clockwork, campaign, method, random)))
    campaign.close()
    runner.run(clockwork.check_unharmed())
