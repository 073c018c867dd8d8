"""Calls that must follow each other: one that another is in the way of waits, and has written nothing yet.

Another process is played by a connection that holds the lock which such a call takes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interop_server.core.messages import RequestAnswer
from interop_server.core.model import (
    Account,
    AccountEnd,
    ExternalUser,
    KemPreKey,
    KemPreKeys,
    MessageRequestState,
    Partner,
    PingBounds,
    Platform,
    Sanction,
    SanctionKind,
)
from interop_server.core.store import Store
from interop_server.storage.postgres.concern import lock_account, lock_name
from interop_server.storage.postgres.session import Session, connect
from interop_server.storage.postgres.store import PostgresStore
from interop_server.storage.records import user_sha256
from tests.contract.store.conftest import BATS, NOW_MS, World, key, one_time_prekeys, partner, published_keys
from tests.postgres import address_in, delete_in

Call = Callable[[Store, Account, Account], Awaitable[Any]]
"""What is called, with a third-party user and a WhatsApp user."""

_WAITS = "SELECT query FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
_BOUNDS = PingBounds(0, 9, 0, 9)
_KEM = KemPreKeys(KemPreKey(1, key(1, 1568), key(1, 64)))
_ADA, _USER = ExternalUser(BATS, "user1"), ExternalUser(0, "491")

OF_ACCOUNT: dict[str, Call] = {
    "publish": lambda store, ada, _: store.prekeys.put(ada.account_id, published_keys(7), [], NOW_MS),
    "add prekeys": lambda store, ada, _: store.prekeys.add_one_time(ada.account_id, one_time_prekeys(9, 1)),
    "delete prekeys": lambda store, ada, _: store.prekeys.delete_one_time(ada.account_id, [1]),
    "add KEM prekeys": lambda store, ada, _: store.prekeys.add_kem(ada.account_id, _KEM),
    "delete KEM prekeys": lambda store, ada, _: store.prekeys.delete_kem(ada.account_id),
    "forget prekeys": lambda store, ada, _: store.prekeys.forget_published(ada.account_id, 0),
    "delete the account": lambda store, ada, _: store.accounts.delete(ada.account_id),
    "end the account": lambda store, ada, _: store.accounts.unenlist([ada.account_id], NOW_MS),
    "send": lambda store, ada, user: store.mailbox.put([World(store).message(user, ada, "to")]),
    "receive from": lambda store, ada, user: store.mailbox.put([World(store).message(ada, user, "from")]),
    "ask for a retry": lambda store, ada, user: store.mailbox.put_retry_receipt(World(store).receipt(ada, user), 9),
    "answer a request": lambda store, ada, user: store.chats.put_answers(
        [RequestAnswer(user.account_id, ada.account_id, MessageRequestState.ACCEPTED)]
    ),
    "ping": lambda store, ada, user: store.reachability.put_ping(
        ada.account_id, NOW_MS, _BOUNDS, World(store).notification(user)._replace(sender_id=ada.account_id)
    ),
    "ping nobody": lambda store, ada, _: store.reachability.put_ping(ada.account_id, NOW_MS, _BOUNDS, None),
    "impose": lambda store, ada, _: store.standing.put(_ADA, Sanction(SanctionKind.BAN), ada.account_id),
    "lift": lambda store, ada, _: store.standing.delete(_ADA, list(SanctionKind), ada.account_id),
    "report": lambda store, ada, user: store.reports.add(_ADA, _USER, NOW_MS, 0, (ada.account_id, user.account_id)),
    "forget reports": lambda store, ada, _: store.reports.delete(_ADA, ada.account_id),
}
"""Calls that wait for whoever changes the third-party user's account."""

OF_USER: dict[str, Call] = {
    "change the number": lambda store, _, user: store.accounts.change_number(
        user.account_id, "492@s.whatsapp.net", "492"
    ),
    "ping": OF_ACCOUNT["ping"],
    "report": OF_ACCOUNT["report"],
    "answer a request": OF_ACCOUNT["answer a request"],
}
"""Those that wait for whoever changes the WhatsApp user's."""


def _changed(before: Partner | None) -> Partner:
    raise AssertionError("it has read what is about to change")


OF_NAME: dict[str, tuple[str, Call]] = {
    "enlist": ("user 100 user5", lambda store, *_: store.accounts.enlist(World(store).enlistment(5))),
    "register": (
        "user 0 495",
        lambda store, *_: store.accounts.put_whatsapp_user("495@s.whatsapp.net", "495", key(1), Platform.IOS, NOW_MS),
    ),
    "take a number": (
        "user 0 496",
        lambda store, _, user: store.accounts.change_number(user.account_id, "496@s.whatsapp.net", "496"),
    ),
    "put a partner": ("partners", lambda store, *_: store.partners.put(partner(BATS))),
    "report": (f"reports of {user_sha256(_ADA).hex()}", lambda store, *_: store.reports.add(_ADA, _USER, NOW_MS, 0)),
}
"""Those that wait where there may be no row yet, with the name that stands for it."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(await address_in(tmp_path))
    await store.partners.put(partner(BATS))
    yield store
    await store.close()
    await delete_in(tmp_path)


@pytest.fixture
async def ada(store: PostgresStore) -> Account:
    ada = await World(store).third_party_user(1)
    await store.prekeys.add_one_time(ada.account_id, one_time_prekeys(1, 2))
    return ada


@pytest.fixture
async def user(store: PostgresStore) -> Account:
    return await World(store).whatsapp_user("491")


@pytest.fixture
async def other(store: PostgresStore, tmp_path: Path) -> AsyncIterator[Session]:
    """Another process, amid a transaction."""
    connection = await connect((await address_in(tmp_path)).url, "another process")
    await connection.execute("BEGIN")
    yield Session(connection)
    await connection.close()


async def assert_waits(calling: asyncio.Future[Any], store: PostgresStore, other: Session) -> None:
    """Waits until the other one is in the way of a call, which has to be so before the call writes anything."""
    pid = other.connection.get_server_pid()
    waiting: list[str] = []
    while not waiting:
        assert not calling.done(), "it did not wait"
        waiting = [query for (query,) in await store.engine.read(lambda db: db.rows(_WAITS, pid))]
    assert [query.split()[0] for query in waiting] == ["SELECT"]


async def assert_follows(call: Awaitable[Any], store: PostgresStore, other: Session) -> None:
    """Has a call wait, and come to its end when the other one has."""
    calling = asyncio.ensure_future(call)
    await assert_waits(calling, store, other)
    await other.connection.execute("COMMIT")
    await calling


@pytest.mark.parametrize("name", OF_ACCOUNT)
async def test_a_call_waits_for_what_changes_its_account(
    store: PostgresStore, ada: Account, user: Account, other: Session, name: str
) -> None:
    """A third-party user's: its keys, its mailbox, its standing, its end."""
    await lock_account(other, ada.account_id)
    await assert_follows(OF_ACCOUNT[name](store, ada, user), store, other)


@pytest.mark.parametrize("name", OF_USER)
async def test_a_call_waits_for_what_changes_its_other_account(
    store: PostgresStore, ada: Account, user: Account, other: Session, name: str
) -> None:
    """A WhatsApp user's."""
    await lock_account(other, user.account_id)
    await assert_follows(OF_USER[name](store, ada, user), store, other)


@pytest.mark.parametrize("name", OF_NAME)
async def test_a_call_waits_for_what_has_no_row_yet(
    store: PostgresStore, ada: Account, user: Account, other: Session, name: str
) -> None:
    """Two that are to decide who gets a number, an identifier or an issuer decide one after the other."""
    held, call = OF_NAME[name]
    await lock_name(other, held)
    await assert_follows(call(store, ada, user), store, other)


async def test_a_partner_is_changed_as_the_call_before_has_left_it(store: PostgresStore, other: Session) -> None:
    """What is to be changed is read when it is one's turn."""
    await lock_name(other, "partners")
    changing = asyncio.ensure_future(store.partners.change(BATS, _changed))
    await assert_waits(changing, store, other)
    await other.connection.execute("COMMIT")
    with pytest.raises(AssertionError):
        await changing


async def test_accounts_are_ended_one_after_the_other(store: PostgresStore, ada: Account, other: Session) -> None:
    """Those that can be ended without waiting are, and each only while nobody else changes it."""
    second = await World(store).third_party_user(2)
    await lock_account(other, second.account_id)
    ending = asyncio.ensure_future(store.accounts.unenlist([ada.account_id, second.account_id], NOW_MS))
    await assert_waits(ending, store, other)
    await other.connection.execute("COMMIT")
    assert await ending == [ada.jid, second.jid]
    assert await store.accounts.list_ends([ada.jid]) == {ada.jid: AccountEnd.EXPIRED}


def message_between(store: Store, user: Account, *peers: Account) -> Awaitable[Any]:
    return store.mailbox.put([World(store).message(user, peer, f"to-{peer.jid}") for peer in peers])


OF_SEVERAL: dict[str, Callable[[Store, Account, list[Account]], Awaitable[Any]]] = {
    "send": lambda store, user, peers: message_between(store, user, *reversed(peers)),
    "end the accounts": lambda store, _, peers: store.accounts.unenlist([each.account_id for each in peers], NOW_MS),
    "note that they are connected": lambda store, _, peers: store.accounts.set_last_connected(
        [each.account_id for each in reversed(peers)], NOW_MS
    ),
}
"""Calls that change several accounts."""


@pytest.mark.parametrize("name", OF_SEVERAL)
async def test_several_accounts_are_taken_in_one_order(
    store: PostgresStore, user: Account, other: Session, name: str
) -> None:
    """The lowest first, in whatever order they are named: two calls that meet do not wait for each other."""
    world = World(store)
    peers = [await world.third_party_user(number) for number in range(3)]
    await lock_account(other, peers[-1].account_id)
    calling = asyncio.ensure_future(OF_SEVERAL[name](store, user, peers))
    pid = other.connection.get_server_pid()
    while not await store.engine.read(lambda db: db.rows(_WAITS, pid)):
        assert not calling.done(), "it did not wait"
    free = "SELECT account_id FROM account WHERE account_id = ANY ($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED"
    lower = [each.account_id for each in peers[:-1]]
    assert await store.engine.read(lambda db: db.rows(free, lower)) == []
    await other.connection.execute("COMMIT")
    await calling


@pytest.mark.requirement("LIF-04")
async def test_an_account_that_ends_while_it_is_renewed_is_a_new_one(
    store: PostgresStore, ada: Account, other: Session
) -> None:
    """What the enlistment has read of it is not there any more when it is its turn."""
    await other.connection.execute("DELETE FROM account WHERE account_id = $1", ada.account_id)
    new = replace(World(store).enlistment(1), jid="100-9@interop")
    enlisting = asyncio.ensure_future(store.accounts.enlist(new))
    pid = other.connection.get_server_pid()
    while not await store.engine.read(lambda db: db.rows(_WAITS, pid)):
        assert not enlisting.done(), "it did not wait"
    await other.connection.execute("COMMIT")
    enlisted = await enlisting
    assert (enlisted.account.jid, enlisted.identity_changed, enlisted.auth_key_changed) == (new.jid, False, False)
    assert enlisted.account.account_id != ada.account_id
    assert await store.accounts.get(ada.jid) is None
