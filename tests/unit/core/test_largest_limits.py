"""What comes of limits that are as large as they can be fits where it goes: 64 bits in a column, fewer on the wire."""

from dataclasses import asdict

import pytest

from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import integrity_pb2, prekeys_pb2
from interop_protocol.jid import third_party_jid
from interop_protocol.sizes import MAX_ACCOUNT_ID, MAX_INTEGRATOR, MAX_PREKEY_ID
from interop_server.core.abuse.escalation import answer_to_reports
from interop_server.core.abuse.scoring import MAX_POINTS
from interop_server.core.capabilities import Capability
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import LATEST_TIME_MS, Limits, conflicts
from interop_server.core.messages import TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.core.model import ConnectionFacts, ConnectionMode
from interop_server.core.nodes import Connected
from interop_server.core.ratelimit import Terms
from interop_server.nodes.connections import WorldConnections
from interop_server.rpc.connections import ConnectionRegistry
from interop_server.rpc.convert.login import limits_to
from interop_server.rpc.standing import StandingServicer
from interop_server.runtime.rng import SeededRng
from tests.largest_limits import largest
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import BATS, NOW_MS, World, message

pytestmark = pytest.mark.requirement("SIM-07")

MOST_MS = 2**63 - 1
VARIANTS: list[dict[str, int]] = [
    {},
    {"trusted_bucket_days": 1, "trusted_buckets": 36_500},
    {"trusted_bucket_days": 365, "trusted_buckets": 100},
    {"temporary_ban_hours": 438_000, "temporary_bans": 2},
    {"temporary_bans": 1},
]
"""The other ends of limits that cannot all be at theirs."""


@pytest.mark.parametrize("changes", VARIANTS)
async def test_answers_and_scores_are_kept_and_told(build_world: BuildWorld, changes: dict[str, int]) -> None:
    """A mark of a trusted contact, a ban, a challenge, and the standing of somebody whom nobody answers."""
    limits = largest(**changes)
    assert conflicts(limits) == []
    world = await build_world(**asdict(limits))
    ada = await world.enlisted()
    people = [await world.opted_in(f"+49170000{number:04}", BATS) for number in range(6)]
    for person in people:
        [outcome] = await world.router.send_messages(ada, [message(person, person.jid)])
        assert outcome.refusal is None
    await world.requests.answer(people[0], ada.jid, accepted=True)
    ban = answer_to_reports(limits.reports_until_ban, 0, NOW_MS, limits)
    assert ban is not None
    await world.escalation.impose(ada, ban, OPERATOR, "scripted")
    await world.challenges.begin(ada)
    servicer = StandingServicer(world.escalation, world.reports, world.audit, world.clock)
    told = await servicer.GetStanding(standing_pb2.GetStandingRequest(jid=ada.jid), None)  # type: ignore[arg-type]
    assert (told.score, told.partner_score, told.points["unanswered_chats"]) == (MAX_POINTS,) * 3


@pytest.mark.parametrize("changes", VARIANTS)
def test_times_have_room(changes: dict[str, int]) -> None:
    """Also for a clock that stands at the end of its range."""
    limits = largest(**changes)
    bans = range(max(1, limits.temporary_bans))
    for number in bans:
        reporters = limits.reports_until_ban + number * limits.reports_until_next_ban
        sanction = answer_to_reports(reporters, 0, LATEST_TIME_MS, limits)
        assert sanction is not None
        assert (sanction.expires_at_ms or 0) < MOST_MS
    assert limits_to(limits).ByteSize() > 0


def test_a_bucket_that_takes_ages_to_fill_is_kept() -> None:
    """With the slowest rate and the largest burst: the time by which it is full fits into its column, rounded up."""
    terms = Terms.named(Limits(resolve_burst=1_000_000_000, resolve_per_second=1e-9), "resolve")
    assert NOW_MS < terms.full_ms(0, NOW_MS) < MOST_MS - 3_600_000


async def test_an_indicator_of_another_node_is_shown_for_long(world: World) -> None:
    """As long as that node can be told."""
    ada, user = await world.enlisted(), await world.opted_in()
    connections = WorldConnections(1, ConnectionRegistry(SeededRng(1)), lambda: None)
    facts = ConnectionFacts(ada, ConnectionMode.DIRECT, "", "ipv4:198.51.100.7:1", NOW_MS)
    connections.learn(Connected(ada.account_id, 2, 1, None, b"t" * 32, frozenset({Capability.TYPING}), facts))
    assert connections.show(ada.account_id, user.jid, Typing(TypingState.COMPOSING), largest().typing_seconds)


ROOM_BYTES = 1 << 10
"""More than what else is in an answer with a long list."""
GRPC_DEFAULT_BYTES = 4 << 20
"""Longest answer that a client of gRPC takes unless it is told otherwise."""


@pytest.mark.requirement("KEY-10", "ABU-02")
def test_lists_that_are_told_whole_are_taken_by_any_client() -> None:
    """However many prekeys are stored, and people blocked."""
    limits = largest()
    each_id = prekeys_pb2.GetKeyDigestResponse(one_time_prekey_ids=[MAX_PREKEY_ID] * 1_000).ByteSize() / 1_000
    two_kinds = 2 * limits.stored_prekeys * each_id
    longest = third_party_jid(MAX_INTEGRATOR, MAX_ACCOUNT_ID)
    blocked = limits.max_blocked * integrity_pb2.GetBlocklistResponse(jids=[longest]).ByteSize()
    assert max(two_kinds, blocked) + ROOM_BYTES <= GRPC_DEFAULT_BYTES
