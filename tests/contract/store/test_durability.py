"""What was acknowledged survives a killed process, and a one-time prekey that was taken stays taken."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from interop_server.core.store import Store

from .conftest import World, one_time_prekeys

_WORKER = Path(__file__).with_name("durability_worker.py")
_ROOT = Path(__file__).parents[3]


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize("acknowledged", [1, 40, 150])
async def test_what_was_acknowledged_survives_sigkill(
    reopen: Callable[[], Awaitable[Store]],
    engine: str,
    store: Store,
    world: World,
    tmp_path: Path,
    acknowledged: int,
) -> None:
    """1. A process stores and takes, and says so after each call. 2. It is killed midway. 3. All it said is true."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 10_000))
    await store.close()
    arguments = [engine, str(tmp_path), user.jid, account.jid]
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        _WORKER,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert worker.stdout is not None
    lines = [await worker.stdout.readline() for _ in range(acknowledged)]
    worker.kill()
    lines += (await worker.stdout.read()).splitlines(keepends=True)
    await worker.wait()
    said = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert len(said) >= acknowledged

    reopened = await reopen()
    found = {
        delivery.item.stanza_id: delivery.item.content
        for delivery in await reopened.mailbox.list_deliveries(account.account_id, 0, 1_000_000, 0)
    }
    for line in said:
        for stanza_id in line["stored"]:
            assert found[stanza_id] == stanza_id.encode() * 20
    left = {key.key_id for key in await reopened.prekeys.list_one_time(account.account_id)}
    assert left.isdisjoint(line["taken"] for line in said)
    assert (await reopened.prekeys.count(account.account_id)).one_time == len(left)
    assert len(found) % 8 == 0, "a call is stored as a whole or not at all"
