"""Users who publish prekeys, and what a taker gets; knows no test."""

from collections.abc import Awaitable, Callable

from interop_server.core.errors import Reason, Refusal
from interop_server.core.keys.prekeys import BundleOutcome
from interop_server.core.model import Account, KnownDevice, PreKeyKind, TakenBundle
from tests.unit.core.world import ClientKeys, World

BuildWorld = Callable[..., Awaitable[World]]

KEYS, OTHER = ClientKeys(seed=1), ClientKeys(seed=2)
GOOD = KEYS.published
ONE_TIME = frozenset({PreKeyKind.ONE_TIME})


async def publisher(world: World, count: int = 0) -> Account:
    """An enlisted user with that many one-time prekeys."""
    ada = await world.enlisted("ada", keys=KEYS)
    if count:
        await world.prekeys.add(ada, KEYS.one_time(1, count))
    return ada


def reason_of(outcome: BundleOutcome) -> Reason:
    assert isinstance(outcome, Refusal)
    return outcome.reason


def known(registration_id: int) -> list[KnownDevice]:
    """What a taker knows of a user's one device."""
    return [KnownDevice(0, registration_id)]


def bundle_of(outcome: BundleOutcome) -> TakenBundle:
    assert not isinstance(outcome, Refusal)
    [bundle] = outcome
    assert bundle.device.device_id == 0
    return bundle.taken
