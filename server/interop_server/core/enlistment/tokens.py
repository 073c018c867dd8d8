"""Checks partners' tokens, and chooses the key set that verifies them; knows no JWT library and no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from interop_protocol.sizes import MAX_TOKEN_BYTES
from interop_server.core.enlistment.store import StoreForEnlistment
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import TIMER, Journal
from interop_server.core.limits import SECOND_MS, Limits
from interop_server.core.model import Partner, PartnerStatus
from interop_server.core.ports import Clock, JwksSource, TokenReader


class VerifiedToken(NamedTuple):
    """The user that a verified token names."""

    partner: Partner
    external_id: str
    """The user-visible identifier, as it stands in the token."""


@dataclass(frozen=True, slots=True)
class PartnerTokens:
    """Verifies partner tokens against cached key sets.

    Source: ENL-03 to ENL-07; threats T1, T3, T4.
    """

    store: StoreForEnlistment
    reader: TokenReader
    jwks: "KeySets"
    clock: Clock
    limits: Limits

    async def verify(self, token: str) -> VerifiedToken:
        """Verifies a token and returns the user that it names.

        Raises:
            Refusal: TOKEN_TOO_LARGE, BAD_INTEGRATOR, PARTNER_NOT_ACTIVE, JWKS_UNAVAILABLE, or another TOKEN_… reason.
        """
        if len(token.encode("utf-8", "surrogatepass")) > MAX_TOKEN_BYTES:
            raise Refusal(Reason.TOKEN_TOO_LARGE)
        header = self.reader.peek(token)
        if header.algorithm != "RS256":
            raise Refusal(Reason.TOKEN_ALGORITHM_REFUSED, f"the header says alg={header.algorithm[:32]!r}")
        if not header.issuer:
            raise Refusal(Reason.TOKEN_CLAIMS_INVALID, "`iss` is absent or not a string")
        partner = await self.store.partners.get_by_issuer(header.issuer)
        if partner is None:
            raise Refusal(Reason.BAD_INTEGRATOR)
        if partner.status is not PartnerStatus.ACTIVE:
            raise Refusal(Reason.PARTNER_NOT_ACTIVE, f"the partner is {partner.status.name.lower()}")
        if not header.key_id:
            raise Refusal(Reason.TOKEN_KEY_UNKNOWN, "the header has no `kid`")
        key_set = await self.jwks.with_key(partner, header.key_id)
        claims = self.reader.verify(token, key_set)
        self._check_times(claims)
        return VerifiedToken(partner, self._subject(claims, partner))

    def _check_times(self, claims: Mapping[str, object]) -> None:
        issued_at, expires_at = _seconds(claims, "iat"), _seconds(claims, "exp")
        not_before = _seconds(claims, "nbf") if "nbf" in claims else issued_at
        now, skew = self.clock.now_ms() / SECOND_MS, self.limits.token_clock_skew_seconds
        if expires_at + skew <= now:
            raise Refusal(Reason.TOKEN_EXPIRED, f"by the clock here it expired {now - expires_at:.0f} seconds ago")
        if max(not_before, issued_at) > now + skew:
            raise Refusal(Reason.TOKEN_NOT_YET_VALID)
        if expires_at - issued_at > self.limits.token_max_life_seconds:
            raise Refusal(
                Reason.TOKEN_LIFETIME_TOO_LONG,
                f"policy allows {self.limits.token_max_life_seconds} seconds from iat to exp",
            )

    def _subject(self, claims: Mapping[str, object], partner: Partner) -> str:
        if claims.get("iss") != partner.issuer:
            raise Refusal(Reason.BAD_INTEGRATOR)
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self.limits.token_audience not in audiences:
            raise Refusal(Reason.TOKEN_CLAIMS_INVALID, f"`aud` must be {self.limits.token_audience!r}")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise Refusal(Reason.TOKEN_CLAIMS_INVALID, "`sub` is absent or not a string")
        return subject


def _seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise Refusal(Reason.TOKEN_CLAIMS_INVALID, f"`{name}` is absent or not a number of seconds")
    return value


@dataclass(frozen=True, slots=True)
class KeySets:
    """Partners' key sets: the last good copy of each, in memory and in the store.

    Tokens are verified only against the cached copy; an unknown `kid` causes at most one early refetch in a bounded
    time.
    Source: ENL-03, ENL-04.
    """

    store: StoreForEnlistment
    source: JwksSource
    reader: TokenReader
    journal: Journal
    clock: Clock
    limits: Limits
    _cached: dict[int, str] = field(init=False, default_factory=dict)
    _asked_at_ms: dict[int, int] = field(init=False, default_factory=dict)

    async def with_key(self, partner: Partner, key_id: str) -> str:
        """Returns the partner's key set; refetches it early if it lacks the key, unless that was done recently.

        Raises:
            Refusal: JWKS_UNAVAILABLE without a good copy, TOKEN_KEY_UNKNOWN when the copy lacks the key; both with the
                time until the partner is asked again.
        """
        cached = self._cached.get(partner.integrator)
        if cached is None:
            cached = await self.store.partners.get_jwks(partner.integrator)
        if cached is not None and key_id in self.reader.key_ids(cached):
            self._cached[partner.integrator] = cached
            return cached
        if not self._pause_left_ms(partner):
            try:
                cached = await self._fetch(partner)
            except Refusal:
                if cached is None:
                    raise
        left_ms = self._pause_left_ms(partner)
        if cached is None:
            raise Refusal(Reason.JWKS_UNAVAILABLE, "no key set of this partner could be fetched so far", left_ms)
        if key_id not in self.reader.key_ids(cached):
            raise Refusal(Reason.TOKEN_KEY_UNKNOWN, f"the key set has no usable key {key_id[:64]!r}", left_ms)
        return cached

    async def refresh(self, partner: Partner) -> int:
        """Fetches a key set now and returns how many usable keys it holds.

        Raises:
            Refusal: JWKS_UNAVAILABLE, with the time until a token may make the server ask; the last good copy is kept.
        """
        return len(self.reader.key_ids(await self._fetch(partner)))

    async def refresh_all(self) -> None:
        """Fetches the key sets of all partners; a failure is journalled, and that partner's last copy is kept."""
        for partner in await self.store.partners.list_all():
            subject = str(partner.integrator)
            try:
                await self.refresh(partner)
                self.journal.record(TIMER, "timer.key_sets", "done", subject, requirement="ENL-03")
            except Refusal as refusal:
                self.journal.refuse(refusal, TIMER, "timer.key_sets", subject)

    def forget(self, integrator: int) -> None:
        """Drops the copy in memory, because the partner's registration changed."""
        self._cached.pop(integrator, None)
        self._asked_at_ms.pop(integrator, None)

    async def _fetch(self, partner: Partner) -> str:
        now_ms = self.clock.now_ms()
        self._asked_at_ms[partner.integrator] = now_ms
        try:
            fetched = await self.source.fetch(partner)
            if not self.reader.key_ids(fetched):
                detail = "the key set has no RSA key of 2,048 bits or more with RS256 and use=sig"
                raise Refusal(Reason.JWKS_UNAVAILABLE, detail)
        except Refusal as refusal:
            refusal.retry_after_ms = self._pause_left_ms(partner)
            raise
        await self.store.partners.put_jwks(partner.integrator, fetched, now_ms)
        self._cached[partner.integrator] = fetched
        return fetched

    def _pause_left_ms(self, partner: Partner) -> int:
        """Returns how long until the partner may be asked early again; 0 when it may be asked now."""
        asked_at_ms = self._asked_at_ms.get(partner.integrator)
        if asked_at_ms is None:
            return 0
        return max(0, asked_at_ms + self.limits.jwks_early_refetch_seconds * SECOND_MS - self.clock.now_ms())
