"""A simulator to fire at, and how much: little and always the same in `make test`, as much as asked in `make fuzz`."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from partner_server import SigningKeys
from tests.fuzz.amount import EXAMPLES, IS_CAMPAIGN
from tests.fuzz.campaign import Campaign
from tests.fuzz.target import Target, open_target

settings.register_profile(
    "fuzz",
    derandomize=not IS_CAMPAIGN,
    database=None,
    deadline=None,
    # A batch has no smaller form: its seed is all that hypothesis knows. What fails is printed as it was sent.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The loop that everything here runs in: hypothesis calls tests that are no coroutines."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def target(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One simulator for all that is fired in this process, but what moves the clock."""
    opening = open_target(tmp_path_factory.mktemp("fuzz"), SigningKeys())
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


@pytest.fixture
def campaign(request: pytest.FixtureRequest, runner: asyncio.Runner, target: Target) -> Iterator[Campaign]:
    """What a test fires, and what comes back; the target is checked at the end."""
    yield (campaign := Campaign(request.node, EXAMPLES))
    runner.run(target.check_unharmed())
    campaign.close()
