"""Faults of stanzas, either way: what a client sees of each, and that the mailbox and its contents are not harmed."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pytest
import pytest_asyncio

from interop_api.admin.v1alpha1 import trace_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded
from interop_client.messaging.events import TextReceived
from interop_protocol.noise import RemoteProtocolError
from tests.e2e.conftest import World
from tests.e2e.operator.faults import counts, fault, journal_of, ordered, until_held
from tests.e2e.raw import QUIET, check_error
from tests.e2e.wire import Wire, message_ids, sealed_message


@dataclass(frozen=True)
class Pair:
    """Two people who can talk, and the channel of each."""

    alice: InteropClient
    bob: InteropClient
    to_alice: Wire
    to_bob: Wire

    async def say(self, *ids: str) -> list[stanza_pb2.Stanza]:
        """Alice sends messages of these ids, and gets what comes until all of it is done."""
        await self.to_alice.send(*(sealed_message(self.bob.jid, each, f"sealed {each}".encode()) for each in ids))
        return await self.to_alice.ping()

    async def heard(self, count: int) -> list[stanza_pb2.Stanza]:
        """The messages that come to Bob: so many, and whatever else has come by then."""
        came: list[stanza_pb2.Stanza] = []
        while len(message_ids(came)) < count:
            came += await self.to_bob.take()
        return [each for each in (*came, *await self.to_bob.ping()) if each.HasField("message")]

    def from_alice(self, **more: Any) -> dict[str, Any]:
        return {"stanza": "message", "direction": "to_server", "actor": self.alice.jid, **more}

    def for_bob(self, **more: Any) -> dict[str, Any]:
        return {"stanza": "message", "direction": "to_client", "actor": self.bob.jid, "peer": self.alice.jid, **more}


@pytest_asyncio.fixture
async def pair(world: World) -> AsyncIterator[Pair]:
    """A WhatsApp user and a third-party user, each on a channel of which a test sees everything."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    async with AsyncExitStack() as stack:
        wires = []
        for client in (alice, bob):
            await client.close()
            wire = await stack.enter_async_context(Wire(client.transport))
            await wire.take_until("offline_end")
            wires.append(wire)
        yield Pair(alice, bob, *wires)


async def in_mailbox(pair: Pair) -> list[str]:
    """What Bob finds on his next connection: all that he has not acked."""
    async with Wire(pair.bob.transport) as wire:
        await wire.ask(100)
        return message_ids(await wire.take_until("offline_end"))


def acks(stanzas: list[stanza_pb2.Stanza]) -> dict[str, stanza_pb2.SendAck]:
    """What became of messages, by id."""
    return {ack.id: ack for stanza in stanzas if stanza.HasField("send_acks") for ack in stanza.send_acks.acks}


async def test_a_message_is_refused_and_its_neighbours_are_not(world: World, pair: Pair) -> None:
    """With any reason, in the answer to that message; nothing of it is stored."""
    refuse = {"reason": "MAILBOX_FULL", "retry_after_ms": 900}
    async with ordered(world.admin, fault("full", pair.from_alice(nth=2), refuse=refuse, times=1)):
        told = acks(await pair.say("a", "b", "c"))
        check_error(told["b"].error, "MAILBOX_FULL")
        assert told["b"].error.retry_after_ms == 900
        assert not told["a"].HasField("error") and not told["c"].HasField("error")
        assert message_ids(await pair.heard(2)) == ["a", "c"]
        entries = await journal_of(world.admin, "full")
        assert [entry.action for entry in entries] == ["fault.refuse", "stanza.message"]
    assert not acks(await pair.say("b"))["b"].HasField("error")


async def test_another_stanza_is_refused_in_its_own_way(world: World, pair: Pair) -> None:
    """What is no message has a stanza for refusals."""
    match = {"stanza": "ping", "actor": pair.alice.jid}
    async with ordered(world.admin, fault("no", match, refuse={"reason": "STANZA_UNKNOWN"}, times=1)):
        await pair.to_alice.send(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=77)))
        [refused] = await pair.to_alice.take_until("stanza_refused")
        assert refused.stanza_refused.kind == "ping"
        check_error(refused.stanza_refused.error, "STANZA_UNKNOWN")


async def test_a_message_is_dropped_on_its_way_in(world: World, pair: Pair) -> None:
    """Neither stored nor answered; sent again it arrives once."""
    async with ordered(world.admin, fault("gone", pair.from_alice(), drop={}, times=1)):
        assert acks(await pair.say("a")) == {}
        assert await pair.heard(0) == []
        assert set(acks(await pair.say("a"))) == {"a"}
        assert message_ids(await pair.heard(1)) == ["a"]


async def test_a_delivery_that_is_dropped_comes_on_the_next_connection(world: World, pair: Pair) -> None:
    """It is lost on its way, not in the mailbox."""
    async with ordered(world.admin, fault("gone", pair.for_bob(nth=2), drop={}, times=1)):
        await pair.say("a", "b", "c")
        assert message_ids(await pair.heard(2)) == ["a", "c"]
    assert await in_mailbox(pair) == ["a", "b", "c"]


async def test_an_answer_is_lost_when_the_message_is_stored(world: World, pair: Pair) -> None:
    """The sender sends the same again under the same id, and the recipient gets it once."""
    async with ordered(world.admin, fault("lost", pair.from_alice(nth=2), lose_answer={}, times=1)):
        assert set(acks(await pair.say("a", "b", "c"))) == {"a", "c"}
        assert message_ids(await pair.heard(3)) == ["a", "b", "c"]
        assert set(acks(await pair.say("b"))) == {"b"}
        assert await pair.heard(0) == []


async def test_a_message_comes_several_times(world: World, pair: Pair) -> None:
    """On its way in the id tells the server, and on its way out the delivery id tells the recipient."""
    async with ordered(world.admin, fault("in", pair.from_alice(), duplicate={"copies": 2}, times=1)):
        assert set(acks(await pair.say("a"))) == {"a"}
        assert message_ids(await pair.heard(1)) == ["a"]
    async with ordered(world.admin, fault("out", pair.for_bob(), duplicate={}, times=1)):
        await pair.say("b")
        came = await pair.heard(2)
        assert message_ids(came) == ["b", "b"] and came[0] == came[1]
    assert await in_mailbox(pair) == ["a", "b"]


@pytest.mark.parametrize("way", ["from_alice", "for_bob"])
async def test_the_next_message_overtakes(world: World, pair: Pair, way: str) -> None:
    """Either way; on its way in, that is the order in which they are stored."""
    async with ordered(world.admin, fault("slow", getattr(pair, way)(nth=2), reorder={}, times=1)):
        await pair.say("a", "b", "c", "d")
        assert message_ids(await pair.heard(4)) == ["a", "c", "b", "d"]
    assert await in_mailbox(pair) == (["a", "c", "b", "d"] if way == "from_alice" else ["a", "b", "c", "d"])


@pytest.mark.parametrize("way", ["from_alice", "for_bob"])
async def test_a_message_is_held_until_it_is_released(world: World, pair: Pair, way: str) -> None:
    """Later ones pass it."""
    async with ordered(world.admin, fault("held", getattr(pair, way)(), hold={}, times=2)):
        await pair.say("a", "b", "c")
        assert message_ids(await pair.heard(1)) == ["c"]
        await until_held(world.admin, "held", 2)
        assert await world.admin.release_fault("held") == 2
        came = await pair.to_bob.take(2)
        assert message_ids(came) == ["a", "b"]
    assert sorted(await in_mailbox(pair)) == ["a", "b", "c"]


@pytest.mark.parametrize("way", ["from_alice", "for_bob"])
@pytest.mark.parametrize(
    ("action", "changed"),
    [({"truncate": {"keep_bytes": 3}}, b"sea"), ({"flip_bits": {"bits": 3}, "seed": 7}, None)],
)
async def test_a_ciphertext_is_damaged(
    world: World, pair: Pair, way: str, action: dict[str, Any], changed: bytes | None
) -> None:
    """The same seed turns over the same bits; on its way out, the stored one stays as it is."""
    seen = []
    for number in (1, 2):
        async with ordered(world.admin, fault("bad", getattr(pair, way)(), **action, times=1)):
            message = sealed_message(pair.bob.jid, f"m{number}", b"sealed")
            await pair.to_alice.send(message)
            [came] = await pair.heard(1)
            seen.append(came.message.enc[0].ciphertext)
    assert seen[0] == seen[1] != b"sealed"
    if changed is not None:
        assert seen[0] == changed
    else:
        bits = int.from_bytes(seen[0]) ^ int.from_bytes(b"sealed")
        assert bits.bit_count() == 3
    async with Wire(pair.bob.transport) as wire:
        await wire.ask(10)
        stored = [each for each in await wire.take_until("offline_end") if each.HasField("message")]
    expected = b"sealed" if way == "for_bob" else seen[0]
    assert [each.message.enc[0].ciphertext for each in stored] == [expected] * 2


async def test_garbage_stands_where_a_stanza_should(world: World, pair: Pair) -> None:
    """The frame is sealed as it should be, and holds no batch: the client must end the channel, and comes again."""
    cut = {"keep_bytes": 5, "part": "STANZA"}
    async with ordered(world.admin, fault("garbage", pair.for_bob(), truncate=cut, times=1)):
        await pair.say("a")
        with pytest.raises(RemoteProtocolError, match="FRAME_MALFORMED"):
            await pair.to_bob.take_until("message")
    assert await in_mailbox(pair) == ["a"]


async def test_garbage_is_sent_while_somebody_reads_the_trace(world: World, pair: Pair) -> None:
    """They see it as malformed; the client gets what it gets without them."""
    responses = world.admin.read_trace(jid=pair.bob.jid, follow=True)
    await anext(responses)
    cut = {"keep_bytes": 5, "part": "STANZA"}
    async with ordered(world.admin, fault("garbage", pair.for_bob(), truncate=cut, times=1)), aclosing(responses):
        await pair.say("a")
        with pytest.raises(RemoteProtocolError, match="FRAME_MALFORMED"):
            await pair.to_bob.take_until("message")
        while (seen := (await anext(responses)).entry).kind != "malformed":
            pass
    assert seen.direction == trace_pb2.TRACE_DIRECTION_TO_CLIENT


FORGED = [
    ({"from_jid": "99-10000000000001@interop"}, "message.from_jid", "99-10000000000001@interop"),
    ({"timestamp_ms": 0}, "message.timestamp_ms", 0),
    ({"timestamp_ms": 4_291_747_200_000}, "message.timestamp_ms", 4_291_747_200_000),
    ({"delivery_id": 1}, "delivery_id", 1),
    ({"message_id": "another"}, "message.id", "another"),
]


@pytest.mark.parametrize(("forge", "field", "expected"), FORGED)
async def test_a_delivery_is_forged(
    world: World, pair: Pair, forge: dict[str, Any], field: str, expected: object
) -> None:
    """Only what the fault says; what is stored stays as it was sent."""
    read = attrgetter(field)
    await pair.say("a")
    [honest] = await pair.heard(1)
    async with ordered(world.admin, fault("forged", pair.for_bob(), forge=forge, times=1)):
        await pair.say("b")
        [came] = await pair.heard(1)
        assert read(came) == expected != read(honest)
        assert came.message.enc[0].ciphertext == b"sealed b"
    assert await in_mailbox(pair) == ["a", "b"]


async def test_a_receipt_is_made_up(world: World, pair: Pair) -> None:
    """The sender hears that the message was read, by somebody who has not even got it; the message goes on."""
    async with ordered(world.admin, fault("liar", pair.from_alice(), forge_receipt={"type": "READ"}, times=1)):
        told = await pair.say("a")
        [receipt] = [stanza for stanza in told if stanza.HasField("receipt")]
        assert (receipt.receipt.from_jid, list(receipt.receipt.message_ids)) == (pair.bob.jid, ["a"])
        assert receipt.receipt.type == stanza_pb2.RECEIPT_TYPE_READ and receipt.delivery_id > 1 << 52
        await pair.to_alice.ack([receipt])
        assert message_ids(await pair.heard(1)) == ["a"]


@pytest.mark.parametrize("ending", ["CLEAN", "RESET"])
@pytest.mark.parametrize(("way", "stored"), [("from_alice", ["a"]), ("for_bob", ["a", "b"])])
async def test_a_channel_ends_before_or_after_the_commit(
    world: World, pair: Pair, ending: str, way: str, stored: list[str]
) -> None:
    """Without a word, or as when the network breaks: what was stored is there on the next connection."""
    match = getattr(pair, way)(nth=2)
    ended = pair.to_alice if way == "from_alice" else pair.to_bob
    async with ordered(world.admin, fault("end", match, close={"ending": ending}, times=1)):
        await pair.to_alice.send(*(sealed_message(pair.bob.jid, each) for each in ("a", "b", "c")))
        with pytest.raises(ConnectionEnded) as caught:
            await ended.take(10)
        assert caught.value.reason == {"CLEAN": "OK", "RESET": "UNAVAILABLE"}[ending]
        if way == "for_bob":
            await pair.to_alice.ping()
    assert (await in_mailbox(pair))[: len(stored)] == stored


async def test_real_clients_get_over_it(world: World) -> None:
    """What is damaged is asked for again, what comes twice is shown once, and what is lost comes later."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    match = {"stanza": "message", "direction": "to_client", "actor": bob.jid}
    damaged = fault("damaged", match, flip_bits={"bits": 1}, seed=1, times=1)
    doubled = fault("doubled", {**match, "nth": 3}, duplicate={}, times=1)
    async with ordered(world.admin, damaged, doubled):
        await alice.send_text(bob.jid, "one")
        assert (await bob.wait_for(TextReceived)).text == "one"
        await alice.send_text(bob.jid, "two")
        assert (await bob.wait_for(TextReceived)).text == "two"
        await alice.send_text(bob.jid, "three")
        assert (await bob.wait_for(TextReceived)).text == "three"
        assert (await counts(world.admin, "damaged"))[1] == (await counts(world.admin, "doubled"))[1] == 1
