"""Two nodes on a real database: whoever comes last is connected, in whatever order they hear of each other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from interop_api.nodes.v1alpha1 import bus_pb2
from interop_server.core.abuse.standing import Sanction
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.model import Account, ConnectionMode, PartnerStatus, SanctionKind
from interop_server.core.nodes import BEGINNING, Claim, Claimed, Connected
from interop_server.core.sweeps import Sweep
from interop_server.nodes import PeopleElsewhere, node
from interop_server.nodes.connections import hash_of
from interop_server.rpc.connections import LiveConnection
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.rng import SeededRng
from interop_server.runtime.timers import Timers
from interop_server.storage.postgres.nodes import PostgresNodes
from tests.contract.nodes.conftest import SECONDS, Place
from tests.contract.store.conftest import BATS, NOW_MS, World, key, partner
from tests.postgres import address_in, ask


async def come_about(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Lets nodes go on until something is so."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0)


async def row_of(place: Place, account: Account) -> Connected:
    """The newest connection of an account, as the database has it."""
    [connected] = [
        each for each in (await place.nodes.news(BEGINNING)).connections if each.account_id == account.account_id
    ]
    return connected


async def why_over(live: LiveConnection) -> Reason | None:
    """Waits for the end of a connection."""
    async with asyncio.timeout(SECONDS):
        error = await live.over
    return error.reason if isinstance(error, Refusal) else None


@pytest.mark.requirement("CHN-11")
async def test_the_last_of_many_logins_stays(here: Place, there: Place, ada: Account) -> None:
    """At two nodes, all at once: the one with the highest epoch, and both nodes know it as the only one."""
    for _ in range(5):
        lives = await asyncio.gather(*(place.connect(ada) for place in (here, there) * 4))
        newest = max(lives, key=lambda live: live.epoch)
        for live in lives:
            if live is not newest:
                assert await why_over(live) is Reason.CONNECTION_REPLACED
        connected = await row_of(here, ada)
        assert (connected.epoch, connected.token_sha256) == (newest.epoch, hash_of(newest.session_token))
        assert not newest.over.done()
        for live in lives:
            await (here if here.registry.of(ada.account_id) is live else there).node.close(live)
        await come_about(lambda: not here.connected() and not there.connected())


@pytest.mark.requirement("CHN-11")
async def test_a_login_that_is_overtaken_while_it_opens_ends(
    here: Place, there: Place, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node hears that the account is elsewhere before it has the connection that this ends."""
    claim = PostgresNodes.claim
    later: list[LiveConnection] = []

    async def overtaken(nodes: PostgresNodes, mine: Claim) -> Claimed:
        claimed = await claim(nodes, mine)
        if nodes is here.nodes:
            later.append(await there.connect(ada))
            await here.node._take_news()
        return claimed

    monkeypatch.setattr(PostgresNodes, "claim", overtaken)
    live = await here.connect(ada)
    assert await why_over(live) is Reason.CONNECTION_REPLACED
    await here.node.close(live)
    assert (await row_of(here, ada)).epoch == later[0].epoch
    assert here.connected() == there.connected() == {ada.account_id}
    assert not later[0].over.done()


@pytest.mark.requirement("ABU-05", "LIF-03", "ENL-01", "ENL-14", "PRX-01")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "reason",
    [Reason.NOT_ENLISTED, Reason.KEYS_REPLACED, Reason.PARTNER_NOT_ACTIVE, Reason.PROXY_NOT_ALLOWED, Reason.BANNED],
)
async def test_what_changes_around_a_login_ends_it(
    here: Place, there: Place, ada: Account, reason: Reason, when: str
) -> None:
    """Between its judgement and its claim, or after it; at the other node, and told by the database alone."""
    changes: dict[Reason, Callable[[], Awaitable[object]]] = {
        Reason.NOT_ENLISTED: lambda: there.store.accounts.delete(ada.account_id),
        Reason.KEYS_REPLACED: lambda: there.store.accounts.enlist(
            replace(World(there.store).enlistment(1), auth_key=key(99))
        ),
        Reason.PARTNER_NOT_ACTIVE: lambda: there.store.partners.put(partner(BATS, status=PartnerStatus.SUSPENDED)),
        Reason.PROXY_NOT_ALLOWED: lambda: there.store.partners.put(partner(BATS, proxy_allowed=False)),
        Reason.BANNED: lambda: there.store.standing.put(ada.external_user, Sanction(SanctionKind.BAN), ada.account_id),
    }
    if when == "before" and reason is Reason.BANNED:
        return  # whoever logs in asks again after the claim: rpc/chat.py
    if when == "before":
        await changes[reason]()
    live = await here.connect(ada, ConnectionMode.PROXY)
    if when == "after":
        await changes[reason]()
    assert await why_over(live) is reason
    await come_about(lambda: not there.connected())


@pytest.mark.requirement("CHN-01")
async def test_a_session_is_found_at_the_other_node(here: Place, there: Place, user: Account) -> None:
    """At once, with all that calls need to know; not any more when the connection has ended, and no other text ever."""
    live = await here.connect(user)
    session = await there.node.session(live.session_token)
    assert (session.account, session.facts.mode, session.end_reason) == (user, ConnectionMode.DIRECT, None)
    await come_about(lambda: user.account_id in there.connected())
    assert (await there.node.session(live.session_token)).account == user
    there.node.connections.end(user.account_id, Reason.KEYS_REPLACED)
    await here.node.close(live)
    for token in (live.session_token, "another"):
        with pytest.raises(Refusal, match="SESSION_DEAD"):
            await there.node.session(token)


async def test_a_connection_that_the_database_has_and_nobody_else_is_closed(here: Place, ada: Account) -> None:
    """Whoever logged in has gone while the claim was under way."""
    opening = asyncio.create_task(here.connect(ada))
    await come_about(lambda: bool(here.node._claiming))
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)

    async def is_closed() -> bool:
        found = [each for each in (await here.nodes.news(BEGINNING)).connections if each.seat]
        return not found

    await come_about(is_closed)


@pytest.mark.requirement("LIF-01")
async def test_whoever_has_just_gone_is_pushed_about_what_came_late(here: Place, there: Place, ada: Account) -> None:
    """The node that stored it took them for connected: the node that they have left knows better."""
    live = await there.connect(ada)
    await come_about(lambda: ada.account_id in here.connected())
    away = here.node.connections._away[ada.account_id]
    await there.node.close(live)
    here.node.connections._away[ada.account_id] = away
    assert here.node.connections.wake(ada.account_id)
    await come_about(lambda: there.pushed == [ada.account_id])
    assert here.pushed == []


@pytest.mark.requirement("ENL-03")
async def test_a_key_set_from_another_place_is_fetched_there(here: Place, there: Place) -> None:
    """The node at which a partner did not change drops its copy, too; other changes do not matter."""
    await here.store.partners.put(partner(BATS, name="Another name"))
    await here.store.partners.put(partner(BATS, base_url="https://elsewhere.example"))
    await come_about(lambda: there.forgotten == [BATS])


async def test_a_node_that_hears_much_lives_on(here: Place, there: Place) -> None:
    """Others who have it look all the time do not keep it from saying that it lives."""
    renewed: list[int] = []
    renew = PostgresNodes.renew

    async def noted(nodes: PostgresNodes, announced: int) -> bool:
        if nodes is here.nodes:
            renewed.append(announced)
        return await renew(nodes, announced)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresNodes, "renew", noted)

        def is_due() -> bool:
            there.node.connections.tell_of_change()
            return len(renewed) > 2

        await come_about(is_due)


async def test_what_is_no_announcement_changes_nothing(here: Place, ada: Account) -> None:
    """Whatever is said on the subject, by whomever."""
    live = await here.connect(ada)
    shown = bus_pb2.ShownIndicator(account_id=ada.account_id, sender_jid="x", stanza=b"\xff", expires_after_seconds=-1)
    unknown = bus_pb2.ShownIndicator(account_id=ada.account_id)
    for said in (
        b"\xff",
        b"",
        bus_pb2.Announcement(seat=-1, number=-5, wakes=[0, -1, 2**62]).SerializeToString(),
        bus_pb2.Announcement(seat=99, number=1, shown=[shown, unknown]).SerializeToString(),
        bus_pb2.Announcement(seat=here.nodes.seat, number=1, wakes=[ada.account_id]).SerializeToString(),
    ):
        here.node.hear(said)
    assert not live.over.done()


async def test_more_than_one_announcement_takes_all_that_waits(here: Place) -> None:
    """Each thing once, in pieces that a bus takes."""
    outgoing = here.node.connections.outgoing
    outgoing.look = True
    for account_id in (*range(25_000), *range(25_000)):
        outgoing.wake(account_id)
    taken = list(outgoing.take())
    assert [len(each.wakes) for each in taken] == [10_000, 10_000, 5_000]
    assert [each.look for each in taken] == [True, False, False]
    assert max(each.ByteSize() for each in taken) < 1 << 20
    assert not outgoing and not list(outgoing.take())


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes look once, when they begin: none of them notices by itself that it was taken for dead, and comes back."""
    monkeypatch.setattr(node, "LOOK_SECONDS", 3_600.0)


@pytest.mark.usefixtures("nobody_looks")
@pytest.mark.requirement("MSG-14")
async def test_a_node_that_is_gone_is_remembered_by_its_time(here: Place, there: Place) -> None:
    """What it stored last bounds what others store, and its seat is nobody's again; so with what it stores thereafter.

    It may not know yet that the others took it for dead, or have joined again.
    """

    async def noted() -> list[tuple[int, int]]:
        rows = await here.store.engine.read(lambda db: db.rows("SELECT seat, noted_ms FROM noted_time ORDER BY seat"))
        return [(seat, noted_ms) for seat, noted_ms in rows]

    of_here, of_there = (here.nodes.seat, NOW_MS), (there.nodes.seat, NOW_MS)
    await there.store.partners.put(partner(BATS, name="Noted"))
    await there.nodes.leave()
    assert not await there.nodes.renew(0)
    await there.store.partners.put(partner(BATS, name="Noted by one that is taken for dead"))
    assert await noted() == [(0, NOW_MS), *sorted((of_here, of_there))]
    await here.nodes.leave()
    assert await noted() == [(0, NOW_MS), of_here]
    await there.nodes.join_again()
    assert await there.nodes.renew(0)
    await there.store.partners.put(partner(BATS, name="Noted again"))
    assert of_there in await noted()


@pytest.mark.requirement("LIF-04", "MSG-07")
async def test_what_one_does_at_a_time_is_the_turn_of_one(here: Place, there: Place) -> None:
    """Of one that lives: who is gone holds up nobody, and takes none before it has come back."""
    assert await here.nodes.take_turn("uploads") and await here.nodes.take_turn("uploads")
    assert not await there.nodes.take_turn("uploads")
    assert await there.nodes.take_turn("reports")
    await there.nodes.end_turn("uploads")
    assert not await there.nodes.take_turn("uploads")
    await here.nodes.end_turn("uploads")
    assert await there.nodes.take_turn("uploads")
    await there.nodes.leave()
    assert await here.nodes.take_turn("uploads")
    assert not await there.nodes.take_turn("blobs")
    await there.nodes.join_again()
    await there.nodes.end_turn("uploads")
    assert not await there.nodes.take_turn("uploads")


async def test_people_come_with_one_node(here: Place, there: Place) -> None:
    """Of two that ask at once; the other gets them when that one has left."""
    asked = await asyncio.gather(here.node.take_people(), there.node.take_people(), return_exceptions=True)
    [refused] = [each for each in asked if each is not None]
    having, other = (here, there) if asked[0] is None else (there, here)
    name = "here" if having is here else "there"
    assert isinstance(refused, PeopleElsewhere) and f"at the node {name} already" in str(refused)
    turn = await other.nodes.whose_turn("people")
    assert turn is not None and turn.node == name
    assert await other.nodes.whose_turn("bread") is None
    await having.nodes.leave()
    assert await other.nodes.whose_turn("people") is None
    await other.node.take_people()


async def test_people_of_a_node_that_died_are_free(here: Place, tmp_path: Path) -> None:
    """Once it is taken for dead, which another waits for; that it loses its name is no sign of life."""
    url = (await address_in(tmp_path)).url
    await ask(
        url,
        "INSERT INTO node (name, renewed_at) VALUES ('gone', clock_timestamp() - interval '6 seconds')",
        "INSERT INTO turn (name, seat) SELECT 'people', seat FROM node WHERE name = 'gone'",
    )
    taking = asyncio.create_task(here.node.take_people())

    async def is_over() -> bool:
        await ask(url, "UPDATE node SET name = 'gone ' || random() WHERE name LIKE 'gone%'")
        return taking.done()

    await come_about(is_over)
    await taking
    turn = await here.nodes.whose_turn("people")
    assert turn is not None and turn.node == "here"


@pytest.mark.requirement("ABU-08", "SIM-04")
async def test_nodes_sweep_once(here: Place, there: Place) -> None:
    """While one deletes what is due, the other leaves it to it, and finds nothing a minute later."""
    clocks, kept, swept = [AdjustableClock(NOW_MS) for _ in range(2)], [NOW_MS], list[str]()

    async def oldest_ms() -> int | None:
        return kept[0] if kept else None

    timers = []
    for place, clock in zip((here, there), clocks, strict=True):

        async def delete(_before_ms: int, _most: int, place: Place = place) -> int:
            if not kept:
                return 0
            if place is here:
                await clocks[1].advance(60_000)
            kept.clear()
            swept.append("here" if place is here else "there")
            return 1

        timers.append(Timers(clock, Journal(clock, SeededRng(1)), place.nodes))
        timers[-1].sweep(Sweep("reports", "ABU-08", 60_000, oldest_ms, delete))
        await clock.advance(1)  # it has looked for the first time, and the turn is free again
    assert await clocks[0].advance(60_000) == {"reports": 1}
    assert await clocks[1].advance(60_000) == {}
    assert swept == ["here"]
    for each in timers:
        await each.stop()
