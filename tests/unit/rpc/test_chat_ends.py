"""What a chat channel leaves behind when the server ends it and its client does not read."""

import asyncio
import gc
import weakref

import pytest

from interop_server.rpc.chat import _cancel

pytestmark = pytest.mark.requirement("SIM-06")


class Batch:
    """Something large that a task has in hand."""


async def test_a_cancelled_task_lets_go_of_what_it_had_in_hand() -> None:
    """gRPC keeps the call for as long as its client does not read: nothing of the channel's work stays with it."""
    known: list[weakref.ref[Batch]] = []

    async def work() -> None:
        batch = Batch()
        known.append(weakref.ref(batch))
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0)
    assert all(each() is not None for each in known)
    await _cancel(tasks)
    await asyncio.sleep(0)  # until here the loop itself knows the tasks
    gc.collect()
    assert [each() for each in known] == [None] * 3
