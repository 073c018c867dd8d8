"""Stores messages and takes prekeys until it is killed, and prints a line after every call that has returned."""

import asyncio
import json
import sys
from pathlib import Path

from interop_server.core.store import Store
from tests.contract.store.conftest import World
from tests.stores import open_store


async def _work(store: Store, sender_jid: str, recipient_jid: str, name: int) -> None:
    sender, recipient = await store.accounts.get(sender_jid), await store.accounts.get(recipient_jid)
    assert sender is not None
    assert recipient is not None
    world = World(store)
    for batch in range(1_000_000):
        stanza_ids = [f"{name}-{batch}-{n}" for n in range(8)]
        await store.mailbox.put([world.message(sender, recipient, each, 1, each.encode() * 20) for each in stanza_ids])
        bundle = (await store.prekeys.take_bundles([recipient.account_id]))[recipient.account_id]
        taken = bundle.one_time_prekey.key_id if bundle.one_time_prekey else 0
        print(json.dumps({"stored": stanza_ids, "taken": taken}), flush=True)


async def _main(engine: str, folder: str, sender_jid: str, recipient_jid: str) -> None:
    store = await open_store(Path(folder), engine)
    await asyncio.gather(*(_work(store, sender_jid, recipient_jid, name) for name in range(4)))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
