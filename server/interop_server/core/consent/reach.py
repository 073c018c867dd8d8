"""Whether a sender may reach a recipient: one decision for messages, receipts, typing indicators and prekey bundles.

Knows no wire format. Every path asks here, so no path is more open than another.
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
    """What happens to a stanza that is not refused."""

    DELIVER = auto()
    DROP = auto()
    """Acknowledged but not delivered: the recipient has blocked or declined the sender (ABU-02, OPT-14)."""


def decide_route(
    sender: Account, recipient_is_whatsapp: bool, facts: RouteFacts | None, end: AccountEnd | None = None
) -> Route:
    """Decides whether a sender may reach a recipient.

    Args:
        sender: The account that sends.
        recipient_is_whatsapp: Whether the recipient's JID is that of a WhatsApp user.
        facts: What the store knows of the recipient, as seen from the sender; None when it knows nothing.
        end: How the recipient's account ended, if it did: only for the operator's journal (LIF-05).

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
        # Last, because any JID can be blocked: an earlier check would reveal which JIDs exist (OPT-09).
        raise Refusal(Reason.RECIPIENT_BLOCKED_BY_SENDER)
    return Route.DROP if facts.recipient_blocked_sender or has_declined(facts) else Route.DELIVER


def why_dropped(facts: RouteFacts) -> tuple[str, str]:
    """Returns the requirement and the cause that the journal gives for a dropped stanza."""
    if facts.recipient_blocked_sender:
        return "ABU-02", "the recipient has blocked the sender"
    return "OPT-14", "the recipient has declined the sender's message request"


class RouteView(NamedTuple):
    """What decides a sender's routes to some recipients."""

    sender: Account
    facts: dict[str, RouteFacts]
    """Facts of the recipients that exist, by JID."""
    opted_in: frozenset[int]
    """Partners that a WhatsApp sender has opted in for; read only if a recipient does not exist or is not opted in."""
    ends: dict[str, AccountEnd]
    """How recipients' accounts ended, by JID. Read in the same case."""

    def decide(self, jid: Jid) -> tuple[Route, RouteFacts]:
        """Decides the route to one of the recipients, and returns it with the facts about the recipient.

        Raises:
            Refusal: As `decide_route`.
        """
        facts = self.facts.get(jid.text)
        if facts is None and self.sender.is_whatsapp and jid.integrator and jid.integrator not in self.opted_in:
            # Same answer as for an existing recipient: a sender who has not opted in must not learn which JIDs exist
            # (OPT-09).
            raise Refusal(Reason.SENDER_NOT_OPTED_IN)
        route = decide_route(self.sender, jid.is_whatsapp, facts, self.ends.get(jid.text))
        return route, self.facts[jid.text]


async def view_routes(store: StoreForRoutes, sender: Account, jids: Sequence[Jid]) -> RouteView:
    """Reads what decides a sender's routes to recipients, each named once."""
    facts = await store.routes.get_facts(sender, [jid.text for jid in jids]) if jids else {}
    # A sender who has not opted in causes the same work whether or not the recipient exists (OPT-09).
    if not sender.is_whatsapp or sum(each.opted_in for each in facts.values()) == len(jids):
        return RouteView(sender, facts, frozenset(), {})
    opted_in = (await store.opt_in.get(sender.account_id)).opted_in
    ends = await store.accounts.list_ends([jid.text for jid in jids if jid.text not in facts])
    return RouteView(sender, facts, opted_in, ends)


class Dropped(Exception):
    """A stanza without an answer is dropped: the requirement and the cause are for the journal only."""

    def __init__(self, requirement: str, cause: str) -> None:
        super().__init__(cause)
        self.requirement = requirement
        self.cause = cause


async def require_reachable(store: StoreForRoutes, sender: Account, jid: Jid) -> RouteFacts:
    """Returns the facts about a peer that an account may talk to, for stanzas that get no answer.

    Raises:
        Dropped: The account may not talk to the peer.
    """
    return reachable(await view_routes(store, sender, [jid]), jid)


def reachable(view: RouteView, jid: Jid) -> RouteFacts:
    """Does the same for one of the peers of a view."""
    try:
        route, facts = view.decide(jid)
    except Refusal as refusal:
        raise Dropped(refusal.requirement, refusal.cause or refusal.reason.name) from refusal
    if route is Route.DROP:
        raise Dropped(*why_dropped(facts))
    return facts
