"""Reachability pings: what arrives, what is dropped without a sign, and how many there may be."""

from collections.abc import Awaitable, Callable

import pytest

from interop_server.core.errors import Reason
from interop_server.core.limits import DAY_MS
from interop_server.core.mailbox_content import ReachabilityPing, decode
from interop_server.core.messages import MailboxItem, StanzaKind
from interop_server.core.model import Account, PartnerStatus, Platform, ReachabilitySettings
from tests.stores import note_calls
from tests.unit.core.world import BATS, OWLS, World, partner, refused

BuildWorld = Callable[..., Awaitable[World]]

NUMBER = "+491511234567"


async def pings(world: World, account: Account) -> list[MailboxItem]:
    return [item for item in await world.waiting(account) if item.kind is StanzaKind.NOTIFICATION]


@pytest.mark.requirement("OPT-10")
async def test_a_ping_tells_the_partner_and_a_display_name(world: World) -> None:
    """To somebody who qualifies and has not opted in: no message, no key, no chat, and neither identifier (OPT-10)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    await world.reachability.ping(ada, NUMBER, "Ada Lovelace")
    [ping] = await world.waiting(user)
    assert (ping.timestamp_ms, ping.sender_jid, ping.stanza_id) == (world.clock.now_ms(), "", "")
    assert decode(ping) == ReachabilityPing(BATS, "Partner 100", "Ada Lovelace")
    assert world.connections.woken == [user.account_id]
    assert await world.optin.list_chats(user, 0, "") == ([], "")


@pytest.mark.requirement("OPT-10")
async def test_who_has_chosen_another_messenger_can_be_pinged(world: World) -> None:
    """And who has turned third-party chats off again; the number may be written in any way (OPT-10)."""
    ada = await world.enlisted()
    other, off = await world.opted_in(NUMBER, OWLS), await world.opted_in("+33612345678", BATS)
    await world.optin.set_enabled(off, False)
    for number in ("+49 151 123-4567", "+33 (6) 12345678"):
        await world.reachability.ping(ada, number, "Ada")
    assert [len(await pings(world, user)) for user in (other, off)] == [1, 1]


async def let_drop(world: World, ada: Account, user: Account, cause: str) -> None:
    """Makes Ada's pings to the user be dropped for that cause, unless nobody has the number."""
    if cause == "the partner is not active":
        await world.register(partner(BATS, status=PartnerStatus.SUSPENDED))
    elif cause == "the recipient does not qualify":
        await world.whatsapp_user(platform=Platform.DESKTOP)
    elif cause == "the recipient has opted in for the partner":
        await world.opted_in(NUMBER, BATS)
    elif cause == "the recipient has turned pings off":
        await world.reachability.choose(user, False, [])
    elif cause == "the recipient has turned the partner's pings off":
        await world.reachability.choose(user, True, [OWLS, BATS])
    elif cause == "the recipient has blocked the sender":
        await world.blocklist.block(user, ada.jid)
    elif cause == "the sender's last ping is outstanding":
        await world.reachability.ping(ada, NUMBER, "Ada")
    elif cause == "too many pings are outstanding for the recipient":
        await world.reachability.ping(await world.enlisted("bea"), NUMBER, "Bea")


CAUSES = [
    "nobody has the number",
    "the partner is not active",
    "the recipient does not qualify",
    "the recipient has opted in for the partner",
    "the recipient has turned pings off",
    "the recipient has turned the partner's pings off",
    "the recipient has blocked the sender",
    "the sender's last ping is outstanding",
    "too many pings are outstanding for the recipient",
]


@pytest.mark.requirement("OPT-11", "OPT-12")
@pytest.mark.parametrize("cause", CAUSES)
async def test_a_ping_that_does_not_arrive_is_answered_like_one_that_does(
    build_world: BuildWorld, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """The same answer after as many calls of the store, and as many rows; the journal alone knows why (OPT-11)."""
    world = await build_world(max_outstanding_pings=1, pings_per_day=3)
    ada, user = await world.enlisted("ada"), await world.whatsapp_user()
    await let_drop(world, ada, user, cause)
    number = "+4915100000000" if cause == "nobody has the number" else NUMBER
    before, rows = await world.waiting(user), (await world.store.count_rows())["reachability_ping"]
    calls = note_calls(world.store, monkeypatch)
    with world.quiet():
        assert await world.reachability.ping(ada, number, "Ada") is None  # type: ignore[func-returns-value]
    assert calls == ["reachability.get_ping_facts", "reachability.put_ping"]
    assert await world.waiting(user) == before
    assert (await world.store.count_rows())["reachability_ping"] == rows + 1
    entry = world.journal.after(0, 1_000)[0][-1]
    assert (entry.actor, entry.action, entry.outcome) == (ada.jid, "reachability_ping", "dropped")
    assert (entry.subject, entry.requirement, entry.reason) == (f"{number[1:]}@s.whatsapp.net", "OPT-11", "")
    assert entry.cause == cause
    assert "Ada" not in entry


@pytest.mark.requirement("OPT-11")
async def test_a_ping_that_arrives_asks_the_store_as_much(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look-up and one write, and one row beside what lies in the mailbox (OPT-11)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    calls = note_calls(world.store, monkeypatch)
    await world.reachability.ping(ada, NUMBER, "Ada")
    assert calls == ["reachability.get_ping_facts", "reachability.put_ping"]
    assert ((await world.store.count_rows())["reachability_ping"], len(await pings(world, user))) == (1, 1)
    entry = world.journal.after(0, 1_000)[0][-1]
    assert (entry.outcome, entry.requirement, entry.cause) == ("accepted", "OPT-10", "")


@pytest.mark.requirement("OPT-12")
async def test_a_ping_is_outstanding_until_it_is_answered_or_expires(world: World) -> None:
    """An opt-in answers it, after which another can come once the user has left again; so does time (OPT-12)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    await world.accept_terms(user)

    async def arrives() -> bool:
        before = len(await pings(world, user))
        await world.reachability.ping(ada, NUMBER, "Ada")
        return len(await pings(world, user)) > before

    assert [await arrives(), await arrives()] == [True, False]
    await world.optin.opt_in(user, [OWLS])
    assert not await arrives()
    await world.optin.opt_in(user, [BATS])
    assert not await arrives()
    await world.optin.opt_out(user, [BATS])
    assert [await arrives(), await arrives()] == [True, False]
    world.clock.advance(30 * DAY_MS - 1)
    assert not await arrives()
    world.clock.advance(1)
    assert await arrives()


@pytest.mark.requirement("OPT-12")
async def test_a_day_has_so_many_pings(build_world: BuildWorld) -> None:
    """Whatever becomes of them; the refusal says when the first counts no more, and then one more can be sent."""
    world = await build_world(pings_per_day=3)
    ada, bea = await world.enlisted("ada"), await world.enlisted("bea")
    await world.whatsapp_user()
    for number in (NUMBER, "+4915100000000", NUMBER):
        await world.reachability.ping(ada, number, "Ada")
        world.clock.advance(1_000)
    for number in (NUMBER, "+4915100000000"):
        with refused(Reason.RATE_LIMITED) as raised:
            await world.reachability.ping(ada, number, "Ada")
        assert raised.value.retry_after_ms == DAY_MS - 3_000
    restarted = World(world.store, world.folder, world.limits)
    restarted.clock.advance(3_000)
    with refused(Reason.RATE_LIMITED):
        await restarted.reachability.ping(ada, NUMBER, "Ada")
    await world.reachability.ping(bea, NUMBER, "Bea")
    world.clock.advance(DAY_MS - 3_001)
    with refused(Reason.RATE_LIMITED) as raised:
        await world.reachability.ping(ada, NUMBER, "Ada")
    assert raised.value.retry_after_ms == 1
    world.clock.advance(1)
    await world.reachability.ping(ada, NUMBER, "Ada")


@pytest.mark.requirement("OPT-12")
async def test_a_server_may_allow_no_pings_at_all(build_world: BuildWorld) -> None:
    """To anybody (OPT-12)."""
    world = await build_world(pings_per_day=0)
    with refused(Reason.RATE_LIMITED) as raised:
        await world.reachability.ping(await world.enlisted(), NUMBER, "Ada")
    assert raised.value.retry_after_ms == DAY_MS


@pytest.mark.requirement("OPT-12")
async def test_pings_are_swept_when_they_count_no_more(build_world: BuildWorld) -> None:
    """After thirty days by default, and not before a day is over (OPT-12)."""
    for ping_days, kept_ms in ((30, 30 * DAY_MS), (0, DAY_MS)):
        world = await build_world(ping_days=ping_days)
        [sweep] = world.reachability.sweeps()
        assert (await sweep.next_due_ms(), sweep.retention_ms, sweep.requirement) == (None, kept_ms, "OPT-12")
        await world.reachability.ping(await world.enlisted(), NUMBER, "Ada")
        now_ms = world.clock.now_ms()
        assert (await sweep.take_away(now_ms + kept_ms - 1)).taken == 0
        assert await sweep.next_due_ms() == now_ms + kept_ms
        assert (await sweep.take_away(now_ms + kept_ms)).taken == 1


GOOD_NAMES = [
    "A", "Ada Lovelace", "x" * 64, "Ада", "李小龍", "\N{SMILING FACE WITH OPEN MOUTH}", "O'Brien & Söhne <b>",
    # With joiners: Persian, Malayalam, Sinhala, Hindi; Arabic and Hebrew; Khmer; Vietnamese, decomposed.
    "علی\u200cرضا",  # noqa: RUF001 - Persian
    "അവന്\u200d", "ශ්\u200dරී", "क्\u200dष", "محمد علي", "דוד בן־גוריון", "សុខា",
    "Nguye\u0302\u0303n",
    # A family, a flag, the flag of Scotland, a skin tone, a heart that is red, a key cap, a new sign.
    "The \U0001f468\u200d\U0001f469\u200d\U0001f467s", "\U0001f1e9\U0001f1ea",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\U0001f44d\U0001f3fd", "\u2764\ufe0f",
    "\ufdcf", "\ufdf0",  # beside what is no character
    "1\ufe0f\u20e3", "\U0001faff", "\U0001f3f3\ufe0f\u200d\U0001f308", "\u845b\U000e0100\u57ce",
]  # fmt: skip
BAD_NAMES = [
    "", " ", "x" * 65, "a\nb", "a\tb", "\0", "a\x7f", "\N{RIGHT-TO-LEFT OVERRIDE}evil", "a\N{ZERO WIDTH SPACE}",
    "\N{LEFT-TO-RIGHT ISOLATE}a", "a\N{LINE SEPARATOR}b", "\N{NO-BREAK SPACE}", "\ud800", "a\ud800", "a\ue000",
    # Nothing to see.
    "\u200c", "\u200d \u200d", "\ufe0f", "\u3164", "\u2800", "\U000e0041", "\u034f", "\u2065", "\u0301",
    # Every mark of direction, the separators, controls, marks of format, noncharacters.
    *(f"Ada{mark}" for mark in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u2067\u2068\u2069"),
    *(f"Ada{mark}" for mark in "\u2029\x85\x1b\u00ad\ufeff\u2060"),
    "a\ufdd0", "a\ufdef", "a\ufffe", "a\uffff", "a\U0001ffff",
    # Text that nobody sees: tags that are of no flag, or too many for one; selectors in a row, of either kind.
    *("Ada\U000e0068\U000e0069", "Ada\U000e0001", "\U0001f3f4\U000e0067\U000e0062", "Ada\U000e007f"),
    "\U0001f3f4" + "\U000e0061" * 7 + "\U000e007f",
    *("a\ufe00\ufe01b", "a\U000e0100\U000e0101b", "a\ufe0f\U000e0100"),
]  # fmt: skip


@pytest.mark.requirement("OPT-10")
@pytest.mark.parametrize("name", GOOD_NAMES)
async def test_a_display_name_arrives_as_it_was_given(world: World, name: str) -> None:
    """1 to 64 printable characters of any script (OPT-10)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    await world.reachability.ping(ada, NUMBER, name)
    [ping] = await pings(world, user)
    assert decode(ping) == ReachabilityPing(BATS, "Partner 100", name)


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
async def test_a_display_name_that_could_deceive_is_refused(world: World, name: str) -> None:
    """Empty, too long, invisible, or turning the direction of writing; it does not count (OPT-10)."""
    ada = await world.enlisted()
    await world.whatsapp_user()
    before = await world.store.count_rows()
    with refused(Reason.REQUEST_MALFORMED):
        await world.reachability.ping(ada, NUMBER, name)
    assert await world.store.count_rows() == before


@pytest.mark.parametrize(
    "number", ["", "+", "491511234567", "+0491511234567", "+49151x", "ada", "+1234", "+" + "1" * 16]
)
async def test_a_number_that_is_none_is_refused(world: World, number: str) -> None:
    """E.164 with a leading `+` (OPT-10)."""
    ada = await world.enlisted()
    with refused(Reason.REQUEST_MALFORMED):
        await world.reachability.ping(ada, number, "Ada")


@pytest.mark.requirement("OPT-11")
async def test_choices_are_a_whatsapp_users_and_pings_a_third_partys(world: World) -> None:
    """Everybody lets all through at first; each choice replaces the one before (OPT-11)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    assert await world.reachability.settings(user) == ReachabilitySettings(True, frozenset())
    for enabled, muted in ((False, [OWLS, BATS, BATS]), (True, [1, 999]), (True, [])):
        await world.reachability.choose(user, enabled, muted)
        assert await world.reachability.settings(user) == ReachabilitySettings(enabled, frozenset(muted))
    for call in (world.reachability.settings(ada), world.reachability.choose(ada, False, [])):
        with refused(Reason.CALLER_NOT_WHATSAPP_USER, "OPT-11"):
            await call
    with refused(Reason.CALLER_NOT_THIRD_PARTY_USER, "OPT-10"):
        await world.reachability.ping(user, NUMBER, "Ada")
    for muted, reason in (
        ([0], Reason.REQUEST_MALFORMED),
        ([BATS, 1_000], Reason.REQUEST_MALFORMED),
        ([BATS] * 1_000, Reason.TOO_MANY_ITEMS),
    ):
        with refused(reason):
            await world.reachability.choose(user, False, muted)
    assert (await world.reachability.settings(user)).enabled


async def test_a_ping_of_an_account_that_ends_meanwhile_is_no_crash(world: World) -> None:
    """It counts for nobody and reaches nobody (LIF-05)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    await world.deletion.delete(ada)
    await world.reachability.ping(ada, NUMBER, "Ada")
    assert ((await world.store.count_rows())["reachability_ping"], await pings(world, user)) == (0, [])
