"""Scores: what they are made of, and what does not enter them."""

import pytest

from interop_server.core.messages import ReportedMessage
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, SpamFlow
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import BATS, OWLS, World, message

pytestmark = pytest.mark.requirement("ABU-07")

DIRECT, PROXY = ConnectionMode


def connect(world: World, account: Account, peer_address: str, mode: ConnectionMode = DIRECT) -> None:
    client_ip = "203.0.113.9" if mode is PROXY else ""
    facts = ConnectionFacts(account, mode, client_ip, peer_address, world.clock.now_ms())
    world.connections.known[account.account_id] = facts


async def test_reports_and_blocks_are_points(world: World) -> None:
    """By their weights, as are chats without an answer; a partner's score is the sum over its users."""
    users = [await world.opted_in(f"+49170000{number:04}", BATS, OWLS) for number in range(3)]
    ada, eve, owl = await world.enlisted(), await world.enlisted("eve"), await world.enlisted("olga", OWLS)
    for sender in (ada, eve, owl):
        for number, user in enumerate(users):
            await world.router.send_messages(sender, [message(user, f"m{number}")])
    await world.reports.report(users[0], ada.jid, SpamFlow.CONTACT_INFO, [ReportedMessage("m0", None)])
    for blocker, blocked in ((users[0], ada), (users[1], ada), (users[1], eve)):
        await world.blocklist.block(blocker, blocked.jid)

    score = await world.scoring.score(ada)
    assert (score.points, score.total) == (
        {"reports": 10, "blocks": 6, "unanswered_chats": 3, "shared_address": 0},
        19,
    )
    assert (await world.scoring.score(eve)).total == 6
    assert (await world.scoring.score(users[0])).total == 0
    assert [await world.scoring.partner_score(integrator) for integrator in (BATS, OWLS, 0)] == [25, 3, 0]


@pytest.mark.requirement("PRX-05")
async def test_signals_of_a_connection_count_in_direct_mode_only(world: World) -> None:
    """Whoever shares an address with others gets points; by proxy the address is the proxy's, and says nothing."""
    ada, eve, proxied = await world.enlisted(), await world.enlisted("eve"), await world.enlisted("pat")
    user = await world.whatsapp_user()
    assert (await world.scoring.score(ada)).signals == {}
    connect(world, ada, "ipv4:198.51.100.7:1")
    connect(world, eve, "ipv4:198.51.100.7:2")
    connect(world, user, "ipv4:198.51.100.7:3")
    connect(world, proxied, "ipv4:198.51.100.7:4", PROXY)

    direct = await world.scoring.score(ada)
    assert direct.signals == {"mode": "direct", "peer_address": "ipv4:198.51.100.7:1", "fingerprint": ""}
    assert direct.points["shared_address"] == 1
    by_proxy = await world.scoring.score(proxied)
    assert by_proxy.signals == {"mode": "proxy", "peer_address": "unavailable", "fingerprint": "unavailable"}
    assert by_proxy.total == 0
    assert (await world.scoring.score(user)).points["shared_address"] == 0
    assert await world.scoring.partner_score(BATS) == 2

    connect(world, eve, "ipv4:198.51.100.70:2")
    assert (await world.scoring.score(ada)).total == 0


async def test_points_for_an_address_are_bounded(build_world: BuildWorld) -> None:
    """A dormitory is no crime."""
    world = await build_world(max_points_for_shared_address=2)
    people = [await world.enlisted(name) for name in ("ada", "eve", "pat", "kim", "lou")]
    for number, account in enumerate(people):
        connect(world, account, f"ipv6:[2001:db8::1]:{number}")
    assert {(await world.scoring.score(account)).total for account in people} == {2}
    assert await world.scoring.partner_score(BATS) == 10
