"""Challenges: a locked user shows that they read their channel, to open new chats again; knows no wire format.

Who answers may do so at another node than the one that asked: see `PendingChallenges`.
"""

import hmac
from collections import OrderedDict
from dataclasses import dataclass

from interop_server.core.abuse.standing import Standing
from interop_server.core.abuse.store import PendingChallenges, StoreForAbuse
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.mailbox_content import ChallengeCode, encode
from interop_server.core.model import Account, Challenge, ChallengeOption, SanctionKind
from interop_server.core.ports import Clock, Connections, Rng
from interop_server.core.ratelimit import SharedRate

MAX_ANSWER_CHARACTERS = 64
_TOKEN_BYTES = 16
_DIGITS = 6


class OwnChallenges(PendingChallenges):
    """The challenges of a process that is alone in its world, in memory."""

    def __init__(self) -> None:
        self._pending: OrderedDict[int, Challenge] = OrderedDict()
        """By account id, the oldest first: all are kept for the same time."""

    async def put(self, account_id: int, challenge: Challenge, now_ms: int) -> None:
        """Has a challenge wait, and forgets those that have expired."""
        while self._pending and next(iter(self._pending.values())).expires_at_ms <= now_ms:
            self._pending.popitem(last=False)
        self._pending[account_id] = challenge
        self._pending.move_to_end(account_id)

    async def get(self, account_id: int, now_ms: int) -> Challenge | None:
        """Returns the challenge that an account can answer."""
        challenge = self._pending.get(account_id)
        return None if challenge is None or challenge.expires_at_ms <= now_ms else challenge

    async def take(self, account_id: int, token: str, now_ms: int) -> Challenge | None:
        """Ends the challenge that an account can answer, if it has this token."""
        challenge = await self.get(account_id, now_ms)
        if challenge is None or challenge.token != token:
            return None
        return self._pending.pop(account_id)


@dataclass(frozen=True, slots=True)
class Challenges:
    """Begins challenges and checks answers. Source: ABU-06."""

    store: StoreForAbuse
    pending: PendingChallenges
    standing: Standing
    connections: Connections
    clock: Clock
    rng: Rng
    limits: Limits
    begin_rate: SharedRate
    success_rate: SharedRate

    async def begin(self, account: Account) -> Challenge:
        """Begins a challenge in place of the earlier one, and sends the code to the account's channel.

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER or RATE_LIMITED.
        """
        _require_third_party(account)
        await self.begin_rate.require(account.account_id)
        now_ms = self.clock.now_ms()
        challenge = Challenge(
            token=self.rng.token_bytes(_TOKEN_BYTES).hex(),
            prompt=self._digits(),
            code=self._digits(),
            expires_at_ms=now_ms + self.limits.challenge_seconds * SECOND_MS,
        )
        await self.pending.put(account.account_id, challenge, now_ms)
        code = ChallengeCode(challenge.token, challenge.code)
        await self.store.mailbox.put([encode(code, account.account_id, now_ms)])
        self.connections.wake(account.account_id)
        return challenge

    async def answer(self, account: Account, token: str, option: ChallengeOption, answer: str) -> None:
        """Takes an answer, which ends the challenge; a right one lifts what keeps the account from opening new chats.

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER, REQUEST_MALFORMED, CHALLENGE_INVALID or RATE_LIMITED.
        """
        _require_third_party(account)
        if not 1 <= len(answer) <= MAX_ANSWER_CHARACTERS:
            detail = f"`answer` has 1 to {MAX_ANSWER_CHARACTERS} characters"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="answer", requirement="ABU-06")
        challenge = await self.pending.take(account.account_id, token, self.clock.now_ms())
        if challenge is None:
            raise Refusal(Reason.CHALLENGE_INVALID, cause="no such challenge is open")
        if not _is_answer(challenge, option, answer):
            raise Refusal(Reason.CHALLENGE_INVALID, cause="the answer is wrong")
        await self.success_rate.require(account.account_id)
        await self.store.new_chats.reset(account.account_id, self.clock.now_ms())
        await self.standing.lift(account.external_user, account.jid, SanctionKind.NEW_CHATS_LOCKED)

    async def waiting(self, account: Account) -> Challenge | None:
        """Returns the challenge that an account can answer now."""
        return await self.pending.get(account.account_id, self.clock.now_ms())

    def _digits(self) -> str:
        return f"{self.rng.number(0, 10**_DIGITS - 1):0{_DIGITS}}"


def _is_answer(challenge: Challenge, option: ChallengeOption, answer: str) -> bool:
    right = challenge.code if option is ChallengeOption.CHANNEL else challenge.prompt[::-1]
    return hmac.compare_digest(right.encode(), answer.encode())


def _require_third_party(account: Account) -> None:
    if account.is_whatsapp:
        raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER, requirement="ABU-06")
