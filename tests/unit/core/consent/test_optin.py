"""Third-party chats as WhatsApp users control them, and what a look-up gives away."""

from collections.abc import Awaitable, Callable

import pytest

from interop_server.core.consent.optin import TERMS_ID, Found, is_eligible
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import Chat
from interop_server.core.model import (
    Account,
    IdentifierType,
    InboxMode,
    InteropSettings,
    MessageRequestState,
    PartnerStatus,
    Platform,
)
from tests.stores import note_calls
from tests.unit.core.world import BATS, NOW_MS, OWLS, World, message, partner, refused

BuildWorld = Callable[..., Awaitable[World]]


async def reachable(world: World, sender: Account, recipient: Account) -> bool:
    """Whether a message gets through, both ways."""
    outcomes = [
        (await world.router.send_messages(one, [message(other, f"{one.account_id}.{world.clock.now_ms()}")]))[0]
        for one, other in ((sender, recipient), (recipient, sender))
    ]
    assert (outcomes[0].refusal is None) == (outcomes[1].refusal is None)
    return outcomes[0].refusal is None


async def test_third_party_chats_are_off_until_the_user_turns_them_on(world: World) -> None:
    """Off by default, and nothing is chosen (OPT-01)."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    assert (await world.optin.settings(user)).chosen == InteropSettings()
    assert not await reachable(world, ada, user)
    await world.accept_terms(user)
    assert not await reachable(world, ada, user)
    await world.optin.opt_in(user, [BATS])
    assert await reachable(world, ada, user)


async def test_a_change_holds_for_the_very_next_stanza(world: World) -> None:
    """Global switch, partner chosen, partner removed: each at once (OPT-02)."""
    ada, user = await world.enlisted(), await world.opted_in()
    for change, expected in (
        (world.optin.set_enabled(user, False), False),
        (world.optin.set_enabled(user, True), True),
        (world.optin.opt_out(user, [OWLS]), True),
        (world.optin.opt_out(user, [BATS, OWLS]), False),
        (world.optin.opt_in(user, [BATS, BATS]), True),
        (world.optin.opt_in(user, [OWLS]), False),
        (world.optin.opt_in(user, []), False),
    ):
        await change
        world.clock.advance(1)
        assert await reachable(world, ada, user) is expected


async def test_opt_in_sets_the_complete_list_and_opt_out_removes_the_named(world: World) -> None:
    """What was chosen before and is not named any more is gone (OPT-03)."""
    user = await world.opted_in("+491511234567", BATS)
    await world.optin.opt_in(user, [OWLS, BATS])
    await world.optin.opt_in(user, [OWLS])
    assert (await world.optin.settings(user)).chosen.integrators == {OWLS}
    await world.optin.opt_out(user, [BATS])
    assert (await world.optin.settings(user)).chosen.integrators == {OWLS}
    await world.optin.opt_out(user, [OWLS])
    assert (await world.optin.settings(user)).chosen.integrators == frozenset()


async def test_terms_are_shown_then_accepted_then_counted(world: World) -> None:
    """No step can be left out, and another version does not count (OPT-03)."""
    user = await world.whatsapp_user()
    with refused(Reason.TERMS_NOT_ACCEPTED):
        await world.optin.record_terms(user, TERMS_ID, accepted=True)
    for call in (world.optin.opt_in(user, [BATS]), world.optin.set_enabled(user, True)):
        with refused(Reason.TERMS_NOT_ACCEPTED):
            await call
    for terms_id in ("", "20240305"):
        with refused(Reason.REQUEST_MALFORMED):
            await world.optin.record_terms(user, terms_id, accepted=False)
    await world.optin.record_terms(user, TERMS_ID, accepted=False)
    with refused(Reason.TERMS_NOT_ACCEPTED):
        await world.optin.opt_in(user, [BATS])
    await world.optin.record_terms(user, TERMS_ID, accepted=True)
    await world.optin.opt_in(user, [BATS])
    assert (await world.optin.settings(user)).chosen.enabled


@pytest.mark.requirement("OPT-04")
@pytest.mark.parametrize(
    ("phone_number", "platform", "eligible"),
    [
        ("+491511234567", Platform.ANDROID, True),
        ("+33612345678", Platform.IOS, True),
        ("+3545551234", Platform.ANDROID, True),
        ("+491511234567", Platform.WEB, False),
        ("+491511234567", Platform.DESKTOP, False),
        ("+14155551001", Platform.ANDROID, False),
        ("+447700900123", Platform.ANDROID, False),
        ("+41791234567", Platform.IOS, False),
        ("+3811234567", Platform.IOS, False),
    ],
)
async def test_eligibility_goes_by_number_and_platform(
    world: World, phone_number: str, platform: Platform, eligible: bool
) -> None:
    """An EEA number and a phone; who has not both cannot turn third-party chats on (OPT-04)."""
    user = await world.whatsapp_user(phone_number, platform)
    await world.accept_terms(user)
    assert (await world.optin.settings(user)).eligible is eligible
    if eligible:
        await world.optin.opt_in(user, [BATS])
        return
    for call in (world.optin.opt_in(user, [BATS]), world.optin.set_enabled(user, True)):
        with refused(Reason.NOT_ELIGIBLE):
            await call
    await world.optin.set_enabled(user, False)


async def test_a_third_party_user_is_not_eligible(world: World) -> None:
    """Whatever their identifier looks like (OPT-04)."""
    assert not is_eligible(await world.enlisted("491511234567"), world.limits)


@pytest.mark.parametrize("status", [each for each in PartnerStatus if each is not PartnerStatus.ACTIVE])
async def test_only_active_partners_can_be_chosen(world: World, status: PartnerStatus) -> None:
    """One that is not active, or none at all, fails the whole request (OPT-03, ENL-01)."""
    user = await world.opted_in()
    await world.register(partner(OWLS, status=status))
    for chosen in ([OWLS], [BATS, OWLS], [BATS, 998], [0], [1_000_000]):
        with refused(Reason.PARTNER_UNKNOWN):
            await world.optin.opt_in(user, chosen)
    assert (await world.optin.settings(user)).chosen.integrators == {BATS}


async def test_a_list_of_partners_is_bounded(world: World) -> None:
    """There are no more than 999 (ENL-02, OPT-03)."""
    user = await world.opted_in()
    for call in (world.optin.opt_in(user, [BATS] * 1_000), world.optin.opt_out(user, [BATS] * 1_000)):
        with refused(Reason.TOO_MANY_ITEMS):
            await call
    await world.optin.opt_out(user, list(range(1, 1_000)))


@pytest.mark.requirement("OPT-07")
async def test_the_listing_shows_partners_and_whether_they_are_chosen(world: World) -> None:
    """By id, without the removed; while the switch is off nothing counts as chosen (OPT-07)."""
    user = await world.opted_in()
    await world.register(partner(1, status=PartnerStatus.ONBOARDING), partner(2, status=PartnerStatus.REMOVED))
    listed = await world.optin.list_partners(user)
    assert [(each.integrator, chosen) for each, chosen in listed] == [(1, False), (BATS, True), (OWLS, False)]
    assert listed[1][0] == partner(BATS)
    await world.optin.set_enabled(user, False)
    assert not any(chosen for _, chosen in await world.optin.list_partners(user))


@pytest.mark.requirement("OPT-09")
@pytest.mark.parametrize("asker", ["a third-party user", "a WhatsApp user"])
async def test_every_look_up_asks_the_store_as_much(world: World, monkeypatch: pytest.MonkeyPatch, asker: str) -> None:
    """Twice, whoever is asked for and however many: nothing is looked up only for those who exist (OPT-09)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await world.blocklist.block(user, bea.jid)
    await world.blocklist.block(bea, user.jid)
    numbers = await strangers(world, ada)
    calls = note_calls(world.store, monkeypatch)
    from_third_party = [("+491511234567", 0), *((number, 0) for number in numbers.values())]
    from_whatsapp = [("ada", BATS), ("bea", BATS), ("nobody", BATS), ("ada", OWLS), ("ada", 998)]
    caller, asked = (ada, from_third_party) if asker == "a third-party user" else (user, from_whatsapp)
    for users in ([each] for each in asked):
        calls.clear()
        await world.optin.resolve(caller, users)
        assert calls == ["partners.get_identifier_types", "routes.look_up"], users
    calls.clear()
    await world.optin.resolve(caller, asked * 4)
    assert calls == ["partners.get_identifier_types", "routes.look_up"]


async def test_the_inbox_mode_is_kept(world: World) -> None:
    """Separate until the user says otherwise (OPT-05)."""
    user = await world.whatsapp_user()
    for mode in (InboxMode.COMBINED, InboxMode.SEPARATE):
        await world.optin.set_inbox_mode(user, mode)
        assert (await world.optin.settings(user)).chosen == InteropSettings(inbox_mode=mode)


async def test_all_of_it_is_for_whatsapp_users(world: World) -> None:
    """A third-party user has nothing to choose; each call names its own rule (OPT-02)."""
    ada, optin = await world.enlisted(), world.optin
    for call, requirement in (
        (optin.list_partners(ada), "OPT-07"),
        (optin.record_terms(ada, TERMS_ID, accepted=False), "OPT-03"),
        (optin.opt_in(ada, [BATS]), "OPT-03"),
        (optin.opt_out(ada, [BATS]), "OPT-03"),
        (optin.set_enabled(ada, False), "OPT-02"),
        (optin.set_inbox_mode(ada, InboxMode.COMBINED), "OPT-05"),
        (optin.settings(ada), "OPT-02"),
        (optin.list_chats(ada, 0, ""), "OPT-06"),
        (optin.delete_chat(ada, ada.jid), "OPT-06"),
    ):
        with refused(Reason.CALLER_NOT_WHATSAPP_USER, requirement):
            await call


async def chatting(world: World, count: int) -> tuple[Account, list[Account]]:
    """A WhatsApp user in chats with that many people, the last one newest."""
    user = await world.opted_in()
    peers = [await world.enlisted(f"peer{number}") for number in range(count)]
    for peer in peers:
        await world.router.send_messages(peer, [message(user)])
        world.clock.advance(1_000)
    return user, peers


async def test_chats_are_listed_newest_first_in_pages(world: World) -> None:
    """Each page's token leads to the next, the last one has none (OPT-06)."""
    user, peers = await chatting(world, 5)
    listed, page_token, pages = [], "", 0
    while pages == 0 or page_token:
        chats, page_token = await world.optin.list_chats(user, 2, page_token)
        listed += chats
        pages += 1
    assert pages == 3
    assert [chat.peer_jid for chat in listed] == [peer.jid for peer in reversed(peers)]
    assert listed[-1] == Chat(
        peers[0].jid, BATS, "peer0", NOW_MS, read_only=False, request_state=MessageRequestState.REQUESTED
    )
    assert await world.optin.list_chats(user, 0, "") == (listed, "")


async def test_chats_of_the_same_moment_are_listed_once_each(world: World) -> None:
    """Pages are cut by time and JID, so that a tie is neither skipped nor repeated (OPT-06)."""
    user = await world.opted_in()
    peers = [await world.enlisted(f"peer{number}") for number in range(5)]
    for peer in peers:
        await world.router.send_messages(peer, [message(user)])
    first, page_token = await world.optin.list_chats(user, 3, "")
    rest, end = await world.optin.list_chats(user, 3, page_token)
    assert [chat.peer_jid for chat in first + rest] == sorted(peer.jid for peer in peers)
    assert end == ""


@pytest.mark.parametrize(
    "page_token",
    ["x", ":", "1:", ":jid", "-1:jid", "1.5:jid", "\u0661:jid", "1:" + "j" * 160, "\ud800:jid"],
)
async def test_a_page_token_of_ones_own_is_refused(world: World, page_token: str) -> None:
    """Tokens are the server's (OPT-06)."""
    user = await world.whatsapp_user()
    with refused(Reason.REQUEST_MALFORMED):
        await world.optin.list_chats(user, 0, page_token)


async def test_a_page_has_a_largest_size_and_any_position(world: World) -> None:
    """A thousand chats, and a position that no list gave out is none (OPT-06)."""
    user, _ = await chatting(world, 1)
    assert len((await world.optin.list_chats(user, 1_000, ""))[0]) == 1
    with refused(Reason.REQUEST_MALFORMED):
        await world.optin.list_chats(user, 1_000, f"{'9' * 30}:x")
    with refused(Reason.REQUEST_MALFORMED):
        await world.optin.list_chats(user, 1_001, "")


@pytest.mark.requirement("OPT-06")
async def test_after_an_opt_out_chats_are_read_only_and_can_be_deleted(world: World) -> None:
    """History stays, sending fails with a distinct error, receiving is refused (OPT-06)."""
    user, [ada] = await chatting(world, 1)
    await world.optin.opt_out(user, [BATS])
    [chat] = (await world.optin.list_chats(user, 0, ""))[0]
    assert (chat.peer_jid, chat.read_only) == (ada.jid, True)
    [sent] = await world.router.send_messages(user, [message(ada)])
    [received] = await world.router.send_messages(ada, [message(user, "m2")])
    assert sent.refusal is not None and sent.refusal.reason is Reason.SENDER_NOT_OPTED_IN
    assert received.refusal is not None and received.refusal.reason is Reason.RECIPIENT_NOT_REACHABLE
    for _ in range(2):
        await world.optin.delete_chat(user, ada.jid)
    assert await world.optin.list_chats(user, 0, "") == ([], "")
    with refused(Reason.USER_VISIBLE_IDENTIFIER):
        await world.optin.delete_chat(user, "ada")


@pytest.mark.requirement("OPT-08", "OPT-13")
async def test_resolve_turns_identifiers_into_jids(world: World) -> None:
    """Both ways, in any notation, with the normal form in the answer (OPT-08)."""
    await world.register(partner(OWLS, identifier_type=IdentifierType.EMAIL))
    ada, owl = await world.enlisted("Ada"), await world.enlisted("Owl@Owls.Example", OWLS)
    user = await world.opted_in("+491511234567", BATS, OWLS)
    assert await world.optin.resolve(user, [("ADA", BATS), (" owl@owls.example ", OWLS)]) == [
        Found(ada.jid, "ada"),
        Found(owl.jid, "owl@owls.example"),
    ]
    assert await world.optin.resolve(ada, [("+49 151 123-4567", 0)]) == [Found(user.jid, "491511234567")]
    assert Found._fields == ("jid", "normalized")  # no name, no picture (OPT-13)


def fields(outcome: object) -> tuple[object, ...]:
    """All that an answer says."""
    assert isinstance(outcome, Refusal)
    return outcome.reason, outcome.detail, outcome.retry_after_ms, outcome.advice, str(outcome), outcome.args


async def strangers(world: World, ada: Account) -> dict[str, str]:
    """Numbers of people whom Ada cannot reach, each for another reason."""
    numbers = {"unknown": "+4915100000000", "never opted in": "+491510000001", "opted in elsewhere": "+491510000002"}
    numbers |= {"switched off": "+491510000003", "not eligible any more": "+491510000004"}
    await world.whatsapp_user(numbers["never opted in"])
    await world.opted_in(numbers["opted in elsewhere"], OWLS)
    await world.optin.set_enabled(await world.opted_in(numbers["switched off"]), False)
    traveller = await world.opted_in("+491510000005")
    numbers["not eligible any more"] = "+14155551001"
    await world.operator.change_number(traveller.jid, numbers["not eligible any more"])
    return numbers


@pytest.mark.requirement("OPT-09")
async def test_whoever_cannot_be_reached_looks_like_nobody(world: World) -> None:
    """Look-up, bundle and message answer the same in every field, whatever the cause on the other side (OPT-09)."""
    ada = await world.enlisted()
    numbers = await strangers(world, ada)
    jids = {cause: f"{number[1:]}@s.whatsapp.net" for cause, number in numbers.items()}
    for blocking in (False, True):
        looked_up = await world.optin.resolve(ada, [(number, 0) for number in numbers.values()])
        taken = await world.prekeys.take(ada, list(jids.values()))
        sent = await world.router.send_messages(ada, [message(jid, cause) for cause, jid in jids.items()])
        answers = [*map(fields, looked_up), *map(fields, taken), *(fields(outcome.refusal) for outcome in sent)]
        assert len(answers) == 3 * len(numbers)
        assert set(answers) == {fields(Refusal(Reason.RECIPIENT_NOT_REACHABLE))}, f"{blocking=}"
        for jid in jids.values():
            await world.blocklist.block(ada, jid)  # whom one has blocked tells nothing either


async def test_a_lookup_does_not_find_who_has_blocked_the_asker(world: World) -> None:
    """Blocked by looks like unknown; so does somebody whom the asker has blocked (OPT-09)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await world.blocklist.block(user, ada.jid)
    unknown = fields(Refusal(Reason.RECIPIENT_NOT_REACHABLE))
    [refusal] = await world.optin.resolve(ada, [("+491511234567", 0)])
    assert isinstance(refusal, Refusal) and fields(refusal) == unknown
    assert refusal.cause == "the recipient has blocked the asker"  # for the operator alone
    assert await world.optin.resolve(bea, [("+491511234567", 0)]) == [Found(user.jid, "491511234567")]
    assert [fields(each) for each in await world.optin.resolve(user, [("ada", BATS)])] == [unknown]


async def test_a_lookup_by_who_has_not_opted_in_finds_nobody(world: World) -> None:
    """Neither a user that exists nor one that does not; nor a user of one's own side (OPT-01, OPT-09)."""
    ada, bea, shy = await world.enlisted("ada"), await world.enlisted("bea"), await world.whatsapp_user()
    await world.opted_in("+33612345678")
    unknown = fields(Refusal(Reason.RECIPIENT_NOT_REACHABLE))
    by_shy = await world.optin.resolve(shy, [("ada", BATS), ("nobody", BATS), ("ada", 998), ("+33612345678", 0)])
    by_ada = await world.optin.resolve(ada, [(bea.external_id, BATS), (ada.external_id, BATS)])
    assert [fields(each) for each in (*by_shy, *by_ada)] == [unknown] * 6
    # What the operator is told: the cause, or else the rule that a message would meet.
    [elsewhere] = await world.optin.resolve(ada, [("+4915100000000", 0)])
    causes = [each.cause for each in (by_shy[0], by_ada[0], elsewhere) if isinstance(each, Refusal)]
    assert causes == ["SENDER_NOT_OPTED_IN", "ROUTE_NOT_SUPPORTED", "no such account"]


@pytest.mark.parametrize(
    ("external_id", "integrator"),
    [("", BATS), ("", 0), ("ada", 1_000), ("ada", -1), ("two words", BATS), ("a@b", BATS), ("ada", 0), ("0123456", 0)],
)
async def test_a_malformed_lookup_is_refused_alone(world: World, external_id: str, integrator: int) -> None:
    """Its neighbours are answered (OPT-08)."""
    ada, user = await world.enlisted(), await world.opted_in()
    bad, good = await world.optin.resolve(user, [(external_id, integrator), ("ada", BATS)])
    assert isinstance(bad, Refusal) and bad.reason is Reason.REQUEST_MALFORMED
    assert good == Found(ada.jid, "ada")


@pytest.mark.requirement("OPT-08")
async def test_a_lookup_names_one_to_256_users(world: World) -> None:
    """Neither none nor more (OPT-08)."""
    user = await world.opted_in()
    for users, reason in (([], Reason.REQUEST_MALFORMED), ([("ada", BATS)] * 257, Reason.TOO_MANY_ITEMS)):
        with refused(reason):
            await world.optin.resolve(user, users)
    assert len(await world.optin.resolve(user, [("ada", BATS)] * 256)) == 256


@pytest.mark.requirement("OPT-09")
async def test_lookups_are_rate_limited_per_asker(build_world: BuildWorld) -> None:
    """By the number of identifiers, also those that do not exist, so that numbers cannot be enumerated (OPT-09)."""
    world = await build_world(resolve_burst=4, resolve_per_second=2.0)
    ada, bea = await world.enlisted("ada"), await world.enlisted("bea")
    nobody: list[tuple[str, int]] = [("+4915100000000", 0)] * 3
    await world.optin.resolve(ada, nobody)
    with refused(Reason.RATE_LIMITED) as caught:
        await world.optin.resolve(ada, nobody)
    await world.optin.resolve(bea, nobody)
    assert caught.value.retry_after_ms is not None
    world.clock.advance(caught.value.retry_after_ms)
    await world.optin.resolve(ada, nobody)
    with refused(Reason.TOO_MANY_ITEMS):  # no waiting would help
        await world.optin.resolve(bea, [*nobody, *nobody])
