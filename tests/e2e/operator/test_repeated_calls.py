"""A call that is repeated after a lost answer, under the id that its request has, is not done twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from interop_api.admin.v1alpha1 import admin_pb2, clock_pb2, faults_pb2, standing_pb2
from interop_api.v1 import integrity_pb2, prekeys_pb2
from interop_client.connection.calls import M, unary_call
from interop_client.messaging.events import TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_server.core.limits import Limits
from interop_server.rpc.calls import method_of
from interop_server.rpc.server import _ADMIN_SERVICES, _CLIENT_SERVICES
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.keys.test_flows_kem import kem_prekey
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, case, one_time_prekeys, refused

PREKEYS, INTEGRITY = "/interop_api.v1.PreKeyService/", "/interop_api.v1.IntegrityService/"
DAY_MS = 24 * 3_600 * 1_000
REPEATABLE = {
    method.name
    for service in (*_CLIENT_SERVICES, *_ADMIN_SERVICES)
    for each in service.methods
    if (method := method_of(f"/{service.full_name}/{each.name}")) is not None and method.is_repeatable
}
Ask = Callable[[str], Awaitable[Message]]
"""Makes a call under an id."""


class Friends:
    """Alice and Bob, who have talked, and the operator, at a simulator of their own."""

    def __init__(self, world: World, alice: WhatsAppClient, bob: ThirdPartyClient, message_id: str) -> None:
        self.world = world
        self.alice = alice
        self.bob = bob
        self.message_id = message_id

    async def take(self, request_id: str, *jids: str) -> prekeys_pb2.TakePreKeyBundlesResponse:
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=jids or (self.bob.jid,), request_id=request_id)
        return await self.alice.transport.call(
            f"{PREKEYS}TakePreKeyBundles", request, prekeys_pb2.TakePreKeyBundlesResponse
        )

    async def admin(self, method: str, request: Message, response_type: type[M]) -> M:
        async with grpc.aio.insecure_channel(self.world.endpoint.admin) as channel:
            return await unary_call(channel, f"/interop_api.admin.v1alpha1.{method}", request, response_type)


@pytest_asyncio.fixture
async def friends(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[Friends]:
    async with own_world(tmp_path, signing_keys, Limits(kem_prekeys=True, silent_seconds=1_000_000)) as (world, _):
        alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
        sent = await bob.send_text(alice.jid, "Hello")
        await alice.wait_for(TextReceived)
        yield Friends(world, alice, bob, sent.id)


def calls(friends: Friends) -> dict[str, Ask]:
    """Every call that can be repeated: each would do something else, or be refused, the second time."""
    alice, bob = friends.alice, friends.bob
    keys = bob.state.signal.publishable
    signed = prekeys_pb2.SignedPreKey(
        key_id=keys.signed_prekey.key_id,
        public_key=keys.signed_prekey.public_key,
        signature=keys.signed_prekey.signature,
    )
    user = prekeys_pb2.KnownRegistration(jid=bob.jid)
    one, other, last = one_time_prekeys(2, 500), one_time_prekeys(2, 600), kem_prekey(bob, 9_000)
    kem = prekeys_pb2.KemPreKeys(last_resort=last, one_time=[kem_prekey(bob, 9_001)])

    async def publish(request_id: str) -> Message:
        request = prekeys_pb2.SetPreKeysRequest(
            registration_id=keys.registration_id,
            key_type=b"\x05",
            identity_key=keys.identity_key,
            signed_prekey=signed,
            one_time_prekeys=one,
            request_id=request_id,
        )
        answer = await bob.transport.call(f"{PREKEYS}SetPreKeys", request, prekeys_pb2.SetPreKeysResponse)
        await friends.take("")  # from now on the same keys are PREKEY_REUSED
        return answer

    async def add(request_id: str) -> Message:
        request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=other, request_id=request_id)
        return await bob.transport.call(f"{PREKEYS}AddOneTimePreKeys", request, prekeys_pb2.AddOneTimePreKeysResponse)

    async def add_kem(request_id: str) -> Message:
        request = prekeys_pb2.AddKemPreKeysRequest(kem_prekeys=kem, request_id=request_id)
        return await bob.transport.call(f"{PREKEYS}AddKemPreKeys", request, prekeys_pb2.AddKemPreKeysResponse)

    async def take_missing(request_id: str) -> Message:
        request = prekeys_pb2.TakeMissingPreKeyBundlesRequest(users=[user], request_id=request_id)
        return await alice.transport.call(
            f"{PREKEYS}TakeMissingPreKeyBundles", request, prekeys_pb2.TakeMissingPreKeyBundlesResponse
        )

    async def report(request_id: str) -> Message:
        reported = [integrity_pb2.ReportedMessage(message_id=friends.message_id)]
        flow = integrity_pb2.SPAM_FLOW_CONTACT_INFO
        request = integrity_pb2.ReportRequest(jid=bob.jid, spam_flow=flow, messages=reported, request_id=request_id)
        return await alice.transport.call(f"{INTEGRITY}Report", request, integrity_pb2.ReportResponse)

    return {
        "PreKeyService.SetPreKeys": publish,
        "PreKeyService.AddOneTimePreKeys": add,
        "PreKeyService.AddKemPreKeys": add_kem,
        "PreKeyService.TakePreKeyBundles": friends.take,
        "PreKeyService.TakeMissingPreKeyBundles": take_missing,
        "IntegrityService.Report": report,
        **_challenges(friends),
        **_of_the_operator(friends),
    }


def _challenges(friends: Friends) -> dict[str, Ask]:
    bob = friends.bob
    begun: list[integrity_pb2.RequestChallengeResponse] = []

    async def request_challenge(request_id: str) -> Message:
        request = integrity_pb2.RequestChallengeRequest(request_id=request_id)
        answer = await bob.transport.call(
            f"{INTEGRITY}RequestChallenge", request, integrity_pb2.RequestChallengeResponse
        )
        begun.append(answer)
        return answer

    async def answer_challenge(request_id: str) -> Message:
        request = integrity_pb2.AnswerChallengeRequest(
            challenge_id=begun[0].challenge_id,
            option=integrity_pb2.CHALLENGE_OPTION_CAPTCHA,
            answer=begun[0].captcha_prompt[::-1],
            request_id=request_id,
        )
        return await bob.transport.call(f"{INTEGRITY}AnswerChallenge", request, integrity_pb2.AnswerChallengeResponse)

    return {
        "IntegrityService.RequestChallenge": request_challenge,
        "IntegrityService.AnswerChallenge": answer_challenge,
    }


def _of_the_operator(friends: Friends) -> dict[str, Ask]:
    jid, number = friends.alice.jid, "+4915187654321"

    async def impose(request_id: str) -> Message:
        request = standing_pb2.ImposeSanctionRequest(
            jid=friends.bob.jid,
            kind=standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED,
            expires_after_seconds=60,
            request_id=request_id,
        )
        return await friends.admin("StandingService/ImposeSanction", request, standing_pb2.ImposeSanctionResponse)

    async def advance(request_id: str) -> Message:
        request = clock_pb2.AdvanceClockRequest(advance_ms=1_000, request_id=request_id)
        return await friends.admin("ClockService/AdvanceClock", request, clock_pb2.AdvanceClockResponse)

    async def change_number(request_id: str) -> Message:
        request = admin_pb2.ChangeNumberRequest(jid=jid, phone_number=number, request_id=request_id)
        return await friends.admin("AdminService/ChangeNumber", request, admin_pb2.ChangeNumberResponse)

    async def add_faults(request_id: str) -> Message:
        match = faults_pb2.FaultMatch(stanza="pong", actor=friends.bob.jid)
        fault = faults_pb2.Fault(name="once", match=match, hold=faults_pb2.FaultHold())
        request = faults_pb2.AddFaultsRequest(faults=[fault], request_id=request_id)
        return await friends.admin("FaultService/AddFaults", request, faults_pb2.AddFaultsResponse)

    return {
        "FaultService.AddFaults": add_faults,
        "StandingService.ImposeSanction": impose,
        "ClockService.AdvanceClock": advance,
        "AdminService.ChangeNumber": change_number,  # last: Alice has another JID from then on
    }


@pytest.mark.requirement("SIM-01")
async def test_each_is_answered_as_the_first_time(friends: Friends) -> None:
    """And the journal says that it was a repetition."""
    table = calls(friends)
    assert table.keys() == REPEATABLE
    for name, ask in table.items():
        with case(name):
            first = await ask("once")
            assert await ask("once") == first
            entries = [each.entry async for each in friends.world.admin.read_journal(action=name)]
            details = [entry.detail for entry in entries if entry.action == name]
            assert details[-2:] == ["", "answered as before"]


@pytest.mark.requirement("KEY-05")
async def test_a_repeated_take_costs_no_second_key(friends: Friends) -> None:
    """The key of the lost answer is not lost; another id, or none, takes the next."""
    count = await friends.bob.count_prekeys()
    first = await friends.take("a")
    assert await friends.take("a") == first
    assert await friends.bob.count_prekeys() == count - 1
    others = [await friends.take("b"), await friends.take(""), await friends.take("")]
    taken = [each.results[0].bundles[0].one_time_prekey.key_id for each in (first, *others)]
    assert len(set(taken)) == 4
    assert await friends.bob.count_prekeys() == count - 4


@pytest.mark.requirement("KEY-05")
async def test_calls_at_the_same_time_under_one_id_are_one(friends: Friends) -> None:
    """A client that does not wait gets what it would have got."""
    count = await friends.bob.count_prekeys()
    answers = await asyncio.gather(*(friends.take("a") for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert await friends.bob.count_prekeys() == count - 1


@pytest.mark.requirement("KEY-05")
async def test_a_call_that_was_broken_off_is_done_once(friends: Friends) -> None:
    """However far it had come: not at all, or to its end."""
    count = await friends.bob.count_prekeys()
    for turns in (0, 2, 10, 50, 250):
        call = asyncio.create_task(friends.take(f"{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert (await friends.take(f"{turns}")).results[0].bundles
    assert await friends.bob.count_prekeys() == count - 5


async def test_an_id_is_that_of_one_request_of_one_caller(friends: Friends) -> None:
    """Another request under it is a mistake; another caller's is another call."""
    await friends.take("a")
    with refused("REQUEST_MALFORMED") as caught:
        await friends.take("a", friends.alice.jid)
    assert [violation.field for violation in caught.value.violations] == ["request_id"]
    for wrong in ("x" * 65, "a b"):
        with refused("REQUEST_MALFORMED", wrong) as caught:
            await friends.take(wrong)
        assert [violation.field for violation in caught.value.violations] == ["request_id"]
    carol = await friends.world.whatsapp(options=QUIET)
    count = await friends.bob.count_prekeys()
    request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[friends.bob.jid], request_id="a")
    await carol.transport.call(f"{PREKEYS}TakePreKeyBundles", request, prekeys_pb2.TakePreKeyBundlesResponse)
    assert await friends.bob.count_prekeys() == count - 1


@pytest.mark.requirement("SIM-04")
async def test_a_repeated_advance_moves_time_once(friends: Friends) -> None:
    """Also by more than answers are remembered for: the time counts from the answer."""
    admin = friends.world.admin
    await admin.freeze_clock()
    before = (await admin.get_clock()).now_ms
    request = clock_pb2.AdvanceClockRequest(advance_ms=DAY_MS, request_id="a-day")
    for _ in range(2):
        await friends.admin("ClockService/AdvanceClock", request, clock_pb2.AdvanceClockResponse)
    assert (await admin.get_clock()).now_ms == before + DAY_MS


async def test_answers_are_remembered_for_a_time(friends: Friends) -> None:
    """Afterwards the same id is a new call."""
    count = await friends.bob.count_prekeys()
    await friends.world.admin.freeze_clock()
    await friends.take("a")
    await friends.world.admin.advance_clock(Limits().repeat_seconds * 1_000)
    await friends.take("a")
    assert await friends.bob.count_prekeys() == count - 2
