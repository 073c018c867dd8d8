"""Who may reach whom: one decision, for messages, receipts, typing and prekey bundles; knows no wire format.

No path is more open than another, since all of them ask here.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from interop_protocol.jid import Jid
from interop_server.core.consent.first_contact import has_declined
from interop_server.core.consent.store import StoreForRoutes
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import RouteFacts
from interop_server.core.model import Account, AccountEnd

_ABSENT = {
    None: "no such account",
    AccountEnd.DELETED: "the account was deleted by its user",
    AccountEnd.EXPIRED: "the account was un-enlisted after thirty days without a connection",
}


class Route(Enum):
    """What becomes of a stanza that is not refused."""

    DELIVER = auto()
    DROP = auto()
    """Acknowledged, but goes nowhere: the recipient has blocked or declined the sender (ABU-02, OPT-14)."""


def decide_route(
    sender: Account, recipient_is_whatsapp: bool, facts: RouteFacts | None, end: AccountEnd | None = None
) -> Route:
    """Decides whether a sender may reach a recipient.

    Args:
        sender: Who asks.
        recipient_is_whatsapp: What the recipient's JID says.
        facts: What the store knows of the recipient as seen from the sender; None when it knows nothing.
        end: How the recipient's account ended, if it did: for the operator only (LIF-05).

    Raises:
        Refusal: ROUTE_NOT_SUPPORTED, SENDER_NOT_OPTED_IN, RECIPIENT_BLOCKED_BY_SENDER or RECIPIENT_NOT_REACHABLE, which
            is the same for every cause on the recipient's side (OPT-09).

    Source: OPT-01, OPT-02, OPT-06, OPT-09, OPT-14, MSG-06, ABU-02.
    """
    if sender.is_whatsapp == recipient_is_whatsapp:
        raise Refusal(Reason.ROUTE_NOT_SUPPORTED)
    if facts is None:
        raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause=_ABSENT[end])
    if sender.is_whatsapp and not facts.opted_in:
        raise Refusal(Reason.SENDER_NOT_OPTED_IN)
    if not facts.opted_in:
        raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the recipient has not opted in for the sender's partner")
    if not facts.partner_active:
        raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the partner is not active")
    if facts.sender_blocked_recipient:
        # Last: anybody may block any JID, so said earlier it would tell which JIDs exist (OPT-09).
        raise Refusal(Reason.RECIPIENT_BLOCKED_BY_SENDER)
    return Route.DROP if facts.recipient_blocked_sender or has_declined(facts) else Route.DELIVER


def why_dropped(facts: RouteFacts) -> tuple[str, str]:
    """Returns the requirement and the cause that stand in the journal for what is dropped."""
    if facts.recipient_blocked_sender:
        return "ABU-02", "the recipient has blocked the sender"
    return "OPT-14", "the recipient has declined the sender's message request"


class RouteView(NamedTuple):
    """What decides about a sender's routes to some recipients."""

    sender: Account
    facts: dict[str, RouteFacts]
    """Of the recipients that exist, by JID."""
    opted_in: frozenset[int]
    """Partners that a WhatsApp sender has opted in for; read only when a recipient does not exist."""
    ends: dict[str, AccountEnd]
    """How recipients' accounts have ended, by JID; likewise."""

    def decide(self, jid: Jid) -> tuple[Route, RouteFacts]:
        """Decides about one of the recipients, and returns what is known of them.

        Raises:
            Refusal: As `decide_route`.
        """
        facts = self.facts.get(jid.text)
        if facts is None and self.sender.is_whatsapp and jid.integrator and jid.integrator not in self.opted_in:
            # As for a recipient who exists: a sender who has not opted in must not learn which JIDs do (OPT-09).
            raise Refusal(Reason.SENDER_NOT_OPTED_IN)
        route = decide_route(self.sender, jid.is_whatsapp, facts, self.ends.get(jid.text))
        return route, self.facts[jid.text]


async def view_routes(store: StoreForRoutes, sender: Account, jids: Sequence[Jid]) -> RouteView:
    """Reads what decides about a sender's routes to recipients, each named once."""
    facts = await store.routes.get_facts(sender, [jid.text for jid in jids]) if jids else {}
    # To somebody who has not opted in, who exists costs as much as who does not (OPT-09).
    if not sender.is_whatsapp or sum(each.opted_in for each in facts.values()) == len(jids):
        return RouteView(sender, facts, frozenset(), {})
    opted_in = (await store.opt_in.get(sender.account_id)).opted_in
    ends = await store.accounts.list_ends([jid.text for jid in jids if jid.text not in facts])
    return RouteView(sender, facts, opted_in, ends)


class Dropped(Exception):
    """A stanza that is not answered goes nowhere: by which requirement, and why, for the journal alone."""

    def __init__(self, requirement: str, cause: str) -> None:
        super().__init__(cause)
        self.requirement = requirement
        self.cause = cause


async def require_reachable(store: StoreForRoutes, sender: Account, jid: Jid) -> RouteFacts:
    """Returns what is known of a peer whom an account may talk to, for stanzas that are not answered.

    Raises:
        Dropped: The two may not talk.
    """
    view = await view_routes(store, sender, [jid])
    try:
        route, facts = view.decide(jid)
    except Refusal as refusal:
        raise Dropped(refusal.requirement, refusal.cause or refusal.reason.name) from refusal
    if route is Route.DROP:
        raise Dropped(*why_dropped(facts))
    return facts
