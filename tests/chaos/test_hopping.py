"""Several nodes on one database and one object store: what was said to be stored is there, wherever it is asked for."""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from interop_server.crash_points import OBJECT_POINTS
from tests.chaos.hopping import Hopper, Shared, hoppers, kill_in_turn
from tests.chaos.node import Node
from tests.nats import nats_server
from tests.object_stores import S3Server, s3_server
from tests.postgres import fresh_database

__all__ = ["s3_server"]

pytestmark = [pytest.mark.timeout(600), pytest.mark.requirement("MED-04", "MED-05", "MED-07", "SIM-03")]

SEED = 5
PEOPLE = 3
CHECKED_AGAIN = 30
"""Of what each of them has uploaded."""
MOST = {"object.delete_stale": 1}
"""How often at most a point is passed before the kill, where that is not often."""
SWEPT_SECONDS = 30.0
"""How long sweeps may take whose time has come."""
NEVER_PASSED = {"object.sync", "object.delete"}
"""Without a folder, and before a blob has expired."""


@pytest.fixture
def bus() -> Iterator[str]:
    """The URL of a bus that nobody else uses."""
    with nats_server() as server:
        yield server.url


def names_in(url: str, folder: str) -> Iterator[str]:
    """What lies in a folder of the object store, by the name of the blob or upload."""
    found = obstore.list(from_url(url, client_options={"allow_http": True}), folder)
    yield from (each["path"].split("/")[1] for batch in found for each in batch)


async def test_uploads_hop_between_nodes_that_are_killed(
    tmp_path: Path, s3_server: S3Server, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step there, while sweeps run at both: each acked blob is whole at each node, under one path."""
    s3_server.tell(monkeypatch)
    rng, url = random.Random(SEED), f"s3://{s3_server.new_bucket()}/world"
    points = [f"{point}:{rng.randint(1, MOST.get(point, 3))}" for point in OBJECT_POINTS if point not in NEVER_PASSED]
    async with fresh_database() as store:
        people: list[Hopper] = []
        shared = Shared(tmp_path, store, url, bus, s3_server.environment())
        nodes = [shared.node(name) for name in ("node-1", "node-2")]
        try:
            for node in nodes:
                await node.start()
            people = await hoppers(nodes, rng, PEOPLE)
            died = await work_until_killed(nodes, people, points)
            acked = {sha256 for each in people for sha256 in each.paths}
            print(
                f"{len(acked)} blobs, kills {dict(died)}, {dict(sum((each.seen for each in people), people[0].seen))}"
            )
            for node in nodes:
                for each in people:
                    for sha256 in rng.sample(list(each.paths), min(CHECKED_AGAIN, len(each.paths))):
                        await each.check(sha256, node)
            await swept(nodes, lambda: not [*names_in(url, "uploads")] and len({*names_in(url, "blobs")}) == len(acked))
            assert [node.faults() for node in nodes] == [[], []]
        finally:
            for each in (*people, *nodes):
                await (each.close() if isinstance(each, Hopper) else each.kill())


async def work_until_killed(nodes: list[Node], people: list[Hopper], points: list[str]) -> object:
    """Has everybody upload until all kills are done; what somebody finds wrong ends it."""
    works = [asyncio.create_task(each.work()) for each in people]
    killing = asyncio.create_task(kill_in_turn(nodes, points))
    try:
        await asyncio.wait([killing, *works], return_when=asyncio.FIRST_COMPLETED)
        for work in works:
            if work.done():
                work.result()
        for each in people:
            each.is_ending = True
        await asyncio.gather(*works)
        return await killing
    finally:
        for task in (killing, *works):
            task.cancel()
        await asyncio.gather(killing, *works, return_exceptions=True)


async def swept(nodes: list[Node], is_clean: Callable[[], bool]) -> None:
    """Waits until everything has gone that nobody goes on with; blobs without a row are looked for at a start."""
    for node in nodes:
        await node.kill()
        await node.start()
    async with asyncio.timeout(SWEPT_SECONDS):
        while not await asyncio.to_thread(is_clean):
            pass
