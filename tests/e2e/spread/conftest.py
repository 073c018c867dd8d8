"""The world of this folder is that of two nodes, and its people are connected to one and the other in turn."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world
from tests.e2e.nodes.conftest import Nodes, two_nodes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what cannot be spread."""
    left_out = [
        each for each in items if Path(__file__).parent in each.path.parents and each.get_closest_marker("one_node")
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    """Two nodes for all tests of this folder."""
    async with two_nodes(tmp_path_factory.mktemp("spread")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def simulator_process(nodes: Nodes) -> Child:
    """The first node: whoever asks for the simulator means that."""
    return nodes.children[0]


class SpreadWorld(World):
    """A world whose endpoint is another node each time."""

    places: "itertools.cycle[Endpoint]"

    @property
    def endpoint(self) -> Endpoint:  # type: ignore[override]  # what others read once, and here is asked each time
        """A node."""
        return next(self.places)

    @endpoint.setter
    def endpoint(self, value: Endpoint) -> None:
        self.places = itertools.cycle([value])


@pytest_asyncio.fixture
async def world(nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> AsyncIterator[World]:
    """A messenger of one's own, registered with both nodes."""
    async with open_world(nodes.endpoint(0), signing_keys, tmp_path / "partner") as world:
        world.__class__ = SpreadWorld
        assert isinstance(world, SpreadWorld)
        world.places = itertools.cycle([nodes.endpoint(0), nodes.endpoint(1)])
        yield world
