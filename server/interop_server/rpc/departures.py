"""The end of a connection: it is recorded, forgotten, and may cause a push; knows no stream."""

import asyncio
import logging

from interop_server.background import log_end
from interop_server.core.connection.unacked import UnackedPush
from interop_server.core.enlistment.absence import Absence
from interop_server.core.errors import Reason
from interop_server.core.journal import Journal
from interop_server.rpc.connections import LiveConnection
from interop_server.rpc.entrance import Entrance

_log = logging.getLogger(__name__)


class Departures:
    """Closes connections, each in a task of its own, because gRPC cancels the call of a client that disconnects."""

    def __init__(self, entrance: Entrance, absence: Absence, unacked_push: UnackedPush, journal: Journal) -> None:
        self._entrance = entrance
        self._absence = absence
        self._unacked_push = unacked_push
        self._journal = journal
        self._under_way: dict[LiveConnection, asyncio.Task[None]] = {}

    async def close(self, live: LiveConnection) -> None:
        """Forgets a connection once its end is recorded; goes on even when the waiting caller is cancelled."""
        if live.is_closed:
            return
        task = self._under_way.get(live)
        if task is None:
            task = asyncio.create_task(self._close(live), name="departure")
            self._under_way[live] = task
            task.add_done_callback(lambda done: self._has_ended(live, done))
        await asyncio.shield(task)

    async def settle(self) -> None:
        """Waits for the tasks that are running."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _close(self, live: LiveConnection) -> None:
        try:
            if live.end_reason is not Reason.SERVER_DRAINING:  # recorded for all connections when draining began
                await self._absence.begin(live.account)
        finally:
            await self._entrance.close(live)
            self._journal.record(live.account.jid, "chat.closed", "done")
        await self._unacked_push.send(live.account, live.end_reason)

    def _has_ended(self, live: LiveConnection, task: "asyncio.Task[None]") -> None:
        del self._under_way[live]
        log_end(_log, "the end of a connection could not be noted", task)
