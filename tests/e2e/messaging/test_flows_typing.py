"""Typing: shown to whoever is there and wants to see it, never kept."""

import pytest

from interop_api.v1 import stanza_pb2
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire

pytestmark = pytest.mark.requirement("MSG-13")

COMPOSING, PAUSED = stanza_pb2.TYPING_STATE_COMPOSING, stanza_pb2.TYPING_STATE_PAUSED


def typing(to: str, state: stanza_pb2.TypingState.ValueType = COMPOSING) -> stanza_pb2.Stanza:
    return stanza_pb2.Stanza(typing=stanza_pb2.Typing(to_jid=to, state=state))


@pytest.mark.one_node("a ping shows what its own node has done")
async def test_typing_is_shown_both_ways_to_a_peer_who_is_there(world: World) -> None:
    """With the typist's JID and how long it holds; it takes no delivery id, and nothing of it is stored."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    for client in (alice, bob):
        await client.close()
    async with Wire(alice.transport) as wire_of_alice, Wire(bob.transport) as wire_of_bob:
        await wire_of_alice.take_until("offline_end")
        await wire_of_bob.take_until("offline_end")
        before = await world.stored()
        for wire, other, sender, to in (
            (wire_of_bob, wire_of_alice, bob.jid, alice.jid),
            (wire_of_alice, wire_of_bob, alice.jid, bob.jid),
        ):
            await wire.send(typing(to), typing(to, PAUSED))
            assert await wire.ping() == []
            shown = await other.ping()
            assert [stanza.typing.state for stanza in shown] == [COMPOSING, PAUSED]
            for stanza in shown:
                assert (stanza.typing.to_jid, stanza.typing.from_jid) == ("", sender)
                assert (stanza.delivery_id, stanza.typing.expires_after_seconds > 0) == (0, True)
        assert await world.stored() == before


async def test_typing_to_somebody_who_is_away_is_gone(world: World) -> None:
    """It does not wait for them, nor wake their phone."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    for client in (alice, bob):
        await client.close()
    statistics = (await world.admin.get_statistics()).counted
    async with Wire(alice.transport) as wire:
        await wire.send(typing(bob.jid))
        await wire.ping()
    async with Wire(bob.transport) as wire:
        preview = wire.preview
        assert not (preview.messages or preview.receipts or preview.notifications or preview.retry_receipts)
        assert [stanza.WhichOneof("kind") for stanza in await wire.ping()] == ["offline_end"]
    after = (await world.admin.get_statistics()).counted
    assert after["typing_dropped"] == statistics["typing_dropped"] + 1


async def test_the_blocked_are_not_seen_typing_and_see_nobody_type(world: World) -> None:
    """Nor does anybody type to whoever has not opted in; nobody is answered (MSG-13, ABU-02, OPT-09)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    shy = await world.whatsapp(opted_in=False, options=QUIET)
    await alice.block(bob.jid)
    for client in (alice, bob, shy):
        await client.close()
    async with Wire(alice.transport) as a, Wire(bob.transport) as b, Wire(shy.transport) as s:
        for wire in (a, b, s):
            await wire.take_until("offline_end")
        await b.send(typing(alice.jid), typing(shy.jid))
        await a.send(typing(bob.jid))
        for wire in (a, b, s, a, b, s):
            assert await wire.ping() == []
