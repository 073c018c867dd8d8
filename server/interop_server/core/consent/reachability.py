"""Reachability pings: which users may send them, and which users receive them; knows no wire format.

The sender never learns what happened to a ping: every ping takes one look-up and one write (OPT-11).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from interop_protocol.jid import whatsapp_jid
from interop_protocol.sizes import MAX_INTEGRATOR, MIN_INTEGRATOR
from interop_server.core.consent.optin import is_eligible, require_whatsapp
from interop_server.core.consent.store import PingsUsedUp, StoreForConsent
from interop_server.core.display_names import is_display_name
from interop_server.core.errors import Reason, Refusal, require_count
from interop_server.core.identifiers import normalize_e164_number
from interop_server.core.journal import Journal
from interop_server.core.limits import DAY_MS, Limits
from interop_server.core.mailbox_content import ReachabilityPing, encode
from interop_server.core.messages import MailboxItem
from interop_server.core.model import Account, PingBounds, PingFacts, PingFate, ReachabilitySettings
from interop_server.core.ports import Clock, Connections
from interop_server.core.sweeps import Sweep

MAX_DISPLAY_NAME_CHARACTERS = 64

_CAUSES = {
    PingFate.OUTSTANDING: "the sender's last ping is outstanding",
    PingFate.CROWDED: "too many pings are outstanding for the recipient",
}


@dataclass(frozen=True, slots=True)
class Reachability:
    """Takes pings, and keeps which pings each WhatsApp user lets through. Source: OPT-10, OPT-11, OPT-12."""

    store: StoreForConsent
    connections: Connections
    journal: Journal
    clock: Clock
    limits: Limits

    async def settings(self, account: Account) -> ReachabilitySettings:
        """Returns which pings the caller lets through (OPT-11).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER.
        """
        require_whatsapp(account, "OPT-11")
        return await self.store.reachability.get(account.account_id)

    async def choose(self, account: Account, enabled: bool, muted: Sequence[int]) -> None:
        """Chooses which pings come through, replacing the earlier choice (OPT-11).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER, TOO_MANY_ITEMS or REQUEST_MALFORMED.
        """
        require_whatsapp(account, "OPT-11")
        require_count(len(muted), MAX_INTEGRATOR, "muted_integrators", "OPT-11", least=0)
        for index, integrator in enumerate(muted):
            if not MIN_INTEGRATOR <= integrator <= MAX_INTEGRATOR:
                detail = f"a partner lies in {MIN_INTEGRATOR} to {MAX_INTEGRATOR}"
                raise Refusal(
                    Reason.REQUEST_MALFORMED, detail, field=f"muted_integrators[{index}]", requirement="OPT-11"
                )
        await self.store.reachability.put(account.account_id, ReachabilitySettings(enabled, frozenset(muted)))

    async def ping(self, account: Account, phone_number: str, display_name: str) -> None:
        """Tells a WhatsApp user that the caller would like to write, or drops the ping: the caller cannot tell which.

        Raises:
            Refusal: CALLER_NOT_THIRD_PARTY_USER, REQUEST_MALFORMED or RATE_LIMITED.
        """
        if account.is_whatsapp:
            raise Refusal(Reason.CALLER_NOT_THIRD_PARTY_USER, requirement="OPT-10")
        digits = normalize_e164_number(phone_number)
        _check_display_name(display_name)
        facts, now_ms = await self.store.reachability.get_ping_facts(account, digits), self.clock.now_ms()
        recipient, cause, notice = facts.recipient, "nobody has the number", None
        if recipient is not None:
            cause = _why_dropped(facts, recipient, self.limits)
            notice = None if cause else _notice(account, recipient, facts.partner_name, display_name, now_ms)
        try:
            fate = await self.store.reachability.put_ping(account.account_id, now_ms, self._bounds(now_ms), notice)
        except PingsUsedUp as used_up:
            retry_after_ms = max(1, used_up.first_at_ms + DAY_MS - now_ms)
            raise Refusal(Reason.RATE_LIMITED, retry_after_ms=retry_after_ms, requirement="OPT-12") from used_up
        if notice is not None and fate is PingFate.DELIVERED:
            self.connections.wake(notice.recipient_id)
        self._record(account, whatsapp_jid(digits), cause or _CAUSES.get(fate, ""))

    def sweeps(self) -> tuple[Sweep, ...]:
        """Pings that are no longer outstanding and no longer count (OPT-12)."""
        kept_ms = max(self.limits.ping_ms, DAY_MS)
        return (
            Sweep(
                "reachability_pings",
                "OPT-12",
                kept_ms,
                self.store.reachability.oldest_ping_ms,
                self.store.reachability.delete_expired_pings,
            ),
        )

    def _bounds(self, now_ms: int) -> PingBounds:
        limits = self.limits
        return PingBounds(now_ms - DAY_MS, limits.pings_per_day, now_ms - limits.ping_ms, limits.max_outstanding_pings)

    def _record(self, account: Account, jid: str, cause: str) -> None:
        self.journal.record(
            account.jid,
            "reachability_ping",
            "dropped" if cause else "accepted",
            jid,
            requirement="OPT-11" if cause else "OPT-10",
            cause=cause,
        )


def _check_display_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_DISPLAY_NAME_CHARACTERS or not is_display_name(name):
        detail = f"`display_name` has 1 to {MAX_DISPLAY_NAME_CHARACTERS} characters, no controls, and something to see"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="display_name", requirement="OPT-10")


def _why_dropped(facts: PingFacts, recipient: Account, limits: Limits) -> str:
    checks = (
        (not facts.partner_active, "the partner is not active"),
        (not is_eligible(recipient, limits), "the recipient does not qualify"),
        (facts.opted_in, "the recipient has opted in for the partner"),
        (not facts.enabled, "the recipient has turned pings off"),
        (facts.partner_muted, "the recipient has turned the partner's pings off"),
        (facts.recipient_blocked_sender, "the recipient has blocked the sender"),
    )
    return next((cause for holds, cause in checks if holds), "")


def _notice(sender: Account, recipient: Account, partner_name: str, display_name: str, now_ms: int) -> MailboxItem:
    """Returns the notification. It holds partner and display name, but no identifier, key or chat (OPT-10)."""
    ping = ReachabilityPing(sender.integrator, partner_name, display_name)
    return encode(ping, recipient.account_id, now_ms, sender_id=sender.account_id)
