"""Blocklists: separate, idempotent, and comparable by their hash."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest

from interop_server.core.errors import Reason, Refusal
from tests.unit.core.world import World, message, refused

NOBODY = "100-10000000000000@interop"


def digest(*jids: str) -> bytes:
    return hashlib.sha256("\n".join(sorted(jids)).encode()).digest()


async def test_blocking_and_unblocking_are_idempotent(world: World) -> None:
    """The list comes with its hash (ABU-01, ABU-02)."""
    ada, user = await world.enlisted(), await world.opted_in()
    assert await world.blocklist.blocked(user) == ([], digest())
    for _ in range(2):
        await world.blocklist.block(user, ada.jid)
        assert await world.blocklist.blocked(user) == ([ada.jid], digest(ada.jid))
    await world.blocklist.block(user, NOBODY)
    assert await world.blocklist.blocked(user) == (sorted([ada.jid, NOBODY]), digest(ada.jid, NOBODY))
    for _ in range(2):
        await world.blocklist.unblock(user, ada.jid)
        assert await world.blocklist.blocked(user) == ([NOBODY], digest(NOBODY))


async def test_a_blocklist_belongs_to_one_account(world: World) -> None:
    """Blocking is not mutual, and partners' users have a list as well (ABU-01)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.blocklist.block(ada, user.jid)
    assert await world.blocklist.blocked(user) == ([], digest())
    [outcome] = await world.router.send_messages(user, [message(ada)])
    assert outcome.refusal is None
    assert await world.waiting(ada) == []


@pytest.mark.parametrize(
    ("jid", "reason"),
    [
        ("ada", Reason.USER_VISIBLE_IDENTIFIER),
        ("", Reason.ADDRESS_MALFORMED),
        ("1@g.us", Reason.GROUPS_NOT_SUPPORTED),
        ("100-1:2@interop", Reason.ADDRESS_NAMES_DEVICE),
    ],
)
async def test_only_people_can_be_blocked(world: World, jid: str, reason: Reason) -> None:
    """By JID, as they are written to (ABU-01, MSG-01)."""
    user = await world.whatsapp_user()
    for call in (world.blocklist.block(user, jid), world.blocklist.unblock(user, jid)):
        with refused(reason):
            await call


async def test_a_jid_written_otherwise_is_the_same_person(world: World) -> None:
    """A device suffix of 0 changes nobody (ABU-02, KEY-08)."""
    ada, user = await world.enlisted(), await world.opted_in()
    with_device = ada.jid.replace("@", ":0@")
    await world.blocklist.block(user, with_device)
    assert await world.blocklist.blocked(user) == ([ada.jid], digest(ada.jid))
    await world.blocklist.unblock(user, with_device)
    assert await world.blocklist.blocked(user) == ([], digest())


async def test_a_blocklist_is_bounded(build_world: Callable[..., Awaitable[World]]) -> None:
    """When it is full, blocking again is still no error, and unblocking makes room (ABU-01)."""
    world = await build_world(max_blocked=2)
    user = await world.whatsapp_user()
    jids = [f"100-1000000000000{number}@interop" for number in range(3)]
    for jid in (*jids[:2], jids[0]):
        await world.blocklist.block(user, jid)
    with refused(Reason.QUOTA_EXCEEDED):
        await world.blocklist.block(user, jids[2])
    await world.blocklist.unblock(user, jids[0])
    await world.blocklist.block(user, jids[2])
    assert await world.blocklist.blocked(user) == (jids[1:], digest(*jids[1:]))


async def test_a_blocklist_is_bounded_also_when_blocks_come_at_once(
    build_world: Callable[..., Awaitable[World]],
) -> None:
    """Each would find room for itself; those who come too late are refused (ABU-01)."""
    world = await build_world(max_blocked=5)
    user = await world.whatsapp_user()
    jids = [f"100-1000000000000{number}@interop" for number in range(9)]
    blocking = (world.blocklist.block(user, jid) for jid in jids)
    outcomes = await asyncio.gather(*blocking, return_exceptions=True)
    refusals = [outcome.reason for outcome in outcomes if isinstance(outcome, Refusal)]
    assert (refusals, outcomes.count(None)) == ([Reason.QUOTA_EXCEEDED] * 4, 5)
    assert len((await world.blocklist.blocked(user))[0]) == 5
