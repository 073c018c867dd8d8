"""How a WhatsApp user controls third-party chats, and how identifiers are looked up; knows no wire format.

Nothing is cached: a change applies to the very next stanza (OPT-02).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from interop_protocol.sizes import MAX_INTEGRATOR
from interop_server.core.addressing import check_address
from interop_server.core.consent.reach import decide_route
from interop_server.core.consent.store import StoreForConsent
from interop_server.core.errors import Reason, Refusal, require_count
from interop_server.core.identifiers import normalize_identifier, normalize_phone_number
from interop_server.core.limits import Limits
from interop_server.core.messages import Chat, RouteFacts
from interop_server.core.model import (
    Account,
    IdentifierType,
    InboxMode,
    InteropSettings,
    Partner,
    PartnerStatus,
    Platform,
)
from interop_server.core.paging import give_token, page_limit, read_token
from interop_server.core.ports import Clock
from interop_server.core.ratelimit import SharedRate

TERMS_ID = "20240306"
"""The terms that a client shows and its user accepts; observed on the wire."""


class Found(NamedTuple):
    """A successful look-up (OPT-08). Holds no profile field."""

    jid: str
    normalized: str


@dataclass(frozen=True, slots=True)
class Settings:
    """A WhatsApp user's choices, and whether the user qualifies."""

    chosen: InteropSettings
    eligible: bool


def is_eligible(account: Account, limits: Limits) -> bool:
    """Says whether a WhatsApp user's number and platform qualify for third-party chats (OPT-04)."""
    return account.platform in (Platform.ANDROID, Platform.IOS) and account.external_id.startswith(
        limits.eligible_calling_codes
    )


def require_whatsapp(account: Account, requirement: str) -> None:
    """Refuses third-party users what the rule of that id leaves to WhatsApp users.

    Raises:
        Refusal: CALLER_NOT_WHATSAPP_USER.
    """
    if not account.is_whatsapp:
        raise Refusal(Reason.CALLER_NOT_WHATSAPP_USER, requirement=requirement)


@dataclass(frozen=True, slots=True)
class OptIn:
    """Opt-in, inbox mode, look-up and the list of third-party chats. Source: OPT-01 to OPT-09."""

    store: StoreForConsent
    clock: Clock
    limits: Limits
    resolve_rate: SharedRate

    async def list_partners(self, account: Account) -> list[tuple[Partner, bool]]:
        """Lists all partners except removed ones, and whether the caller has chosen each (OPT-07).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER.
        """
        require_whatsapp(account, "OPT-07")
        opted_in = (await self.store.opt_in.get(account.account_id)).opted_in
        partners = await self.store.partners.list_all()
        return [
            (partner, partner.integrator in opted_in)
            for partner in partners
            if partner.status is not PartnerStatus.REMOVED
        ]

    async def record_terms(self, account: Account, terms_id: str, *, accepted: bool) -> None:
        """Records that terms were shown, or that they were accepted after they were shown (OPT-03).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER, REQUEST_MALFORMED or TERMS_NOT_ACCEPTED.
        """
        require_whatsapp(account, "OPT-03")
        if terms_id != TERMS_ID:
            raise Refusal(
                Reason.REQUEST_MALFORMED, f"`terms_id` must be {TERMS_ID!r}", field="terms_id", requirement="OPT-03"
            )
        settings = await self.store.opt_in.get(account.account_id)
        if accepted and not settings.terms_shown:
            raise Refusal(Reason.TERMS_NOT_ACCEPTED, "terms that were not shown cannot be accepted")
        await self.store.opt_in.put_terms(account.account_id, accepted=accepted, now_ms=self.clock.now_ms())

    async def opt_in(self, account: Account, integrators: Sequence[int]) -> None:
        """Turns third-party chats on for exactly these partners (OPT-03).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER, TOO_MANY_ITEMS, TERMS_NOT_ACCEPTED, NOT_ELIGIBLE or PARTNER_UNKNOWN.
        """
        require_whatsapp(account, "OPT-03")
        chosen = _unique_integrators(integrators)
        await self._check_may_turn_on(account)
        active = {
            partner.integrator
            for partner in await self.store.partners.list_all()
            if partner.status is PartnerStatus.ACTIVE
        }
        if unknown := sorted(set(chosen) - active):
            raise Refusal(Reason.PARTNER_UNKNOWN, f"there is no active partner {unknown[0]}")
        await self.store.opt_in.put(account.account_id, chosen)

    async def opt_out(self, account: Account, integrators: Sequence[int]) -> None:
        """Removes partners from the chosen set (OPT-03); their chats become read-only (OPT-06).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER or TOO_MANY_ITEMS.
        """
        require_whatsapp(account, "OPT-03")
        await self.store.opt_in.delete(account.account_id, _unique_integrators(integrators))

    async def set_enabled(self, account: Account, enabled: bool) -> None:
        """Turns third-party chats off or on as a whole (OPT-02).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER, TERMS_NOT_ACCEPTED or NOT_ELIGIBLE.
        """
        require_whatsapp(account, "OPT-02")
        if enabled:
            await self._check_may_turn_on(account)
        await self.store.opt_in.put_enabled(account.account_id, enabled)

    async def set_inbox_mode(self, account: Account, inbox_mode: InboxMode) -> None:
        """Chooses how third-party chats are shown (OPT-05).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER.
        """
        require_whatsapp(account, "OPT-05")
        await self.store.opt_in.put_inbox_mode(account.account_id, inbox_mode)

    async def settings(self, account: Account) -> Settings:
        """Returns the caller's choices.

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER.
        """
        require_whatsapp(account, "OPT-02")
        return Settings(await self.store.opt_in.get(account.account_id), is_eligible(account, self.limits))

    async def resolve(self, account: Account, users: Sequence[tuple[str, int]]) -> list[Found | Refusal]:
        """Turns (user-visible identifier, integrator) pairs into JIDs (OPT-08); every failure looks the same (OPT-09).

        Raises:
            Refusal: TOO_MANY_ITEMS, REQUEST_MALFORMED or RATE_LIMITED, for the request as a whole.
        """
        require_count(len(users), self.limits.most_look_ups, "users", "OPT-08")
        await self.resolve_rate.require(account.account_id, len(users))
        kinds = await self.store.partners.get_identifier_types(
            sorted({integrator for _, integrator in users if integrator})
        )
        named = [
            _named(external_id, integrator, kinds.get(integrator), f"users[{index}]")
            for index, (external_id, integrator) in enumerate(users)
        ]
        # The store is asked about every named user, known or not, so that each takes the same time (OPT-09).
        facts = iter(
            await self.store.routes.look_up(account, [user for user in named if not isinstance(user, Refusal)])
        )
        return [user if isinstance(user, Refusal) else _answer(account, user, next(facts)) for user in named]

    async def list_chats(self, account: Account, page_size: int, page_token: str) -> tuple[list[Chat], str]:
        """Lists a page of the caller's third-party chats and the token of the next page (OPT-06).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER or REQUEST_MALFORMED.
        """
        require_whatsapp(account, "OPT-06")
        limit = page_limit(page_size, "OPT-06")
        chats = await self.store.chats.list_page(account.account_id, _page_start(account, page_token), limit + 1)
        if len(chats) <= limit:
            return chats, ""
        last = chats[limit - 1]
        return chats[:limit], give_token(_chats_of(account), f"{last.last_message_at_ms}:{last.peer_jid}")

    async def delete_chat(self, account: Account, peer_jid: str) -> None:
        """Deletes a third-party chat from the list (OPT-06).

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER or as `check_address`.
        """
        require_whatsapp(account, "OPT-06")
        await self.store.chats.delete(account.account_id, check_address(peer_jid, "peer_jid").text)

    async def _check_may_turn_on(self, account: Account) -> None:
        settings = await self.store.opt_in.get(account.account_id)
        if not settings.terms_accepted:
            raise Refusal(Reason.TERMS_NOT_ACCEPTED)
        if not is_eligible(account, self.limits):
            raise Refusal(Reason.NOT_ELIGIBLE)


def _named(external_id: str, integrator: int, kind: IdentifierType | None, place: str) -> tuple[int, str] | Refusal:
    """Returns the user to look up as (integrator, normalised identifier), or what is wrong with the request's entry."""
    try:
        if not external_id:
            raise Refusal(Reason.REQUEST_MALFORMED, "`external_id` is empty", field="external_id", requirement="OPT-08")
        if not 0 <= integrator <= MAX_INTEGRATOR:
            raise Refusal(
                Reason.REQUEST_MALFORMED,
                f"`integrator` lies in 0 to {MAX_INTEGRATOR}",
                field="integrator",
                requirement="OPT-08",
            )
        if not integrator:
            return 0, normalize_phone_number(external_id)
        return integrator, normalize_identifier(external_id, kind) if kind else ""
    except Refusal as refusal:
        refusal.put_under(place)
        return refusal


def _answer(account: Account, user: tuple[int, str], facts: RouteFacts | None) -> Found | Refusal:
    try:
        decide_route(account, user[0] == 0, facts)
    except Refusal as refusal:
        return Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause=refusal.cause or refusal.reason.name)
    if facts is None or facts.recipient_blocked_sender:
        return Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the recipient has blocked the asker")
    return Found(facts.jid, facts.external_id)


def _unique_integrators(integrators: Sequence[int]) -> list[int]:
    require_count(len(integrators), MAX_INTEGRATOR, "integrators", "OPT-03", least=0)
    return sorted(set(integrators))


def _chats_of(account: Account) -> str:
    return f"chats of {account.jid}"


def _page_start(account: Account, token: str) -> tuple[int, str] | None:
    if not token:
        return None
    milliseconds, _, peer_jid = read_token(_chats_of(account), token, "page_token", "OPT-06").partition(":")
    return int(milliseconds), peer_jid
