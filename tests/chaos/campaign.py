"""Kill after kill, with a check of everything after each; knows what is killed where, and nothing of the promises."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from interop_client.errors import ServerRefusal
from interop_server.crash_points import POINTS
from partner_server import SigningKeys
from tests.chaos.cast import Act, Cast, cast
from tests.chaos.people import Broken, is_gone, settle
from tests.chaos.places import OBJECT_STORE, FreshBlobs, beside_the_database
from tests.chaos.stage import Place, Stage, open_stage
from tests.object_stores import S3Server

RANDOM = "random"
ROUND_SECONDS = 90.0
"""How long a point is waited for; then the server is killed anyhow."""
DEATH_SECONDS = 5.0
"""How long after the end of a connection the process may still be there."""
KILLS_PER_DATABASE = 100
_ONCE = {
    "schema.create": 1,
    "schema.empty": 1,
    "blob.delete": 2,
    "blob.delete_stale": 2,
    "blob.sync_early": 1,
    "object.delete": 2,
    "object.delete_stale": 2,
}
"""Points that are not passed often: how often at most before the kill."""
_USUAL, _OFTEN = 12, 150
_ALSO = {"schema.empty": ("SESSION_DEAD",)}
"""What may be told before a death, by its point: a reset ends every session first, and a call may come between."""


@dataclass(frozen=True)
class Kill:
    """Where a server dies."""

    point: str
    """One of `POINTS` or `OBJECT_POINTS`, or `random`, or `object store`."""
    passage: int = 0
    """Of the point, from 1."""
    after_seconds: float = ROUND_SECONDS
    """Under load, unless the point comes first."""

    @property
    def told(self) -> str:
        """What the server is told."""
        return "" if self.point in (RANDOM, OBJECT_STORE) else f"{self.point}:{self.passage}"

    @property
    def under_load(self) -> str:
        return f"{self.point}:{self.passage}" if self.passage else f"{self.after_seconds:.3f} s after the load began"


@dataclass
class Found:
    """What a campaign has found so far."""

    seed: int
    kills: int = 0
    at_points: Counter[str] = field(default_factory=Counter)
    """Kills by point; `random` for those from outside."""
    missed: int = 0
    """Points that were not passed in time: the server was killed from outside instead."""
    broken: list[str] = field(default_factory=list)
    """Promises that were not kept, each with the kill before it."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {**vars(self), "at_points": dict(self.at_points), "holds": not self.broken}


def plan(count: int, seed: int, points: Sequence[str] = POINTS) -> Iterator[Kill]:
    """Every point once; then every point in turn at some later passage, and one random kill for every two of them."""
    rng = random.Random(seed)
    later = [point for point in points if point != "schema.create"]
    for number in range(count):
        if number < len(points):
            yield Kill(points[0], 1) if number == 0 else _kill(points[number], rng, 40)
        elif number % 3 == 0:
            yield Kill(RANDOM, after_seconds=rng.uniform(0.0, 0.8))
        else:
            yield _kill(later[(number - number // 3) % len(later)], rng, _OFTEN)


def _kill(point: str, rng: random.Random, often: int) -> Kill:
    if point == OBJECT_STORE:
        return Kill(point, after_seconds=rng.uniform(0.0, 2.0))
    return Kill(point, rng.randint(1, most_passages(point, often)))


def most_passages(point: str, often: int) -> int:
    """How often a point is passed at most before the kill, where it is passed as often as that."""
    return _ONCE.get(point, often if point.startswith("write.") else min(often, _USUAL))


FreshStore = Callable[[], AbstractAsyncContextManager[str]]


def _in_a_file() -> AbstractAsyncContextManager[str]:
    return nullcontext("")


class Campaign:
    """Kills one server after another.

    Args:
        folder: For databases, blobs and logs.
        keys: Of the messenger.
        kills: Where.
        seed: Of the load's choices.
        fresh_store: Has a database on a PostgreSQL server, and gives its address; without it, databases are files.
        fresh_blobs: Has a place for blobs in a folder that is given, and says where it is.
        first: How many of the kills are left out: of whole databases.
    """

    def __init__(
        self,
        folder: Path,
        keys: SigningKeys,
        kills: Sequence[Kill],
        seed: int,
        fresh_store: FreshStore = _in_a_file,
        fresh_blobs: FreshBlobs = beside_the_database,
        first: int = 0,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._kills = kills
        self._seed = seed
        self._fresh_store = fresh_store
        self._fresh_blobs = fresh_blobs
        self._first = first
        self.found = Found(seed)

    async def run(self, progress: Callable[[], None] = lambda: None) -> Found:
        """Runs to the end, or until a promise is broken; `progress` is called after each kill."""
        began = time.monotonic()
        for start in range(self._first, len(self._kills), KILLS_PER_DATABASE):
            folder = self._folder / f"database-{start}"
            folder.mkdir()
            with self._fresh_blobs(folder) as blobs:
                place = Place(folder, self._keys, blobs=blobs.url, environment=blobs.environment)
                async with self._fresh_store() as store, open_stage(replace(place, store=store)) as stage:
                    company = Company(stage, random.Random(self._seed + start), blobs.server)
                    for kill in self._kills[start : start + KILLS_PER_DATABASE]:
                        await self._one(company, kill)
                        self.found.seconds = time.monotonic() - began
                        progress()
                        if self.found.broken:
                            return self.found
                    await self._last(company)
        return self.found

    async def _one(self, company: "Company", kill: Kill) -> None:
        try:
            was_reached = await company.live(kill)
        except Broken as error:
            self.found.broken.append(f"before the kill at {kill.under_load}: {error}")
            return
        self.found.kills += 1
        self.found.at_points[kill.point if was_reached else RANDOM] += 1
        self.found.missed += kill.point != RANDOM and not was_reached

    async def _last(self, company: "Company") -> None:
        try:
            await company.live(Kill(RANDOM, after_seconds=0.0))
        except Broken as error:
            self.found.broken.append(f"after the last kill: {error}")


class Company:
    """Everybody who loads one server."""

    def __init__(self, stage: Stage, rng: random.Random, object_store: S3Server | None = None) -> None:
        self._stage = stage
        self._rng = rng
        self._object_store = object_store
        self._cast: Cast | None = None

    async def live(self, kill: Kill) -> bool:
        """Lives one of the server's lives: start, check, load, death.

        Returns:
            Whether it died where it was told.

        Raises:
            Broken: A promise of a former life, or of this one, was not kept.
        """
        if self._cast is None and kill.point != "schema.create":
            await self._stage.start()
            self._cast = await cast(self._stage, self._rng)
            await self._stage.kill()
        was_early = True
        try:
            await self._stage.start(kill.told)
            self._stage.expects_faults = kill.point == OBJECT_STORE
            await self._return()
            was_early = await self._work(kill)
        except Exception as error:
            if not is_gone(error, _ALSO.get(kill.point, ())):
                if isinstance(error, ServerRefusal):
                    raise Broken(f"a call was refused that must succeed: {error!r}") from error
                raise
            if not await self._stage.died(DEATH_SECONDS):
                raise Broken(f"the server ended a connection without being killed: {error!r}") from error
        finally:
            await self._stage.kill()
            await asyncio.gather(*(act.close() for act in self._acts))
        return was_early and kill.point != RANDOM

    @property
    def _acts(self) -> Sequence[Act]:
        return self._cast.acts if self._cast else ()

    async def _return(self) -> None:
        await settle([asyncio.create_task(act.return_()) for act in self._acts])
        await settle([asyncio.create_task(act.check()) for act in self._acts])

    async def _work(self, kill: Kill) -> bool:
        """Loads the server until it dies or is killed; says whether it died by itself."""
        if self._cast is not None:
            self._cast.aim_at(kill.point)
        works = [asyncio.create_task(act.work()) for act in self._acts]
        dying = asyncio.create_task(
            self._lose_object_store(kill.after_seconds)
            if kill.point == OBJECT_STORE
            else self._stage.died(kill.after_seconds)
        )
        # Whatever ends the work of one: the server's death, or what it has found.
        failing = asyncio.create_task(asyncio.wait(works, return_when=asyncio.FIRST_EXCEPTION))
        await asyncio.wait([dying, failing], return_when=asyncio.FIRST_COMPLETED)
        failing.cancel()
        was_lost = kill.point == OBJECT_STORE and dying.done() and dying.result()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)  # it has the object store come back before the next life
        also = _ALSO.get(kill.point, ())
        ends = [work.exception() for work in works if work.done()]
        was_dead = await self._stage.died(DEATH_SECONDS if any(end and is_gone(end, also) for end in ends) else 0)
        await self._stage.kill()
        try:
            await settle(works, also)
        except Exception as error:
            if not is_gone(error, also):
                raise
        return was_dead or was_lost

    async def _lose_object_store(self, after_seconds: float) -> bool:
        """Has the object store die under load, and come back when that is noticed; says whether it is used again."""
        server = self._object_store
        assert server is not None
        await self._stage.died(after_seconds)
        await asyncio.to_thread(server.kill)
        try:
            await self._wait_for(lambda troubles: "blobs" in troubles)
        finally:
            await asyncio.to_thread(server.start)
        await self._wait_for(lambda troubles: not troubles)
        return not await self._stage.died(after_seconds)

    async def _wait_for(self, is_so: Callable[[Mapping[str, str]], bool]) -> None:
        async with asyncio.timeout(ROUND_SECONDS):
            while not is_so((await self._stage.admin.get_statistics()).troubles):
                await self._stage.died(0.05)
