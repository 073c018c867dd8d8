"""A process that is killed anywhere, at any statement, leaves nothing half done in its database file."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from interop_server.core.messages import StanzaKind
from interop_server.core.model import Account, AccountEnd
from interop_server.core.store import Store
from interop_server.storage import SqliteStore
from tests.contract.store.conftest import BATS, World, partner, published_keys
from tests.invariants import violations

from .crash_worker import NEW, OLD, USERS, State, history

_CRASH_WORKER = Path(__file__).with_name("crash_worker.py")
_ROOT = Path(__file__).parents[4]


async def state_of(store: Store, user: Account, number: int) -> State:
    """What the store holds of a user of the worker's."""
    jid = f"{BATS}-{number}@interop"
    notices = [item.sender_jid for item in await World(store).waiting(user) if item.kind is StanzaKind.NOTIFICATION]
    told, ends = jid in notices, await store.accounts.list_ends([jid])
    account = await store.accounts.get(jid)
    if account is None:
        return State(was_deleted=ends == {jid: AccountEnd.DELETED}, peer_is_told=told)
    assert ends == {}
    keys = (await store.prekeys.get_published([account.account_id]))[account.account_id]
    return State(
        identity={published_keys(seed): seed for seed in (OLD, NEW)}[keys],
        prekeys=frozenset(prekey.key_id for prekey in await store.prekeys.list_one_time(account.account_id)),
        waiting=frozenset(item.stanza_id for item in await World(store).waiting(account)),
        peer_is_told=told,
    )


@pytest.mark.requirement("SIM-03", "KEY-05", "ENL-13", "LIF-03")
@pytest.mark.parametrize(("kind", "kills"), [("statements", 1_000), ("steps", 80)])
async def test_a_process_killed_anywhere_leaves_nothing_half_done(tmp_path: Path, kind: str, kills: int) -> None:
    """Users enlist, renew and delete, keys are taken, messages stored and acked, again and again until it is killed.

    1. It dies at the beginning of each statement, or at steps of SQLite's virtual machine spread over the whole.
    2. Each user is in the state after the last call that has returned, or in the one after the next: none is half done.
    3. Everything that must always hold in the database holds.
    """
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.partners.put(partner(BATS))
    user = await World(store).whatsapp_user("491")
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
