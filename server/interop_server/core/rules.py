"""All rules, wired in one place for the server and for tests; knows no implementation of a port."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from interop_server.core.abuse.audit import Audit
from interop_server.core.abuse.blocklist import Blocklist
from interop_server.core.abuse.challenges import Challenges, OwnChallenges
from interop_server.core.abuse.escalation import Escalation, capped_rate
from interop_server.core.abuse.reports import Reports
from interop_server.core.abuse.scoring import Scoring
from interop_server.core.abuse.standing import Standing
from interop_server.core.abuse.suspension import Suspension
from interop_server.core.connection.deletion import AccountDeletion
from interop_server.core.connection.logins import Logins
from interop_server.core.connection.unacked import UnackedPush
from interop_server.core.consent.message_requests import MessageRequests
from interop_server.core.consent.optin import OptIn
from interop_server.core.consent.reachability import Reachability
from interop_server.core.enlistment.absence import Absence
from interop_server.core.enlistment.enlistment import Enlistment
from interop_server.core.enlistment.location import LocationPolicy
from interop_server.core.enlistment.tokens import KeySets, PartnerTokens
from interop_server.core.journal import Journal
from interop_server.core.keys.prekeys import PreKeys
from interop_server.core.limits import Limits
from interop_server.core.media.media import Media
from interop_server.core.messaging.arrivals import Arrivals
from interop_server.core.messaging.indicators import Indicators
from interop_server.core.messaging.mailbox import Mailbox
from interop_server.core.messaging.receipts import Receipts
from interop_server.core.messaging.routing import Router
from interop_server.core.operator.clock_control import ClockControl
from interop_server.core.operator.operator import Operator
from interop_server.core.ports import (
    BlobStore,
    Connections,
    JwksSource,
    MovableClock,
    PartnerMediaSource,
    PushGateway,
    Rng,
    TokenReader,
)
from interop_server.core.ratelimit import Buckets, OwnBuckets, Rates
from interop_server.core.store import Store
from interop_server.core.sweeps import Sweep
from interop_server.core.trace import Trace


@dataclass(frozen=True, slots=True)
class Ports:
    """What the rules need from outside: everything that is not a rule."""

    store: Store
    blobs: BlobStore
    connections: Connections
    push: PushGateway
    key_set_source: JwksSource
    token_reader: TokenReader
    partner_media: PartnerMediaSource
    location: LocationPolicy
    clock: MovableClock
    rng: Callable[[str], Rng]
    """A source of randomness for each purpose, so that a seed makes each one reproducible on its own."""
    limits: Limits
    journal: Journal
    """Where every decision stands."""
    is_trace_kept: bool = False
    """Whether what goes over chat channels is recorded although nobody follows."""
    world_clock: MovableClock | None = None
    """Moves the clocks of all nodes of a world, and keeps their time; None for a process that is alone."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules, by the names that the servers use."""

    limits: Limits
    journal: Journal
    counts: Counter[str]
    """Counters since the start, by name."""
    absence: Absence
    audit: Audit
    blocklist: Blocklist
    buckets: Buckets
    challenges: Challenges
    clock_control: ClockControl
    deletion: AccountDeletion
    enlistment: Enlistment
    escalation: Escalation
    indicators: Indicators
    key_sets: KeySets
    logins: Logins
    mailbox: Mailbox
    media: Media
    operator: Operator
    optin: OptIn
    prekeys: PreKeys
    reachability: Reachability
    receipts: Receipts
    reports: Reports
    requests: MessageRequests
    router: Router
    scoring: Scoring
    standing: Standing
    tokens: PartnerTokens
    trace: Trace
    unacked_push: UnackedPush

    def sweeps(self) -> tuple[Sweep, ...]:
        """Everything that expires."""
        return (
            *self.mailbox.sweeps(),
            *self.media.sweeps(),
            *self.standing.sweeps(),
            *self.reports.sweeps(),
            *self.absence.sweeps(),
            *self.reachability.sweeps(),
            *self.buckets.sweeps(),
        )


def build_rules(ports: Ports) -> Rules:
    """Wires the rules, from the ground up."""
    store, connections, push = ports.store, ports.connections, ports.push
    clock, rng, limits = ports.clock, ports.rng, ports.limits
    journal, counts = ports.journal, Counter[str]()
    rates = Rates(clock, limits, store.buckets or OwnBuckets(clock))
    key_sets = KeySets(store, ports.key_set_source, ports.token_reader, journal, clock, limits)
    operator = Operator(store, key_sets, connections, clock, limits)
    standing = Standing(store, connections, journal, clock, limits)
    scoring = Scoring(store, connections, clock, limits)
    suspension = Suspension(store, operator, journal, limits)
    escalation = Escalation(standing, scoring, suspension, clock, limits, capped_rate(rates.buckets, limits))
    challenges = Challenges(
        store,
        store.challenges or OwnChallenges(),
        standing,
        connections,
        clock,
        rng("challenges"),
        limits,
        rates.shared("challenge"),
        rates.shared("challenge_success"),
    )
    tokens = PartnerTokens(store, ports.token_reader, key_sets, clock, limits)
    absence = Absence(store, connections, journal, clock, limits)
    arrivals = Arrivals(connections, push, journal, limits)
    return Rules(
        limits=limits,
        journal=journal,
        counts=counts,
        absence=absence,
        audit=Audit(store, connections, challenges, journal, limits),
        blocklist=Blocklist(store, limits),
        buckets=rates.buckets,
        challenges=challenges,
        clock_control=ClockControl(ports.world_clock or clock, store, is_noted=ports.world_clock is None),
        deletion=AccountDeletion(store, connections),
        enlistment=Enlistment(
            store,
            tokens,
            absence,
            standing,
            ports.location,
            connections,
            clock,
            rng("JIDs"),
            limits,
            address_rate=rates.own("enlist_address"),
            partner_rate=rates.own("enlist_partner"),
            identifier_rate=rates.shared("enlist_identifier"),
        ),
        escalation=escalation,
        indicators=Indicators(store, connections, journal, counts, limits, rates.own("typing")),
        key_sets=key_sets,
        logins=Logins(
            store,
            tokens,
            absence,
            standing,
            ports.location,
            clock,
            limits,
            client_rate=rates.own("login_client"),
            proxy_rate=rates.own("login_proxy"),
        ),
        mailbox=Mailbox(store, journal, counts, clock, limits),
        media=Media(store, ports.blobs, ports.partner_media, clock, rng("media"), limits, rates.shared("upload")),
        operator=operator,
        optin=OptIn(store, clock, limits, rates.shared("resolve")),
        prekeys=PreKeys(
            store,
            connections,
            journal,
            counts,
            clock,
            limits,
            publish_rate=rates.own("prekey_publish"),
            taker_rate=rates.shared("bundle"),
            target_rate=rates.shared("bundle_target"),
        ),
        reachability=Reachability(store, connections, journal, clock, limits),
        receipts=Receipts(store, arrivals, journal, counts, clock, rates.own("retry")),
        reports=Reports(store, escalation, journal, clock, rng("reports"), limits, rates.shared("report")),
        requests=MessageRequests(store, connections, push, journal, clock, limits),
        router=Router(store, arrivals, escalation, journal, clock, limits, rates.own("send")),
        scoring=scoring,
        standing=standing,
        tokens=tokens,
        trace=Trace(clock, limits, journal.origin, is_kept=ports.is_trace_kept),
        unacked_push=UnackedPush(store, connections, push, journal, clock, limits),
    )
