"""Health as gRPC has it: what each service and each part of the server says of itself; knows no cause of a trouble."""

import asyncio
from collections.abc import Sequence

from grpc_health.v1 import health, health_pb2

from interop_server.core.troubles import BLOBS, BUS, HTTP, JOURNAL_FILE, PEOPLE, STORAGE, Troubles

NAME = health.SERVICE_NAME
_PARTS = (BLOBS, BUS, HTTP, JOURNAL_FILE, STORAGE)
"""Parts with a name of their own in health, beside the services."""
_STATUSES = (health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING)


class Health:
    """The health of one gRPC server.

    Without the storage nothing is served; blobs, a bus, HTTP or a journal file that fail stop nothing but themselves.
    As a whole the server is not ready before the people are there who should be, nor once they have gone.

    Args:
        services: Full names of the services of this server.
        troubles: What does not work.
    """

    def __init__(self, services: Sequence[str], troubles: Troubles) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services = ("", *services)
        self._troubles = troubles
        self._showing: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Shows how everything is, and every change from now on."""
        self._troubles.watch(self._change)
        await self._show()

    def _change(self, part: str, sentence: str) -> None:
        task = asyncio.create_task(self._show(), name="health")
        self._showing.add(task)
        task.add_done_callback(self._showing.discard)

    async def _show(self) -> None:
        for name in (*_PARTS, *self._services):
            needed = {name} if name in _PARTS else {STORAGE} if name else {STORAGE, PEOPLE}
            await self.servicer.set(name, _STATUSES[needed.isdisjoint(self._troubles.present)])
