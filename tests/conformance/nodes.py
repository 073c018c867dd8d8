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
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import journal_pb2, trace_pb2
from interop_conformance.record import Record
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


class RecordOfTwo(Record):
    """What both nodes see and decide. Each has numbers of its own.

    Args:
        admin: Of the node that the record is not begun with.
    """

    def __init__(self, admin: AdminClient) -> None:
        super().__init__()
        self._there = Record()
        self._there_admin = admin
        for name in ("_wire", "_journal", "_waiting"):
            setattr(self._there, name, getattr(self, name))

    async def begin(self, admin: AdminClient) -> None:
        """Begins to record; returns once what happens from now on is recorded."""
        await super().begin(admin)
        await self._there.begin(self._there_admin)

    async def end(self) -> None:
        """Ends it. What was recorded stays."""
        await super().end()
        await self._there.end()

    async def catch_up(self, admin: AdminClient, seconds: float) -> None:
        """Waits until all is recorded that either has seen and decided before the call."""
        here = super().catch_up(admin, seconds)
        await asyncio.gather(here, self._there.catch_up(self._there_admin, seconds))


class OneNode(AdminClient):
    """The operator at one node, who reads what that node records: its numbers are its own."""

    def read_journal(self, **wanted: Any) -> AsyncGenerator[journal_pb2.ReadJournalResponse, None]:
        """Streams the node's own entries: see AdminClient."""
        return super().read_journal(this_node_only=True, **wanted)

    def read_trace(self, **wanted: Any) -> AsyncGenerator[trace_pb2.ReadTraceResponse, None]:
        """Likewise."""
        return super().read_trace(this_node_only=True, **wanted)


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
        self._there = await stack.enter_async_context(OneNode(self.endpoint_of_people.admin))
        self.record = RecordOfTwo(self._there)

    def _operator(self) -> AdminClient:
        return OneNode(self.endpoint.admin)

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
