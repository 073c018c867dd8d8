"""A database in which very much waits, written without a server; knows no figure."""

import asyncio
import itertools
import time
from pathlib import Path

from interop_server.core.model import Account
from interop_server.storage.sqlite.store import SqliteStore
from tests.contract.store.conftest import BATS, World, partner

_BATCH = 1_000
_PEOPLE = 100
CIPHERTEXT_BYTES = 300


async def fill(path: Path, messages: int, accounts: int, sent_at_ms: int) -> None:
    """Writes a database.

    Args:
        path: Of the new file.
        messages: How many wait, for a hundred people.
        accounts: Third-party users, enlisted now, who have nothing to do with them.
        sent_at_ms: When all messages were sent.
    """
    store = await SqliteStore.open(path)
    try:
        world = World(store)
        await store.partners.put(partner(BATS))
        people = [
            (await world.whatsapp_user(f"49150{number:08}"), await world.third_party_user(accounts + number))
            for number in range(_PEOPLE)
        ]
        await _put_messages(world, people, messages, sent_at_ms)
        now_ms = time.time_ns() // 1_000_000
        for first in range(0, accounts, _BATCH):
            new = (world.enlistment(number, now_ms=now_ms) for number in range(first, first + _BATCH))
            await asyncio.gather(*map(store.accounts.enlist, new))
    finally:
        await store.close()


async def _put_messages(world: World, people: list[tuple[Account, Account]], messages: int, sent_at_ms: int) -> None:
    turns = itertools.cycle(people)
    for first in range(0, messages, _BATCH):
        items = []
        for number in range(first, first + _BATCH):
            user, sender = next(turns)
            items.append(world.message(sender, user, f"m{number}", sent_at_ms, bytes(CIPHERTEXT_BYTES)))
        await world.store.mailbox.put(items)
