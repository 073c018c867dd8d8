"""Message requests, trusted contacts, and how many new chats a third-party user may open."""

from collections.abc import Awaitable, Callable

import pytest

from interop_server.core.consent.first_contact import NewChats, chat_entry, trusted_until_ms
from interop_server.core.consent.optin import Found
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, HOUR_MS, Limits
from interop_server.core.mailbox_content import TrustedContact, decode
from interop_server.core.messages import ChatEntry, MailboxItem, ReceiptType, StanzaKind
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.messaging.routing import SendOutcome
from interop_server.core.model import Account, MessageRequestState
from tests.stores import note_calls
from tests.unit.core.world import BATS, NOW_MS, World, message, refused

BuildWorld = Callable[..., Awaitable[World]]

REQUESTED, ACCEPTED, DECLINED = MessageRequestState
BUCKET_MS = 7 * DAY_MS


async def write(world: World, sender: Account, recipient: Account) -> SendOutcome:
    """Sends one message with an id of its own."""
    world.clock.advance(1)
    [outcome] = await world.router.send_messages(sender, [message(recipient, f"m{world.clock.now_ms()}")])
    return outcome


async def state(world: World, user: Account, peer: Account) -> MessageRequestState | None:
    return (await world.store.routes.get_facts(user, [peer.jid]))[peer.jid].request_state


async def marks(world: World, account: Account) -> list[TrustedContact]:
    """The marks of trust that an account was told of."""
    notices = [decode(item) for item in await world.waiting(account) if item.kind is StanzaKind.NOTIFICATION]
    return [notice for notice in notices if isinstance(notice, TrustedContact)]


async def ciphertexts(world: World, account: Account) -> list[MailboxItem]:
    return [item for item in await world.waiting(account) if item.kind is StanzaKind.MESSAGE]


async def two(world: World) -> tuple[Account, Account]:
    """Ada, a third-party user, and a WhatsApp user whom she can reach."""
    return await world.enlisted(), await world.opted_in()


@pytest.mark.requirement("OPT-14")
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("", None),
        ("a", None),
        ("d", None),
        ("t", REQUESTED),
        ("tt", REQUESTED),
        ("w", ACCEPTED),
        ("wt", ACCEPTED),
        ("tw", ACCEPTED),
        ("ta", ACCEPTED),
        ("td", DECLINED),
        ("tdt", DECLINED),
        ("tdd", DECLINED),
        ("tda", ACCEPTED),
        ("tdw", ACCEPTED),
        ("tad", DECLINED),
        ("tada", ACCEPTED),
        ("td-t", DECLINED),
        ("w-t", ACCEPTED),
        ("t-", REQUESTED),
    ],
)
async def test_where_a_first_contact_stands(world: World, steps: str, expected: MessageRequestState | None) -> None:
    """t: the third party writes, w: the WhatsApp user writes, a: accepts, d: declines, -: deletes the chat (OPT-14)."""
    ada, user = await two(world)
    for step in steps:
        if step in "tw":
            assert (await write(world, *((ada, user) if step == "t" else (user, ada)))).refusal is None
        elif step in "ad":
            await world.requests.answer(user, ada.jid, accepted=step == "a")
        else:
            await world.optin.delete_chat(user, ada.jid)
    assert await state(world, user, ada) is expected
    listed = [chat.request_state for chat in (await world.optin.list_chats(user, 0, ""))[0]]
    assert listed == ([] if expected is None or steps == "t-" or steps == "td-t" else [expected])


@pytest.mark.requirement("OPT-14")
async def test_what_follows_a_decline_is_acked_and_goes_nowhere(world: World) -> None:
    """Messages and receipts, until the WhatsApp user accepts; the journal says why (OPT-14)."""
    ada, user = await two(world)
    await write(world, ada, user)
    await world.requests.answer(user, ada.jid, accepted=False)
    before = await world.waiting(user)
    with world.quiet():
        assert (await write(world, ada, user)).timestamp_ms == world.clock.now_ms()
        await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, user.jid, ["m1"])], True)
    assert await world.waiting(user) == before
    dropped = [entry for entry in world.journal.after(0, 100)[0] if entry.outcome == "dropped"]
    assert [(entry.action, entry.requirement, entry.reason) for entry in dropped] == [
        ("stanza.message", "OPT-14", ""),
        ("stanza.receipt", "OPT-14", ""),
    ]
    assert {entry.cause for entry in dropped} == {"the recipient has declined the sender's message request"}
    await world.requests.answer(user, ada.jid, accepted=True)
    await write(world, ada, user)
    assert len(await ciphertexts(world, user)) == 2


@pytest.mark.requirement("OPT-14")
async def test_a_decline_does_not_show(build_world: BuildWorld) -> None:
    """Ada, declined, and Bea, who waits, get the same answers, meet the same limits, and find the same (OPT-14)."""
    world = await build_world(send_burst=5, max_mailbox_items=4)
    user, people = await world.opted_in(), [await world.enlisted(name) for name in ("ada", "bea")]
    for person in people:
        await world.router.send_messages(person, [message(user, "first")])
    await world.requests.answer(user, people[0].jid, accepted=False)
    answers = []
    for person in people:
        outcomes = await world.router.send_messages(person, [message(user, f"m{number}") for number in range(6)])
        again = await world.router.send_messages(person, [message(user, "m0"), message(user, "m5")])
        found = await world.optin.resolve(person, [("+491511234567", 0)])
        answers.append(([fields(outcome) for outcome in outcomes + again], found))
        await world.mailbox.forget(user, [each.delivery_id for each in await world.mailbox.deliveries(user, 2, 100)])
    assert answers[0] == answers[1]
    assert [outcome[2] for outcome in answers[0][0]] == [
        *[None] * 2, *[Reason.MAILBOX_FULL] * 2, *[Reason.RATE_LIMITED] * 2, None, Reason.RATE_LIMITED
    ]  # fmt: skip
    assert answers[0][1] == [Found(user.jid, "491511234567")]


def fields(outcome: SendOutcome) -> tuple[object, ...]:
    refusal = outcome.refusal
    said = (refusal.reason, refusal.advice, refusal.retry_after_ms) if refusal else (None, "", None)
    return outcome.stanza_id, outcome.timestamp_ms, *said


@pytest.mark.requirement("OPT-14")
async def test_an_answer_tells_nothing_of_whom_it_is_about(world: World) -> None:
    """Whether they wrote, exist, or are at all a third party: nothing comes back, nobody is told (OPT-14)."""
    ada, user = await two(world)
    other = await world.opted_in("+33612345678")
    before = await world.store.count_rows()
    with world.quiet():
        for jid in (ada.jid, "100-77@interop", "999-1@interop", other.jid, user.jid, "4915100000000@s.whatsapp.net"):
            for accepted in (True, False):
                assert await world.requests.answer(user, jid, accepted=accepted) is None  # type: ignore[func-returns-value]
    assert await world.store.count_rows() == before
    for jid, reason in (("ada", Reason.USER_VISIBLE_IDENTIFIER), ("", Reason.ADDRESS_MALFORMED)):
        with refused(reason):
            await world.requests.answer(user, jid, accepted=True)
    with refused(Reason.CALLER_NOT_WHATSAPP_USER, "OPT-14"):
        await world.requests.answer(ada, user.jid, accepted=True)


def test_a_mark_lasts_to_the_end_of_its_fourth_bucket() -> None:
    """All marks of one seven-day bucket end together, so that the end does not tell when (OPT-14)."""
    limits, start_ms = Limits(), 100 * BUCKET_MS
    assert {trusted_until_ms(start_ms + at_ms, limits) for at_ms in (0, 1, BUCKET_MS - 1)} == {104 * BUCKET_MS}
    assert trusted_until_ms(start_ms + BUCKET_MS, limits) == 105 * BUCKET_MS


@pytest.mark.requirement("OPT-14")
@pytest.mark.parametrize("by_writing", [True, False])
async def test_an_answer_gives_a_mark_once_per_bucket(world: World, by_writing: bool) -> None:
    """By writing back as by accepting; it is renewed in a later bucket, with a notice and a push (OPT-14)."""
    ada, user = await two(world)
    await write(world, ada, user)

    async def answer() -> None:
        if by_writing:
            await write(world, user, ada)
        else:
            await world.requests.answer(user, ada.jid, accepted=True)

    await answer()
    until_ms = trusted_until_ms(NOW_MS, world.limits)
    assert await marks(world, ada) == [TrustedContact(user.jid, until_ms)]
    assert world.pushes.queued == [(BATS, "ada")]
    await answer()
    assert len(await marks(world, ada)) == 1
    assert by_writing or world.pushes.queued == [(BATS, "ada")]
    world.clock.advance(BUCKET_MS)
    await answer()
    assert [mark.expires_at_ms for mark in await marks(world, ada)] == [until_ms, until_ms + BUCKET_MS]


@pytest.mark.requirement("OPT-14")
async def test_who_writes_first_trusts_whom_they_write_to(world: World) -> None:
    """A new chat of the WhatsApp user's is no request, and one batch gives one mark (OPT-14)."""
    ada, user = await two(world)
    await world.router.send_messages(user, [message(ada, f"m{number}") for number in range(3)])
    assert (await state(world, user, ada), len(await marks(world, ada))) == (ACCEPTED, 1)


@pytest.mark.requirement("OPT-14", "OPT-01")
async def test_nobody_hears_of_a_mark_who_would_not_hear_a_message(world: World) -> None:
    """Ada has blocked the user, or the user has opted out: accepted it is, told it is only later (OPT-01, OPT-14)."""
    for name, close, open_again in (
        ("ada", lambda ada, user: world.blocklist.block(ada, user.jid), world.blocklist.unblock),
        ("bea", lambda bea, user: world.optin.opt_out(user, [BATS]), None),
    ):
        peer, user = await world.enlisted(name), await world.opted_in()
        await write(world, peer, user)
        await close(peer, user)
        await world.requests.answer(user, peer.jid, accepted=True)
        assert (await state(world, user, peer), await marks(world, peer)) == (ACCEPTED, [])
        if open_again is not None:
            assert (await write(world, user, peer)).refusal is None  # dropped
            assert await marks(world, peer) == []
            await open_again(peer, user.jid)
        else:
            await world.optin.opt_in(user, [BATS])
        await world.requests.answer(user, peer.jid, accepted=True)
        assert len(await marks(world, peer)) == 1


async def users(world: World, count: int) -> list[Account]:
    return [await world.opted_in(f"+4915100000{number:02}") for number in range(count)]


def reasons(outcomes: list[SendOutcome]) -> list[Reason | None]:
    return [outcome.refusal and outcome.refusal.reason for outcome in outcomes]


@pytest.mark.requirement("ABU-05")
@pytest.mark.parametrize("size", [1, 2, 5])
async def test_chats_that_nobody_answers_are_capped(build_world: BuildWorld, size: int) -> None:
    """In whatever batches they are opened; the refusal says when the oldest counts no more, and then it works."""
    world = await build_world(new_chats=3)
    ada, people = await world.enlisted(), await users(world, 5)
    opening, outcomes = [message(user, f"m{number}") for number, user in enumerate(people)], []
    for start in range(0, 5, size):
        world.clock.advance(1_000)
        outcomes += await world.router.send_messages(ada, opening[start : start + size])
    assert reasons(outcomes) == [None] * 3 + [Reason.NEW_CHATS_CAPPED] * 2
    assert await world.waiting(people[3]) == []
    refusal = outcomes[4].refusal
    assert refusal is not None and refusal.retry_after_ms is not None
    assert refusal.retry_after_ms == outcomes[0].timestamp_ms + 24 * HOUR_MS - world.clock.now_ms()
    world.clock.advance(refusal.retry_after_ms - 1)
    assert reasons(await world.router.send_messages(ada, [opening[4]])) == [Reason.NEW_CHATS_CAPPED]
    world.clock.advance(1)
    assert reasons(await world.router.send_messages(ada, [opening[4]])) == [None]


@pytest.mark.requirement("ABU-05")
async def test_the_cap_counts_first_contacts_only(build_world: BuildWorld) -> None:
    """Further messages, chats that the other end began, and what is refused anyway do not count (ABU-05)."""
    world = await build_world(new_chats=2, max_mailbox_items=3)
    ada, people = await world.enlisted(), await users(world, 5)
    await write(world, people[4], ada)
    batch = [message(people[0], f"a{number}") for number in range(3)]
    assert reasons(await world.router.send_messages(ada, batch)) == [None] * 3
    unknown = message("4915100000099@s.whatsapp.net", "u")
    big = message(people[3], "big", bytes(96 * 1024 + 1))
    outcomes = await world.router.send_messages(ada, [unknown, big, message(people[4], "x"), message(people[1], "b")])
    assert reasons(outcomes) == [Reason.RECIPIENT_NOT_REACHABLE, Reason.MESSAGE_TOO_LARGE, None, None]
    assert reasons([await write(world, ada, people[2])]) == [Reason.NEW_CHATS_CAPPED]
    assert reasons([await write(world, ada, people[1])]) == [None]
    assert reasons([await write(world, people[2], ada)]) == [None]
    assert reasons([await write(world, ada, people[2])]) == [None]


@pytest.mark.requirement("ABU-05", "ABU-02", "OPT-14")
@pytest.mark.parametrize("what", ["waits", "declined", "blocked", "blocked before", "deleted", "accepted", "answered"])
async def test_only_an_answer_makes_room(build_world: BuildWorld, what: str) -> None:
    """A decline, a block and a deletion look from outside like somebody who has not answered yet (ABU-02, OPT-14)."""
    world = await build_world(new_chats=1)
    ada, [user, other] = await world.enlisted(), await users(world, 2)
    if what == "blocked before":
        await world.blocklist.block(user, ada.jid)
    assert (await write(world, ada, user)).refusal is None
    if what in ("declined", "accepted"):
        await world.requests.answer(user, ada.jid, accepted=what == "accepted")
    elif what == "blocked":
        await world.blocklist.block(user, ada.jid)
    elif what == "deleted":
        await world.optin.delete_chat(user, ada.jid)
    elif what == "answered":
        await write(world, user, ada)
        await world.requests.answer(user, ada.jid, accepted=False)  # afterwards: it must not show
    has_room = what in ("accepted", "answered")
    assert reasons([await write(world, ada, other)]) == [None if has_room else Reason.NEW_CHATS_CAPPED]


@pytest.mark.requirement("ABU-05")
async def test_the_cap_is_kept_by_the_store_and_can_begin_anew(build_world: BuildWorld) -> None:
    """A server that starts on the same store counts on; a reset lets all that was opened before count no more."""
    world = await build_world(new_chats=2)
    ada, people = await world.enlisted(), await users(world, 5)
    for user in people[:2]:
        await write(world, ada, user)
    restarted = World(world.store, world.folder, world.limits)
    restarted.clock.advance(10)
    assert reasons([await write(restarted, ada, people[2])]) == [Reason.NEW_CHATS_CAPPED]
    await world.store.new_chats.reset(ada.account_id, world.clock.now_ms())
    world.clock.advance(10)
    outcomes = [await write(world, ada, user) for user in people[2:]]
    assert reasons(outcomes) == [None, None, Reason.NEW_CHATS_CAPPED]


@pytest.mark.requirement("ABU-05")
async def test_the_store_is_asked_only_about_new_chats(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who cannot be reached costs no more than somebody unknown, an open chat nothing at all (OPT-09)."""
    ada, user, shy = await world.enlisted(), await world.opted_in(), await world.whatsapp_user("+33612345678")
    calls = note_calls(world.store, monkeypatch)
    for _ in range(3):
        await write(world, ada, user)
        await write(world, user, ada)
        await write(world, ada, shy)
    assert calls.count("new_chats.list_unanswered") == 1


@pytest.mark.requirement("OPT-06", "OPT-14")
async def test_who_writes_first_decides_how_a_chat_opens(world: World) -> None:
    """A WhatsApp user accepts by writing and always sees the chat; a third party asks, and a dropped message hides."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    whatsapp_id, third_party_id = user.account_id, ada.account_id
    for is_dropped in (False, True):
        by_user = chat_entry(user, third_party_id, is_dropped=is_dropped)
        assert by_user == ChatEntry(whatsapp_id, third_party_id, MessageRequestState.ACCEPTED, is_listed=True)
        by_ada = chat_entry(ada, whatsapp_id, is_dropped=is_dropped)
        requested = MessageRequestState.REQUESTED
        assert by_ada == ChatEntry(whatsapp_id, third_party_id, requested, is_listed=not is_dropped)


def test_a_refusal_for_new_chats_has_its_observed_code() -> None:
    """475 on the wire (ABU-05)."""
    assert Refusal(Reason.NEW_CHATS_CAPPED).reason.code == 475


@pytest.mark.requirement("ABU-05")
async def test_a_server_may_allow_no_new_chats_at_all(build_world: BuildWorld) -> None:
    """Then a WhatsApp user has to write first (ABU-05)."""
    world = await build_world(new_chats=0)
    ada, user = await world.enlisted(), await world.opted_in()
    refusal = (await write(world, ada, user)).refusal
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after_ms) == (Reason.NEW_CHATS_CAPPED, 24 * HOUR_MS)
    await write(world, user, ada)
    assert (await write(world, ada, user)).refusal is None


@pytest.mark.requirement("ABU-05")
@pytest.mark.parametrize(
    ("opened_ms", "locked_ms", "reason"),
    [([0], None, Reason.NEW_CHATS_CAPPED), ([], 24 * HOUR_MS, Reason.NEW_CHATS_LOCKED)],
)
def test_who_may_not_open_a_chat_waits_a_millisecond_at_least(
    opened_ms: list[int], locked_ms: int | None, reason: Reason
) -> None:
    """Also in the very moment in which the time is over: no delay would mean that waiting does not help."""
    with refused(reason) as caught:
        NewChats(opened_ms, locked_ms, 24 * HOUR_MS, Limits(new_chats=1)).open(1)
    assert caught.value.retry_after_ms == 1
