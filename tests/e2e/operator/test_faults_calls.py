"""Faults of calls: what a client sees of each, and that nothing stored is harmed."""

import asyncio

import grpc.aio
import pytest

from interop_api.admin.v1alpha1 import journal_pb2
from interop_api.v1 import prekeys_pb2, prekeys_pb2_grpc
from interop_client.client import InteropClient
from interop_client.errors import Recovery, ServerRefusal
from tests.e2e.conftest import World
from tests.e2e.operator.faults import counts, fault, journal_of, ordered, until_held
from tests.e2e.raw import QUIET, refused

COUNT = "PreKeyService.CountOneTimePreKeys"
ADD = "PreKeyService.AddOneTimePreKeys"
TAKE = "PreKeyService.TakePreKeyBundles"


async def test_a_call_is_refused_as_often_as_ordered(world: World) -> None:
    """With the reason and the delay of the fault, from the nth match on; others are served, and all is counted."""
    ada, bob = await world.third_party("ada", QUIET), await world.third_party("bob", QUIET)
    busy = fault(
        "busy",
        {"call": COUNT, "actor": ada.jid, "nth": 2},
        refuse={"reason": "RATE_LIMITED", "retry_after_ms": 1_500, "requirement": "KEY-14"},
        times=2,
    )
    async with ordered(world.admin, busy):
        assert await ada.count_prekeys() == 20
        for _ in range(2):
            with refused("RATE_LIMITED") as caught:
                await ada.count_prekeys()
            refusal = caught.value
            assert (refusal.requirement, refusal.retry_after_ms) == ("KEY-14", 1_500)
            assert refusal.recovery is Recovery.SAME_AGAIN
        assert await ada.count_prekeys() == await bob.count_prekeys() == 20
        assert await counts(world.admin, "busy") == (4, 2, 0)
        did, told = (await journal_of(world.admin, "busy"))[-2:]
        assert (did.action, did.actor, did.outcome) == ("fault.refuse", ada.jid, journal_pb2.JOURNAL_OUTCOME_DONE)
        assert (told.action, told.reason, told.request_id) == (COUNT, "RATE_LIMITED", refusal.request_id)
        assert (await world.admin.explain_refusal(refusal.request_id)).entry.fault == "busy"
    assert await ada.count_prekeys() == 20


async def test_an_answer_is_lost_after_everything_is_stored(world: World) -> None:
    """The client sees a connection that breaks, repeats the call by itself under the same id, and it is done once."""
    ada = await world.third_party("ada", QUIET)
    lost = fault("lost", {"call": ADD, "actor": ada.jid}, lose_answer={}, times=1)
    async with ordered(world.admin, lost):
        await ada.add_prekeys(5)
        assert await counts(world.admin, "lost") == (2, 1, 0)
    assert await ada.count_prekeys() == 25


async def test_an_answer_is_lost_for_good(world: World) -> None:
    """Every repetition's, too: what the server has done stays done."""
    ada = await world.third_party("ada", QUIET)
    async with ordered(world.admin, fault("lost", {"call": ADD, "actor": ada.jid}, lose_answer={})):
        with pytest.raises(ServerRefusal) as caught:
            await ada.add_prekeys(5)
        assert (caught.value.reason, caught.value.request_id) == ("UNAVAILABLE", "")
    assert await ada.count_prekeys() == 25


@pytest.mark.parametrize(("way", "count"), [("to_server", 20), ("to_client", 25)])
async def test_a_call_breaks_off_before_or_after_the_commit(world: World, way: str, count: int) -> None:
    """To the client both are the same; the server has done nothing, or all."""
    ada = await world.third_party("ada", QUIET)
    broken = fault("broken", {"call": ADD, "actor": ada.jid, "direction": way}, close={})
    async with ordered(world.admin, broken):
        with pytest.raises(ServerRefusal) as caught:
            await ada.add_prekeys(5)
        assert caught.value.reason == "UNAVAILABLE"
    assert await ada.count_prekeys() == count


async def test_a_refusal_in_the_place_of_an_answer_comes_when_all_is_done(world: World) -> None:
    """A server that does what it refuses."""
    ada = await world.third_party("ada", QUIET)
    match = {"call": ADD, "actor": ada.jid, "direction": "to_client"}
    async with ordered(world.admin, fault("liar", match, refuse={"reason": "SERVER_DRAINING"}, times=1)):
        with refused("SERVER_DRAINING"):
            await ada.add_prekeys(5)
    assert await ada.count_prekeys() == 25


async def test_only_answers_for_a_requirement_are_met(world: World) -> None:
    """A refusal that rests on it is lost; what succeeds, or is refused for another rule, is told."""
    ada, user = await world.third_party("ada", QUIET), await world.whatsapp(options=QUIET)
    rule = fault("deaf", {"call": "InteropService.Resolve", "actor": user.jid, "requirement": "OPT-09"}, close={})
    async with ordered(world.admin, rule):
        assert await user.resolve("ada", world.integrator) == ada.jid
        with refused("REQUEST_MALFORMED"):
            await user.resolve("", world.integrator)
        assert await counts(world.admin, "deaf") == (0, 0, 0)
        with pytest.raises(ServerRefusal) as caught:
            await user.resolve("nobody", world.integrator)
        assert caught.value.reason == "UNAVAILABLE"
        assert (await counts(world.admin, "deaf"))[1] >= 1


async def test_a_call_that_is_dropped_is_never_answered(world: World) -> None:
    """Its client waits until its own deadline; nothing is done."""
    ada = await world.third_party("ada", QUIET)
    async with ordered(world.admin, fault("gone", {"call": ADD, "actor": ada.jid}, drop={}, times=1)):
        waiting = asyncio.create_task(ada.add_prekeys(5))
        await until_held(world.admin, "gone")
        assert await ada.count_prekeys() == 20
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await ada.count_prekeys() == 20


@pytest.mark.parametrize(("way", "count"), [("to_server", 20), ("to_client", 25)])
async def test_a_call_is_held_until_it_is_released(world: World, way: str, count: int) -> None:
    """Before anything is done, or when all is."""
    ada = await world.third_party("ada", QUIET)
    async with ordered(world.admin, fault("held", {"call": ADD, "actor": ada.jid, "direction": way}, hold={})):
        waiting = asyncio.create_task(ada.add_prekeys(5))
        await until_held(world.admin, "held")
        assert await ada.count_prekeys() == count
        assert await world.admin.release_fault("held") == 1
        await waiting
    assert await ada.count_prekeys() == 25


async def test_clearing_lets_go_what_is_held(world: World) -> None:
    """And says what became of the fault."""
    ada = await world.third_party("ada", QUIET)
    await world.admin.add_faults([fault("held", {"call": ADD, "actor": ada.jid}, hold={})])
    waiting = asyncio.create_task(ada.add_prekeys(5))
    await until_held(world.admin, "held")
    [state] = await world.admin.clear_faults("held")
    assert (state.fault.name, state.matched, state.fired, state.held) == ("held", 1, 1, 1)
    await waiting
    with refused("NOT_REGISTERED"):
        await world.admin.release_fault("held")


async def take(world: World, client: InteropClient, jid: str) -> prekeys_pb2.TakePreKeyBundlesResponse:
    """Takes a bundle without a request id, as the SDK never does."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        take_bundles = prekeys_pb2_grpc.PreKeyServiceStub(channel).TakePreKeyBundles
        return await take_bundles(prekeys_pb2.TakePreKeyBundlesRequest(jids=[jid]), metadata=client.transport._metadata)


async def test_a_call_comes_several_times(world: World) -> None:
    """It is performed as often, and the first answer counts; one that has a request id is done once all the same."""
    ada, user = await world.third_party("ada", QUIET), await world.whatsapp(options=QUIET)
    async with ordered(world.admin, fault("thrice", {"call": TAKE, "actor": ada.jid}, duplicate={"copies": 2})):
        first = await take(world, ada, user.jid)
        assert await user.count_prekeys() == 17
        await ada.take_prekey_bundle(user.jid)
        assert await user.count_prekeys() == 16
    [result] = first.results
    assert len(result.bundles) == 1


async def test_calls_of_the_operator_are_never_met(world: World) -> None:
    """No fault can be ordered that keeps the operator from clearing it."""
    with refused("REQUEST_MALFORMED") as caught:
        await world.admin.add_faults([fault("stuck", {"call": "FaultService.ClearFaults"}, drop={})])
    [violation] = caught.value.violations
    assert violation.field == "faults[0].match.call"


async def test_an_enlistment_is_refused_over_both_surfaces(world: World) -> None:
    """In the form that each of them has for it; nobody is enlisted, and the next attempt succeeds."""
    refuse = {"reason": "JWKS_UNAVAILABLE", "retry_after_ms": 250}
    calls = ("EnlistmentService.Enlist", "http.interop_reg")
    async with ordered(world.admin, *(fault(call, {"call": call}, refuse=refuse, times=1) for call in calls)):
        before = await world.stored()
        ada, token = world.device("ada"), world.partner.issue_token("ada")
        with refused("JWKS_UNAVAILABLE") as caught:
            await ada.enlist(token)
        assert caught.value.retry_after_ms == 250
        with refused("JWKS_UNAVAILABLE"):
            await ada.enlist_over_http(world.endpoint.http, token)
        assert await world.stored() == before
        jid = await ada.enlist(token)
        assert await ada.enlist_over_http(world.endpoint.http, world.partner.issue_token("ada")) == jid


async def test_an_enlistment_over_http_loses_its_answer(world: World) -> None:
    """The connection is aborted, and the account is there."""
    async with ordered(world.admin, fault("lost", {"call": "http.interop_reg"}, lose_answer={}, times=1)):
        ada, before = world.device("ada"), (await world.stored())["account"]
        with pytest.raises(ConnectionError):
            await ada.enlist_over_http(world.endpoint.http, world.partner.issue_token("ada"))
        assert (await world.stored())["account"] == before + 1
