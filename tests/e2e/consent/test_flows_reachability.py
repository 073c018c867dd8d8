"""Reachability pings through the running server: what arrives, what vanishes, and that nobody can tell which."""

import pytest

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import Incoming, OfflinePreview, ReachabilityPing
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, case, check, no_trace, refused
from tests.e2e.wire import Wire

NOBODY = "+4915100000000"
DAY_MS = 24 * 3_600_000


def number_of(client: WhatsAppClient) -> str:
    return f"+{client.jid.partition('@')[0]}"


async def ping(client: InteropClient, phone_number: str, display_name: str = "Bob") -> bytes:
    """Sends a ping and returns the answer, byte by byte."""
    request = interop_pb2.SendReachabilityPingRequest(phone_number=phone_number, display_name=display_name)
    method = "/interop_api.v1.InteropService/SendReachabilityPing"
    response = await client.transport.call(method, request, interop_pb2.SendReachabilityPingResponse)
    return response.SerializeToString()


@pytest.mark.requirement("OPT-10")
async def test_a_ping_arrives_with_messenger_and_display_name_only(world: World) -> None:
    """At somebody who has never opted in: no message, no key, no chat, and no way to answer but to opt in (OPT-10)."""
    alice, bob = await world.whatsapp(opted_in=False), await world.third_party("bob")
    await bob.send_reachability_ping(number_of(alice), "Bob B.")
    arrived = await alice.wait_for(ReachabilityPing)
    assert arrived == ReachabilityPing(
        world.integrator, f"Messenger {world.integrator}", "Bob B.", arrived.timestamp_ms
    )
    assert [chat async for chat in alice.list_chats()] == []
    with refused("SENDER_NOT_OPTED_IN"):
        await alice.send_text(bob.jid, "Hello?")
    with refused("RECIPIENT_NOT_REACHABLE"):
        await bob.send_text(alice.jid, "Hello?")

    await alice.accept_terms()
    await alice.opt_in([world.integrator])
    await bob.send_text(await bob.resolve(number_of(alice)), "There you are")
    assert (await alice.wait_for(lambda event: isinstance(event, Incoming))).sender == bob.jid


@pytest.mark.requirement("OPT-10")
async def test_a_ping_waits_for_who_is_away(world: World) -> None:
    """It is announced as a notification, and carries neither Bob's JID nor his identifier (OPT-10)."""
    alice, bob = await world.whatsapp(opted_in=False), await world.third_party("bob-the-builder")
    await alice.wait_for(OfflinePreview)
    await alice.close()
    await bob.send_reachability_ping(number_of(alice), "B.")
    async with Wire(alice.transport) as wire:
        assert (wire.preview.messages, wire.preview.notifications) == (0, 1)
        await wire.ask(1)
        [delivery] = await wire.take()
        assert delivery.notification.HasField("reachability_ping")
        raw = delivery.SerializeToString()
        assert bob.jid.encode() not in raw and b"bob-the-builder" not in raw
        await wire.ack([delivery])
        await wire.ping()
    async with Wire(alice.transport) as wire:
        assert wire.preview.notifications == 0


async def dropping(world: World, cause: str) -> WhatsAppClient:
    """A connected WhatsApp user who gets no pings of Bob's, for that cause."""
    alice = await world.whatsapp(opted_in=cause == "opted in", options=QUIET)
    if cause == "turned off":
        await alice.set_reachability(False)
    elif cause == "muted":
        await alice.set_reachability(True, [world.integrator])
    elif cause == "not eligible":
        await world.admin.put_whatsapp_user(
            number_of(alice), alice.state.auth_public_key, admin_pb2.DEVICE_PLATFORM_DESKTOP
        )
    return alice


@pytest.mark.requirement("OPT-11", "OPT-12")
async def test_whatever_becomes_of_a_ping_its_sender_is_told_the_same(world: World) -> None:
    """Delivered or dropped for whichever cause: no field of the answer differs, and nothing follows it (OPT-11)."""
    bob = await world.third_party("bob", QUIET)
    people = {cause: await dropping(world, cause) for cause in ("opted in", "turned off", "muted", "not eligible")}
    blocker, reached = await world.whatsapp(opted_in=False), await world.whatsapp(opted_in=False)
    await blocker.block(bob.jid)
    await reached.block("100-10000000000001@interop")  # somebody else
    numbers = {cause: number_of(client) for cause, client in people.items()}
    numbers |= {"nobody": NOBODY, "blocked": number_of(blocker), "delivered": number_of(reached)}
    answers = {cause: await ping(bob, number) for cause, number in numbers.items()}
    answers["outstanding"] = await ping(bob, number_of(reached))
    assert answers == dict.fromkeys(answers, b"")
    assert await bob.ping() is None  # type: ignore[func-returns-value]

    assert (await reached.wait_for(ReachabilityPing)).display_name == "Bob"
    for client in (*people.values(), blocker, reached):
        with case(client.jid):
            await client.close()
            assert not [event async for event in client.events() if isinstance(event, ReachabilityPing)]


@pytest.mark.requirement("OPT-12")
async def test_an_opt_in_answers_a_ping_so_that_another_may_come_after_the_opt_out(world: World) -> None:
    """Until then the second vanishes (OPT-12)."""
    alice, bob = await world.whatsapp(opted_in=False), await world.third_party("bob")
    for name in ("first", "vanishes"):
        await ping(bob, number_of(alice), name)
    assert (await alice.wait_for(ReachabilityPing)).display_name == "first"
    await alice.accept_terms()
    await alice.opt_in([world.integrator])
    await alice.opt_out([world.integrator])
    await ping(bob, number_of(alice), "second")
    assert (await alice.wait_for(ReachabilityPing)).display_name == "second"


@pytest.mark.requirement("OPT-12")
async def test_a_third_party_user_has_so_many_pings_a_day(world: World) -> None:
    """Twenty, whatever became of them; Carol has her own (OPT-12)."""
    bob, carol = await world.third_party("bob", QUIET), await world.third_party("carol", QUIET)
    alice = await world.whatsapp(opted_in=False)
    for number in (number_of(alice), *[NOBODY] * 19):
        await ping(bob, number)
    async with no_trace(world.admin):
        for number in (NOBODY, number_of(alice)):
            with pytest.raises(ServerRefusal) as raised:
                await ping(bob, number)
            check(raised.value, "RATE_LIMITED")
            assert raised.value.retry_after_ms is not None and DAY_MS - 60_000 < raised.value.retry_after_ms <= DAY_MS
    assert await ping(carol, number_of(alice)) == b""


@pytest.mark.requirement("OPT-11")
async def test_who_lets_pings_through_is_kept(world: World) -> None:
    """All do at first; what is chosen replaces what was (OPT-11)."""
    alice = await world.whatsapp(opted_in=False, options=QUIET)
    assert await alice.get_reachability() == interop_pb2.GetReachabilityResponse(enabled=True)
    await alice.set_reachability(False, [999, world.integrator, 999])
    chosen = interop_pb2.GetReachabilityResponse(muted_integrators=[world.integrator, 999])
    assert await alice.get_reachability() == chosen
    await alice.set_reachability(True)
    assert await alice.get_reachability() == interop_pb2.GetReachabilityResponse(enabled=True)


@pytest.mark.requirement("OPT-10", "OPT-11")
async def test_pings_and_choices_that_are_none_are_refused(world: World) -> None:
    """Names that could deceive, numbers that are none, partners that cannot be, and callers of the wrong side."""
    alice, bob = await world.whatsapp(opted_in=False, options=QUIET), await world.third_party("bob", QUIET)
    async with no_trace(world.admin):
        for name in ("", " ", "x" * 65, "x" * 100_000, "a\nb", "\0", "\N{RIGHT-TO-LEFT OVERRIDE}bob"):
            with refused("REQUEST_MALFORMED", ascii(name[:20])):
                await ping(bob, number_of(alice), name)
        for number in ("", "+", number_of(alice)[1:], "bob", f"{number_of(alice)}x", "+" + "1" * 100_000):
            with refused("REQUEST_MALFORMED", number[:20]):
                await ping(bob, number)
        for muted in ([0], [1_000], [world.integrator, 2**32 - 1]):
            with refused("REQUEST_MALFORMED", muted):
                await alice.set_reachability(False, muted)
        with refused("TOO_MANY_ITEMS"):
            await alice.set_reachability(False, [1] * 1_000)
        with refused("CALLER_NOT_THIRD_PARTY_USER"):
            await ping(alice, NOBODY)
