"""Fault after fault in a world of several nodes, and a check of everything after each; knows no promise itself."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

from interop_client.errors import ServerRefusal
from partner_server import SigningKeys
from tests.chaos.campaign import Found
from tests.chaos.cast import Act, Cast, cast
from tests.chaos.faults import KILLS, POINTS, Fault, inflict
from tests.chaos.people import Broken, settle
from tests.chaos.world import World, is_disturbed, open_world

FAULTS_PER_WORLD = 50
STAY_SECONDS = (0.5, 4.0)
"""How long people stay at a node under load, before they go to another."""
PATIENCE_SECONDS = 8.0
"""How long they wait for a node under load, before they try another."""
PAUSE_SECONDS = 0.03
"""Between two things that somebody does: all the nodes share one machine with what they meet on."""
AFTERMATH_SECONDS = 0.5
"""How long the load goes on when all is there again."""
REST_SECONDS = 45.0
"""How long it may take until nothing is wrong any more."""
FIND_OUT_SECONDS = 25.0
"""How long it may take until each node knows who is connected: a dead one is found out after ten."""
_AGAIN_SECONDS = 0.1


class WorldCampaign:
    """Does one thing after another to worlds of several nodes.

    Args:
        folder: For their files.
        keys: Of the messenger.
        faults: What.
        seed: Of the load's choices.
        nodes: How many.
        first: How many of the faults are left out: those of whole worlds.
    """

    def __init__(
        self, folder: Path, keys: SigningKeys, faults: Sequence[Fault], seed: int, nodes: int, first: int = 0
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._faults = faults
        self._seed = seed
        self._nodes = nodes
        self._first = first
        self.found = Found(seed)

    async def run(self, progress: Callable[[], None] = lambda: None) -> Found:
        """Runs to the end, or until a promise is broken; `progress` is called after each fault."""
        began = time.monotonic()
        for start in range(self._first, len(self._faults), FAULTS_PER_WORLD):
            folder = self._folder / f"world-{start}"
            folder.mkdir()
            rng = random.Random(self._seed + start)
            async with (
                open_world(folder, self._keys, self._nodes, rng) as world,
                WorldCompany.come_to(world, rng) as company,
            ):
                for fault in self._faults[start : start + FAULTS_PER_WORLD]:
                    await self._one(company, fault)
                    self.found.seconds = time.monotonic() - began
                    progress()
                    if self.found.broken:
                        return self.found
                await self._last(company)
        return self.found

    async def _one(self, company: "WorldCompany", fault: Fault) -> None:
        try:
            came_of_it = await company.live_through(fault)
        except Broken as error:
            self.found.broken.append(f"{fault.says}: {error}")
            return
        self.found.kills += 1
        self.found.at_points[came_of_it] += 1
        self.found.missed += came_of_it != fault.kind

    async def _last(self, company: "WorldCompany") -> None:
        try:
            await company.check_last()
        except Broken as error:
            self.found.broken.append(f"after the last fault: {error}")


class WorldCompany:
    """Everybody who loads the nodes of one world, and moves between them.

    Args:
        world: The world.
        people: They; not connected.
        rng: Chooses.
    """

    def __init__(self, world: World, people: Cast, rng: random.Random) -> None:
        self._world = world
        self._people = people
        self._rng = rng

    @classmethod
    @asynccontextmanager
    async def come_to(cls, world: World, rng: random.Random) -> AsyncIterator[Self]:
        """Registers and connects everybody; at the end they go."""
        company = cls(world, await cast(world, rng, PAUSE_SECONDS), rng)
        try:
            await company._return()
            yield company
        finally:
            await asyncio.gather(*(act.close() for act in company._people.acts))

    async def live_through(self, fault: Fault) -> str:
        """Loads the nodes while something is done to them; then everybody comes back, and everything is checked.

        Returns:
            What came of it, as `inflict`.

        Raises:
            Broken: A promise was not kept.
        """
        world = self._world
        world.expects_faults = True
        world.may_refuse = "postgres" in fault.kind
        self._people.aim_at(fault.kind)
        came_of_it = await self._load(fault)
        await self._each(lambda act: act.close())
        await world.come_to_rest(REST_SECONDS, is_empty=fault.kind not in (*POINTS, *KILLS))
        await self._return()
        await world.check_connections(FIND_OUT_SECONDS, is_last=False)
        await world.check_time(REST_SECONDS)
        await world.check_order()
        world.may_refuse = False
        return came_of_it

    async def check_last(self) -> None:
        """Checks that in the end each account has one connection, and that nobody else has one.

        Raises:
            Broken: Something else is so.
        """
        await self._world.check_connections(FIND_OUT_SECONDS, is_last=True)

    async def _load(self, fault: Fault) -> str:
        works = [asyncio.create_task(self._work(act)) for act in self._people.acts]
        doing = asyncio.create_task(self._do(fault))
        try:
            await asyncio.wait([doing, *works], return_when=asyncio.FIRST_COMPLETED)
            for work in works:
                if work.done():
                    work.result()
            return await doing
        finally:
            for task in (doing, *works):
                task.cancel()
            await asyncio.gather(doing, *works, return_exceptions=True)

    async def _do(self, fault: Fault) -> str:
        came_of_it = await inflict(self._world, fault)
        await asyncio.sleep(AFTERMATH_SECONDS)
        return came_of_it

    async def _work(self, act: Act) -> None:
        """Has one of them work, at one node after the other; ends only with what they find wrong."""
        while True:
            with _disturbed():
                async with asyncio.timeout(self._rng.uniform(*STAY_SECONDS)):
                    await act.work()
            await self._come_back(act, PATIENCE_SECONDS)

    async def _come_back(self, act: Act, seconds: float) -> None:
        while True:
            await act.close()
            with _disturbed():
                async with asyncio.timeout(seconds):
                    return await act.return_()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _return(self) -> None:
        """Has everybody come back, and then everybody check; a node may still find out meanwhile that it was dead."""

        async def check(act: Act) -> None:
            while True:
                with _disturbed():
                    return await act.check()
                await self._come_back(act, REST_SECONDS)

        await self._each(lambda act: self._come_back(act, REST_SECONDS))
        await self._each(check)

    async def _each(self, do: Callable[[Act], Coroutine[object, object, None]]) -> None:
        try:
            async with asyncio.timeout(2 * REST_SECONDS):
                await settle([asyncio.create_task(do(act)) for act in self._people.acts])
        except TimeoutError as error:
            raise Broken("somebody does not come back, although everything is there again") from error


@contextmanager
def _disturbed() -> Iterator[None]:
    """Ends what somebody does who is disturbed, and nothing else."""
    task = asyncio.current_task()
    try:
        yield
    except asyncio.CancelledError:
        if task is None or task.cancelling():
            raise  # else it was a call that ended so, whose channel was closed
    except Exception as error:
        if is_disturbed(error):
            return
        if isinstance(error, ServerRefusal):
            raise Broken(f"a call was refused that must succeed: {error!r}") from error
        raise
