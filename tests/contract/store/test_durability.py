"""What was acknowledged survives a killed process, and a one-time prekey that was taken stays taken."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from interop_server.core.messages import StanzaKind
from interop_server.core.model import Account, AccountEnd
from interop_server.core.stores import Store
from interop_server.storage import SqliteStore
from tests.invariants import violations

from .conftest import BATS, World, one_time_prekeys, published_keys
from .crash_worker import NEW, OLD, USERS, State, history

_WORKER = Path(__file__).with_name("durability_worker.py")
_CRASH_WORKER = Path(__file__).with_name("crash_worker.py")
_ROOT = Path(__file__).parents[3]


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize("acknowledged", [1, 40, 150])
async def test_what_was_acknowledged_survives_sigkill(
    open_store: Callable[[], Awaitable[Store]], store: Store, world: World, tmp_path: Path, acknowledged: int
) -> None:
    """1. A process stores and takes, and says so after each call. 2. It is killed midway. 3. All it said is true."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.add_one_time_prekeys(account.account_id, one_time_prekeys(1, 10_000))
    await store.close()
    arguments = [str(tmp_path / "store.db"), user.jid, account.jid]
    worker = await asyncio.create_subprocess_exec(sys.executable, _WORKER, *arguments, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    lines = [await worker.stdout.readline() for _ in range(acknowledged)]
    worker.kill()
    lines += (await worker.stdout.read()).splitlines(keepends=True)
    await worker.wait()
    said = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert len(said) >= acknowledged

    reopened = await open_store()
    found = {
        delivery.item.stanza_id: delivery.item.content
        for delivery in await reopened.list_deliveries(account.account_id, 0, 1_000_000, 0)
    }
    for line in said:
        for stanza_id in line["stored"]:
            assert found[stanza_id] == stanza_id.encode() * 20
    left = {key.key_id for key in await reopened.list_one_time_prekeys(account.account_id)}
    assert left.isdisjoint(line["taken"] for line in said)
    assert (await reopened.count_prekeys(account.account_id)).one_time == len(left)
    assert len(found) % 8 == 0, "a call is stored as a whole or not at all"


async def state_of(store: Store, user: Account, number: int) -> State:
    """What the store holds of a user of the worker's."""
    jid = f"{BATS}-{number}@interop"
    notices = [item.sender_jid for item in await World(store).waiting(user) if item.kind is StanzaKind.NOTIFICATION]
    told, ends = jid in notices, await store.list_ends([jid])
    account = await store.get_account(jid)
    if account is None:
        return State(was_deleted=ends == {jid: AccountEnd.DELETED}, peer_is_told=told)
    assert ends == {}
    keys = (await store.get_published_keys([account.account_id]))[account.account_id]
    return State(
        identity={published_keys(seed): seed for seed in (OLD, NEW)}[keys],
        prekeys=frozenset(prekey.key_id for prekey in await store.list_one_time_prekeys(account.account_id)),
        waiting=frozenset(item.stanza_id for item in await World(store).waiting(account)),
        peer_is_told=told,
    )


@pytest.mark.requirement("SIM-03", "KEY-05", "ENL-13", "LIF-03")
@pytest.mark.parametrize(("kind", "kills"), [("statements", 1_000), ("steps", 80)])
async def test_a_process_killed_anywhere_leaves_nothing_half_done(
    store: Store, world: World, tmp_path: Path, kind: str, kills: int
) -> None:
    """Users enlist, renew and delete, keys are taken, messages stored and acked, again and again until it is killed.

    1. It dies at the beginning of each statement, or at steps of SQLite's virtual machine spread over the whole.
    2. Each user is in the state after the last call that has returned, or in the one after the next: none is half done.
    3. Everything that must always hold in the database holds.
    """
    user = await world.whatsapp_user("491")
    await store.close()
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        *(_CRASH_WORKER, str(tmp_path / "store.db"), user.jid, kind, str(kills)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    total, _ = await worker.communicate()
    killed = await asyncio.to_thread(lambda: sorted(tmp_path.glob(f"{kind}-*")))
    assert len(killed) == 1 + min(kills, int(total)) > 80
    for folder in killed:
        returned = Counter(map(int, (folder / "said").read_text().split()))
        reopened = await SqliteStore.open(folder / "store.db")
        for number in USERS:
            states = history(number)[returned[number] :][:2]
            assert await state_of(reopened, user, number) in states, f"{folder.name}: user {number}, {returned}"
        await reopened.close()
        assert violations(folder / "store.db") == [], folder.name
