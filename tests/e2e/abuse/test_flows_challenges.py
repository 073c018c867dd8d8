"""Challenges through the running server: a lock on new chats is answered away, and cannot be guessed away."""

import re
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import integrity_pb2
from interop_client.messaging.events import ChallengeCode, TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_server.core.limits import Limits
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, refused

pytestmark = pytest.mark.requirement("ABU-06")

CAPTCHA = integrity_pb2.CHALLENGE_OPTION_CAPTCHA
HOUR = 3_600


async def locked(world: World) -> ThirdPartyClient:
    """A third-party user who may not open new chats."""
    bob = await world.third_party("bob")
    await world.admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED, HOUR)
    return bob


async def is_locked(world: World, bob: ThirdPartyClient) -> bool:
    return bool((await world.admin.get_standing(bob.jid)).sanctions)


@pytest.mark.parametrize("option", [integrity_pb2.CHALLENGE_OPTION_CHANNEL, CAPTCHA])
async def test_an_answer_lifts_the_lock(world: World, option: integrity_pb2.ChallengeOption.ValueType) -> None:
    """Either way, and the server says which ways there are."""
    bob = await locked(world)
    challenge = await bob.request_challenge()
    assert list(challenge.options) == [integrity_pb2.CHALLENGE_OPTION_CHANNEL, CAPTCHA]
    assert (len(challenge.challenge_id), challenge.expires_after_seconds) == (32, 600)
    code = await bob.wait_for(ChallengeCode)
    assert (code.challenge_id, len(code.digits), code.digits.isdigit()) == (challenge.challenge_id, 6, True)
    assert await is_locked(world, bob)
    alice = await world.whatsapp()
    with refused("NEW_CHATS_LOCKED"):
        await bob.send_text(alice.jid, "Hello")
    await bob.answer_challenge(
        challenge.challenge_id, challenge.captcha_prompt[::-1] if option == CAPTCHA else code.digits, option
    )
    assert not await is_locked(world, bob)
    await bob.send_text(alice.jid, "Hello")
    assert (await alice.wait_for(TextReceived)).text == "Hello"


async def test_an_answer_lets_the_cap_begin_anew(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Who has opened too many chats may open as many again."""
    async with own_world(tmp_path, signing_keys, Limits(new_chats=1)) as (world, _):
        bob = await world.third_party("bob")
        people = [await world.whatsapp(options=QUIET) for _ in range(2)]
        await bob.send_text(people[0].jid, "Hello")
        with refused("NEW_CHATS_CAPPED"):
            await bob.send_text(people[1].jid, "Hello")
        challenge = await bob.request_challenge()
        await bob.answer_challenge(challenge.challenge_id, (await bob.wait_for(ChallengeCode)).digits)
        await bob.send_text(people[1].jid, "Hello")
        assert (await people[1].wait_for(TextReceived)).text == "Hello"


async def test_wrong_answers_do_not_lift_it(world: World) -> None:
    """Not even the right one after a wrong one, an answer to no challenge, or one of no form at all."""
    bob = await locked(world)
    challenge = await bob.request_challenge()
    answer = challenge.captcha_prompt[::-1]
    for wrong in ("", "x" * 65):
        with refused("REQUEST_MALFORMED", wrong):
            await bob.answer_challenge(challenge.challenge_id, wrong, CAPTCHA)
    for option in (integrity_pb2.CHALLENGE_OPTION_UNSPECIFIED, integrity_pb2.ChallengeOption.ValueType(3)):
        with refused("REQUEST_MALFORMED", option):
            await bob.answer_challenge(challenge.challenge_id, answer, option)
    for token in ("", "0" * 32, "x" * 100_000):
        with refused("CHALLENGE_INVALID", len(token)):
            await bob.answer_challenge(token, answer, CAPTCHA)
    with refused("CHALLENGE_INVALID"):
        await bob.answer_challenge(challenge.challenge_id, challenge.captcha_prompt + "0", CAPTCHA)
    with refused("CHALLENGE_INVALID"):
        await bob.answer_challenge(challenge.challenge_id, answer, CAPTCHA)
    assert await is_locked(world, bob)


async def test_challenges_are_limited_and_for_third_party_users(world: World) -> None:
    """Ten at once; a WhatsApp user has none; without a connection there is nobody to ask."""
    bob = await locked(world)
    for _ in range(10):
        await bob.request_challenge()
    with refused("RATE_LIMITED"):
        await bob.request_challenge()
    alice = await world.whatsapp(options=QUIET)
    as_third_party = ThirdPartyClient(alice.transport, alice.state)
    with refused("CALLER_NOT_THIRD_PARTY_USER"):
        await as_third_party.request_challenge()
    with refused("CALLER_NOT_THIRD_PARTY_USER"):
        await as_third_party.answer_challenge("0" * 32, "123456")
    await bob.close()
    with refused("SESSION_REQUIRED"):
        await bob.request_challenge()
    with refused("SESSION_REQUIRED"):
        await bob.answer_challenge("0" * 32, "123456")


async def test_a_code_stands_in_no_journal(world: World) -> None:
    """That one was asked for does; also what was answered is nobody's business."""
    bob = await locked(world)
    challenge = await bob.request_challenge()
    code = (await bob.wait_for(ChallengeCode)).digits
    await bob.answer_challenge(challenge.challenge_id, code)
    entries = [str(answer.entry) async for answer in world.admin.read_journal(actor=bob.jid)]
    assert any("IntegrityService.AnswerChallenge" in entry for entry in entries)
    assert any("standing.lift" in entry for entry in entries)
    for secret in (code, challenge.challenge_id, challenge.captcha_prompt, challenge.captcha_prompt[::-1]):
        assert not [entry for entry in entries if re.search(rf"\b{secret}\b", entry)]
