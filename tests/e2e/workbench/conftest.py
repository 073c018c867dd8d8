"""A messenger and people of one's own in the shared simulator, as `interopsim up --people` brings them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.endpoint import Endpoint
from interop_workbench.cast import Cast, PartnerRole, Role
from interop_workbench.person import Person
from interop_workbench.world import World

_integrators = itertools.count(900)
_numbers = itertools.count(20_000_000)

SECONDS = 20.0


class People:
    """The world of a workbench, and users of its messenger."""

    def __init__(self, world: World, stack: AsyncExitStack, changed: asyncio.Condition) -> None:
        self.world = world
        self._stack = stack
        self._changed = changed

    async def person(self, habit: str = "none", **fields: object) -> Person:
        """A new person with a habit."""
        number = next(_numbers)
        role = Role(f"p{number}", f"+49152{number}", habit, **fields)  # type: ignore[arg-type]
        return await self.world.add(role)

    async def user(self, name: str = "bob") -> ThirdPartyClient:
        """A user of the messenger, connected and with prekeys; closed at the end of the test."""

        async def get_token() -> str:
            return (await self.world.token(name)).token

        client = ThirdPartyClient.direct(self.world.endpoint, ClientState.generate(), get_token)
        await client.enlist(await get_token())
        await client.connect()
        self._stack.push_async_callback(client.close)
        await client.publish_prekeys(20)
        return client

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds of what phones show."""
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(holds)


@asynccontextmanager
async def open_people(endpoint: Endpoint, folder: Path, seed: int | None = None) -> AsyncIterator[People]:
    """Brings a messenger without people, who come as tests want them."""
    integrator = next(_integrators)
    changed = asyncio.Condition()
    tasks: set[asyncio.Task[None]] = set()

    async def notify() -> None:
        async with changed:
            changed.notify_all()

    def tell(_: Person) -> None:
        task = asyncio.ensure_future(notify())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    cast = Cast(PartnerRole(integrator, f"Pigeon {integrator}", f"https://pigeon-{integrator}.example"), ())
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(World(endpoint, cast, folder, seed, tell))
        yield People(world, stack, changed)


@pytest_asyncio.fixture
async def people(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[People]:
    """A messenger of one's own, and whoever a test adds."""
    async with open_people(endpoint, tmp_path) as people:
        yield people


@pytest.fixture
def png() -> bytes:
    """A picture of one dot."""
    return bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
        "a5f645400000000049454e44ae426082"
    )
