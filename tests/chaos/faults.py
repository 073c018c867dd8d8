"""What is done to several nodes and to what they meet on, and in which order; knows nothing of the promises."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from interop_server.crash_points import NODE_POINTS, OBJECT_POINTS
from tests.chaos.campaign import RANDOM, most_passages
from tests.chaos.world import ENGINES, World

NODE = "node"
POINT_SECONDS = 20.0
"""How long a point is waited for; then the node is killed anyhow."""
POINTS = (
    *("write.begin", "write.commit", "write.answer"),
    *(point for point in OBJECT_POINTS if point != "object.sync"),
    *NODE_POINTS,
)
"""Where a node dies."""
KILLS = tuple(f"kill {whom}" for whom in (NODE, *ENGINES))
PAUSES = tuple(f"pause {whom} {span}" for whom in (NODE, *ENGINES) for span in ("short", "long"))
CUTS = tuple(f"{how} {engine} {span}" for how in ("cut", "stall") for engine in ENGINES for span in ("short", "long"))
"""An engine is cut off from one node: its connections break, or stand still."""
SHORT = (
    *("node.open", "write.answer", "kill node", "kill postgres", "kill nats", "kill s3"),
    *("pause node long", "pause postgres short", "cut postgres short", "stall nats long", "cut s3 short"),
)
"""One of each sort."""
KINDS = (*SHORT, *(kind for kind in (*POINTS, *KILLS, *PAUSES, *CUTS) if kind not in SHORT))
_SPANS = {"short": (0.2, 2.5), "long": (6.0, 9.0)}
"""Seconds; others take a node for dead after five."""
_MOST = {"node.renew": 6, "node.bury": 1, "node.lead": 4, "node.arrive": 4, "node.tell": 100}
_MOST_PASSAGES = 30


@dataclass(frozen=True)
class Fault:
    """Something that is done."""

    kind: str
    """One of `KINDS`."""
    node: int
    """Which node it is done to, or cut off; from 0."""
    passage: int = 1
    """Of the point, from 1."""
    after_seconds: float = 0.0
    """Under load."""
    seconds: float = 0.0
    """How long it lasts."""

    @property
    def says(self) -> str:
        """What was done, for people."""
        if self.kind in POINTS:
            return f"node-{self.node + 1} killed at {self.kind}:{self.passage}"
        return f"{self.kind} (node-{self.node + 1}, after {self.after_seconds:.1f} s for {self.seconds:.1f} s)"

    @property
    def whom(self) -> str:
        """What it is done to."""
        return NODE if self.kind in POINTS else self.kind.split()[1]


def plan(count: int, seed: int, nodes: int, only: str = "") -> Iterator[Fault]:
    """Every kind once, in their order; then all of them again and again, each time in another order.

    Args:
        count: How many.
        seed: Of what chance decides.
        nodes: How many there are.
        only: The one kind that is wanted.
    """
    rng = random.Random(seed)
    for number in range(count):
        place = number % len(KINDS)
        if place == 0:
            kinds = list(KINDS) if number == 0 else rng.sample(KINDS, len(KINDS))
        kind = only or kinds[place]
        shortest, longest = _SPANS["long" if kind.endswith("long") else "short"]
        yield Fault(
            kind,
            rng.randrange(nodes),
            rng.randint(1, _MOST.get(kind, most_passages(kind, _MOST_PASSAGES))),
            rng.uniform(0.0, 1.0),
            rng.uniform(shortest, longest),
        )


async def inflict(world: World, fault: Fault) -> str:
    """Does it, and undoes it; returns what came of it: its kind, or that the node had to be killed by chance."""
    node, engine = world.nodes[fault.node], fault.whom
    if fault.kind in POINTS:
        await world.kill(node)
        world.favourite = node
        await world.start(node, f"{fault.kind}:{fault.passage}")
        was_reached = not node.is_up or await node.died(POINT_SECONDS)
        world.favourite = None
        await world.kill(node)
        await world.start(node)
        return fault.kind if was_reached else RANDOM
    await asyncio.sleep(fault.after_seconds)
    match fault.kind.split()[0]:
        case "kill" if engine == NODE:
            await world.kill(node)
            await world.start(node)
        case "kill":
            await asyncio.to_thread(world.ground.engines[engine].kill)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                await world.restart(engine)
        case "pause":
            await _pause(world, fault)
        case how:
            link = world.ground.links[fault.node][engine]
            link.cut() if how == "cut" else link.stall()
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                link.mend()
    return fault.kind


async def _pause(world: World, fault: Fault) -> None:
    def send(number: int) -> None:
        if fault.whom == NODE:
            os.kill(world.nodes[fault.node].pid, number)
        else:
            world.ground.engines[fault.whom].signal(number)

    send(signal.SIGSTOP)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        send(signal.SIGCONT)
