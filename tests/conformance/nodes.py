"""`python -m tests.conformance.nodes [CHECK…]`: judges the SDK with the kit whose simulator is two nodes of one world.

The client that is judged is at one node, the people of the kit are at the other. Prints what does not hold.
"""

import asyncio
import json
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from interop_conformance.runner import Pair
from interop_conformance.simulator import OPTIONS, Simulator
from interop_conformance.verdict import HELD, Result
from interop_demo.processes import simulator
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.conformance.matrix import judge
from tests.nats import nats_server
from tests.postgres import fresh_database

DRIVER = shlex.join([sys.executable, "-m", "interop_driver"])
"""The SDK's."""


class TwoNodes(Simulator):
    """Two nodes in the place of one simulator, with a database and a bus of their own."""

    async def _start(self, stack: AsyncExitStack) -> None:
        bus = stack.enter_context(nats_server())
        store = await stack.enter_async_context(fresh_database())
        shared = ("--log-level", "warning", "--store", store, "--bus", bus.url, "--blobs", self.folder.as_uri())
        self._children = []
        for name in ("of-clients", "of-people"):
            child = simulator(self.folder / f"{name}.log", None, (*shared, *OPTIONS, "--node", name))
            self._children.append(await stack.enter_async_context(child))
        self.endpoint, self.endpoint_of_people = (
            Endpoint.from_ready_line(json.dumps(dict(child.ready))) for child in self._children
        )

    def check_runs(self) -> None:
        """Does nothing while both run.

        Raises:
            ChildFailed: One has ended.
        """
        for child in self._children:
            child.check_runs()


@asynccontextmanager
async def two_worlds(folder: Path) -> AsyncIterator[Pair]:
    """Has the simulators of a run: that which checks share, and that of checks that are alone."""
    keys = SigningKeys()
    for name in ("shared", "alone"):
        (folder / name).mkdir()
    async with TwoNodes(folder / "shared", 1, keys) as shared, TwoNodes(folder / "alone", 1, keys) as alone:
        yield shared, alone


async def judged(checks: Sequence[str] = (), mode: str = "direct") -> list[Result]:
    """Judges the SDK."""
    with tempfile.TemporaryDirectory(prefix="interopsim-kit-nodes-") as folder:
        async with two_worlds(Path(folder)) as pair:
            return await judge(DRIVER, pair, checks, mode)


async def main(checks: Sequence[str]) -> int:
    """Judges it directly and by a proxy; returns 1 when something did not hold."""
    status = 0
    for mode in ("direct", "proxy"):
        began = time.monotonic()
        results = await judged(checks, mode)
        counts = Counter(result.verdict.value for result in results)
        print(f"{mode}: {len(results)} checks in {time.monotonic() - began:.0f} s, {dict(counts)}")
        for result in results:
            if result.verdict not in HELD:
                status = 1
                print(f"{result.check.id}: {result.verdict.value}: expected {result.expected}; got {result.got}")
    return status


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
