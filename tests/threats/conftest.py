"""A simulator of their own for the attacks, and what they say in the report."""

import pytest

from tests.e2e.conftest import endpoint, second_world, signing_keys, simulator_process, world
from tests.threats.report import Attack

__all__ = ["attack", "endpoint", "second_world", "signing_keys", "simulator_process", "world"]


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Attack:
    """Where a test says what it tries and what holds."""
    return Attack(request.node)
