"""Challenges: a locked user shows that they read their channel, to open new chats again; knows no wire format.

A challenge lives in memory only. Its answer is a secret: only the challenged account is told, and no journal.
"""

import hmac
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from interop_server.core.abuse.standing import Standing
from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.mailbox_content import ChallengeCode, encode
from interop_server.core.model import Account, ChallengeOption, SanctionKind
from interop_server.core.ports import Clock, Connections, Rng
from interop_server.core.ratelimit import SharedRate

MAX_ANSWER_CHARACTERS = 64
_TOKEN_BYTES = 16
_DIGITS = 6


class Challenge(NamedTuple):
    """A challenge for an account."""

    token: str
    """Names the challenge: 32 hexadecimal digits."""
    prompt: str
    """What the user reads: the digits of the answer in reverse. Simulator: stands for a picture."""
    code: str
    """What arrives on the account's channel: 6 digits."""
    expires_at_ms: int

    def is_answer(self, option: ChallengeOption, answer: str) -> bool:
        """Says whether an answer is right."""
        right = self.code if option is ChallengeOption.CHANNEL else self.prompt[::-1]
        return hmac.compare_digest(right.encode(), answer.encode())


@dataclass(slots=True)
class Challenges:
    """Begins challenges and checks answers. Source: ABU-06."""

    store: StoreForAbuse
    standing: Standing
    connections: Connections
    clock: Clock
    rng: Rng
    limits: Limits
    begin_rate: SharedRate
    success_rate: SharedRate
    _pending: OrderedDict[int, Challenge] = field(init=False, default_factory=OrderedDict)
    """By account id, the oldest first: all are kept for the same time."""

    async def begin(self, account: Account) -> Challenge:
        """Begins a challenge in place of the earlier one, and sends the code to the account's channel.

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER or RATE_LIMITED.
        """
        _require_third_party(account)
        await self.begin_rate.require(account.account_id)
        now_ms = self.clock.now_ms()
        self._forget_expired(now_ms)
        challenge = Challenge(
            token=self.rng.token_bytes(_TOKEN_BYTES).hex(),
            prompt=self._digits(),
            code=self._digits(),
            expires_at_ms=now_ms + self.limits.challenge_seconds * SECOND_MS,
        )
        self._pending[account.account_id] = challenge
        self._pending.move_to_end(account.account_id)
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
        challenge = self.pending(account)
        if challenge is None or challenge.token != token:
            raise Refusal(Reason.CHALLENGE_INVALID, cause="no such challenge is open")
        del self._pending[account.account_id]
        if not challenge.is_answer(option, answer):
            raise Refusal(Reason.CHALLENGE_INVALID, cause="the answer is wrong")
        await self.success_rate.require(account.account_id)
        await self.store.new_chats.reset(account.account_id, self.clock.now_ms())
        await self.standing.lift(account.external_user, account.jid, SanctionKind.NEW_CHATS_LOCKED)

    def pending(self, account: Account) -> Challenge | None:
        """Returns the challenge that an account can answer now."""
        self._forget_expired(self.clock.now_ms())
        return self._pending.get(account.account_id)

    def _forget_expired(self, now_ms: int) -> None:
        while self._pending and next(iter(self._pending.values())).expires_at_ms <= now_ms:
            self._pending.popitem(last=False)

    def _digits(self) -> str:
        return f"{self.rng.number(0, 10**_DIGITS - 1):0{_DIGITS}}"


def _require_third_party(account: Account) -> None:
    if account.is_whatsapp:
        raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER, requirement="ABU-06")
