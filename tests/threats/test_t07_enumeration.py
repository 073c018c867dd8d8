"""T7: somebody asks for many identifiers, to learn who exists, who has third-party chats on, and who blocked them."""

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import pytest
from google.protobuf.message import Message

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2, interop_pb2_grpc, prekeys_pb2, prekeys_pb2_grpc, stanza_pb2
from interop_client.client import InteropClient
from interop_client.state import ClientState
from tests.bench.lean_client import LeanClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.e2e.wire import sealed_message
from tests.threats.crowd import lean_third_party, lean_whatsapp
from tests.threats.doors import refused_call
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T7"), pytest.mark.requirement("SIM-06")]

ROUNDS = 120
"""How often each kind of person is asked for; in turn, so that whatever else the machine does falls on all alike."""
MAX_USERS = 256


def number_of(client: InteropClient) -> str:
    """The phone number of a WhatsApp user."""
    return f"+{client.jid.partition('@')[0]}"


async def people(world: World, second_world: World, asker: str) -> dict[str, str]:
    """WhatsApp users of every kind that a third-party user must not reach: phone numbers by what is the matter."""
    off, out, elsewhere = [await world.whatsapp(options=QUIET) for _ in range(3)]
    await off.set_third_party_chats(False)
    await out.opt_out([world.integrator])
    await elsewhere.opt_in([second_world.integrator])
    blocker = await world.whatsapp(options=QUIET)
    await blocker.block(asker)
    never = await world.whatsapp(opted_in=False, options=QUIET)
    number = "+491529999999"
    await world.admin.put_whatsapp_user(number, ClientState.generate().auth_public_key, admin_pb2.DEVICE_PLATFORM_WEB)
    return {
        "nobody has this number": "+491528888888",
        "never opted in": number_of(never),
        "turned it off": number_of(off),
        "opted out": number_of(out),
        "chose another messenger": number_of(elsewhere),
        "has a device that does not qualify": number,
        "has blocked the asker": number_of(blocker),
    }


def without_own_words(answer: Message, *own: str) -> bytes:
    """Returns an answer without what the asker has said, and without the id by which the operator finds the refusal."""
    stripped = type(answer)()
    stripped.CopyFrom(answer)
    for name in own:
        stripped.ClearField(name)
    stripped.error.ClearField("request_id")  # type: ignore[attr-defined]
    return stripped.SerializeToString(deterministic=True)


Ask = Callable[[str], Awaitable[Message]]


async def compare(ask: Ask, targets: Mapping[str, str], own: tuple[str, ...]) -> dict[str, float]:
    """Asks for every kind of target in turn, in a new order each time; asserts that all answers are one.

    Returns:
        Median time of an answer in microseconds, by kind.
    """
    order = random.Random(7)
    answers: set[bytes] = set()
    times: dict[str, list[float]] = {kind: [] for kind in targets}
    for _ in range(ROUNDS):
        for kind in order.sample(sorted(targets), len(targets)):
            started = time.perf_counter()
            answer = await ask(targets[kind])
            times[kind].append((time.perf_counter() - started) * 1e6)
            answers.add(without_own_words(answer, *own))
            assert len(answers) == 1, f"{kind}: {answer}"
    return {kind: statistics.median(measured) for kind, measured in times.items()}


def timing(what: str, medians: Mapping[str, float]) -> str:
    """Says how much the medians of the kinds differ."""
    fastest, slowest = min(medians, key=lambda kind: medians[kind]), max(medians, key=lambda kind: medians[kind])
    return (
        f"{what}, {ROUNDS} tries of each of {len(medians)} kinds: median {statistics.median(medians.values()):.0f} µs; "
        f"at most {medians[slowest] - medians[fastest]:.0f} µs between “{fastest}” ({medians[fastest]:.0f}) "
        f"and “{slowest}” ({medians[slowest]:.0f})"
    )


def resolving(client: LeanClient, integrator: int = 0) -> Ask:
    """Looks an identifier up."""
    stub = interop_pb2_grpc.InteropServiceStub(client.channel)

    async def ask(external_id: str) -> Message:
        users = [interop_pb2.ExternalUser(external_id=external_id, integrator=integrator)]
        return (await stub.Resolve(interop_pb2.ResolveRequest(users=users), metadata=client.metadata)).users[0]

    return ask


def taking(client: LeanClient) -> Ask:
    """Takes a bundle."""
    stub = prekeys_pb2_grpc.PreKeyServiceStub(client.channel)

    async def ask(jid: str) -> Message:
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[jid])
        return (await stub.TakePreKeyBundles(request, metadata=client.metadata)).results[0]

    return ask


def writing(client: LeanClient) -> Ask:
    """Writes a message."""

    async def ask(jid: str) -> Message:
        await client.send([sealed_message(jid, "same")])
        while True:
            for stanza in await client.receive():
                if stanza.HasField("send_acks"):
                    ack: stanza_pb2.SendAck = stanza.send_acks.acks[0]
                    return ack

    return ask


@pytest.mark.requirement("OPT-09")
async def test_nobody_learns_who_a_number_belongs_to(world: World, second_world: World, attack: Attack) -> None:
    """A third-party user looks up, takes keys of, and writes to people whom it cannot reach, for whatever reason."""
    async with AsyncExitStack() as stack:
        askers = [await lean_third_party(world, stack, f"mallory{number}") for number in range(3)]
        numbers = await people(world, second_world, askers[0].jid)
        jids = {kind: f"{number[1:]}@s.whatsapp.net" for kind, number in numbers.items()}
        del jids["has blocked the asker"]  # a block shows nowhere: what is sent is taken, and goes nowhere
        attack.tries(
            f"Looking up {len(numbers)} kinds of unreachable people, taking their keys, writing; {ROUNDS} times"
        )

        attack.measures(timing("Looking up", await compare(resolving(askers[0]), numbers, ("external_id",))))
        attack.measures(timing("Taking keys", await compare(taking(askers[1]), jids, ("jid",))))
        attack.measures(timing("Writing", await compare(writing(askers[2]), jids, ())))
    attack.holds("Every answer is the same, field by field, request id aside: RECIPIENT_NOT_REACHABLE")


@pytest.mark.requirement("OPT-09")
async def test_nobody_learns_whom_a_messenger_knows(world: World, second_world: World, attack: Attack) -> None:
    """A WhatsApp user looks up users of messengers."""
    async with AsyncExitStack() as stack:
        asker = await lean_whatsapp(world, stack)
        blocker, gone = await world.third_party("blocker", QUIET), await world.third_party("gone", QUIET)
        await second_world.third_party("elsewhere", QUIET)
        await blocker.block(asker.jid)
        await gone.delete_account()
        names = {"nobody has this name": "nobody", "is gone": "gone", "has blocked the asker": "blocker"}
        attack.tries("Looking up users of a messenger that do not exist, are gone, or have blocked the asker")
        medians = await compare(resolving(asker, world.integrator), names, ("external_id",))
        attack.measures(timing("Looking up", medians))
        other = await compare(
            resolving(asker, second_world.integrator), {"is there": "elsewhere", "is not": "nobody"}, ("external_id",)
        )
        attack.measures(timing("Looking up at a messenger that was not chosen", other))
    attack.holds("Every answer is the same, field by field; a messenger that was not chosen tells nothing at all")


@pytest.mark.requirement("OPT-09", "ABU-02")
async def test_a_block_does_not_show_to_the_blocked(world: World, attack: Attack) -> None:
    """What the blocked writes is acknowledged like anything else."""
    async with AsyncExitStack() as stack:
        mallory = await lean_third_party(world, stack, "mallory")
        friend, blocker = await world.whatsapp(options=QUIET), await world.whatsapp(options=QUIET)
        await friend.close()
        await blocker.close()
        await blocker.connect()
        await blocker.block(mallory.jid)
        await blocker.close()
        attack.tries("Writing to somebody who has blocked the sender, and to somebody who is merely away")
        targets = {"is away": friend.jid, "has blocked the sender": blocker.jid}
        times: dict[str, list[float]] = {kind: [] for kind in targets}
        ids = iter(range(10 * ROUNDS))
        for _ in range(ROUNDS):
            for kind, jid in targets.items():
                started = time.perf_counter()
                await mallory.send([sealed_message(jid, f"m{next(ids)}")])
                acks = await mallory.receive()
                times[kind].append((time.perf_counter() - started) * 1e6)
                ack = acks[0].send_acks.acks[0]
                assert ack.timestamp_ms > 0
                assert not ack.HasField("error")
        attack.measures(timing("Writing", {kind: statistics.median(measured) for kind, measured in times.items()}))
    attack.holds("Both are acknowledged alike; nothing of a blocked sender is kept")


@pytest.mark.requirement("OPT-08", "OPT-09")
async def test_looking_up_is_limited(world: World, attack: Attack) -> None:
    """By the length of a request, and by the number of identifiers over time."""
    async with AsyncExitStack() as stack:
        mallory = await lean_third_party(world, stack, "mallory")
        stub = interop_pb2_grpc.InteropServiceStub(mallory.channel)
        attack.tries("Looking up whole blocks of numbers, 256 and 257 at a time, without a pause")

        async def look_up(count: int, start: int) -> None:
            users = [interop_pb2.ExternalUser(external_id=f"+4917{start + number:08}") for number in range(count)]
            await stub.Resolve(interop_pb2.ResolveRequest(users=users), metadata=mallory.metadata)

        with refused_call("TOO_MANY_ITEMS"):
            await look_up(MAX_USERS + 1, 0)
        with refused_call("RATE_LIMITED"):
            for block in range(1_000):
                await look_up(MAX_USERS, block * MAX_USERS)
        assert block < 20
    attack.holds(f"257 are TOO_MANY_ITEMS; after {block * MAX_USERS:,} identifiers comes RATE_LIMITED, with a delay")
