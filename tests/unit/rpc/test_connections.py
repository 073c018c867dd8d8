"""Who is connected: one connection per account, and a session that lives as long as it."""

from dataclasses import replace
from typing import Any

import pytest

from interop_server.core.capabilities import offered
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.messages import Indicator, TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, PreKeyCounts, PreKeyKind
from interop_server.rpc.channel_state import TRANSITIONS, ChannelState
from interop_server.rpc.connections import ClientTraits, ConnectionRegistry, LiveConnection
from interop_server.runtime.rng import SeededRng

ADA = Account(1, "100-10000000000001@interop", 100, "ada", bytes(32))
BEA = Account(2, "100-10000000000002@interop", 100, "bea", bytes(32))


@pytest.fixture
def registry() -> ConnectionRegistry:
    return ConnectionRegistry(SeededRng(1))


def facts(account: Account = ADA) -> ConnectionFacts:
    return ConnectionFacts(account, ConnectionMode.DIRECT, "", "ipv4:198.51.100.7:1", 1)


def connect(registry: ConnectionRegistry, account: Account = ADA) -> LiveConnection:
    return registry.open(facts(account), ClientTraits(True, capabilities=offered(Limits(kem_prekeys=True))))


def refused(reason: Reason, call: Any, *args: Any) -> None:
    with pytest.raises(Refusal) as caught:
        call(*args)
    assert caught.value.reason is reason


async def test_a_session_token_finds_its_connection(registry: ConnectionRegistry) -> None:
    """192 bits each, no two alike; any other text is a dead session (CHN-01)."""
    ada, bea = connect(registry, ADA), connect(registry, BEA)
    assert len({ada.session_token, bea.session_token}) == 2
    assert len(bytes.fromhex(ada.session_token)) == 24
    assert (registry.by_token(ada.session_token), registry.by_token(bea.session_token)) == (ada, bea)
    assert ada.account is ADA
    for token in ("", "x", ada.session_token.upper(), ada.session_token[:-1]):
        refused(Reason.SESSION_DEAD, registry.by_token, token)


async def test_a_session_dies_with_its_connection(registry: ConnectionRegistry) -> None:
    """Closing twice is no error (CHN-01)."""
    ada = connect(registry)
    for _ in range(2):
        registry.close(ada)
        refused(Reason.SESSION_DEAD, registry.by_token, ada.session_token)
        assert not registry.wake(ADA.account_id)
    assert registry.facts() == []


@pytest.mark.requirement("MSG-13")
async def test_typing_is_shown_on_the_open_connection_only(registry: ConnectionRegistry) -> None:
    """Nobody who is away sees it, nor anybody before their stream runs; a stream that is full says so (MSG-13)."""
    shown: list[tuple[str, Indicator, int]] = []

    def show(sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        shown.append((sender_jid, indicator, expires_after_seconds))
        return len(shown) == 1

    typing = (ADA.account_id, BEA.jid, Typing(TypingState.RECORDING), 5)
    assert not registry.show(*typing)
    ada = connect(registry)
    assert not registry.show(*typing)
    ada.show = show
    assert [registry.show(*typing) for _ in range(2)] == [True, False]
    assert shown == [typing[1:]] * 2
    registry.close(ada)
    assert not registry.show(*typing)


async def test_a_second_login_replaces_the_first(registry: ConnectionRegistry) -> None:
    """The first is told why, its session is dead at once, and its late closing harms nobody (CHN-11)."""
    first, bystander = connect(registry), connect(registry, BEA)
    second = connect(registry)
    assert first.end_reason is Reason.CONNECTION_REPLACED
    refused(Reason.SESSION_DEAD, registry.by_token, first.session_token)
    registry.close(first)
    assert registry.by_token(second.session_token) is second
    assert registry.wake(ADA.account_id)
    assert (first.changed.is_set(), second.changed.is_set()) == (False, True)
    assert not second.over.done() and not bystander.over.done()


async def test_waking_reaches_only_who_is_connected(registry: ConnectionRegistry) -> None:
    """The answer decides whether a push is needed (MSG-07, LIF-01)."""
    ada, bea = connect(registry, ADA), connect(registry, BEA)
    assert registry.wake(ADA.account_id)
    assert (ada.changed.is_set(), bea.changed.is_set()) == (True, False)
    assert not registry.wake(99)


async def test_the_first_reason_to_end_counts(registry: ConnectionRegistry) -> None:
    """The session is dead before the stream has closed; ending nobody is no error (CHN-11, LIF-03)."""
    ada = connect(registry)
    registry.end(ADA.account_id, Reason.NOT_ENLISTED)
    registry.end(ADA.account_id, Reason.CONNECTION_REPLACED)
    registry.end(99, Reason.NOT_ENLISTED)
    assert ada.end_reason is Reason.NOT_ENLISTED
    refused(Reason.SESSION_DEAD, registry.by_token, ada.session_token)
    again = connect(registry)
    assert registry.by_token(again.session_token) is again


ONE_TIME, KEM = frozenset({PreKeyKind.ONE_TIME}), frozenset({PreKeyKind.KEM})


def test_few_is_told_of_each_kind() -> None:
    """Who holds no KEM prekeys is not short of them (KEY-09, KEY-15)."""
    assert PreKeyCounts(9).few(10) == ONE_TIME
    assert PreKeyCounts(10, 9).few(10) == KEM
    assert PreKeyCounts(0, 0).few(10) == ONE_TIME | KEM
    assert PreKeyCounts(10, 10).few(10) == PreKeyCounts(10).few(10) == frozenset()


@pytest.mark.requirement("KEY-09", "KEY-15")
async def test_a_client_without_kem_prekeys_hears_nothing_of_them(registry: ConnectionRegistry) -> None:
    """Few of them are no reason to tell it, and are not told along (KEY-09)."""
    ada = registry.open(facts(), ClientTraits(True))
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(20, 1), KEM)
    assert ada.prekeys_low is None
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(9, 1), ONE_TIME | KEM)
    assert ada.prekeys_low == PreKeyCounts(9)


async def test_low_prekeys_are_told_once_until_they_are_refilled(registry: ConnectionRegistry) -> None:
    """A refill allows the next notice; so does a new connection (KEY-09)."""
    ada, bea = connect(registry, ADA), connect(registry, BEA)
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(9), ONE_TIME)
    assert (ada.prekeys_low, ada.changed.is_set()) == (PreKeyCounts(9), True)
    ada.prekeys_low = None  # told
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(8), ONE_TIME)
    assert ada.prekeys_low is None
    registry.prekeys_refilled(ADA.account_id, ONE_TIME)
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(7), ONE_TIME)
    assert ada.prekeys_low == PreKeyCounts(7)
    registry.prekeys_refilled(ADA.account_id, ONE_TIME)
    assert ada.prekeys_low is None
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(6), ONE_TIME)
    again = connect(registry)
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(5), ONE_TIME)
    assert (again.prekeys_low, bea.prekeys_low) == (PreKeyCounts(5), None)
    registry.notify_prekeys_low(99, PreKeyCounts(1), ONE_TIME)
    registry.prekeys_refilled(99, ONE_TIME)


async def test_either_kind_of_prekey_that_runs_low_is_told(registry: ConnectionRegistry) -> None:
    """A refill of one kind does not allow a second notice of the other (KEY-09, KEY-15)."""
    ada = connect(registry, ADA)
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(9, 20), ONE_TIME)
    ada.prekeys_low = None  # told
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(8, 9), ONE_TIME | KEM)
    assert ada.prekeys_low == PreKeyCounts(8, 9)
    registry.prekeys_refilled(ADA.account_id, ONE_TIME)
    assert ada.prekeys_low == PreKeyCounts(8, 9)
    ada.prekeys_low = None  # told
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(50, 8), KEM)
    assert ada.prekeys_low is None
    registry.notify_prekeys_low(ADA.account_id, PreKeyCounts(9, 8), ONE_TIME | KEM)
    assert ada.prekeys_low == PreKeyCounts(9, 8)


async def test_draining_ends_all_and_lets_nobody_in(registry: ConnectionRegistry) -> None:
    """With the reason that tells clients to come back later (CHN-10)."""
    live = [connect(registry, BEA), connect(registry, ADA)]
    assert [each.account for each in registry.facts()] == [ADA, BEA]
    registry.drain()
    assert [each.end_reason for each in live] == [Reason.SERVER_DRAINING] * 2
    refused(Reason.SERVER_DRAINING, connect, registry)


@pytest.mark.requirement("ENL-01", "PRX-01", "CHN-01")
async def test_a_partners_connections_end_together(registry: ConnectionRegistry) -> None:
    """All, or those of one mode; nobody else's, and their sessions are dead at once."""
    ada = connect(registry)
    bea = registry.open(replace(facts(BEA), mode=ConnectionMode.PROXY), ClientTraits(True))
    owl = connect(registry, replace(ADA, account_id=3, integrator=200))
    registry.end_partner(100, Reason.PROXY_NOT_ALLOWED, ConnectionMode.PROXY)
    assert (bea.end_reason, ada.end_reason, owl.end_reason) == (Reason.PROXY_NOT_ALLOWED, None, None)
    refused(Reason.SESSION_DEAD, registry.by_token, bea.session_token)
    registry.end_partner(100, Reason.PARTNER_NOT_ACTIVE)
    assert (ada.end_reason, owl.end_reason) == (Reason.PARTNER_NOT_ACTIVE, None)
    assert bea.end_reason is Reason.PROXY_NOT_ALLOWED, "the first reason counts"
    refused(Reason.SESSION_DEAD, registry.by_token, ada.session_token)
    assert registry.by_token(owl.session_token) is owl


@pytest.mark.requirement("PRX-04")
async def test_what_is_observed_of_a_client_belongs_to_the_connection_of_now(registry: ConnectionRegistry) -> None:
    """The first time counts, an open client ends it, and the next connection knows nothing of it."""
    registry.observe_client(ADA.account_id, 1)
    connect(registry)

    def closed_at_ms() -> int | None:
        return registry.facts()[0].client_closed_at_ms

    assert closed_at_ms() is None
    for at_ms, shown in ((5, 5), (6, 5), (None, None), (7, 7)):
        registry.observe_client(ADA.account_id, at_ms)
        assert closed_at_ms() == shown
    connect(registry)
    assert closed_at_ms() is None


def test_a_channel_has_one_table_of_states() -> None:
    """Every state is reached, nothing leads back, and a closed channel stays closed (CHN-10, CHN-11)."""
    order = list(ChannelState)
    assert {state for state, _ in TRANSITIONS} == {ChannelState.OPEN, ChannelState.ENDING}
    assert all(order.index(before) < order.index(after) for (before, _), after in TRANSITIONS.items())
    assert set(TRANSITIONS.values()) | {ChannelState.OPEN} == set(ChannelState)


@pytest.mark.requirement("CHN-10")
async def test_of_two_causes_of_an_end_the_first_counts(registry: ConnectionRegistry) -> None:
    """Whether the client leaves, the stream fails or the server ends it; and closing goes on from any of them."""
    failure = OSError("the stream broke")
    for first, second in ((None, failure), (failure, None), (Refusal(Reason.CONNECTION_SILENT), failure)):
        ada = connect(registry)
        ada.finish(first)
        ada.finish(second)
        ada.end(Reason.NOT_ENLISTED)
        assert (ada.state, ada.over.result()) == (ChannelState.ENDING, first)
        registry.close(ada)
        ada.end(Reason.NOT_ENLISTED)
        assert (ada.state, ada.over.result()) == (ChannelState.CLOSED, first)
