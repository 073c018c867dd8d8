"""What nodes write of themselves and of their connections into the database, and what of it is whose; without a bus."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interop_server.core.capabilities import Capability
from interop_server.core.errors import Reason
from interop_server.core.model import (
    Account,
    ConnectionFacts,
    ConnectionMode,
    PartnerStatus,
    Platform,
    Sanction,
    SanctionKind,
)
from interop_server.core.nodes import BEGINNING, Arrival, Claim, Connected, Neighbour
from interop_server.storage import StoreAddress, WrongStore
from interop_server.storage.postgres import nodes as nodes_module
from interop_server.storage.postgres.connections import end_connection
from interop_server.storage.postgres.nodes import PostgresNodes
from interop_server.storage.postgres.session import connect
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import BATS, NOW_MS, OWLS, World, key, partner, published_keys
from tests.postgres import address_in, ask, delete_in

LAPSED = "UPDATE node SET renewed_at = renewed_at - interval '6 seconds' WHERE name = '{name}'"
UNTIL_SILENCE_COUNTS = "SELECT pg_sleep_until(pg_postmaster_start_time() + interval '5.1 seconds')"
"""After a start of the server nobody could have said anything for a while."""


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[StoreAddress]:
    yield await address_in(tmp_path)
    await delete_in(tmp_path)


@pytest.fixture
async def stores(address: StoreAddress) -> AsyncIterator[list[PostgresStore]]:
    """Two nodes."""
    opened = [await PostgresStore.open(address, lambda: NOW_MS, node=name) for name in ("here", "there")]
    for integrator in (BATS, OWLS):
        await opened[0].partners.put(partner(integrator))
    yield opened
    for store in opened:
        await store.close()


def nodes_of(store: PostgresStore) -> PostgresNodes:
    assert store.nodes is not None
    return store.nodes


@pytest.fixture
def here(stores: list[PostgresStore]) -> PostgresNodes:
    return nodes_of(stores[0])


@pytest.fixture
def there(stores: list[PostgresStore]) -> PostgresNodes:
    return nodes_of(stores[1])


@pytest.fixture
async def ada(stores: list[PostgresStore]) -> Account:
    return await World(stores[0]).third_party_user(1)


@pytest.fixture
async def user(stores: list[PostgresStore]) -> Account:
    return await World(stores[0]).whatsapp_user("491")


def claim_of(account: Account, token: bytes = b"t", mode: ConnectionMode = ConnectionMode.DIRECT) -> Claim:
    facts = ConnectionFacts(account, mode, "203.0.113.7", "ipv4:198.51.100.7:1", NOW_MS)
    return Claim(facts, token * 32, frozenset({Capability.TYPING, Capability.KEM_PREKEYS}))


async def rows(nodes: PostgresNodes) -> dict[int, Connected]:
    """What is known of connections, by account."""
    return {each.account_id: each for each in (await nodes.news(BEGINNING)).connections}


async def ends(nodes: PostgresNodes) -> dict[int, Reason | None]:
    """Why the connections of each account are to end."""
    return {account_id: each.end_reason for account_id, each in (await rows(nodes)).items()}


@pytest.mark.requirement("CHN-11")
async def test_a_claim_is_seen_with_all_of_it(here: PostgresNodes, there: PostgresNodes, ada: Account) -> None:
    """By every node, and by its token; the epoch ascends, wherever the next one is."""
    claim = claim_of(ada)
    first = await here.claim(claim)
    connected = Connected(ada.account_id, here.seat, first.epoch, None, b"t" * 32, claim.capabilities, claim.facts)
    assert first.refused is None
    assert await rows(there) == {ada.account_id: connected}
    assert await there.find(b"t" * 32) == connected
    assert await there.find(b"u" * 32) is None
    second = await there.claim(claim_of(ada, b"u"))
    assert second.epoch > first.epoch
    assert await here.find(b"t" * 32) is None
    assert (await rows(here))[ada.account_id].seat == there.seat


@pytest.mark.requirement("CHN-11")
async def test_claims_that_come_together_are_answered_each_for_itself(
    here: PostgresNodes, ada: Account, user: Account
) -> None:
    """In the order in which they came, whatever the accounts are; those that are refused leave no connection."""
    gone = replace(ada, account_id=77)
    changed = replace(user, auth_key=key(99))
    claims = await asyncio.gather(*(here.claim(claim_of(each)) for each in (user, gone, ada, changed, ada)))
    reasons = [each.refused for each in claims]
    assert reasons == [None, Reason.NOT_ENLISTED, None, Reason.KEYS_REPLACED, None]
    epochs = [each.epoch for each in claims]
    assert epochs == sorted(epochs) and len(set(epochs)) == 5
    assert {account: each.epoch for account, each in (await rows(here)).items()} == {
        user.account_id: epochs[0],
        ada.account_id: epochs[4],
    }


@pytest.mark.requirement("ENL-01", "PRX-01")
@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"status": PartnerStatus.SUSPENDED}, {ConnectionMode.DIRECT: Reason.PARTNER_NOT_ACTIVE}),
        ({"proxy_allowed": False}, {ConnectionMode.DIRECT: None}),
        ({}, {ConnectionMode.DIRECT: None, ConnectionMode.PROXY: None}),
    ],
)
async def test_a_claim_is_judged_by_the_partner_as_it_is(
    stores: list[PostgresStore],
    here: PostgresNodes,
    ada: Account,
    user: Account,
    changes: dict[str, object],
    refused: dict[ConnectionMode, Reason | None],
) -> None:
    """Their own partner: another one and its users, and WhatsApp users, are not concerned."""
    owl = await World(stores[0]).third_party_user(2, OWLS)
    await stores[1].partners.put(partner(BATS, **changes))
    expected = {ConnectionMode.PROXY: Reason.PROXY_NOT_ALLOWED if "proxy_allowed" in changes else None} | refused
    for mode, reason in expected.items():
        if mode is ConnectionMode.PROXY and "status" in changes:
            reason = Reason.PARTNER_NOT_ACTIVE
        assert (await here.claim(claim_of(ada, mode=mode))).refused is reason
        for other in (owl, user):
            assert (await here.claim(claim_of(other, mode=mode))).refused is None


async def test_a_connection_is_closed_by_its_node(here: PostgresNodes, there: PostgresNodes, ada: Account) -> None:
    """Not by another one, and not as an earlier one of the same account; then its row says no more."""
    earlier = await here.claim(claim_of(ada))
    epoch = (await here.claim(claim_of(ada))).epoch
    await there.close(ada.account_id, epoch)
    await here.close(ada.account_id, earlier.epoch)
    await here.close(ada.account_id + 1, epoch)
    assert (await rows(here))[ada.account_id].seat == here.seat
    await here.close(ada.account_id, epoch)
    closed = Connected(ada.account_id, 0, epoch, None, b"", frozenset(), None)
    assert await rows(there) == {ada.account_id: closed}
    assert await here.find(b"") is None


async def test_since_when_a_client_is_closed(
    stores: list[PostgresStore], here: PostgresNodes, there: PostgresNodes, ada: Account, user: Account
) -> None:
    """The first time counts, until it is open again; each account has a client of its own, a closed row has none."""
    for account in (ada, user):
        await here.claim(claim_of(account))

    async def seen() -> list[int | None]:
        found = await rows(there)
        facts = [found[account.account_id].facts for account in (ada, user)]
        return [None if each is None else each.client_closed_at_ms for each in facts]

    for observed, expected in ((5, 5), (9, 5), (None, None), (9, 9)):
        await there.observe_client(ada.account_id, observed)
        assert await seen() == [expected, None]
    claimed = await here.claim(claim_of(ada))
    assert await seen() == [None, None]
    await here.close(ada.account_id, claimed.epoch)
    await there.observe_client(ada.account_id, 7)
    since = "SELECT client_closed_at_ms FROM connection WHERE account_id = $1"
    assert await stores[0].engine.read(lambda db: db.row(since, ada.account_id)) == (None,)


async def test_news_are_what_has_changed_since(
    here: PostgresNodes, there: PostgresNodes, ada: Account, user: Account
) -> None:
    """And always all nodes, with what they have announced, and all key servers.

    What had been there already is named while a transaction goes on that is older than it, whoever's on that server.
    """
    await here.claim(claim_of(ada))
    news = await there.news(BEGINNING)
    while news.connections:
        news = await there.news(news.mark)
    assert await here.renew(7) is True
    await here.claim(claim_of(user))
    news = await there.news(news.mark)
    assert [each.account_id for each in news.connections] == [user.account_id]
    assert news.nodes == [Neighbour(here.seat, "here", 7), Neighbour(there.seat, "there", 0)]
    assert news.key_servers == {each: (f"https://{each}.example", "https://keys.example") for each in (BATS, OWLS)}


@pytest.mark.requirement("LIF-03", "ABU-05")
async def test_a_connection_ends_for_its_first_reason(
    stores: list[PostgresStore], here: PostgresNodes, there: PostgresNodes, ada: Account, user: Account
) -> None:
    """Its own: that of another account goes on, and so does a later one of the same account."""
    for account in (ada, user):
        await here.claim(claim_of(account))
    for reason in (Reason.KEYS_REPLACED, Reason.NOT_ENLISTED):
        await stores[1].engine.write(lambda db, reason=reason: end_connection(db, ada.account_id, reason))
    assert await ends(here) == {ada.account_id: Reason.KEYS_REPLACED, user.account_id: None}
    assert await there.find(b"t" * 32) is not None
    await there.claim(claim_of(ada))
    assert await ends(here) == {ada.account_id: None, user.account_id: None}


@pytest.mark.requirement("LIF-03")
async def test_what_has_ended_does_not_end_again(
    stores: list[PostgresStore], here: PostgresNodes, ada: Account
) -> None:
    """No node hears of it once more."""
    claimed = await here.claim(claim_of(ada))
    await here.close(ada.account_id, claimed.epoch)
    await stores[1].standing.put(ada.external_user, Sanction(SanctionKind.BAN), ada.account_id)
    assert await ends(here) == {ada.account_id: None}


@pytest.mark.requirement("ENL-01", "PRX-01")
async def test_connections_end_with_the_rights_of_their_partner(
    stores: list[PostgresStore], here: PostgresNodes
) -> None:
    """Those through a proxy when proxies are not allowed, all when it is not active; none of another partner."""
    world = World(stores[0])
    direct, proxied, owl = [await world.third_party_user(n, who) for n, who in ((1, BATS), (2, BATS), (3, OWLS))]
    for account, mode in ((direct, 1), (proxied, 2), (owl, 2)):
        await here.claim(claim_of(account, mode=ConnectionMode(mode)))

    async def ended() -> list[Reason | None]:
        found = await ends(here)
        return [found[each.account_id] for each in (direct, proxied, owl)]

    await stores[1].partners.put(partner(BATS, name="Another name"))
    assert await ended() == [None, None, None]
    await stores[1].partners.put(partner(BATS, proxy_allowed=False))
    assert await ended() == [None, Reason.PROXY_NOT_ALLOWED, None]
    await stores[1].partners.put(partner(BATS, status=PartnerStatus.REMOVED, proxy_allowed=False))
    assert await ended() == [Reason.PARTNER_NOT_ACTIVE, Reason.PROXY_NOT_ALLOWED, None]


@pytest.mark.requirement("LIF-02")
async def test_who_has_something_waiting(
    stores: list[PostgresStore], here: PostgresNodes, ada: Account, user: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that are asked about, however many they are."""
    monkeypatch.setattr(nodes_module, "_LONGEST_LIST", 2)
    world = World(stores[0])
    for recipient in (ada, await world.third_party_user(2)):
        await stores[0].mailbox.put([world.message(user, recipient, f"to-{recipient.jid}")])
    assert await here.waiting([user.account_id, 70, 71, 72, ada.account_id, 73, 74]) == [ada.account_id]
    assert await here.waiting([]) == []


@pytest.mark.requirement("CHN-11")
async def test_who_is_silent_for_long_is_buried(
    address: StoreAddress,
    stores: list[PostgresStore],
    here: PostgresNodes,
    there: PostgresNodes,
    ada: Account,
    user: Account,
) -> None:
    """With its connections, by any other node, once; who lives is spared, and nobody buries itself."""
    await there.claim(claim_of(ada))
    await here.claim(claim_of(user))
    assert await here.bury() == []
    await ask(address.url, LAPSED.format(name="here"), LAPSED.format(name="there"))
    await here.renew(0)
    await ask(address.url, UNTIL_SILENCE_COUNTS)
    assert await there.bury() == []
    assert await here.bury() == [ada]
    assert await here.bury() == []
    assert {account: each.seat for account, each in (await rows(here)).items()} == {
        ada.account_id: 0,
        user.account_id: here.seat,
    }
    assert [each.name for each in (await here.news(BEGINNING)).nodes] == ["here"]
    assert await there.renew(0) is False
    with pytest.raises(Exception, match="SERVER_DRAINING"):
        await there.claim(claim_of(ada))
    await there.join_again()
    await there.join_again()
    assert await there.renew(3) is True
    assert (await here.news(BEGINNING)).nodes[1] == Neighbour(there.seat, "there", 3)


async def test_ends_are_remembered_for_a_minute(
    address: StoreAddress, here: PostgresNodes, there: PostgresNodes, ada: Account, user: Account
) -> None:
    """Then nobody is left who has not heard of them; what is connected stays, however long."""
    claimed = await here.claim(claim_of(ada))
    await here.claim(claim_of(user))
    await here.close(ada.account_id, claimed.epoch)
    for seconds, left in ((55, {ada.account_id, user.account_id}), (10, {user.account_id})):
        await ask(address.url, f"UPDATE connection SET changed_at = changed_at - interval '{seconds} seconds'")
        await there.bury()
        assert set(await rows(here)) == left


async def test_a_name_is_of_one_living_node(
    address: StoreAddress, stores: list[PostgresStore], here: PostgresNodes, there: PostgresNodes
) -> None:
    """Who shows signs of life keeps it; who does not loses it, and with it nothing else: another seat is given."""

    async def live() -> None:
        while True:
            await here.renew(0)

    living = asyncio.create_task(live())
    with pytest.raises(WrongStore, match="Another node of this world is called here: choose another name"):
        await PostgresStore.open(address, node="here")
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    await ask(address.url, LAPSED.format(name="here"))
    another = await PostgresStore.open(address, node="here")
    seat = nodes_of(another).seat
    assert (await there.news(BEGINNING)).nodes == [
        Neighbour(here.seat, f"here {here.seat}", 0),
        Neighbour(there.seat, "there", 0),
        Neighbour(seat, "here", 0),
    ]
    await another.close()


@pytest.mark.requirement("SIM-04")
async def test_who_leads_sets_the_time(here: PostgresNodes, there: PostgresNodes) -> None:
    """Each change has the next version. Another turn than that of the clock does not do, nor does that of another."""
    before = await here.get_time()
    assert await here.take_turn("uploads")
    assert await here.set_time(NOW_MS, is_frozen=True, ahead_ms=1) is None
    assert await here.take_turn("clock")
    assert await there.set_time(NOW_MS, is_frozen=True, ahead_ms=1) is None
    assert await here.get_time() == before
    assert await here.set_time(NOW_MS, is_frozen=True, ahead_ms=None) == before.version + 1
    assert await there.get_time() == (before.version + 1, NOW_MS, True, before.ahead_ms)
    assert await here.set_time(None, is_frozen=False, ahead_ms=-9) == before.version + 2
    assert await there.get_time() == (before.version + 2, None, False, -9)
    assert (await there.get_time()).is_move is False


@pytest.mark.requirement("SIM-04", "MSG-14")
async def test_where_time_goes_is_noted_as_shown(stores: list[PostgresStore], here: PostgresNodes) -> None:
    """Before anything falls due; an earlier one takes nothing back."""
    assert await here.take_turn("clock")
    for at_ms, floor_ms in ((NOW_MS + 9, NOW_MS + 9), (NOW_MS + 5, NOW_MS + 9)):
        await here.set_time(at_ms, is_frozen=True, ahead_ms=None)
        assert await stores[1].past.get_time_floor_ms() == floor_ms


@pytest.mark.requirement("SIM-04")
async def test_a_node_that_comes_with_a_later_time_has_all_go_there(here: PostgresNodes, there: PostgresNodes) -> None:
    """By more than clocks of machines differ, and while time runs."""
    assert await here.take_turn("clock")
    await here.set_time(None, is_frozen=False, ahead_ms=100)
    version = (await here.get_time()).version
    for ahead_ms, expected in ((5_100, (version, 100)), (5_101, (version + 1, 5_101)), (3, (version + 1, 5_101))):
        time = await there.begin_time(ahead_ms)
        assert (time.version, time.ahead_ms) == expected
    await here.set_time(NOW_MS, is_frozen=True, ahead_ms=None)
    time = await there.begin_time(99_999)
    assert (time.version, time.stands_at_ms, time.ahead_ms) == (version + 2, NOW_MS, 5_101)


@pytest.mark.requirement("SIM-04")
async def test_each_node_says_how_far_it_has_come(here: PostgresNodes, there: PostgresNodes) -> None:
    """Whoever asks comes first."""
    await here.arrive(3, NOW_MS, {"reports": 2, "blobs": 1})
    await there.arrive(4, NOW_MS + 1, {})
    mine, other = Arrival(3, NOW_MS, {"reports": 2, "blobs": 1}), Arrival(4, NOW_MS + 1, {})
    assert await here.arrivals() == [mine, other]
    assert await there.arrivals() == [other, mine]


async def assert_lower_are_taken(
    store: PostgresStore, other: Any, waiting: asyncio.Future[Any], table: str, lower: list[int]
) -> None:
    """Waits until the other one is in the way of a call, which has locked the lower accounts by then; lets it go on."""
    while not await other.fetch("SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"):
        assert not waiting.done()
    free = f"SELECT account_id FROM {table} WHERE account_id = ANY ($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED"
    assert await store.engine.read(lambda db: db.rows(free, lower)) == []
    await other.close()


@pytest.mark.parametrize("by", ["their partner", "their clients", "their node"])
async def test_several_connections_are_ended_in_one_order(
    address: StoreAddress, stores: list[PostgresStore], here: PostgresNodes, by: str
) -> None:
    """The lowest account first, whoever ends them: two that meet do not wait for each other."""
    world = World(stores[0])
    accounts = [await world.third_party_user(number) for number in range(3)]
    epochs = [(await here.claim(claim_of(account))).epoch for account in accounts]
    other = await connect(address.url, "another process")
    await other.execute("BEGIN")
    await other.execute("SELECT 1 FROM connection WHERE account_id = $1 FOR UPDATE", accounts[-1].account_id)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "their partner": lambda: stores[0].partners.put(partner(BATS, status=PartnerStatus.SUSPENDED)),
        "their clients": lambda: stores[0].engine.write_batch(
            nodes_module._close, [(each.account_id, epoch) for each, epoch in zip(accounts, epochs, strict=True)][::-1]
        ),
        "their node": here.leave,
    }
    ending = asyncio.ensure_future(calls[by]())
    await assert_lower_are_taken(stores[1], other, ending, "connection", [each.account_id for each in accounts[:-1]])
    await ending


async def test_several_claims_take_their_accounts_in_one_order(
    address: StoreAddress, stores: list[PostgresStore], here: PostgresNodes
) -> None:
    """The lowest first, and then the partner."""
    world = World(stores[0])
    accounts = [await world.third_party_user(number) for number in range(3)]
    other = await connect(address.url, "another process")
    await other.execute("BEGIN")
    await other.execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", accounts[-1].account_id)
    claiming = asyncio.ensure_future(
        stores[0].engine.write_batch(nodes_module._claim, [claim_of(account) for account in accounts[::-1]])
    )
    await assert_lower_are_taken(stores[1], other, claiming, "account", [each.account_id for each in accounts[:-1]])
    claimed = await claiming
    assert [each.epoch for each in claimed] == sorted(each.epoch for each in claimed)
    assert {account: each.epoch for account, each in (await rows(here)).items()} == {
        account.account_id: each.epoch for account, each in zip(accounts[::-1], claimed, strict=True)
    }


USER_JID = "491@s.whatsapp.net"


@pytest.mark.requirement("ENL-14", "LIF-03", "CHN-12")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda store, *_: store.accounts.put_whatsapp_user(USER_JID, "491", key(1), Platform.IOS, NOW_MS), None),
        (
            lambda store, *_: store.accounts.put_whatsapp_user(USER_JID, "491", key(2), Platform.IOS, NOW_MS),
            Reason.KEYS_REPLACED,
        ),
        (
            lambda store, user, _: store.accounts.change_number(user.account_id, "492@s.whatsapp.net", "492"),
            Reason.NOT_ENLISTED,
        ),
        (lambda store, user, _: store.accounts.delete(user.account_id), Reason.NOT_ENLISTED),
    ],
    ids=["registered again", "registered with another key", "another number", "deleted"],
)
async def test_what_ends_a_whatsapp_users_connection(
    stores: list[PostgresStore],
    here: PostgresNodes,
    ada: Account,
    user: Account,
    change: Callable[[PostgresStore, Account, Account], Awaitable[object]],
    reason: Reason | None,
) -> None:
    """At whatever node it is changed; nobody else's."""
    for account in (ada, user):
        await here.claim(claim_of(account))
    await change(stores[1], user, ada)
    assert await ends(here) == {ada.account_id: None, user.account_id: reason}


@pytest.mark.requirement("ENL-14")
async def test_what_ends_a_third_party_users_connection(
    stores: list[PostgresStore], here: PostgresNodes, ada: Account, user: Account
) -> None:
    """Another key of its connections; enlisting again with the same one ends none, nor does another identity."""
    for account in (ada, user):
        await here.claim(claim_of(account))
    same = World(stores[1]).enlistment(1)
    for new, reason in (
        (same, None),
        (replace(same, keys=published_keys(99)), None),
        (replace(same, auth_key=key(99)), Reason.KEYS_REPLACED),
    ):
        await stores[1].accounts.enlist(new)
        assert await ends(here) == {ada.account_id: reason, user.account_id: None}
