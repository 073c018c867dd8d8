"""Challenges: who answers one may open new chats again; who guesses does not get far."""

import re
from dataclasses import replace

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import SECOND_MS
from interop_server.core.mailbox_content import ChallengeCode, decode
from interop_server.core.messages import StanzaKind
from interop_server.core.model import Account, ChallengeOption, Sanction, SanctionKind
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import BATS, NOW_MS, World, message, refused

pytestmark = pytest.mark.requirement("ABU-06")

CHANNEL, CAPTCHA = ChallengeOption
LOCK = Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, NOW_MS + 10**9)
BAN = Sanction(SanctionKind.BAN)


async def code_of(world: World, account: Account, token: str) -> str:
    """The code that came on the account's channel."""
    notices = [decode(item) for item in await world.waiting(account) if item.kind is StanzaKind.NOTIFICATION]
    codes = {notice.challenge_id: notice.digits for notice in notices if isinstance(notice, ChallengeCode)}
    return codes[token]


async def locked(world: World) -> Account:
    """A third-party user who may not open new chats."""
    ada = await world.enlisted()
    await world.standing.impose(ada, LOCK, OPERATOR, "scripted")
    return ada


@pytest.mark.parametrize("option", ChallengeOption)
async def test_a_right_answer_lifts_the_lock(world: World, option: ChallengeOption) -> None:
    """By the code from the channel, or by reading; a ban is not lifted."""
    ada = await locked(world)
    await world.standing.impose(ada, BAN, OPERATOR, "scripted")
    challenge = await world.challenges.begin(ada)
    assert world.connections.woken == [ada.account_id]
    answer = await code_of(world, ada, challenge.token) if option is CHANNEL else challenge.prompt[::-1]
    await world.challenges.answer(ada, challenge.token, option, answer)
    assert await world.standing.sanctions(ada.external_user) == [BAN]


async def test_what_is_asked_has_six_digits(build_world: BuildWorld) -> None:
    """The code, and what is to be read; which of them somebody gets, others cannot tell. The token has 16 bytes."""
    world = await build_world(challenge_burst=40)
    ada = await locked(world)
    challenges = [await world.challenges.begin(ada) for _ in range(40)]
    digits = [text for challenge in challenges for text in (challenge.code, challenge.prompt)]
    assert [text for text in digits if not re.fullmatch("[0-9]{6}", text)] == []
    assert len(set(digits)) == 80 and {text[0] for text in digits} == set("0123456789")
    assert [each.token for each in challenges if not re.fullmatch("[0-9a-f]{32}", each.token)] == []


class Ends:
    """Chance that only ever comes to an end of what it may."""

    def __init__(self, world: World, *, is_high: bool) -> None:
        self._chance, self._is_high = world.challenges.rng, is_high

    def number(self, low: int, high: int) -> int:
        return high if self._is_high else low

    def token_bytes(self, count: int) -> bytes:
        return self._chance.token_bytes(count)


@pytest.mark.parametrize(("is_high", "digits"), [(False, "000000"), (True, "999999")])
async def test_no_number_has_another_length(world: World, is_high: bool, digits: str) -> None:
    """Neither the least nor the greatest."""
    ada = await locked(world)
    challenge = await replace(world.challenges, rng=Ends(world, is_high=is_high)).begin(ada)
    assert (challenge.code, challenge.prompt) == (digits, digits)


async def test_any_answer_ends_a_challenge(world: World) -> None:
    """A wrong one, and the right one for the other option, are not tried again; neither is a right one."""
    ada = await locked(world)
    for option, wrong in ((CHANNEL, "wrong"), (CAPTCHA, "code"), (CHANNEL, "prompt")):
        challenge = await world.challenges.begin(ada)
        code = await code_of(world, ada, challenge.token)
        answers = {"wrong": code + "0", "code": code, "prompt": challenge.prompt[::-1]}
        with refused(Reason.CHALLENGE_INVALID) as caught:
            await world.challenges.answer(ada, challenge.token, option, answers[wrong])
        with refused(Reason.CHALLENGE_INVALID) as again:
            await world.challenges.answer(ada, challenge.token, CHANNEL, code)
        assert caught.value.detail == again.value.detail
        assert (caught.value.cause, again.value.cause) == ("the answer is wrong", "no such challenge is open")
    challenge = await world.challenges.begin(ada)
    await world.challenges.answer(ada, challenge.token, CAPTCHA, challenge.prompt[::-1])
    with refused(Reason.CHALLENGE_INVALID):
        await world.challenges.answer(ada, challenge.token, CAPTCHA, challenge.prompt[::-1])


async def test_a_challenge_replaces_the_one_before(world: World) -> None:
    """The old token is none any more, and does not end the new challenge."""
    ada = await locked(world)
    first, second = await world.challenges.begin(ada), await world.challenges.begin(ada)
    assert first.token != second.token
    with refused(Reason.CHALLENGE_INVALID):
        await world.challenges.answer(ada, first.token, CAPTCHA, first.prompt[::-1])
    await world.challenges.answer(ada, second.token, CAPTCHA, second.prompt[::-1])
    assert await world.standing.sanctions(ada.external_user) == []


async def test_a_challenge_expires(world: World) -> None:
    """After ten minutes, to the millisecond; others that were begun later stay."""
    ada, eve = await locked(world), await world.enlisted("eve")
    late = await world.challenges.begin(ada)
    world.clock.advance(SECOND_MS)
    in_time = await world.challenges.begin(eve)
    world.clock.advance(599 * SECOND_MS - 1)
    assert await world.challenges.waiting(ada) == late
    world.clock.advance(1)
    with refused(Reason.CHALLENGE_INVALID):
        await world.challenges.answer(ada, late.token, CAPTCHA, late.prompt[::-1])
    await world.challenges.answer(eve, in_time.token, CAPTCHA, in_time.prompt[::-1])


async def test_a_challenge_is_one_accounts(world: World) -> None:
    """Nobody answers another's, and nobody ends it."""
    ada, eve = await locked(world), await world.enlisted("eve")
    challenge = await world.challenges.begin(ada)
    with refused(Reason.CHALLENGE_INVALID):
        await world.challenges.answer(eve, challenge.token, CAPTCHA, challenge.prompt[::-1])
    await world.challenges.answer(ada, challenge.token, CAPTCHA, challenge.prompt[::-1])


async def test_guessing_does_not_get_far(world: World) -> None:
    """Ten challenges at once, then one every 144 minutes; others are not concerned."""
    ada, eve = await locked(world), await world.enlisted("eve")
    for _ in range(10):
        await world.challenges.begin(ada)
    with refused(Reason.RATE_LIMITED) as caught, world.quiet():
        await world.challenges.begin(ada)
    assert caught.value.retry_after_ms == 144 * 60 * SECOND_MS + 1
    await world.challenges.begin(eve)
    world.clock.advance(caught.value.retry_after_ms)
    await world.challenges.begin(ada)


async def test_a_challenge_does_not_buy_a_way_out_for_ever(world: World) -> None:
    """Two right answers at once, then one every twelve hours: the third leaves the lock in place."""
    ada = await world.enlisted()
    for count in range(3):
        await world.standing.impose(ada, LOCK, OPERATOR, "scripted")
        challenge = await world.challenges.begin(ada)
        if count < 2:
            await world.challenges.answer(ada, challenge.token, CAPTCHA, challenge.prompt[::-1])
            continue
        with refused(Reason.RATE_LIMITED) as caught:
            await world.challenges.answer(ada, challenge.token, CAPTCHA, challenge.prompt[::-1])
        assert caught.value.retry_after_ms == 12 * 3_600 * SECOND_MS + 1
    assert await world.standing.sanctions(ada.external_user) == [LOCK]


async def test_an_answer_has_a_length(world: World) -> None:
    """One of another length does not end the challenge."""
    ada = await locked(world)
    challenge = await world.challenges.begin(ada)
    for answer in ("", "1" * 65):
        with refused(Reason.REQUEST_MALFORMED):
            await world.challenges.answer(ada, challenge.token, CHANNEL, answer)
    for answer in ("\u0661" * 64, "1"):
        with refused(Reason.CHALLENGE_INVALID) as caught:
            await world.challenges.answer(ada, challenge.token, CHANNEL, answer)
        assert caught.value.cause == "the answer is wrong"
        challenge = await world.challenges.begin(ada)


async def test_whatsapp_users_are_not_challenged(world: World) -> None:
    """Caps and locks on new chats are for third-party users."""
    user = await world.whatsapp_user()
    with refused(Reason.CALLER_NOT_THIRD_PARTY_USER, "ABU-06"), world.quiet():
        await world.challenges.begin(user)
    with refused(Reason.CALLER_NOT_THIRD_PARTY_USER):
        await world.challenges.answer(user, "0" * 32, CHANNEL, "123456")


async def test_codes_stand_in_no_journal(world: World) -> None:
    """Neither what is asked nor what is answered, right or wrong."""
    ada = await locked(world)
    secrets = []
    for option in (CAPTCHA, CHANNEL):
        challenge = await world.challenges.begin(ada)
        secrets += [challenge.token, challenge.code, challenge.prompt, challenge.prompt[::-1]]
        try:
            await world.challenges.answer(ada, challenge.token, option, challenge.prompt[::-1])
        except Refusal as refusal:  # as the edge records it
            world.journal.refuse(refusal, ada.jid, "IntegrityService.AnswerChallenge")
    entries = repr(world.journal.after(0, 1_000))
    assert str(BATS) in entries and not [secret for secret in secrets if secret in entries]


async def test_a_right_answer_lets_the_cap_begin_anew(build_world: BuildWorld) -> None:
    """Chats opened until now count no more; a wrong answer changes nothing."""
    world = await build_world(new_chats=1)
    ada = await world.enlisted()
    people = [await world.opted_in(f"+49170000{number:04}") for number in range(3)]

    async def open_chat(number: int) -> Reason | None:
        [sent] = await world.router.send_messages(ada, [message(people[number], f"m{number}")])
        return sent.refusal and sent.refusal.reason

    assert [await open_chat(0), await open_chat(1)] == [None, Reason.NEW_CHATS_CAPPED]
    challenge = await world.challenges.begin(ada)
    with refused(Reason.CHALLENGE_INVALID):
        await world.challenges.answer(ada, challenge.token, CAPTCHA, "wrong")
    assert await open_chat(1) is Reason.NEW_CHATS_CAPPED
    challenge = await world.challenges.begin(ada)
    await world.challenges.answer(ada, challenge.token, CAPTCHA, challenge.prompt[::-1])
    world.clock.advance(1)
    assert [await open_chat(1), await open_chat(2)] == [None, Reason.NEW_CHATS_CAPPED]
