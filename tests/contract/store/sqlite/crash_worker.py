"""Enlists, takes prekeys, stores and acks until it is killed at a chosen place; says which calls have returned."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from interop_server.core.model import Account
from interop_server.storage.sqlite.store import SqliteStore
from tests.contract.store.conftest import BATS, World, one_time_prekeys

USERS = (1, 2, 3)
"""Numbers of users whose histories differ."""
OLD, NEW = 7, 50
"""Seeds of a user's keys before and after the identity changes."""


@dataclass(frozen=True)
class State:
    """What the store holds of a user between two calls."""

    identity: int = 0
    """Seed of the identity key; 0 when there is no account."""
    was_deleted: bool = False
    prekeys: frozenset[int] = field(default_factory=frozenset)
    waiting: frozenset[str] = field(default_factory=frozenset)
    """Ids of the messages in the mailbox."""
    peer_is_told: bool = False
    """Whether the peer has a notice that the identity has changed."""


def history(number: int) -> list[State]:
    """The states that a user goes through, one call after the other."""
    first, second = ([f"{number}-{batch}-{n}" for n in range(2)] for batch in range(2))
    states = [State(), State(OLD), State(OLD, prekeys=frozenset({1, 2, 3}))]
    states.append(replace(states[-1], prekeys=frozenset({2, 3})))
    states.append(replace(states[-1], waiting=frozenset(first)))
    states.append(replace(states[-1], prekeys=frozenset({3})))
    states.append(replace(states[-1], waiting=frozenset(first + second)))
    states.append(replace(states[-1], waiting=frozenset(first[1:] + second)))
    if number % 2:
        states.append(State(NEW, peer_is_told=True))
    if number % 3 == 0:
        states.append(replace(states[-1], identity=0, was_deleted=True, prekeys=frozenset(), waiting=frozenset()))
    return states


async def live(world: World, user: Account, number: int) -> AsyncIterator[None]:
    """Makes the calls that lead from each state of a user's history to the next."""
    store = world.store
    account = (await store.accounts.enlist(world.enlistment(number, seed=OLD))).account
    yield
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 3))
    yield
    for batch in range(2):
        await store.prekeys.take_bundles([account.account_id])
        yield
        await store.mailbox.put([world.message(user, account, f"{number}-{batch}-{n}") for n in range(2)])
        yield
    [first, *_] = await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
    await store.mailbox.delete(account.account_id, [first.delivery_id])
    yield
    if number % 2:
        await store.accounts.enlist(
            replace(world.enlistment(number, seed=NEW), jid=f"{BATS}-{number + 50_000}@interop")
        )
        yield
    if number % 3 == 0:
        await store.accounts.delete(account.account_id)
        yield


class Fuse:
    """Kills the process at the beginning of a statement, or at a step of SQLite's virtual machine amid one.

    Args:
        kind: `statements` or `steps`.
        at: Which one, from 1; 0 for none.
    """

    def __init__(self, kind: str, at: int) -> None:
        self._kind = kind
        self._at = at
        self.burnt = 0

    def light(self, db: sqlite3.Connection) -> None:
        """Counts what a connection does from now on."""
        if self._kind == "statements":
            db.set_trace_callback(lambda _: self._burn())
        else:
            db.set_progress_handler(self._burn, 1)

    def _burn(self) -> int:
        self.burnt += 1
        if self.burnt == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0


async def live_together(path: Path, user_jid: str, fuse: Fuse, said: TextIO) -> None:
    """Leads all users through their histories at the same time, so that their calls share transactions."""
    store = await SqliteStore.open(path)
    user = await store.accounts.get(user_jid)
    assert user is not None
    await store.engine.write(fuse.light)

    async def work(number: int) -> None:
        async for _ in live(World(store), user, number):
            said.write(f"{number}\n")
            said.flush()

    await asyncio.gather(*map(work, USERS))
    await store.close()


def run(template: Path, user_jid: str, kind: str, at: int) -> int:
    """Runs it on a copy of a database in a folder beside it, `{kind}-{at}`, where `said` has whose calls have returned.

    Returns:
        How many statements or steps it took; nothing returns when it was killed.
    """
    folder = template.with_name(f"{kind}-{at}")
    folder.mkdir()
    shutil.copy(template, folder / "store.db")
    fuse = Fuse(kind, at)
    with (folder / "said").open("w") as said:
        asyncio.run(live_together(folder / "store.db", user_jid, fuse, said))
    return fuse.burnt


def main(template: Path, user_jid: str, kind: str, count: int) -> None:
    """Runs it once to its end, then kills it at so many places, spread evenly; prints how many there are."""
    total = run(template, user_jid, kind, 0)
    for number in range(min(count, total)):
        at = 1 + number * total // min(count, total)
        child = os.fork()  # cheaper than another interpreter, and as dead when it is killed
        if not child:
            run(template, user_jid, kind, at)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, f"{kind} {at}: {status}"
    print(total)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
