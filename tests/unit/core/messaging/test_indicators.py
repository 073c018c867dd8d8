"""That somebody is typing is shown now or never."""

from collections.abc import Awaitable, Callable

import pytest

from interop_server.core.errors import Reason
from interop_server.core.messages import Indicator, TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.core.model import Account
from tests.unit.core.world import World, refused

pytestmark = pytest.mark.requirement("MSG-13")

BuildWorld = Callable[..., Awaitable[World]]
COMPOSING = Typing(TypingState.COMPOSING)


async def both(world: World) -> tuple[Account, Account]:
    """Two who may talk, both connected."""
    ada, user = await world.enlisted(), await world.opted_in()
    world.connections.online |= {ada.account_id, user.account_id}
    return ada, user


@pytest.mark.parametrize("state", TypingState)
async def test_it_is_shown_to_a_peer_who_is_connected(world: World, state: TypingState) -> None:
    """Both ways, for some seconds; nothing is stored, nobody is pushed to."""
    ada, user = await both(world)
    before = await world.store.count_rows()
    with world.quiet():
        await world.indicators.show(ada, user.jid, Typing(state))
        await world.indicators.show(user, ada.jid, Typing(state))
    seconds = world.limits.typing_seconds
    assert world.connections.shown == [
        (user.account_id, ada.jid, Typing(state), seconds),
        (ada.account_id, user.jid, Typing(state), seconds),
    ]
    assert await world.store.count_rows() == before
    assert world.counts == {}


async def test_nobody_else_sees_it_and_nobody_is_told(world: World) -> None:
    """Away, not opted in, blocked either way, unknown: dropped; the journal alone knows why."""
    ada, user = await both(world)
    bea, cal = await world.enlisted("bea"), await world.enlisted("cal")
    shy, away = await world.whatsapp_user("+33612345678"), await world.opted_in("+39312345678")
    world.connections.online |= {bea.account_id, cal.account_id, shy.account_id}
    await world.blocklist.block(user, bea.jid)
    await world.blocklist.block(cal, user.jid)
    before = await world.store.count_rows()
    causes = []
    with world.quiet():
        for sender, to in (
            (ada, away.jid),
            (ada, shy.jid),
            (shy, ada.jid),
            (bea, user.jid),
            (user, bea.jid),
            (user, cal.jid),
            (ada, "4915100000000@s.whatsapp.net"),
            (ada, bea.jid),
        ):
            await world.indicators.show(sender, to, COMPOSING)
            entry = world.journal.after(0, 1_000)[0][-1]
            assert (entry.actor, entry.outcome, entry.subject) == (sender.jid, "dropped", to)
            causes.append(entry.cause)
    assert world.connections.shown == []
    assert await world.store.count_rows() == before
    assert world.counts == {"typing_dropped": 8}
    assert len(set(causes)) == 7 and all(causes)


async def test_nobody_types_faster_than_people_do(build_world: BuildWorld) -> None:
    """What comes too fast is dropped, per sender; after a pause it is shown again."""
    world = await build_world(typing_burst=2, typing_per_second=1.0)
    ada, user = await both(world)
    for _ in range(4):
        await world.indicators.show(ada, user.jid, COMPOSING)
    await world.indicators.show(user, ada.jid, COMPOSING)
    assert [sender for _, sender, _, _ in world.connections.shown] == [ada.jid, ada.jid, user.jid]
    assert world.counts == {"typing_dropped": 2}
    world.clock.advance(1_000)
    await world.indicators.show(ada, user.jid, COMPOSING)
    assert len(world.connections.shown) == 4


async def test_nobody_at_an_address_is_refused_like_in_a_message(world: World) -> None:
    """Also from somebody who types too fast, so the journal never holds what they wrote into it (MSG-01)."""
    ada = await world.enlisted()
    for _ in range(world.limits.typing_burst + 1):
        with refused(Reason.USER_VISIBLE_IDENTIFIER):
            await world.indicators.show(ada, "eve@bats.example", COMPOSING)


def test_an_indicator_that_is_of_one_kind_only_needs_no_detail() -> None:
    """What the journal says of it then is its kind."""

    class Waving(Indicator):
        kind = "waving"

    assert Waving().detail == ""
    assert [Typing(state).detail for state in TypingState] == ["composing", "recording", "paused"]
