"""What the rules remember in memory is forgotten in time: whoever came by does not stay, though nobody asks again.

All that the rules hold is looked at, whatever its name: a rule that begins to remember something is held to the same.
"""

from collections.abc import Iterator, MutableMapping, MutableSequence, MutableSet

import pytest

from interop_server.core.limits import DAY_MS
from interop_server.core.messages import TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.core.newest import Newest

from .world import BATS, ClientKeys, World, message

pytestmark = pytest.mark.requirement("SIM-06")

PASSERS_BY = 8
_RULES = "interop_server.core."


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    names = {*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())}
    yield from ((name, getattr(thing, name)) for name in sorted(names) if hasattr(thing, name))


def remembered(thing: object, path: str = "", seen: set[int] | None = None) -> dict[str, int]:
    """How many entries each collection has that a rule can reach; journal and trace have bounds of their own."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, Newest):
        return {}
    seen.add(id(thing))
    found: dict[str, int] = {}
    if isinstance(thing, MutableMapping | MutableSequence | MutableSet):
        found[path] = len(thing)
        inside = [(f"[{key!r}]", value) for key, value in thing.items()] if isinstance(thing, MutableMapping) else []
    else:
        of_rules = type(thing).__module__.startswith(_RULES)
        inside = [(f".{name}", part) for name, part in _parts(thing)] if of_rules else []
    for name, part in inside:
        found |= remembered(part, path + name, seen)
    return found


async def _come_by(world: World, day: int) -> None:
    """Each does once whatever the rules remember something of."""
    user = await world.opted_in(f"+4915112345{day:02}")
    for number in range(PASSERS_BY):
        keys = ClientKeys(seed=day * PASSERS_BY + number)
        passer_by = await world.enlisted(f"passer-by-{day}-{number}", keys=keys)
        await world.logins.log_in(world.login(passer_by, keys))
        await world.prekeys.add(passer_by, keys.one_time(1, 1))
        await world.prekeys.take(passer_by, [user.jid])
        await world.indicators.show(passer_by, user.jid, Typing(TypingState.COMPOSING))
        await world.router.send_messages(passer_by, [message(user)])
        await world.optin.resolve(passer_by, [("+4915112345678", 0)])
        await world.challenges.begin(passer_by)


async def test_passers_by_are_forgotten(world: World) -> None:
    """As many on each of three days leave no more behind than on the first."""
    sizes = []
    for day in range(1, 4):
        await _come_by(world, day)
        sizes.append(remembered(world.rules))
        world.clock.advance(3 * DAY_MS)
    first = sizes[0]
    of_each = [path for path, size in first.items() if size == PASSERS_BY]
    assert {path.rpartition(".")[2] for path in of_each} == {"_pending", "_buckets"}
    assert len(of_each) >= 7, of_each
    assert [path for later in sizes[1:] for path, size in first.items() if later.get(path, 0) > size] == []
    assert BATS in world.key_sets._cached  # a partner is no passer-by
