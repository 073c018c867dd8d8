"""How likely a user is a spammer, in points by cause; knows no sanction and no wire format.

Facts about a connection are facts about the client that holds it. In proxy mode that is the proxy, so they are marked
unavailable there and give no points. Source: ABU-07, PRX-05.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.limits import DAY_MS, Limits
from interop_server.core.model import Account, Complaints, ConnectionFacts
from interop_server.core.ports import Clock, ConnectionSignals

MAX_POINTS = 2**32 - 1
"""What a score and each of its parts are at most: what is told is a uint32."""
UNAVAILABLE = "unavailable"
"""Value of a signal that says nothing about the end client."""


@dataclass(frozen=True, slots=True)
class Score:
    """A user's points and the signals of their connection."""

    points: dict[str, int]
    """By cause: `reports`, `blocks`, `unanswered_chats`, `shared_address`."""
    signals: dict[str, str]
    """Of the connection, by name: `mode`, `peer_address`, `fingerprint`; empty without a connection."""

    @property
    def total(self) -> int:
        """The score: the sum of the points."""
        return _total(self.points)


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores accounts, and partners by their users. All weights are policy."""

    store: StoreForAbuse
    connections: ConnectionSignals
    clock: Clock
    limits: Limits

    async def score(self, account: Account) -> Score:
        """Returns an account's score now."""
        complaints = await self.store.reports.count_complaints(account, self._since_ms())
        facts = self.connections.facts_of(account.account_id)
        shared = 0 if facts is None else self._shared_address_points(facts, self._direct_hosts())
        return Score(self._points(complaints, shared), {} if facts is None else _signals(facts))

    async def partner_score(self, integrator: int) -> int:
        """Returns the sum over a partner's users; 0 for WhatsApp, which is not a partner."""
        if integrator == 0:
            return 0
        complaints = await self.store.reports.count_complaints_of_partner(integrator, self._since_ms())
        hosts = self._direct_hosts()
        shared = sum(
            self._shared_address_points(facts, hosts)
            for facts in self.connections.facts()
            if facts.account.integrator == integrator
        )
        return _total(self._points(complaints, shared))

    def _points(self, complaints: Complaints, shared_address: int) -> dict[str, int]:
        points = {
            "reports": complaints.reporters * self.limits.points_per_report,
            "unanswered_chats": complaints.unanswered_chats * self.limits.points_per_unanswered_chat,
            "blocks": complaints.blockers * self.limits.points_per_block,
            "shared_address": shared_address,
        }
        return {cause: min(number, MAX_POINTS) for cause, number in points.items()}

    def _direct_hosts(self) -> Counter[str]:
        """Returns how many third-party users are connected directly from each address."""
        facts = (facts for facts in self.connections.facts() if facts.signals_available and facts.account.integrator)
        return Counter(_host(each) for each in facts)

    def _shared_address_points(self, facts: ConnectionFacts, hosts: Counter[str]) -> int:
        if not facts.signals_available or facts.account.is_whatsapp:
            return 0
        others = hosts[_host(facts)] - 1
        return min(others * self.limits.points_per_shared_address, self.limits.max_points_for_shared_address)

    def _since_ms(self) -> int:
        return report_weight_since_ms(self.clock.now_ms(), self.limits)


def _total(points: Mapping[str, int]) -> int:
    return min(sum(points.values()), MAX_POINTS)


def report_weight_since_ms(now_ms: int, limits: Limits) -> int:
    """Returns the time since which reports weigh now (ABU-05)."""
    return now_ms - limits.report_weight_days * DAY_MS + 1


def _signals(facts: ConnectionFacts) -> dict[str, str]:
    available = facts.signals_available
    return {
        "mode": facts.mode.name.lower(),
        "peer_address": facts.peer_address if available else UNAVAILABLE,
        "fingerprint": facts.fingerprint if available else UNAVAILABLE,
    }


def _host(facts: ConnectionFacts) -> str:
    """Returns the peer address without its port."""
    return facts.peer_address.rpartition(":")[0]
