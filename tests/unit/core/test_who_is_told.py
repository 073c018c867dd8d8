"""How a person learns that something waits: awake on their connection, else pushed to if it is worth it, never both."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from interop_server.core.messages import ReceiptType, RetryReason, RetryReceipt
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import Account

from .world import BATS, ClientKeys, World, message

pytestmark = pytest.mark.requirement("LIF-01")


class Event(NamedTuple):
    """Something that one user does and another is told of."""

    name: str
    by: Callable[[World, Account, Account], Awaitable[object]]
    """Called with the world, the third-party user and the WhatsApp user."""
    tells_third_party: bool
    """Otherwise the WhatsApp user is told, who has no partner and never gets a push."""
    is_pushed: bool


async def _message(world: World, ada: Account, user: Account) -> None:
    await world.router.send_messages(user, [message(ada, "news")])


async def _message_back(world: World, ada: Account, user: Account) -> None:
    await world.router.send_messages(ada, [message(user, "news")])


async def _receipt(world: World, ada: Account, user: Account) -> None:
    await world.receipts.send(user, [OutgoingReceipt(ReceiptType.READ, ada.jid, ["first"])], True)


async def _retry(world: World, ada: Account, user: Account) -> None:
    receipt = RetryReceipt("first", 1, RetryReason.BAD_MAC, 1, None, None)
    await world.receipts.send_retry(user, ada.jid, receipt)


async def _acceptance(world: World, ada: Account, user: Account) -> None:
    await world.requests.answer(user, ada.jid, accepted=True)


async def _decline(world: World, ada: Account, user: Account) -> None:
    await world.requests.answer(user, ada.jid, accepted=False)


async def _ping(world: World, ada: Account, user: Account) -> None:
    await world.optin.opt_in(user, [])
    await world.reachability.ping(ada, "+491511234567", "Ada")


async def _challenge(world: World, ada: Account, user: Account) -> None:
    await world.challenges.begin(ada)


async def _new_identity(world: World, ada: Account, user: Account) -> None:
    await world.prekeys.publish(user, ClientKeys(5).published, [])
    world.connections.woken.clear()
    await world.prekeys.publish(user, ClientKeys(6).published, [])


async def _digest(world: World, ada: Account, user: Account) -> None:
    await world.operator.request_key_digest(ada.jid)


EVENTS = [
    Event("message", _message, tells_third_party=True, is_pushed=True),
    Event("message to WhatsApp", _message_back, tells_third_party=False, is_pushed=False),
    Event("receipt", _receipt, tells_third_party=True, is_pushed=False),
    Event("retry receipt", _retry, tells_third_party=True, is_pushed=True),
    Event("accepted request", _acceptance, tells_third_party=True, is_pushed=True),
    Event("reachability ping", _ping, tells_third_party=False, is_pushed=False),
    Event("challenge", _challenge, tells_third_party=True, is_pushed=False),
    Event("new identity", _new_identity, tells_third_party=True, is_pushed=False),
    Event("digest request", _digest, tells_third_party=True, is_pushed=False),
]


async def acquainted(world: World) -> tuple[Account, Account]:
    """A third-party user who has written to a WhatsApp user; nobody has been told anything since."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.router.send_messages(ada, [message(user, "first")])
    world.connections.woken.clear()
    assert world.pushes.queued == []
    return ada, user


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
async def test_who_is_connected_is_woken_and_not_pushed_to(world: World, event: Event) -> None:
    """Whatever it is that waits; nobody else is woken."""
    ada, user = await acquainted(world)
    world.connections.online |= {ada.account_id, user.account_id}
    await event.by(world, ada, user)
    assert world.connections.woken == [(ada if event.tells_third_party else user).account_id]
    assert world.pushes.queued == []


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
async def test_who_is_away_is_pushed_to_where_it_is_worth_it(world: World, event: Event) -> None:
    """Once, through their own partner, under the name that it knows them by."""
    ada, user = await acquainted(world)
    await event.by(world, ada, user)
    assert world.pushes.queued == ([(BATS, "ada")] if event.is_pushed else [])


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
async def test_what_waits_says_whom_it_is_from(world: World, event: Event) -> None:
    """The other user, or the server itself; a ping names its sender by what it holds."""
    ada, user = await acquainted(world)
    await event.by(world, ada, user)
    other, told = (user, ada) if event.tells_third_party else (ada, user)
    item = (await world.waiting(told))[-1]
    assert (item.recipient_id, item.sender_id, item.sender_jid) == (
        told.account_id,
        0 if event.name in ("challenge", "digest request") else other.account_id,
        "" if event.name in ("challenge", "digest request", "reachability ping") else other.jid,
    )


@pytest.mark.requirement("OPT-14", "OPT-09")
async def test_what_is_kept_from_somebody_neither_wakes_nor_pushes(world: World) -> None:
    """A declined request, and what a blocked sender is told in place of an acceptance."""
    ada, user = await acquainted(world)
    for online in (True, False):
        world.connections.online = {ada.account_id} if online else set()
        with world.quiet():
            await _decline(world, ada, user)
            await world.blocklist.block(ada, user.jid)
            await _acceptance(world, ada, user)
            await _message(world, ada, user)
            await world.blocklist.unblock(ada, user.jid)
