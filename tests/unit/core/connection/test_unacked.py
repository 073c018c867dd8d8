"""What a connection leaves un-acked when it ends: a push, where one helps."""

import pytest

from interop_server.core.errors import Reason
from interop_server.core.limits import DAY_MS
from interop_server.core.messages import ReceiptType
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import Account
from tests.unit.core.world import BATS, World, message

MONTH_MS = 30 * DAY_MS


async def left(world: World) -> tuple[Account, Account]:
    """A third-party user whose connection ends with a message un-acked, and who wrote it."""
    ada, user = await world.enlisted(), await world.opted_in()
    world.connections.online.add(ada.account_id)
    await world.router.send_messages(user, [message(ada)])
    assert world.pushes.queued == []
    world.connections.online.clear()
    return ada, user


@pytest.mark.requirement("LIF-01")
@pytest.mark.parametrize("reason", [None, Reason.CONNECTION_SILENT, Reason.FRAME_MALFORMED, Reason.PROXY_NOT_ALLOWED])
async def test_what_a_connection_leaves_un_acked_is_pushed_once(world: World, reason: Reason | None) -> None:
    """The message came while its recipient seemed to be there, so nobody has pushed yet."""
    ada, _ = await left(world)
    await world.unacked_push.send(ada, reason)
    assert world.pushes.queued == [(BATS, "ada")]


@pytest.mark.requirement("LIF-01")
@pytest.mark.parametrize(
    "reason",
    [
        Reason.CONNECTION_REPLACED,
        Reason.KEYS_REPLACED,
        Reason.NOT_ENLISTED,
        Reason.BANNED,
        Reason.TEMPORARILY_BANNED,
        Reason.SERVER_DRAINING,
    ],
)
async def test_no_push_to_whom_it_does_not_help(world: World, reason: Reason) -> None:
    """They are connected, may not come, or have been told to come back."""
    ada, _ = await left(world)
    with world.quiet():
        await world.unacked_push.send(ada, reason)


@pytest.mark.requirement("LIF-01")
async def test_no_push_when_nothing_worth_it_waits(world: World) -> None:
    """Nothing at all, a receipt, a message that has expired; nor for a WhatsApp user, nor while connected again."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.router.send_messages(ada, [message(user)])
    await world.receipts.send(user, [OutgoingReceipt(ReceiptType.DELIVERED, ada.jid, ["m1"])], True)
    assert (await world.mailbox.backlog(ada)).receipts == 1
    with world.quiet():
        await world.unacked_push.send(ada, None)
        await world.unacked_push.send(user, None)
    ada, user = await left(world)
    world.connections.online.add(ada.account_id)
    with world.quiet():
        await world.unacked_push.send(ada, None)
    world.connections.online.clear()
    world.clock.advance(MONTH_MS)
    with world.quiet():
        await world.unacked_push.send(ada, None)
