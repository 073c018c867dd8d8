"""T6: many accounts drain somebody's one-time prekeys, to weaken the sessions of others or to keep people away."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from interop_api.v1 import prekeys_pb2, prekeys_pb2_grpc
from interop_client.client import ClientOptions
from interop_client.keys.bundles import bundle_from
from interop_client.messaging.events import Event, PreKeysLow, TextReceived
from interop_client.signal import PreKeyBundle
from tests.bench.lean_client import LeanClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.threats.crowd import MANY, whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T6"), pytest.mark.requirement("SIM-06")]

PREKEYS = 30
ROUNDS = 3
REFILL = 100


async def take(client: LeanClient, jid: str) -> prekeys_pb2.PreKeyBundleResult:
    """Takes one bundle."""
    stub = prekeys_pb2_grpc.PreKeyServiceStub(client.channel)
    request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[jid])
    return (await stub.TakePreKeyBundles(request, metadata=client.metadata)).results[0]


def one_time_ids(results: Sequence[prekeys_pb2.PreKeyBundleResult]) -> list[int]:
    """Which one-time prekeys were given out; 0 stands for none."""
    return [bundle.one_time_prekey.key_id for result in results for bundle in result.bundles]


def checked(result: prekeys_pb2.PreKeyBundleResult) -> PreKeyBundle:
    """The bundle, after its signature was verified; with or without a one-time prekey."""
    bundle = bundle_from(result)
    bundle.verify()
    return bundle


@pytest.mark.requirement("KEY-05")
async def test_no_two_get_the_same_one_time_prekey(world: World, attack: Attack) -> None:
    """50 connections ask at once, several times over, while the victim is publishing more."""
    bob = await world.third_party("bob", QUIET)
    await bob.publish_prekeys(PREKEYS)
    attack.tries(f"Taking bundles of one user with {MANY} accounts at once, {ROUNDS} times each, while more are added")
    async with whatsapp_crowd(world) as crowd:
        taking = [take(client, bob.jid) for client in crowd for _ in range(ROUNDS)]
        results, *_ = await asyncio.gather(
            asyncio.gather(*taking), *(bob.add_prekeys(PREKEYS // 3) for _ in range(ROUNDS))
        )
    bundles = [checked(result) for result in results if result.bundles]
    assert len(bundles) == MANY * ROUNDS
    taken = [bundle.one_time_prekey for bundle in bundles if bundle.one_time_prekey is not None]
    assert len(taken) == len(set(taken))
    assert PREKEYS <= len(taken) <= 2 * PREKEYS
    assert len(taken) + await bob.count_prekeys() == 2 * PREKEYS
    attack.holds(
        f"{len(taken)} one-time prekeys left the store, no two alike, and none was lost; everybody else got a bundle "
        "without one"
    )


@pytest.mark.requirement("KEY-06", "KEY-09")
async def test_a_drained_user_is_told_and_can_still_be_reached(world: World, attack: Attack) -> None:
    """The victim's client refills by itself; until then a session begins without a one-time prekey."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", QUIET)
    await bob.publish_prekeys(PREKEYS)
    attack.tries(f"Draining a user's one-time prekeys with {MANY} accounts, so that nobody can write to them")
    async with whatsapp_crowd(world) as crowd:
        await asyncio.gather(*(take(client, bob.jid) for client in crowd))
    assert await bob.count_prekeys() == 0
    await bob.wait_for(few_left)
    await alice.send_text(bob.jid, "Are you there?")
    assert (await bob.wait_for(TextReceived)).text == "Are you there?"
    attack.holds("The user is told that few are left, and a message that begins without one arrives and opens")


def few_left(event: Event) -> bool:
    """Whether this is the notice, and not the one at the first login, when nothing was published yet."""
    return isinstance(event, PreKeysLow) and event.count > 0


@pytest.mark.requirement("KEY-09")
async def test_a_client_refills_what_was_drained(world: World, attack: Attack) -> None:
    """The notice is answered with new keys, and they are given out once each like those before."""
    bob = await world.third_party("bob", ClientOptions(refill_count=REFILL))
    await bob.publish_prekeys(PREKEYS)
    attack.tries("Draining a user whose client refills")
    async with whatsapp_crowd(world) as crowd:
        results = await asyncio.gather(*(take(client, bob.jid) for client in crowd))
        ids = one_time_ids(results)
        for _ in itertools.count():
            if await bob.count_prekeys() > 0:
                break
        results = await asyncio.gather(*(take(client, bob.jid) for client in crowd[:10]))
    ids = [key_id for key_id in ids if key_id] + [
        bundle.one_time_prekey.key_id for result in results for bundle in result.bundles
    ]
    assert len(set(ids)) == len(ids) >= PREKEYS + 10
    attack.holds("New keys are there after the notice, and no id is ever given out twice")


@pytest.mark.requirement("KEY-14")
async def test_one_account_cannot_drain_another(world: World, attack: Attack) -> None:
    """Over and over, in single calls, in one call and in many at once: a few, and then no more for a while."""
    bob = await world.third_party("bob", QUIET)
    left = await bob.count_prekeys()
    attack.tries("Draining a user's one-time prekeys with one account, by a hundred calls at once")
    async with whatsapp_crowd(world, 1) as [mallory]:
        results = await asyncio.gather(*(take(mallory, bob.jid) for _ in range(100)))
    taken = [result for result in results if result.bundles]
    refused = [result.error.requirement for result in results if result.HasField("error")]
    assert len(taken) == left - await bob.count_prekeys() < 10
    assert len(taken) + len(refused) == len(results)
    attack.holds(f"{len(taken)} bundles, then RATE_LIMITED for this user: the rest of the keys stays for others")
