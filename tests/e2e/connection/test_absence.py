"""Third-party users who are away: what waits for them is pushed, and after thirty days they are enlisted no longer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict

from interop_api.admin.v1alpha1 import journal_pb2
from interop_api.v1 import interop_pb2, prekeys_pb2
from interop_client.client import InteropClient
from interop_client.errors import LoginRefused
from interop_client.messaging.events import TextReceived
from interop_server.core.limits import Limits
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, WAIT_SECONDS, check
from tests.e2e.wire import Wire, sealed_message

MONTH_MS = 30 * 24 * 3_600 * 1_000


@pytest_asyncio.fixture
async def frozen_world(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[World]:
    """A world in a simulator of its own, where time stands still and silence ends no connection."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, Limits(silent_seconds=10**9), clock) as (world, _):
        yield world


async def leave(world: World, *clients: InteropClient) -> None:
    """Closes clients, and waits until the server has noticed."""
    for client in clients:
        await client.close()
    present = {client.jid for client in clients}
    async with asyncio.timeout(WAIT_SECONDS):
        while present:
            present &= {connection.jid for connection in await world.admin.list_connections()}


async def journal(world: World, **wanted: object) -> list[journal_pb2.JournalEntry]:
    return [response.entry async for response in world.admin.read_journal(**wanted)]


async def login_refusal(attempt: Awaitable[None]) -> LoginRefused:
    with pytest.raises(LoginRefused) as raised:
        await attempt
    return raised.value


async def answers_about(asker: InteropClient, jid: str, name: str, integrator: int) -> list[dict[str, object]]:
    """All that the server says to who writes to somebody, takes their bundle and looks them up: every field but ids."""
    wire: list[object] = []
    async with Wire(asker.transport) as channel:
        await channel.send(sealed_message(jid, f"to-{name}"))
        [ack] = (await channel.take_until("send_acks"))[-1].send_acks.acks
        wire.append(ack)
        call = asker.transport.call
        taken = await call(
            "/interop_api.v1.PreKeyService/TakePreKeyBundles",
            prekeys_pb2.TakePreKeyBundlesRequest(jids=(jid,)),
            prekeys_pb2.TakePreKeyBundlesResponse,
        )
        found = await call(
            "/interop_api.v1.InteropService/Resolve",
            interop_pb2.ResolveRequest(users=(interop_pb2.ExternalUser(external_id=name, integrator=integrator),)),
            interop_pb2.ResolveResponse,
        )
        wire += [taken.results[0], found.users[0]]
    answers = [MessageToDict(answer, always_print_fields_with_no_presence=True) for answer in wire]  # type: ignore[arg-type]
    for answer in answers:
        assert answer["error"].pop("requestId")
        for own in ("id", "jid", "externalId"):
            answer.pop(own, None)
    return answers


@pytest.mark.requirement("LIF-04", "LIF-05", "LIF-03")
async def test_thirty_days_without_a_connection(frozen_world: World) -> None:
    """Bob is away, Carol stays connected, Dave deletes his account; nobody is called Nemo.

    1. Thirty days less a millisecond later Bob is there: a message for him is taken.
    2. A millisecond later he is not, with keys and mailbox; Carol is.
    3. His client is told to enlist again; Dave's that he is not enlisted.
    4. Alice is told the same of Bob, Dave and Nemo, in every field; only the journal tells them apart.
    5. Bob enlists again, as somebody new, and they talk.
    """
    world = frozen_world
    alice, carol = await world.whatsapp(options=QUIET), await world.third_party("carol", QUIET)
    bob, dave = await world.third_party("bob", QUIET), await world.third_party("dave", QUIET)
    old_jid = bob.jid
    await dave.delete_account()
    await leave(world, bob, dave)

    await world.admin.advance_clock(MONTH_MS - 1)
    await alice.send_text(bob.jid, "Still there?")
    before = await world.stored()
    fired = (await world.admin.advance_clock(1)).fired
    assert [timers.name for timers in fired] == ["enlistments"]
    after = await world.stored()
    # In his mailbox were the message and the notice that whoever writes to him trusts him.
    assert (before["account"] - after["account"], before["mailbox"] - after["mailbox"]) == (1, 2)
    assert (before["one_time_prekey"] - after["one_time_prekey"], after["given_jid"]) == (19, before["given_jid"])
    await carol.ping()

    expired = await login_refusal(bob.connect())
    check(expired, "ENLISTMENT_EXPIRED")
    assert (expired.code, expired.requirement) == (401, "LIF-04")
    check(await login_refusal(dave.connect()), "NOT_ENLISTED")

    await leave(world, alice)
    names = {"bob": old_jid, "dave": dave.jid, "nemo": f"{world.integrator}-12345@interop"}
    answers = [await answers_about(alice, jid, name, world.integrator) for name, jid in names.items()]
    assert answers[0] == answers[1] == answers[2]
    assert [answer["error"]["reason"] for answer in answers[0]] == ["ERROR_REASON_RECIPIENT_NOT_REACHABLE"] * 3
    for action in ("stanza.message", "PreKeyService.TakePreKeyBundles"):
        wanted = {"action": action, "outcome": journal_pb2.JOURNAL_OUTCOME_REFUSED}
        causes = [entry.cause for entry in await journal(world, actor=alice.jid, **wanted)]
        assert len(causes) == len(set(causes)) == 3, causes
    [unenlisted] = await journal(world, action="timer.unenlist")
    assert (unenlisted.subject, unenlisted.requirement, unenlisted.actor) == (old_jid, "LIF-04", "timer")

    await bob.enlist(world.partner.issue_token("bob"))
    assert bob.jid != old_jid
    await bob.connect()
    await bob.publish_prekeys(20)
    await alice.connect()
    await alice.send_text(bob.jid, "Welcome back")
    assert (await bob.wait_for(TextReceived)).text == "Welcome back"
    assert await refused(alice.send_text(old_jid, "?")) == "RECIPIENT_NOT_REACHABLE"


@pytest.mark.requirement("LIF-04")
async def test_nobody_is_told_of_an_un_enlistment(frozen_world: World) -> None:
    """No push to its messenger, nothing to its peers."""
    world = frozen_world
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.send_text(alice.jid, "Hello")
    await alice.wait_for(TextReceived)
    await leave(world, alice, bob)
    pushes = (await world.admin.get_statistics()).counted["push_sent"]
    await world.admin.advance_clock(MONTH_MS)
    assert await refused(bob.connect()) == "ENLISTMENT_EXPIRED"
    statistics = await world.admin.get_statistics()
    assert (statistics.counted["push_sent"], statistics.stored["mailbox"]) == (pushes, 0)


@pytest.mark.requirement("LIF-04", "SIM-03")
async def test_the_days_go_on_while_no_server_runs(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """A server that is started after thirty days finds him gone; before, it does not; the end of a connection counts.

    1. Bob connects, and a day later the server stops: it notes that he was connected until then.
    2. Thirty days less a millisecond after that a server on the same database still knows him.
    3. A millisecond later another one does not.
    """
    start_ms = time.time_ns() // 1_000_000
    day_ms = MONTH_MS // 30
    limits = Limits(silent_seconds=10**9)
    clock = AdjustableClock(start_ms)
    async with own_world(tmp_path, signing_keys, limits, clock) as (world, simulator):
        await world.third_party("bob", QUIET)
        await world.admin.advance_clock(day_ms)
        await simulator.stop()
        for ms, accounts in ((MONTH_MS - 1, 1), (MONTH_MS, 0)):
            clock = AdjustableClock(start_ms + day_ms + ms)
            async with own_world(tmp_path, signing_keys, limits, clock) as (again, _):
                await again.admin.freeze_clock()  # returns when what was due at the start is done
                assert (await again.stored())["account"] == accounts


async def unacked(world: World) -> tuple[InteropClient, Wire]:
    """Bob's channel, on which a message has come that he does not ack."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await leave(world, bob)
    wire = await Wire(bob.transport).__aenter__()
    await alice.send_encrypted(sealed_message(bob.jid, "m").message)
    await wire.take_until("message")
    return bob, wire


@pytest.mark.requirement("LIF-01", "MSG-09")
async def test_what_a_lost_connection_leaves_is_pushed(world: World) -> None:
    """Nobody pushed while Bob seemed to be there; now his messenger is told, and the message comes again."""
    bob, wire = await unacked(world)
    await wire.__aexit__()
    push = await world.partner.wait_for_push("bob", WAIT_SECONDS)
    assert push.number == 1
    [entry] = [entry for entry in await journal(world, action="push") if entry.subject == bob.jid]
    assert (entry.actor, entry.requirement) == ("server", "LIF-01")
    async with Wire(bob.transport) as again:
        assert again.preview.messages == 1


@pytest.mark.requirement("LIF-01", "CHN-11")
async def test_a_replaced_connection_is_no_reason_to_push(world: World) -> None:
    """Bob is there, on another device."""
    bob, wire = await unacked(world)
    second = world.device("bob", QUIET, bob.state)
    async with Wire(second.transport) as again:
        assert again.preview.messages == 1
        await wire.__aexit__()
        await again.ping()
        await again.ask(1)
        await again.ack(await again.take_until("message"))
        await again.ping()
    await leave(world, second)
    assert [entry for entry in await journal(world, action="push") if entry.subject == bob.jid] == []
