"""Which of the clean worlds of a process it is: the next is asked for once, and never where others have their part."""

from interop_server.core.errors import Reason
from interop_server.core.operator.world import World
from tests.unit.core.world import refused


def test_the_next_world_is_wanted_once() -> None:
    """However often somebody asks for it; each is told its number."""
    asked: list[str] = []
    world = World(3, lambda: asked.append("next"))
    assert asked == []
    assert [world.want_next() for _ in range(3)] == [4, 4, 4]
    assert (world.number, asked) == (3, ["next"])


def test_no_node_ends_a_world_that_is_shared() -> None:
    """Nobody is asked to make the next one."""
    asked: list[str] = []
    world = World(1, lambda: asked.append("next"), is_shared=True)
    with refused(Reason.WORLD_SHARED) as caught:
        world.want_next()
    assert caught.value.requirement == "SIM-03"
    assert caught.value.detail == "a clean world begins with all nodes stopped, and an empty database"
    assert asked == []
